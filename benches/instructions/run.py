#!/usr/bin/env python3
"""Counts the instructions of one authenticated request, and holds them against the figure in the repository.

    benches/instructions/run.py             # count; fails when a figure has risen by more than 3 %
    benches/instructions/run.py --accept    # count, and keep what was counted as the new figures
    benches/instructions/run.py --profile   # also print where they go
    benches/instructions/run.py --atomics   # also count the gateway's atomic read-modify-writes, and fail on nothing

Times are noise on a shared machine; instructions are not. The gateway (built with profile.toml, which
optimises it; it takes the place of target/debug/countersign until the next build) runs under valgrind's callgrind with one core; after a warm-up one
keep-alive client sends PARTS times REQUESTS requests one after the other, and what the process executed
in each part is divided by its requests: everything from accepting bytes to writing the audit line, in user
space; also over TLS 1.3 and over HTTP/2. What goes on by the clock (the audit writer gathers lines for
some milliseconds, files are looked at) only ever adds, so that the cheapest part counts. Needs valgrind.

Another machine executes the same instructions: valgrind shows the program a processor of its own, with
AVX2 and without what came later, and the C library is told to leave out what some processors lack.

An atomic read-modify-write (`lock …`, or `xchg` with memory) is one instruction and takes twenty times as
long, and longer where several cores write the same place. `--atomics` finds them with objdump.

When a change costs more on purpose, run it with --accept and say in the commit what it buys.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "benches"))

from shared import certificate, free_port, hs256

FIGURES = HERE / "figures.json"
SECRET = "a-secret-of-the-count-0123456789-abcdefghij"
WARM_UP, PARTS, REQUESTS = 300, 5, 500
# Else memcpy and its like are chosen by the processor (glibc manual, Hardware Capability Tunables).
PINNED = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-ERMS,-FSRM"}
MOST = 1.03


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accept", action="store_true", help="keep what was counted")
    parser.add_argument("--profile", action="store_true", help="print the functions that cost most")
    parser.add_argument("--atomics", action="store_true", help="count atomic read-modify-writes as well")
    parser.add_argument("--binary", type=pathlib.Path, help="a countersign instead of building one")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("instructions: valgrind is missing; install it with: sudo apt-get install -y valgrind", file=sys.stderr)
        return 2
    binary = options.binary and options.binary.resolve()
    if binary is None:
        subprocess.run(["cargo", "build", "--config", HERE / "profile.toml", "--locked", "--bin", "countersign"], cwd=ROOT, check=True)
        binary = ROOT / "target/debug/countersign"
    atomic = atomics(binary) if options.atomics else None
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    counted, worse = {}, []
    for name, case in CASES.items():
        counted[name], rewrites = count(binary, case, options.profile, atomic)
        known = figures.get(name)
        change = f", {counted[name] / known - 1:+.1%} against {known:,}" if known else ""
        print(f"instructions: {name}: {counted[name]:,} a request{change}{rewrites}", flush=True)
        if known and counted[name] > known * MOST:
            worse.append(name)
    if options.atomics:
        return 0
    if options.accept:
        FIGURES.write_text(json.dumps(counted, indent=2) + "\n")
    elif worse:
        print("instructions: more than 3 % above benches/instructions/figures.json: " + ", ".join(worse))
        print("instructions: bring them down, or keep them with --accept and say in the commit what they buy")
        return 1
    elif set(figures) != set(counted):
        print("instructions: benches/instructions/figures.json has other cases; run with --accept")
        return 1
    return 0


#: What is counted: the full job with a token seen before, the same verified each time, a public route.
CASES = {
    "member": {"access": "member", "cache": "32MiB", "assertion": True},
    "member_verified_each_time": {"access": "member", "cache": "0", "assertion": False},
    "public": {"access": "public", "cache": "32MiB", "assertion": False},
    "member_tls": {"access": "member", "cache": "32MiB", "assertion": True, "over": "tls"},
    "member_http2": {"access": "member", "cache": "32MiB", "assertion": True, "over": "http2"},
}


def count(binary: pathlib.Path, case: dict, profile: bool, atomic: set[int] | None) -> tuple[int, str]:
    with tempfile.TemporaryDirectory(prefix="countersign-instructions-") as name:
        folder = pathlib.Path(name)
        upstream = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=serve, args=(upstream,), daemon=True).start()
        port = configure(folder, upstream.getsockname()[1], case)
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out.%p", "--log-file=valgrind.log",
                   f"--dump-instr={'yes' if atomic else 'no'}", str(binary), "serve", "--config", "gateway.yaml"]
        with (folder / "log").open("wb") as log:
            gateway = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env={**os.environ, **PINNED, "COUNT_SECRET": SECRET})
        try:
            client = CLIENTS[case.get("over", "http1")](connect(port, folder / "log"))
            client.ask(WARM_UP)
            if not profile:
                control(gateway.pid, "--zero")
            for _ in range(PARTS):
                client.ask(REQUESTS)
                # Sets the counters to zero as well.
                control(gateway.pid, "--dump")
        finally:
            gateway.send_signal(signal.SIGTERM)
            gateway.wait(120)
        # The dumps that were asked for; another one follows at the end.
        dumps = [folder / f"out.{gateway.pid}.{number + 1}" for number in range(PARTS)]
        totals = [int(re.search(r"^(?:totals|summary): (\d+)", dump.read_text(), re.M).group(1)) for dump in dumps]
        if profile:
            # Callgrind loses the functions at a reset, so that this includes the start of the process.
            command = ["callgrind_annotate", "--auto=no", str(dumps[0])]
            annotated = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            print(annotated[annotated.find("Ir  "):][:12000])
        rewrites = f", {executed(dumps[-1], binary, atomic) / REQUESTS:.0f} of them atomic" if atomic else ""
        return min(totals) // REQUESTS, rewrites


def atomics(binary: pathlib.Path) -> set[int]:
    """The addresses of the binary's atomic read-modify-writes."""
    lines = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "-w", binary], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^\s*([0-9a-f]+):\t(?:lock |xchg\s.*\()", lines, re.M)
    return {int(address, 16) for address in found}


def executed(dump: pathlib.Path, binary: pathlib.Path, addresses: set[int]) -> int:
    """How often instructions at these addresses of the binary were executed (Callgrind Format Specification)."""
    names, total, address, here, call = {}, 0, 0, False, False
    for line in dump.read_text().splitlines():
        if line.startswith("ob="):
            number, _, name = line[3:].partition(" ")
            here = names.setdefault(number, name).endswith(binary.name)
        elif line.startswith("cob="):
            number, _, name = line[4:].partition(" ")
            names.setdefault(number, name)
        elif line.startswith("calls="):
            call = True
        elif line[:1] in "+-*0123456789" and line:
            place, _, cost = line.split()[:3]
            if place != "*":
                address = address + int(place, 0) if place[0] in "+-" else int(place, 0)
            if here and not call and address in addresses:
                total += int(cost)
            call = False
    return total


def configure(folder: pathlib.Path, upstream: int, case: dict) -> int:
    subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "assertion.pem"],
                   cwd=folder, check=True, capture_output=True)
    if case.get("over") == "tls":
        certificate(folder)
    over = {"tls": ", tls: { certificate: tls.crt, private_key: { file: tls.key } }", "http2": ", h2c: true"}.get(case.get("over", ""), "")
    (folder / "users.yaml").write_text('users: [ { user: "5", account: "12", roles: [member] } ]\n')
    port, admin = free_port(), free_port()
    assertion = "{ assertion: { private_key: { file: assertion.pem }, ttl: 10m } }" if case["assertion"] else "{}"
    (folder / "gateway.yaml").write_text(f"""
workers: 1
listeners: [ {{ address: "127.0.0.1:{port}"{over} }} ]
admin: {{ address: "127.0.0.1:{admin}" }}
issuers: [ {{ name: app, secret: "${{COUNT_SECRET}}", algorithms: [HS256], claims: {{ user: sub, account: account_id }} }} ]
credentials: [ {{ bearer: {{ forward: keep }} }} ]
directory: {{ source: {{ file: {{ path: users.yaml }} }}, cache: {{ ttl: 10m, ttl_without_push: 10m }} }}
identity: {assertion}
upstreams: [ {{ name: app, servers: ["http://127.0.0.1:{upstream}"], timeouts: {{ pool_idle: 60s }} }} ]
routes: [ {{ match: {{ path: / }}, access: {case["access"]}, upstream: app }} ]
limits: {{ token_cache: {case["cache"]} }}
drain: {{ delay: 0s }}
audit: {{ sink: {{ file: audit.log }} }}
""")
    return port


