"""The upstream of the uploads: reads each body to its end, throws it away, and then answers.

    uploads.py PORT

nginx would answer before it has read the body, and a proxy may then close the connection.
"""

import re
import selectors
import socket
import sys

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
LENGTH = re.compile(rb"^content-length: *(\d+)\r$", re.I | re.M)


def serve(port: int) -> None:
    buffer = memoryview(bytearray(1 << 20))
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    with selectors.EpollSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    # What is left of the body, the head as far as it has come, whether it ends by chunks.
                    selector.register(listener.accept()[0], selectors.EVENT_READ, [0, b"", False])
                elif not read(key.fileobj, key.data, buffer):
                    selector.unregister(key.fileobj)
                    key.fileobj.close()


def read(client: socket.socket, state: list, buffer: memoryview) -> bool:
    """What has come; answers when it was the end of a body. False when the peer has gone."""
    try:
        count = client.recv_into(buffer)
    except OSError:
        return False
    if count == 0:
        return False
    if state[2]:
        state[1] = (state[1] + bytes(buffer[max(0, count - 5):count]))[-5:]
        done = state[1] == b"0\r\n\r\n"
    elif state[0]:
        state[0] -= count
        done = state[0] <= 0
    else:
        state[1] += bytes(buffer[:count])
        head, end, body = state[1].partition(b"\r\n\r\n")
        if not end:
            return True
        length = LENGTH.search(head + b"\r\n")
        state[0], state[1], state[2] = (int(length.group(1)) if length else 0) - len(body), body[-5:], length is None
        done = state[1] == b"0\r\n\r\n" if state[2] else state[0] <= 0
    if done:
        state[:] = [0, b"", False]
        client.sendall(ANSWER)
    return True


if __name__ == "__main__":
    serve(int(sys.argv[1]))
