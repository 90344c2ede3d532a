"""An ASGI middleware for Channels, in the place of `AuthMiddlewareStack`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from asgiref.sync import sync_to_async

from . import users
from .apps import installed
from .context import serving
from .principal import Principal
from .verify import NotFromGatewayError

logger = logging.getLogger("countersign")
Scope = MutableMapping[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY_VIOLATION = 1008


class CountersignMiddleware:
    """Lets in handshakes that the gateway vouches for; every other is answered 403.

    It sets `scope["countersign"]`, `scope["user"]`, `scope["account"]` and `scope["tenant"]`. The
    gateway ends the connection when any of it is no longer true.
    """

    def __init__(self, inner: App) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection."""
        if scope["type"] != "websocket":
            await self.inner(scope, receive, send)
            return
        try:
            principal, user = await sync_to_async(identify_scope)(scope)
        except NotFromGatewayError as error:
            logger.warning("refused: %s", error.code)
            await receive()  # the handshake
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        known = {"user": user, "account": principal.account, "tenant": principal.tenant}
        with serving(principal):
            await self.inner({**scope, **known, "countersign": principal}, receive, send)


def identify_scope(scope: Scope) -> tuple[Principal, Any]:
    """The principal of a handshake and the user it is."""
    config = installed()
    name = config.conf.header.lower().encode()
    values = [value for header, value in scope["headers"] if header.lower() == name]
    if len(values) > 1:
        raise NotFromGatewayError("assertion_invalid")
    principal = config.verifier.verify(values[0].decode("latin-1") if values else None)
    return principal, users.load(principal, config.conf)
