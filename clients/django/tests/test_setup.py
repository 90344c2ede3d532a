"""The settings, the command and the isolation of concurrent requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from io import StringIO

import pytest
from conftest import Gateway, KeyServer
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import AsyncClient

from countersign_django.conf import Conf


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"JWKS_URI": "http://x"}, "JWKS_URI"),
        ({"PUBLIC_PATHS": "/health"}, "must be a list"),
        ({"ALGORITHMS": ["HS256"]}, "HS256"),
        ({"ALGORITHMS": []}, "ALGORITHMS"),
    ],
)
def test_a_mistake_in_the_setting_is_named(setting: dict[str, object], says: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=says):
        Conf.of(setting)


@pytest.mark.parametrize(
    "setting",
    [
        {"AUDIENCE": "app"},
        {"AUDIENCE": "app", "JWKS_URL": "http://x", "PUBLIC_KEY_FILE": "x"},
        {"AUDIENCE": "app", "JWKS_URL": "file:///etc/passwd"},
        {"JWKS_URL": "http://x"},
    ],
)
def test_verifying_needs_keys_and_an_audience(setting: dict[str, object]) -> None:
    with pytest.raises(ImproperlyConfigured):
        Conf.of(setting).require_keys()


def test_a_public_path_is_itself_or_a_folder() -> None:
    conf = Conf.of({"PUBLIC_PATHS": ["/health", "/auth/"]})
    assert conf.is_public("/health")
    assert conf.is_public("/auth/token/")
    assert not conf.is_public("/healthy")
    assert not conf.is_public("/auth")


def check(*arguments: str) -> str:
    out = StringIO()
    call_command("countersign_check", *arguments, stdout=out)
    return out.getvalue()


def test_the_check_says_what_is_right(
    configure: Callable[..., None], key_server: KeyServer, gateway: Gateway
) -> None:
    configure(JWKS_URL=key_server.url, PUBLIC_KEY_FILE=None)
    key_server.keys = [gateway.jwk()]
    said = check()
    assert key_server.url in said
    assert "WRONG" not in said


def test_the_check_reads_an_assertion(gateway: Gateway) -> None:
    assert "user='5'" in check("--assertion", gateway.assertion())
    with pytest.raises(CommandError):
        check("--assertion", gateway.assertion(aud="other"))


@pytest.mark.parametrize(
    "broken",
    [
        {"MIDDLEWARE": []},
        {"MIDDLEWARE": "reversed"},
        {"MIDDLEWARE": "remote"},
        {"REST_FRAMEWORK": {}},
        {"COUNTERSIGN": {"AUDIENCE": "app", "PUBLIC_KEY_FILE": "/nonexistent"}},
        {"COUNTERSIGN": {}},
        {"COUNTERSIGN": {"X": 1}},
    ],
)
def test_the_check_finds_what_is_wrong(settings: object, broken: dict[str, object]) -> None:
    for name, value in broken.items():
        given: object = value
        if value == "reversed":
            given = list(reversed(settings.MIDDLEWARE))
        if value == "remote":
            remote = "django.contrib.auth.middleware.RemoteUserMiddleware"
            given = [*settings.MIDDLEWARE, remote]
        setattr(settings, name, given)
    with pytest.raises(CommandError):
        check()


@pytest.mark.usefixtures("people")
async def test_concurrent_requests_keep_their_own_principal(gateway: Gateway) -> None:
    model = get_user_model()
    await model.objects.abulk_create(model(pk=pk, username=f"u{pk}") for pk in range(100, 140))

    async def ask(pk: int) -> None:
        headers = {"X-Auth-Assertion": gateway.assertion(sub=str(pk))}
        answer = await AsyncClient().get("/async/", headers=headers)
        assert answer.json()["user"] == pk
        assert answer.json()["principal"] == str(pk)
        assert answer["X-Acted-As-User"] == str(pk)

    await asyncio.gather(*(ask(pk) for pk in range(100, 140)))
