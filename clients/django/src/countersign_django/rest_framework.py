"""An authentication class for Django REST framework."""

from __future__ import annotations

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request

from .middleware import identify_request
from .principal import Principal
from .verify import NotFromGatewayError


class KeysUnavailable(APIException):
    """The gateway's keys cannot be had now."""

    status_code = 503
    default_code = "keys_unavailable"


class CountersignAuthentication(BaseAuthentication):
    """The user of the assertion; `request.auth` is the principal.

    Let it be the only class, so that nothing else can identify anyone. It keeps nothing.
    """

    def authenticate(self, request: Request) -> tuple[Any, Principal] | None:
        """The user whom the middleware has found, or finds it where there is no middleware."""
        try:
            principal = identify_request(request._request)
        except NotFromGatewayError as error:
            if error.status == KeysUnavailable.status_code:
                raise KeysUnavailable(error.code) from error
            raise AuthenticationFailed(error.code, code=error.code) from error
        if principal is None:
            return None  # a public path
        return request._request.user, principal

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        """So that DRF answers 401 rather than 403."""
        return 'Bearer realm="countersign"'
