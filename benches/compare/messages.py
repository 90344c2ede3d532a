"""WebSocket messages through a proxy, there and back.

    messages.py server PORT             # the upstream
    messages.py client PORT SECONDS     # prints how many messages came back

Every frame is made beforehand. The client has many connections with one message on the way on each;
the server answers each frame with one of the same length, which it does not unmask: what is measured is
the proxy between them.
"""

import base64
import hashlib
import os
import selectors
import socket
import sys
import time

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONNECTIONS = 64
PAYLOAD = 100
#: Masked from the client (RFC 6455, section 5.3), plain from the server.
ASKED = bytes([0x82, 0x80 | PAYLOAD]) + os.urandom(4 + PAYLOAD)
ANSWERED = bytes([0x82, PAYLOAD]) + os.urandom(PAYLOAD)


def server(port: int) -> None:
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    with selectors.EpollSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                one = key.fileobj
                if one is listener:
                    client = listener.accept()[0]
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    # Bytes of a frame that has not come whole.
                    selector.register(client, selectors.EVENT_READ, [0, False])
                    continue
                try:
                    data = one.recv(65536)
                except OSError:
                    data = b""
                state = key.data
                if not data:
                    selector.unregister(one)
                    one.close()
                elif state[1]:
                    whole, state[0] = divmod(state[0] + len(data), len(ASKED))
                    if whole:
                        one.sendall(ANSWERED * whole)
                else:
                    lines = [line.split(b": ", 1) for line in data.split(b"\r\n")[1:] if b": " in line]
                    sent = {name.lower(): value for name, value in lines}.get(b"sec-websocket-key", b"")
                    accept = base64.b64encode(hashlib.sha1(sent + GUID).digest())
                    one.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
                    state[1] = True


def client(port: int, seconds: float) -> int:
    """How many messages came back whole."""
    done = 0
    with selectors.EpollSelector() as selector:
        for _ in range(CONNECTIONS):
            one = socket.create_connection(("127.0.0.1", port), 10)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.sendall(b"GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                        b"Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)) + b"\r\n\r\n")
            head = b""
            while b"\r\n\r\n" not in head:
                head += one.recv(4096) or sys.exit(f"messages: closed: {head!r}")
            if not head.startswith(b"HTTP/1.1 101"):
                sys.exit(f"messages: not switched: {head!r}")
            selector.register(one, selectors.EVENT_READ, [0])
            one.sendall(ASKED)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for key, _ in selector.select(1) or sys.exit("messages: nothing comes back"):
                data = key.fileobj.recv(65536)
                if not data:
                    sys.exit("messages: a connection was closed")
                key.data[0] += len(data)
                if key.data[0] >= len(ANSWERED):
                    key.data[0] -= len(ANSWERED)
                    done += 1
                    key.fileobj.sendall(ASKED)
    return done


if __name__ == "__main__":
    if sys.argv[1] == "server":
        server(int(sys.argv[2]))
    else:
        print(client(int(sys.argv[2]), float(sys.argv[3])))
