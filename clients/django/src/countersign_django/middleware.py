"""Middlewares for synchronous and asynchronous Django."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from . import users
from .apps import installed
from .conf import Conf
from .context import STAMP, Acting, identify, serving
from .principal import Principal
from .verify import NotFromGatewayError

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

logger = logging.getLogger("countersign")
Handler = Callable[[HttpRequest], Any]


class _Middleware:
    """What a middleware for both kinds of Django needs."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        return self.serve_async(request) if self.is_async else self.serve(request)

    def serve(self, request: HttpRequest) -> HttpResponseBase:
        """For synchronous Django."""
        raise NotImplementedError

    async def serve_async(self, request: HttpRequest) -> HttpResponseBase:
        """For asynchronous Django."""
        raise NotImplementedError


class EchoMiddleware(_Middleware):
    """Says in the response whom the app really acted as. Put it first.

    It trusts nobody and changes nothing, so that an app can have it as it is.
    """

    def serve(self, request: HttpRequest) -> HttpResponseBase:
        """Serves, then says in whose name."""
        with serving(None) as acting:
            response = cast("HttpResponseBase", self.get_response(request))
            echo(request, response, acting, installed().conf)
            return response

    async def serve_async(self, request: HttpRequest) -> HttpResponseBase:
        """Serves, then says in whose name."""
        with serving(None) as acting:
            response = cast("HttpResponseBase", await self.get_response(request))
            await sync_to_async(echo)(request, response, acting, installed().conf)
            return response


class IdentityMiddleware(_Middleware):
    """Believes the gateway's assertion and nothing else; echoes as well.

    Put it after `AuthenticationMiddleware`, whose user it replaces, and after the middleware of
    django-tenants, whose tenant it compares. It sets `request.countersign`, `request.user`,
    `request.account` and `request.tenant`.
    """

    def serve(self, request: HttpRequest) -> HttpResponseBase:
        """Identifies, serves, echoes."""
        try:
            principal = identify_request(request)
        except NotFromGatewayError as error:
            return refusal(error)
        with serving(principal) as acting:
            response = cast("HttpResponseBase", self.get_response(request))
            if principal is not None:
                echo(request, response, acting, installed().conf)
            return response

    async def serve_async(self, request: HttpRequest) -> HttpResponseBase:
        """Identifies, serves, echoes."""
        try:
            principal = await sync_to_async(identify_request)(request)
        except NotFromGatewayError as error:
            return refusal(error)
        with serving(principal) as acting:
            response = cast("HttpResponseBase", await self.get_response(request))
            if principal is not None:
                await sync_to_async(echo)(request, response, acting, installed().conf)
            return response


def identify_request(request: HttpRequest) -> Principal | None:
    """Sets who the request acts as; `None` on a public path. Never twice on one request."""
    known: Principal | None = getattr(request, "countersign", None)
    if known is not None:
        return known
    config = installed()
    conf = config.conf
    token = request.headers.get(conf.header)
    if conf.is_public(request.path) and not token:
        become(request, None, None)
        return None
    principal = config.verifier.verify(token)
    tenant = getattr(request, "tenant", None)
    if tenant is not None and identify(tenant) != principal.tenant:
        raise NotFromGatewayError("tenant_mismatch")
    become(request, principal, users.load(principal, conf))
    return principal


def become(
    request: HttpRequest, principal: Principal | None, user: AbstractBaseUser | None
) -> None:
    """Sets the attributes that views read."""
    from django.contrib.auth.models import AnonymousUser

    found: Any = user if user is not None else AnonymousUser()

    async def auser() -> Any:
        return found

    target: Any = request
    target.countersign = principal
    target.user = found
    target.auser = auser
    target.account = principal and principal.account
    if principal is not None and getattr(request, "tenant", None) is None:
        target.tenant = principal.tenant


def refusal(error: NotFromGatewayError) -> HttpResponse:
    """Problem details (RFC 9457) that say the reason and no more."""
    logger.warning("refused: %s", error.code)
    body = {"type": "about:blank", "title": "Not from the gateway", "status": error.status}
    response = JsonResponse(
        {**body, "reason": error.code},
        status=error.status,
        content_type="application/problem+json",
    )
    response["Cache-Control"] = "no-store"
    return response


def echo(request: HttpRequest, response: HttpResponseBase, acting: Acting, conf: Conf) -> None:
    """Sets the echo headers. Several names in one request are said all, and so fit nobody."""
    user = getattr(request, "user", None)
    if user is not None and not user.is_authenticated:
        user = None
    tenant = getattr(user, STAMP, None) or _schema() or identify(getattr(request, "tenant", None))
    said = {
        conf.echo_user: [*acting.users, identify(user)],
        conf.echo_account: [*acting.accounts, identify(getattr(request, "account", None))],
        conf.echo_tenant: [*acting.tenants, tenant],
    }
    if user is None and not acting.users:
        return  # nobody acted
    for name, values in said.items():
        known = list(dict.fromkeys(value for value in values if value is not None))
        if known and not response.has_header(name):
            response.headers[name] = ",".join(known)


def _schema() -> str | None:
    """The schema that look-ups of this request went to."""
    schema = getattr(connection, "schema_name", None)
    return schema if isinstance(schema, str) else None
