#!/usr/bin/env python3
"""Counts the instructions of one authenticated request, and holds them against the figure in the repository.

    benches/instructions/run.py             # count; fails when a figure has risen by more than 3 %
    benches/instructions/run.py --accept    # count, and keep what was counted as the new figures
    benches/instructions/run.py --profile   # also print where they go

Times are noise on a shared machine; instructions are not. The gateway (profile `counted`, which is
`optimised` where requests pass) runs under valgrind's callgrind with one core; after a warm-up one
keep-alive client sends PARTS times REQUESTS requests one after the other, and what the process executed
in each part is divided by its requests: everything from accepting bytes to writing the audit line, in user
space. What goes on by the clock (the audit writer gathers lines for some milliseconds, files are looked
at) only ever adds, so that the cheapest part counts. Needs valgrind.

Another machine executes the same instructions: valgrind shows the program a processor of its own, with
AVX2 and without what came later, and the C library is told to leave out what some processors lack.

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
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "benches"))

from shared import free_port, hs256

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
    parser.add_argument("--binary", type=pathlib.Path, help="a countersign instead of building one")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("instructions: valgrind is missing; install it with: sudo apt-get install -y valgrind", file=sys.stderr)
        return 2
    binary = options.binary and options.binary.resolve()
    if binary is None:
        subprocess.run(["cargo", "build", "--profile", "counted", "--locked", "--bin", "countersign"], cwd=ROOT, check=True)
        binary = ROOT / "target/counted/countersign"
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    counted, worse = {}, []
    for name, case in CASES.items():
        counted[name] = count(binary, case, options.profile)
        known = figures.get(name)
        change = f", {counted[name] / known - 1:+.1%} against {known:,}" if known else ""
        print(f"instructions: {name}: {counted[name]:,} a request{change}", flush=True)
        if known and counted[name] > known * MOST:
            worse.append(name)
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
}


def count(binary: pathlib.Path, case: dict, profile: bool) -> int:
    with tempfile.TemporaryDirectory(prefix="countersign-instructions-") as name:
        folder = pathlib.Path(name)
        upstream = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=serve, args=(upstream,), daemon=True).start()
        port = configure(folder, upstream.getsockname()[1], case)
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out.%p", "--log-file=valgrind.log",
                   str(binary), "serve", "--config", "gateway.yaml"]
        with (folder / "log").open("wb") as log:
            gateway = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env={**os.environ, **PINNED, "COUNT_SECRET": SECRET})
        try:
            client = connect(port, folder / "log")
            ask(client, WARM_UP)
            if not profile:
                control(gateway.pid, "--zero")
            for _ in range(PARTS):
                ask(client, REQUESTS)
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
        return min(totals) // REQUESTS


def configure(folder: pathlib.Path, upstream: int, case: dict) -> int:
    subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "assertion.pem"],
                   cwd=folder, check=True, capture_output=True)
    (folder / "users.yaml").write_text('users: [ { user: "5", account: "12", roles: [member] } ]\n')
    port, admin = free_port(), free_port()
    assertion = "{ assertion: { private_key: { file: assertion.pem }, ttl: 10m } }" if case["assertion"] else "{}"
    (folder / "gateway.yaml").write_text(f"""
workers: 1
listeners: [ {{ address: "127.0.0.1:{port}" }} ]
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


def ask(client: socket.socket, requests: int) -> None:
    request = (f"GET /items/1?page=2 HTTP/1.1\r\nHost: app.test\r\nUser-Agent: count/1\r\nAccept: */*\r\n"
               f"Accept-Encoding: gzip\r\nCookie: theme=dark; lang=en\r\nAuthorization: Bearer {TOKEN}\r\n\r\n").encode()
    for _ in range(requests):
        client.sendall(request)
        answer = read_head(client)
        if answer is None or not answer.startswith(b"HTTP/1.1 200"):
            sys.exit(f"instructions: not answered with 200: {answer!r}")


def control(pid: int, what: str) -> None:
    subprocess.run(["callgrind_control", what, str(pid)], check=True, capture_output=True)


def token() -> str:
    now = int(time.time())
    claims = {"sub": "5", "account_id": "12", "iat": now, "exp": now + 3600, "jti": "0" * 32, "token_type": "access"}
    return hs256(claims, SECRET)


TOKEN = token()

if __name__ == "__main__":
    sys.exit(main())
