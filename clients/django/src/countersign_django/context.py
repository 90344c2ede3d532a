"""What is known of the request that is being served, for code that is not handed the request.

Signal handlers are such code. Context variables belong to one request: they follow it into
asynchronous views and into the threads that `sync_to_async` uses, and never into another request.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from .principal import Principal

logger = logging.getLogger("countersign")
STAMP = "_countersign_tenant"


@dataclass(slots=True)
class Acting:
    """In whose name one request, or one WebSocket, has worked so far.

    The object is shared by every thread that serves the request, so it is enough to add to it.
    """

    principal: Principal | None = None
    users: list[str] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)
    tenants: list[str] = field(default_factory=list)


_acting: ContextVar[Acting | None] = ContextVar("countersign_acting", default=None)


def current_principal() -> Principal | None:
    """Whom this request acts as by the gateway's word; `None` outside of a request."""
    acting = _acting.get()
    return None if acting is None else acting.principal


def acted_as(*, user: Any = None, account: Any = None, tenant: Any = None) -> bool:
    """Says in whose name something was just done; ids or model instances.

    Call it from the signal handler that writes the audit. Whether it was the principal: where it
    was not, an error is logged, and the echo makes the gateway withhold the response. Without a
    principal (echo alone) the answer is the gateway's to give, and this is true.
    """
    acting = _acting.get()
    if acting is None:
        return True
    said = {"user": identify(user), "account": identify(account), "tenant": identify(tenant)}
    if said["tenant"] is None:
        said["tenant"] = getattr(user, STAMP, None)
    for values, value in zip(
        (acting.users, acting.accounts, acting.tenants), said.values(), strict=True
    ):
        if value is not None and value not in values:
            values.append(value)
    if acting.principal is None:
        return True
    meant = acting.principal
    wrong = {
        name: value
        for name, value in said.items()
        if value is not None and value != getattr(meant, name)
    }
    if wrong:
        logger.error("acted as somebody else: %s instead of %s", wrong, meant)
    return not wrong


def identify(value: Any) -> str | None:
    """The id of a model instance, or of what is an id already; `None` for nobody."""
    if value is None:
        return None
    schema = getattr(value, "schema_name", None)
    if isinstance(schema, str):
        return schema
    return _text(getattr(value, "pk", value))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


@contextmanager
def serving(principal: Principal | None) -> Iterator[Acting]:
    """A request, or the outer of two that nest, whose record is then completed."""
    outer = _acting.get()
    if outer is not None and (outer.principal is None or principal is None):
        outer.principal = outer.principal or principal
        yield outer
        return
    acting = Acting(principal)
    token = _acting.set(acting)
    try:
        yield acting
    finally:
        _acting.reset(token)
