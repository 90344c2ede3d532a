"""Idle connections and open WebSockets: what each takes of the gateway's memory.

    connections.py serve PORT             # the upstream of the WebSockets: accepts every handshake, says nothing
    connections.py idle PORT COUNT        # opens so many and holds them; what is asked of it is read
    connections.py websocket PORT COUNT   # from standard input, first the header fields, as JSON

They come from several addresses of the loopback network, since one has not enough ports, and are held by
processes of their own, each of which has a limit of open files.
"""

import base64
import hashlib
import json
import selectors
import socket
import subprocess
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
    item(client, fields)
    return client


def item(client: socket.socket, fields: dict[str, str]) -> None:
    request = f"GET /items/1 HTTP/1.1\r\nHost: app.test\r\n{lines(fields)}\r\n"
    exchange(client, request, b"HTTP/1.1 200", b"\r\n\r\nok\n")


def websocket(port: int, number: int, fields: dict[str, str]) -> socket.socket:
    client = connect(port, number)
    exchange(client, f"GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
             f"Sec-WebSocket-Key: {KEY}\r\n{lines(fields)}\r\n", b"HTTP/1.1 101")
    return client


def lines(fields: dict[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items())


def exchange(client: socket.socket, request: str, wanted: bytes, end: bytes = b"\r\n\r\n") -> None:
    client.sendall(request.encode())
    data = b""
    while not data.endswith(end):
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


class Holder:
    """A process that opens connections of one kind and holds them."""

    def __init__(self, kind: str, port: int, count: int, fields: dict[str, str], cpu: str):
        command = ["taskset", "-c", cpu, sys.executable, __file__, kind, str(port), str(count)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.say(json.dumps(fields))

    def opened(self) -> None:
        """Waits until all are open."""
        self.hear("open")

    def served(self) -> None:
        """Every one of them is there still, and a request on the first and on the last is answered."""
        self.say("ask")
        self.hear("served")

    def close(self) -> None:
        self.process.stdin.close()
        if status := self.process.wait(60):
            sys.exit(f"scale: a holder of connections ended with {status}")

    def say(self, line: str) -> None:
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def hear(self, wanted: str) -> None:
        if (line := self.process.stdout.readline().strip()) != wanted:
            sys.exit(f"scale: a holder of connections says {line!r} instead of {wanted!r}")


def hold(kind: str, port: int, count: int) -> None:
    fields = json.loads(sys.stdin.readline())
    opened = [{"idle": idle, "websocket": websocket}[kind](port, number, fields) for number in range(count)]
    print("open", flush=True)
    for _ in sys.stdin:
        for client in opened:
            client.setblocking(False)
            try:
                sys.exit(f"scale: the gateway sent {client.recv(4096)!r} on an idle connection")
            except BlockingIOError:
                client.settimeout(30)
        for client in (opened[0], opened[-1]):
            item(client, fields)
        print("served", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        hold(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
