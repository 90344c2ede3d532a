"""The gateway's public keys: from its key set, or from a file."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_public_key

# How long a set is used without another look, how often an unknown key id may cause one, how long
# a set may serve while the gateway does not answer; in seconds.
MAX_AGE = 300
MIN_PAUSE = 5
MAX_STALE = 24 * 3600
TIMEOUT = 5
MAX_SIZE = 256 * 1024


class KeysUnavailableError(Exception):
    """The keys cannot be had now; nothing is said about the assertion."""


class Keys(Protocol):
    """Where public keys come from."""

    def find(self, kid: str | None) -> Any:
        """The key with this id, or `None`."""


class FileKey:
    """One key, from a PEM file that is read again when it changes."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._held: tuple[int, Any] | None = None

    def find(self, kid: str | None) -> Any:  # noqa: ARG002
        """The key, whatever its id."""
        try:
            changed = self._path.stat().st_mtime_ns
            held = self._held
            if held is None or held[0] != changed:
                held = self._held = (changed, load_pem_public_key(self._path.read_bytes()))
        except (OSError, ValueError) as error:
            raise KeysUnavailableError(f"{self._path} is no public key: {error}") from error
        return held[1]


class JwksKeys:
    """A key set by URL: kept, and fetched anew when it is old or a key id is unknown."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._keys: dict[str, Any] = {}
        self._fetched = self._tried = float("-inf")
        self._error: Exception | None = None

    def find(self, kid: str | None) -> Any:
        """The key with this id, after a fetch if need be."""
        if kid is None:
            return None
        key = self._keys.get(kid)
        if key is not None and time.monotonic() - self._fetched < MAX_AGE:
            return key
        with self._lock:
            self._refresh(kid)
            if time.monotonic() - self._fetched > MAX_STALE:
                raise KeysUnavailableError(f"{self._url}: {self._error}")
            return self._keys.get(kid)

    def _refresh(self, kid: str) -> None:
        now = time.monotonic()
        fresh = kid in self._keys and now - self._fetched < MAX_AGE
        if fresh or now - self._tried < MIN_PAUSE:
            return
        self._tried = now
        try:
            self._keys, self._fetched, self._error = self._fetch(), now, None
        except (OSError, ValueError, urllib.error.URLError) as error:
            self._error = error

    def _fetch(self) -> dict[str, Any]:
        with urllib.request.urlopen(self._url, timeout=TIMEOUT) as answer:
            body = answer.read(MAX_SIZE + 1)
        if len(body) > MAX_SIZE:
            raise ValueError("the key set is too large")
        keys: dict[str, Any] = {}
        for jwk in json.loads(body)["keys"]:
            # A shared secret in a public set would let anyone sign.
            if jwk.get("kty") in ("EC", "OKP", "RSA") and isinstance(jwk.get("kid"), str):
                keys[jwk["kid"]] = jwt.PyJWK(jwk).key
        return keys
