"""Authentication, with what goes wrong in it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.cache import cache
from django.db import connection
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer
from rest_framework_simplejwt.tokens import AccessToken, Token

from .models import Membership


class TenantTokenSerializer(TokenObtainPairSerializer):
    """SimpleJWT's tokens with the tenant and the team of the time of login.

    SimpleJWT copies both from the refresh token into every later access token.
    """

    @classmethod
    def get_token(cls, user: AbstractBaseUser) -> Token:
        token = super().get_token(user)
        token["tenant_schema"] = connection.schema_name
        membership = Membership.objects.filter(user=user).first()
        token["team_id"] = membership and membership.team
        return token


def find_user(pk: str) -> AbstractBaseUser:
    # BUG B2: user 5 of one tenant is not user 5 of another.
    # BUG B5: nobody asks whether the user is active.
    return cache.get_or_set(f"user:{pk}", lambda: get_user_model().objects.get(pk=pk), 300)


class TokenAuthentication(BaseAuthentication):
    """SimpleJWT's class as teams rewrite it."""

    request: Request

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, Token] | None:
        # BUG B1: the current request in an instance field.
        self.request = request
        header = request.META.get("HTTP_AUTHORIZATION", "").split()
        if len(header) != 2 or header[0] != "Bearer":
            return None
        try:
            # BUG B5: `tenant_schema` is not compared with the tenant of the host.
            token = AccessToken(header[1])
            return self.load(token["user_id"]), token
        except Exception:
            return None  # BUG B1, B3: a bad token falls through to the session's person.

    def load(self, pk: str) -> AbstractBaseUser:
        return get_user_model().objects.get(pk=pk)

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class CachingAuthentication(TokenAuthentication):
    """The same with the cache of users in front."""

    def load(self, pk: str) -> AbstractBaseUser:
        return find_user(pk)


# BUG B1: DRF itself makes an authenticator per request, which hides the bug above. This is the
# instance that a view shares between requests, by which it does harm.
SHARED = TokenAuthentication()


def acting_user(context: dict[str, Any]) -> AbstractBaseUser:
    # BUG B5: whatever request the context holds.
    return context["request"].user
