"""Whom a request acts as, by the gateway's word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Principal:
    """Built once from a verified assertion, never changed."""

    user: str
    tenant: str
    account: str | None
    roles: tuple[str, ...]
    jti: str

    @classmethod
    def of(cls, claims: Mapping[str, Any]) -> Principal:
        """From verified claims; raises `ValueError` where one has not its type."""
        user, tenant, jti = claims.get("sub"), claims.get("tenant"), claims.get("jti")
        account, roles = claims.get("account"), claims.get("roles", [])
        if not all(isinstance(value, str) and value for value in (user, tenant, jti)):
            raise ValueError("sub, tenant and jti must be strings")
        if account is not None and not (isinstance(account, str) and account):
            raise ValueError("account must be a string")
        if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
            raise ValueError("roles must be a list of strings")
        return cls(str(user), str(tenant), account, tuple(roles), str(jti))
