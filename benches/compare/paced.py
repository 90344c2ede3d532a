#!/usr/bin/env python3
"""Requests at a fixed rate, evenly spaced, over some connections in turn; latency of each from when it was due.

    python3 benches/compare/paced.py PORT PATH RATE SECONDS [HEADER]...

h2load's own rate (`--rps`) lets all its clients ask in the same moment, so that most of what it measures
is how long a request waits for the others. Here each comes alone, unless the one before is late: then it
waits its turn, and the wait counts. Prints the microseconds of each request, one to a line.
"""

import ctypes
import select
import socket
import sys
import time

CONNECTIONS = 16
PR_SET_TIMERSLACK = 29


def main() -> int:
    (port, path, rate, seconds), headers = sys.argv[1:5], sys.argv[5:]
    port, rate, seconds = int(port), float(rate), float(seconds)
    # Else the kernel lets a sleeper oversleep by 50 µs (prctl(2)).
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    request = "\r\n".join([f"GET {path} HTTP/1.1", "Host: app.test", *headers, "", ""]).encode()
    connections = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(CONNECTIONS)]
    for one in connections:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    every, total = 1e9 / rate, int(rate * seconds)
    due_of: dict[socket.socket, int] = {}
    times: list[int] = []
    sent, began = 0, time.monotonic_ns() + 1_000_000
    while len(times) < total:
        due = began + int(sent * every)
        one = connections[sent % CONNECTIONS]
        pause = (due - time.monotonic_ns()) / 1e9 if sent < total and one not in due_of else 1.0
        if pause > 0:
            for ready in select.select(list(due_of), [], [], pause)[0]:
                answer = ready.recv(65536)
                if not answer.startswith(b"HTTP/1.1 200"):
                    sys.exit(f"not answered with 200: {answer[:200]!r}")
                times.append(time.monotonic_ns() - due_of.pop(ready))
            continue
        one.sendall(request)
        due_of[one] = due
        sent += 1
    print("\n".join(str(took // 1000) for took in times))
    return 0


if __name__ == "__main__":
    sys.exit(main())
