"""What the benches share: free ports and tokens."""

import base64
import hashlib
import hmac
import json
import socket


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def b64(data: bytes) -> str:
    """Base64url without padding, as JOSE writes it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(algorithm: str, claims: dict) -> str:
    """Header and claims of a token, up to its signature."""
    return b64(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()) + "." + b64(json.dumps(claims).encode())


def hs256(claims: dict, secret: str) -> str:
    message = unsigned("HS256", claims)
    return f"{message}.{b64(hmac.digest(secret.encode(), message.encode(), hashlib.sha256))}"
