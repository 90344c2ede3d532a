"""Keys by URL and by file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Gateway, KeyServer

from countersign_django import keys
from countersign_django.apps import installed
from countersign_django.verify import NotFromGatewayError, Verifier


@pytest.fixture
def verifier(configure: Callable[..., None], key_server: KeyServer, gateway: Gateway) -> Verifier:
    configure(JWKS_URL=key_server.url, PUBLIC_KEY_FILE=None)
    key_server.keys = [gateway.jwk()]
    return installed().verifier


def reason(verifier: Verifier, assertion: str) -> str:
    with pytest.raises(NotFromGatewayError) as caught:
        verifier.verify(assertion)
    return caught.value.code


def test_the_set_is_fetched_once(
    verifier: Verifier, gateway: Gateway, key_server: KeyServer
) -> None:
    for _ in range(3):
        assert verifier.verify(gateway.assertion()).user == "5"
    assert key_server.fetches == 1
    assert installed().verifier is verifier


def test_an_unknown_key_id_fetches_again_and_a_flood_does_not(
    verifier: Verifier, gateway: Gateway, key_server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier.verify(gateway.assertion())
    newer = Gateway()
    newer.kid = "two"
    for _ in range(5):
        assert reason(verifier, newer.assertion()) == "assertion_key_unknown"
    assert key_server.fetches == 1
    monkeypatch.setattr(keys, "MIN_PAUSE", 0)
    key_server.keys = [newer.jwk(), gateway.jwk()]
    assert verifier.verify(newer.assertion()).user == "5"
    assert verifier.verify(gateway.assertion()).user == "5"
    assert key_server.fetches == 2


def test_known_keys_serve_while_the_gateway_does_not_answer(
    verifier: Verifier, gateway: Gateway, key_server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier.verify(gateway.assertion())
    monkeypatch.setattr(keys, "MAX_AGE", 0)
    monkeypatch.setattr(keys, "MIN_PAUSE", 0)
    key_server.status = 500
    assert verifier.verify(gateway.assertion()).user == "5"
    assert key_server.fetches == 2
    monkeypatch.setattr(keys, "MAX_STALE", -1)
    assert reason(verifier, gateway.assertion()) == "keys_unavailable"


def test_no_keys_at_all_is_no_verdict(
    verifier: Verifier, gateway: Gateway, key_server: KeyServer
) -> None:
    key_server.status = 500
    with pytest.raises(NotFromGatewayError) as caught:
        verifier.verify(gateway.assertion())
    assert (caught.value.code, caught.value.status) == ("keys_unavailable", 503)


def test_a_shared_secret_in_the_set_is_not_taken(
    verifier: Verifier, gateway: Gateway, key_server: KeyServer
) -> None:
    key_server.keys = [{"kty": "oct", "kid": gateway.kid, "k": "c2VjcmV0"}]
    assert reason(verifier, gateway.assertion()) == "assertion_key_unknown"


def test_a_changed_file_is_read_again(
    configure: Callable[..., None], tmp_path: Path, gateway: Gateway
) -> None:
    file = tmp_path / "other.pem"
    configure(PUBLIC_KEY_FILE=str(file))
    verifier = installed().verifier
    assert reason(verifier, gateway.assertion()) == "keys_unavailable"
    file.write_bytes(Gateway().pem())
    assert reason(verifier, gateway.assertion()) == "assertion_invalid"
    file.unlink()
    file.write_bytes(gateway.pem())
    assert verifier.verify(gateway.assertion()).user == "5"
