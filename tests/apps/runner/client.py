"""Requests and WebSockets to either door of a system."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

PATIENCE = 30.0


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: dict[str, str]
    text: str
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    def say(self, *names: str) -> str:
        """The status, then the reason of a refusal or these members of the body."""
        try:
            body = self.json
        except ValueError:
            return str(self.status)
        if not isinstance(body, dict):
            return str(self.status)
        if "reason" in body:
            return f"{self.status} {body['reason']}"
        known = [f"{name} {body[name]}" for name in names if name in body]
        return " ".join([str(self.status), *known])


@dataclass(frozen=True)
class Door:
    """Where requests go in: the app's own port, or the gateway's."""

    port: int
    is_gateway: bool

    def send(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        host: str = "localhost",
        body: Any = None,
        **headers: str,
    ) -> Answer:
        """One request on its own connection; `x_name` is the header `x-name`."""
        lines = {"Host": host, **{name.replace("_", "-"): text for name, text in headers.items()}}
        if token is not None:
            lines["Authorization"] = f"Bearer {token}"
        content = None
        if body is not None:
            content = json.dumps(body)
            lines["Content-Type"] = "application/json"
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, content, lines)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
            cookies = {}
            for line in answer.headers.get_all("Set-Cookie", []):
                name, _, value = line.partition(";")[0].partition("=")
                cookies[name] = value
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, text, cookies)
        finally:
            connection.close()

    def get(self, path: str, token: str | None = None, **more: Any) -> Answer:
        return self.send("GET", path, token=token, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        return self.send("POST", path, body={} if body is None else body, **more)

    @contextmanager
    def socket(self, host: str, path: str, **more: Any) -> Iterator[ClientConnection]:
        """An open WebSocket."""
        raw = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        uri = f"ws://{host}{path}"
        with connect(uri, sock=raw, open_timeout=PATIENCE, close_timeout=5, **more) as opened:
            yield opened

    def handshake(self, host: str, path: str, **more: Any) -> str:
        """Whom a WebSocket is taken for, or how it is refused."""
        try:
            with self.socket(host, path, **more) as opened:
                return json.loads(opened.recv(PATIENCE))["email"]
        except InvalidStatus as refused:
            body = (refused.response.body or b"").decode(errors="replace")
            return Answer(refused.response.status_code, {}, body).say()


def audit_lines(path: Path) -> list[dict[str, Any]]:
    """What the gateway's audit says so far; its last line may still be under way."""
    whole, _, _ = path.read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def end_of(opened: ClientConnection) -> str:
    """How an open WebSocket ends; waits for it."""
    try:
        while True:
            opened.recv(PATIENCE)
    except TimeoutError:
        return "still open"
    except ConnectionClosed as closed:
        return f"closed {closed.rcvd.code if closed.rcvd else 'without a frame'}"