def serve(listener: socket.socket) -> None:
    def answer(client: socket.socket) -> None:
        while (head := read_head(client)) is not None:
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n")

    while True:
        threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


def read_head(one: socket.socket) -> bytes | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = one.recv(65536)
        if not more:
            return None
        data += more
    return data


def connect(port: int, log: pathlib.Path) -> socket.socket:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            return socket.create_connection(("127.0.0.1", port), 120)
        except OSError:
            time.sleep(0.1)
    sys.exit(f"instructions: the gateway does not start:\n{log.read_text(errors='replace')}")


class Http1:
    """One keep-alive connection, one request after the other."""

    def __init__(self, connection: socket.socket):
        self.connection = connection

    def ask(self, requests: int) -> None:
        lines = [f"GET {PATH} HTTP/1.1", "Host: app.test", *(f"{name}: {value}" for name, value in FIELDS)]
        request = "\r\n".join([*lines, "", ""]).encode()
        for _ in range(requests):
            self.connection.sendall(request)
            answer = read_head(self.connection)
            if answer is None or not answer.startswith(b"HTTP/1.1 200"):
                sys.exit(f"instructions: not answered with 200: {answer!r}")


class Tls(Http1):
    """The same over TLS 1.3."""

    def __init__(self, connection: socket.socket):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        super().__init__(context.wrap_socket(connection, server_hostname="app.test"))


