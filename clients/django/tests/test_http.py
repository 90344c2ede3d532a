"""The middleware and the DRF class, synchronous and asynchronous."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import jwt
import pytest
from conftest import Gateway
from django.test import AsyncClient, Client

from countersign_django import current_principal

pytestmark = pytest.mark.usefixtures("people")
OWN = {"X-Acted-As-User": "5", "X-Acted-As-Account": "12", "X-Acted-As-Tenant": "default"}


def get(path: str, assertion: str | None, **headers: str):  # noqa: ANN201
    if assertion is not None:
        headers["HTTP_X_AUTH_ASSERTION"] = assertion
    return Client(raise_request_exception=True).get(path, **headers)


def test_a_view_sees_user_account_and_tenant(gateway: Gateway) -> None:
    answer = get("/view/", gateway.assertion())
    assert answer.json() == {"user": 5, "account": "12", "tenant": "default", "principal": "5"}
    assert {name: answer[name] for name in OWN} == OWN
    assert current_principal() is None


def test_a_principal_without_account_has_none(gateway: Gateway) -> None:
    answer = get("/view/", gateway.assertion(account=None))
    assert answer.json()["account"] is None
    assert not answer.has_header("X-Acted-As-Account")


async def test_an_asynchronous_view_sees_the_same(gateway: Gateway) -> None:
    answer = await AsyncClient().get("/async/", headers={"X-Auth-Assertion": gateway.assertion()})
    assert answer.json() == {
        "user": 5,
        "account": "12",
        "tenant": "default",
        "principal": "5",
        "auser": 5,
    }
    assert {name: answer[name] for name in OWN} == OWN


def test_drf_sees_the_user_and_the_principal(gateway: Gateway) -> None:
    assert get("/drf/", gateway.assertion()).json() == {"user": 5, "roles": ["editor"]}


def refused(assertion: str | None) -> str:
    answer = get("/view/", assertion)
    assert answer.status_code == 403
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["Cache-Control"] == "no-store"
    return str(answer.json()["reason"])


def test_what_did_not_come_through_the_gateway_is_refused() -> None:
    assert refused(None) == "assertion_missing"
    assert refused("x") == "assertion_invalid"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "other"}, "assertion_audience"),
        ({"aud": None}, "assertion_invalid"),
        ({"iss": "another"}, "assertion_invalid"),
        ({"iss": None}, "assertion_invalid"),
        ({"exp": None}, "assertion_invalid"),
        ({"exp": int(time.time()) - 60}, "assertion_expired"),
        ({"nbf": int(time.time()) + 60}, "assertion_invalid"),
        ({"iat": int(time.time()) + 60}, "assertion_invalid"),
        ({"jti": None}, "assertion_invalid"),
        ({"tenant": None}, "assertion_invalid"),
        ({"tenant": 5}, "assertion_invalid"),
        ({"sub": 5}, "assertion_invalid"),
        ({"sub": ""}, "assertion_invalid"),
        ({"account": 12}, "assertion_invalid"),
        ({"roles": "admin"}, "assertion_invalid"),
        ({"typ": "JWT"}, "assertion_type"),
        ({"sub": "99"}, "user_unknown"),
        ({"sub": "ann"}, "user_unknown"),
        ({"sub": "7"}, "user_inactive"),
    ],
)
def test_an_assertion_that_does_not_fit_is_refused(
    gateway: Gateway, changes: dict[str, object], reason: str
) -> None:
    assert refused(gateway.assertion(**changes)) == reason


def test_another_key_is_refused() -> None:
    assert refused(Gateway().assertion()) == "assertion_invalid"


def test_the_public_key_is_no_shared_secret(gateway: Gateway) -> None:
    claims = jwt.decode(gateway.assertion(), options={"verify_signature": False})
    head = jwt.api_jws.PyJWS()
    # PyJWT itself refuses to sign with a PEM, so the attacker's token is put together by hand.
    import base64
    import hashlib
    import hmac
    import json

    def encode(part: object) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")

    message = encode({"alg": "HS256", "typ": "countersign+jwt"}) + b"." + encode(claims)
    signature = hmac.new(gateway.pem(), message, hashlib.sha256).digest()
    token = (message + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()
    assert refused(token) == "assertion_invalid"
    unsigned = encode({"alg": "none", "typ": "countersign+jwt"}) + b"." + encode(claims) + b"."
    assert refused(unsigned.decode()) == "assertion_invalid"
    assert head is not None


def test_two_assertions_are_none(gateway: Gateway) -> None:
    # As Django joins a header that came twice.
    one = gateway.assertion()
    assert refused(f"{one},{one}") == "assertion_invalid"


def test_a_session_is_not_asked(gateway: Gateway) -> None:
    from django.contrib.auth import get_user_model

    client = Client()
    client.force_login(get_user_model().objects.get(pk=6))
    assert client.get("/view/").status_code == 403
    answer = client.get("/view/", HTTP_X_AUTH_ASSERTION=gateway.assertion())
    assert answer.json()["user"] == 5


def test_a_public_path_is_served_without_an_identity(gateway: Gateway) -> None:
    answer = get("/health", None)
    assert answer.content == b"anonymous"
    assert not answer.has_header("X-Acted-As-User")
    assert get("/health", gateway.assertion()).content == b"somebody"
    assert get("/health", "x").status_code == 403


def test_drf_refuses_by_itself_without_the_middleware(settings: object, gateway: Gateway) -> None:
    settings.MIDDLEWARE = []
    refusal = get("/drf/", None)
    assert (refusal.status_code, refusal["WWW-Authenticate"]) == (
        401,
        'Bearer realm="countersign"',
    )
    assert get("/drf/", gateway.assertion()).json()["user"] == 5


def test_acting_as_somebody_else_is_said_and_logged(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "countersign"):
        answer = get("/other/", gateway.assertion())
    assert answer.content == b"False"
    assert answer["X-Acted-As-User"] == "6,5"
    assert "acted as somebody else" in caplog.text


async def test_acting_as_somebody_else_is_said_by_asynchronous_views(gateway: Gateway) -> None:
    headers = {"X-Auth-Assertion": gateway.assertion()}
    answer = await AsyncClient().get("/async-other/", headers=headers)
    assert answer["X-Acted-As-User"] == "6,5"


def test_the_echo_alone_needs_no_keys(settings: object, configure: Callable[..., None]) -> None:
    settings.MIDDLEWARE = [
        "countersign_django.middleware.EchoMiddleware",
        *settings.MIDDLEWARE[:2],
    ]
    configure(PUBLIC_KEY_FILE=None, AUDIENCE=None)
    answer = get("/other/", None)
    assert (answer.content, answer["X-Acted-As-User"]) == (b"True", "6")
