"""A client that asks many different things once: pipelined, over several connections."""

import base64
import hashlib
import hmac
import json
import selectors
import socket
import sys
import time
from collections.abc import Iterable, Iterator

CONNECTIONS, DEPTH = 16, 32
ANSWER = b"HTTP/1.1 "


def minted(users: int, secret: str) -> Iterator[str]:
    """A token of each user, in order; several tens of thousands a second."""
    now = int(time.time())
    header = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()).rstrip(b"=")
    key = secret.encode()
    for user in range(users):
        claims = b'{"sub":"%d","account_id":"%d","iat":%d,"exp":%d}' % (user, user % 50, now, now + 86400)
        message = header + b"." + base64.urlsafe_b64encode(claims).rstrip(b"=")
        signature = base64.urlsafe_b64encode(hmac.digest(key, message, hashlib.sha256)).rstrip(b"=")
        yield (message + b"." + signature).decode()


def ask(port: int, requests: Iterable[tuple[str, dict[str, str]]]) -> None:
    """Sends each once; every answer must be a 200."""
    source = (
        f"GET {path} HTTP/1.1\r\nHost: app.test\r\n{''.join(f'{name}: {value}{chr(13)}{chr(10)}' for name, value in fields.items())}\r\n".encode()
        for path, fields in requests)
    with selectors.DefaultSelector() as selector:
        for _ in range(CONNECTIONS):
            client = socket.create_connection(("127.0.0.1", port), 30)
            if not send(client, source, selector):
                client.close()
        while selector.get_map():
            for key, _ in selector.select(30) or sys.exit("scale: no answer in 30 s"):
                client, state = key.fileobj, key.data
                data = state["rest"] + client.recv(1 << 18)
                if len(data) == len(state["rest"]):
                    sys.exit("scale: the gateway closed a connection while it was asked")
                answers = data.count(ANSWER)
                if answers != data.count(ANSWER + b"200"):
                    # The status may come with the next bytes.
                    if data.count(ANSWER + b"200") < answers - 1 or len(data) - data.rindex(ANSWER) >= len(ANSWER) + 3:
                        sys.exit(f"scale: not answered with 200: {data[-2000:]!r}")
                    answers -= 1
                    state["rest"] = data[data.rindex(ANSWER):]
                else:
                    state["rest"] = data[-(len(ANSWER) - 1):]
                state["open"] -= answers
                if state["open"] == 0:
                    selector.unregister(client)
                    if not send(client, source, selector):
                        client.close()


def send(client: socket.socket, source: Iterator[bytes], selector: selectors.BaseSelector) -> bool:
    batch = [one for _, one in zip(range(DEPTH), source)]
    if not batch:
        return False
    client.sendall(b"".join(batch))
    selector.register(client, selectors.EVENT_READ, {"open": len(batch), "rest": b""})
    return True
