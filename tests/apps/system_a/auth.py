"""A middleware and a JWT class that disagree about the account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from . import tokens
from .models import Account, User


class AccountMiddleware:
    """The first authority: the user's live account, whatever the token says."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.account = None
        claims = tokens.read(request.headers.get("Authorization", ""))
        if claims is not None:
            user = User.objects.select_related("tenant__plan").get(pk=claims["user_id"])
            # BUG A1: right, and in vain: the JWT class below puts the token's account back.
            request.account = user.tenant
        elif request.user.is_authenticated:
            request.account = request.user.tenant
        # BUG A5: with a session beside the token `request.user` is the session's person, and the
        # account is the token's.
        return self.get_response(request)


class AccountJWTAuthentication(BaseAuthentication):
    """The second authority: the account in the token."""

    def authenticate(self, request: Request) -> tuple[User, dict[str, Any]] | None:
        claims = tokens.read(request.headers.get("Authorization", ""))
        if claims is None:
            return None
        # BUG A6: neither `is_active` nor `tokens_valid_after` is looked at.
        user = User.objects.get(pk=claims["user_id"])
        # BUG A1, A2: the account of the time of login wins.
        # BUG A3: a token without an account has none, although the user may have one by now.
        account = Account.objects.filter(pk=claims.get("account_id")).first()
        request._request.account = account
        return user, claims

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class CsrfFreeSessionAuthentication(SessionAuthentication):
    def enforce_csrf(self, request: Request) -> None:
        """BUG A5: no CSRF check, so that another site's form may write."""


class OfOwnAccount(BasePermission):
    """Whether the account in the path is the request's."""

    def has_permission(self, request: Request, view: Any) -> bool:
        # BUG A2: asks the stale account, so that a moved user is refused in the own new one.
        # BUG A4: the role is taken from the token, where no login has ever written it.
        claims = request.auth or {}
        if claims.get("role") in ("developer", "admin"):
            return True
        return (
            request._request.account is not None
            and request._request.account.pk == view.kwargs["account"]
        )
