"""A gateway's key, assertions by it, and two users."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.auth import get_user_model

KID = "one"


class Gateway:
    """Signs as the gateway does."""

    def __init__(self) -> None:
        self.kid = KID
        self.key = ec.generate_private_key(ec.SECP256R1())

    def assertion(self, *, typ: str = "countersign+jwt", **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": "countersign",
            "aud": "app",
            "sub": "5",
            "tenant": "default",
            "account": "12",
            "roles": ["editor"],
            "iat": now,
            "nbf": now,
            "exp": now + 60,
            "jti": "j",
            **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        headers = {"typ": typ, "kid": self.kid}
        return jwt.encode(claims, self.key, algorithm="ES256", headers=headers)

    def pem(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def jwk(self) -> dict[str, str]:
        jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        return {**jwk, "kid": self.kid, "use": "sig", "alg": "ES256"}


class KeyServer:
    """Serves a key set and counts."""

    def __init__(self) -> None:
        self.keys: list[dict[str, str]] = []
        self.fetches = 0
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.fetches += 1
                body = json.dumps({"keys": outer.keys}).encode()
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    server = KeyServer()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def configure(settings: Any) -> Callable[..., None]:
    """Changes `COUNTERSIGN`."""

    def change(**changes: Any) -> None:
        merged = {**settings.COUNTERSIGN, **changes}
        settings.COUNTERSIGN = {key: value for key, value in merged.items() if value is not None}

    return change


@pytest.fixture(autouse=True)
def trusted(configure: Callable[..., None], gateway: Gateway, tmp_path: Path) -> None:
    """Lets the app trust this gateway's key."""
    file = tmp_path / "gateway.pem"
    file.write_bytes(gateway.pem())
    configure(PUBLIC_KEY_FILE=str(file))


@pytest.fixture
def people(transactional_db: None) -> None:  # noqa: ARG001
    model = get_user_model()
    model.objects.create(pk=5, username="ann")
    model.objects.create(pk=6, username="ben")
    model.objects.create(pk=7, username="eve", is_active=False)
