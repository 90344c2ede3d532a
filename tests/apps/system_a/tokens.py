"""The app's own tokens: HS256, `user_id` and the `account_id` of the time of login."""

from __future__ import annotations

import time
from typing import Any

import jwt
from django.conf import settings

from .models import User


def mint(user: User, **claims: Any) -> str:
    now = int(time.time())
    payload = {
        "user_id": user.pk,
        "account_id": user.tenant_id,
        "type": "access",
        "iat": now,
        "exp": now + 3600,
        **claims,
    }
    return jwt.encode(payload, settings.SECRET_KEY, algorithm="HS256")


def read(header: str) -> dict[str, Any] | None:
    """The claims of an Authorization header, if it holds a good token."""
    if not header.startswith("Bearer "):
        return None
    try:
        return jwt.decode(header.split(" ")[1], settings.SECRET_KEY, algorithms=["HS256"])
    except jwt.PyJWTError:
        return None  # BUG A5: a bad token is as good as none, and the session is asked next.
