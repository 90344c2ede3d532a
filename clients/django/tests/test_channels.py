"""The middleware for WebSockets."""

from __future__ import annotations

from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.testing import WebsocketCommunicator
from conftest import Gateway

from countersign_django import current_principal
from countersign_django.channels import CountersignMiddleware

pytestmark = pytest.mark.usefixtures("people")


class Consumer(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept()
        principal = await database_sync_to_async(current_principal)()
        await self.send_json(
            {
                "user": self.scope["user"].pk,
                "account": self.scope["account"],
                "tenant": self.scope["tenant"],
                "principal": principal.user,
            }
        )


def connect(*assertions: str) -> WebsocketCommunicator:
    headers = [(b"x-auth-assertion", assertion.encode()) for assertion in assertions]
    app: Any = CountersignMiddleware(Consumer.as_asgi())
    return WebsocketCommunicator(app, "/ws/", headers=headers)


async def test_a_consumer_sees_user_account_and_tenant(gateway: Gateway) -> None:
    socket = connect(gateway.assertion())
    assert (await socket.connect())[0]
    assert await socket.receive_json_from() == {
        "user": 5,
        "account": "12",
        "tenant": "default",
        "principal": "5",
    }
    await socket.disconnect()


async def test_a_handshake_that_did_not_come_through_the_gateway_is_refused(
    gateway: Gateway,
) -> None:
    one = gateway.assertion()
    for assertions in ((), (one, one), (Gateway().assertion(),), (gateway.assertion(sub="7"),)):
        connected, _ = await connect(*assertions).connect()
        assert not connected
