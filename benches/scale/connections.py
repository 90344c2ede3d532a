"""Idle connections and open WebSockets: what each takes of the gateway's memory.

    connections.py PORT     # the upstream of the WebSockets: accepts every handshake, says nothing

They come from several addresses of the loopback network, since one has not enough ports.
"""

import base64
import hashlib
import selectors
import socket
import sys

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
#: Connections from one address; fewer than its ephemeral ports.
PER_ADDRESS = 10_000
IP_BIND_ADDRESS_NO_PORT = 24


def connect(port: int, number: int) -> socket.socket:
    """The connection of this number; kept in blocking mode, with a deadline."""
    client = socket.socket()
    client.settimeout(30)
    client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    client.bind((f"127.0.0.{2 + number // PER_ADDRESS}", 0))
    client.connect(("127.0.0.1", port))
    return client


def idle(port: int, number: int, fields: dict[str, str]) -> socket.socket:
    """Asks once, and stays."""
    client = connect(port, number)
    exchange(client, f"GET /items/1 HTTP/1.1\r\nHost: app.test\r\n{lines(fields)}\r\n", b"HTTP/1.1 200")
    return client


def websocket(port: int, number: int, fields: dict[str, str]) -> socket.socket:
    client = connect(port, number)
    exchange(client, f"GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
             f"Sec-WebSocket-Key: {KEY}\r\n{lines(fields)}\r\n", b"HTTP/1.1 101")
    return client


def lines(fields: dict[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items())


def exchange(client: socket.socket, request: str, wanted: bytes) -> None:
    client.sendall(request.encode())
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(4096)
        data += more
        if not more:
            break
    if not data.startswith(wanted):
        sys.exit(f"scale: not answered with {wanted.decode()}: {data!r}")


def serve(port: int) -> None:
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(False)
    with selectors.EpollSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    selector.register(listener.accept()[0], selectors.EVENT_READ)
                    continue
                data = key.fileobj.recv(65536)
                if not data:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                elif b"\r\n\r\n" in data:
                    fields = dict(line.split(b": ", 1) for line in data.lower().split(b"\r\n")[1:] if b": " in line)
                    sent = next(line for line in data.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
                    assert fields.get(b"upgrade") == b"websocket", data
                    accept = base64.b64encode(hashlib.sha1(sent.split(b": ", 1)[1] + GUID).digest())
                    key.fileobj.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")


if __name__ == "__main__":
    serve(int(sys.argv[1]))