class Http2:
    """One connection, one stream after the other (RFC 9113): as much of it as this one server needs."""

    DATA, HEADERS, SETTINGS, PING = 0, 1, 4, 6
    END_STREAM, END_HEADERS, ACK = 1, 4, 1

    def __init__(self, connection: socket.socket):
        self.connection, self.stream, self.data = connection, 1, b""
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.frame(self.SETTINGS, 0, 0, b""))

    @staticmethod
    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    @staticmethod
    def literal(name: str, value: str) -> bytes:
        """A field without indexing (RFC 7541, section 6.2.2); lengths of 127 and more take further bytes."""
        def text(text: str) -> bytes:
            length, more = len(text), b""
            if length < 127:
                return bytes([length]) + text.encode()
            length -= 127
            while length >= 128:
                more, length = more + bytes([length % 128 + 128]), length // 128
            return bytes([127]) + more + bytes([length]) + text.encode()
        return b"\0" + text(name) + text(value)

    def read(self, length: int) -> bytes:
        while len(self.data) < length:
            more = self.connection.recv(65536)
            if not more:
                sys.exit("instructions: the HTTP/2 connection has ended")
            self.data += more
        taken, self.data = self.data[:length], self.data[length:]
        return taken

    def ask(self, requests: int) -> None:
        fields = [(":method", "GET"), (":scheme", "http"), (":authority", "app.test"), (":path", PATH), *FIELDS]
        block = b"".join(self.literal(name.lower(), value) for name, value in fields)
        for _ in range(requests):
            stream, self.stream = self.stream, self.stream + 2
            self.connection.sendall(self.frame(self.HEADERS, self.END_HEADERS | self.END_STREAM, stream, block))
            self.answered(stream)

    def answered(self, stream: int) -> None:
        while True:
            head = self.read(9)
            kind, flags, of = head[3], head[4], int.from_bytes(head[5:], "big")
            payload = self.read(int.from_bytes(head[:3], "big"))
            if kind in (self.SETTINGS, self.PING) and not flags & self.ACK:
                self.connection.sendall(self.frame(kind, self.ACK, 0, payload if kind == self.PING else b""))
            elif kind == self.HEADERS and payload[:1] != b"\x88":
                sys.exit(f"instructions: not answered with 200: {payload!r}")
            if of == stream and kind in (self.DATA, self.HEADERS) and flags & self.END_STREAM:
                return


CLIENTS = {"http1": Http1, "tls": Tls, "http2": Http2}


def control(pid: int, what: str) -> None:
    subprocess.run(["callgrind_control", what, str(pid)], check=True, capture_output=True)


def token() -> str:
    now = int(time.time())
    claims = {"sub": "5", "account_id": "12", "iat": now, "exp": now + 3600, "jti": "0" * 32, "token_type": "access"}
    return hs256(claims, SECRET)


PATH = "/items/1?page=2"
FIELDS = [("User-Agent", "count/1"), ("Accept", "*/*"), ("Accept-Encoding", "gzip"), ("Cookie", "theme=dark; lang=en"),
          ("Authorization", f"Bearer {token()}")]

if __name__ == "__main__":
    sys.exit(main())
