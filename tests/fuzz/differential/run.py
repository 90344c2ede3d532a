#!/usr/bin/env python3
"""What the gateway decided about bytes, against what strict parsers read in the bytes the upstream got.

    tests/fuzz/differential/run.py [--seconds 60] [--seed 1] [--binary target/debug/countersign]

The real binary serves; clients send a corpus of connections and seeded mutations of it. Checked:

1. Every upstream connection's bytes are whole requests to h11 and to Node's parser, which agree on
   their number and on method, target, Host and body length of each, with nothing left over.
2. Every request there has exactly one audit line, which allows it, with its method and path.
3. h11 finds every forwarded request in the client's own bytes, in order, with the same method,
   target, Host and body: nothing hides in another request's body, and no half body became whole.
4. No connection stays open, the gateway does not panic, and no client chose a request id.

Needs Python 3.9 with h11 (0.16) and Node 18. Exit status 0 nothing found, 1 findings (each with
its bytes), 2 something is missing.
"""

import argparse
import base64
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(HERE))

try:
    import cases
    import upstream
except ImportError as error:
    print(f"missing: {error}; python3 -m pip install h11==0.16.0", file=sys.stderr)
    sys.exit(2)

CLIENTS = 8
# A connection that has answered and is silent for so long has no more to say.
SILENCE = 0.03
CONFIG = """
workers: 2
listeners: [ {{ address: "127.0.0.1:{port}" }} ]
admin: {{ address: "127.0.0.1:{admin}" }}
issuers:
  - name: app
    algorithms: [HS256]
    secret: "${{JWT_SECRET}}"
    claims: {{ user: user_id, account: account_id }}
credentials: [ bearer: {{ forward: keep }} ]
directory: {{ source: {{ file: {{ path: users.yaml }} }} }}
limits: {{ header_timeout: 2s }}
drain: {{ delay: 0s, timeout: 2s }}
upstreams:
  - {{ name: shared, servers: ["http://127.0.0.1:{upstream}"], timeouts: {{ body_idle: 2s, response_head: 5s }} }}
  - {{ name: single, servers: ["http://127.0.0.1:{upstream}"], reuse: false, timeouts: {{ body_idle: 2s, response_head: 5s }} }}
routes:
  - {{ match: {{ path: /public/ }}, access: public, upstream: shared }}
  - {{ match: {{ path: / }}, access: member, upstream: single }}
"""
USERS = 'users:\n  - { user: "5", account: "12", active: true }\n'


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Gateway:
    def __init__(self, binary, upstream_port):
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        self.port, admin = free_port(), free_port()
        text = CONFIG.format(port=self.port, admin=admin, upstream=upstream_port)
        (folder / "countersign.yaml").write_text(text)
        (folder / "users.yaml").write_text(USERS)
        self.out = open(folder / "audit", "w+")
        self.log = open(folder / "log", "w+")
        self.process = subprocess.Popen(
            [binary, "serve", "-c", "countersign.yaml"],
            cwd=folder,
            stdout=self.out,
            stderr=self.log,
            env={**os.environ, "JWT_SECRET": cases.SECRET.decode()},
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.log.seek(0)
        sys.exit(f"the gateway does not start:\n{self.log.read()}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "killed"
        self.out.seek(0)
        self.log.seek(0)
        return code, [json.loads(line) for line in self.out if line.strip()], self.log.read()


class Case:
    def __init__(self, client, sent):
        self.client, self.sent = client, sent
        self.got, self.left_open = b"", False

    def run(self, port, dice):
        connection = socket.create_connection(
            ("127.0.0.1", port), 5, source_address=(self.client, 0)
        )
        got = bytearray()
        try:
            at = 0
            while at < len(self.sent):
                piece = dice.choice([len(self.sent), len(self.sent), 1, 7, 40])
                connection.sendall(self.sent[at : at + piece])
                at += piece
            connection.settimeout(SILENCE)
            try:
                while data := connection.recv(65536):
                    got += data
            except TimeoutError:
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(30)
                while data := connection.recv(65536):
                    got += data
        except TimeoutError:
            self.left_open = True
        except OSError:
            pass
        finally:
            connection.close()
            self.got = bytes(got)

    def ids(self):
        return [m.decode() for m in re.findall(rb"(?im)^x-request-id: ([^\r\n]+)\r$", self.got)]


def client(number, port, seed, until, done):
    dice = random.Random(seed * 1000 + number)
    seeds = cases.corpus()
    first = seeds[number - 2 :: CLIENTS]
    while time.monotonic() < until:
        sent = first.pop() if first else cases.mutated(dice, seeds)
        case = Case(f"127.0.0.{number}", sent)
        try:
            case.run(port, dice)
        except OSError as error:
            case.got = f"cannot connect: {error}".encode()
        done.append(case)


def canonical(target):
    """The target as the gateway writes it, and the authority of an absolute one."""
    named = re.match(r"(?i)https?://([^/?]*)(.*)$", target, re.S)
    authority = None
    if named:
        authority, target = named[1], named[2]
        target = target if target.startswith("/") else "/" + target
    path, mark, query = target.partition("?")

    def escape(found):
        value = chr(int(found[1], 16))
        plain = value.isascii() and (value.isalnum() or value in "-._~")
        return value if plain else found[0].upper()

    return re.sub(r"%([0-9A-Fa-f]{2})", escape, path) + mark + query, authority


def host_of(text):
    text = text.lower().removesuffix(":80")
    name, colon, port = text.rpartition(":")
    if colon and port.isdigit():
        return f"{name.removesuffix('.')}:{port}"
    return text.removesuffix(".")


def node(connections):
    with subprocess.Popen(
        ["node", str(HERE / "node_parser.js")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parser:
        text = b"".join(base64.b64encode(bytes(raw)) + b"\n" for raw in connections)
        out, _ = parser.communicate(text, timeout=600)
    return [json.loads(line) for line in out.splitlines()]


METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"}


class Judge:
    def __init__(self, audit, done):
        self.findings, self.accepted = [], []
        self.lines = {}
        for line in audit:
            self.lines.setdefault(line["request_id"], []).append(line)
        self.by_id, self.by_client = {}, {}
        for case in done:
            self.by_client.setdefault(case.client, []).append(case)
            for one in case.ids():
                self.by_id[one] = case

    def find(self, what, *shown):
        self.findings.append("\n    ".join([what, *map(repr, shown)]))

    def connection(self, raw, by_node):
        requests, error, left = upstream.read(raw)
        if error:
            return self.find(f"h11 refuses what the upstream got: {error}", bytes(raw))
        if left and (not requests or requests[-1]["complete"]):
            return self.find(f"{left} bytes after the last request", bytes(raw))
        if by_node["error"] == "HPE_INVALID_METHOD":
            # Node knows a list of methods; RFC 9110 lets any token be one. It reads no further.
            unknown = requests[len(by_node["requests"])]
            if unknown["method"] not in METHODS:
                requests, by_node["error"] = requests[: len(by_node["requests"])], None
                self.request(unknown, raw)
        if len(requests) != len(by_node["requests"]):
            return self.find("h11 and Node count differently", bytes(raw), by_node)
        if by_node["error"] and requests and requests[-1]["complete"]:
            return self.find("Node refuses what the upstream got", bytes(raw), by_node)
        for ours, theirs in zip(requests, by_node["requests"]):
            keys = ("method", "target", "host", "complete")
            keys += ("length",) if ours["complete"] else ()
            if any(ours[key] != theirs[key] for key in keys):
                self.find("h11 and Node read differently", bytes(raw), ours, theirs)
            self.request(ours, raw)

    def request(self, request, raw):
        fields = dict(request["fields"])
        one = fields.get("x-request-id", b"").decode("latin-1")
        lines = self.lines.get(one, [])
        # One that broke off was allowed, and may have ended as a failure of its body.
        right = ("allow",) if request["complete"] else ("allow", "deny")
        if len(lines) != 1 or lines[0]["decision"] not in right:
            return self.find(f"not one allowing audit line: {lines}", bytes(raw))
        line = lines[0]
        path = request["target"].partition("?")[0]
        if line["method"] != request["method"] or (len(path) < 200 and line["path"] != path):
            self.find("the audit line is another request's", line, bytes(raw))
        if fields.get("x-forwarded-for") != line["client"].encode():
            self.find("another client's", line, bytes(raw))
        for name in ("x-request-id", "x-forwarded-for", "host"):
            if request["names"].count(name) != 1:
                self.find(f"not one {name}", bytes(raw))
        if b"6.6.6.6" in fields.get("x-forwarded-for", b"") or one == "chosen":
            self.find("the client's word was believed", bytes(raw))
        if {"content-length", "transfer-encoding"} <= set(request["names"]):
            self.find("two framings", bytes(raw))
        if any("_" in name for name in request["names"]):
            self.find("a name with an underscore", bytes(raw))
        self.origin(request, line, raw)

    def origin(self, request, line, raw):
        """The client's bytes hold this request."""
        case = self.by_id.get(line["request_id"])
        candidates = [case] if case else self.by_client.get(line["client"], [])
        closest = None
        for case in candidates:
            found = self.reading(case)[0]
            for one in found:
                target, authority = canonical(one["target"])
                host = authority or (one["host"] or [""])[0]
                same = (
                    one["method"] == request["method"]
                    and target == request["target"]
                    and host_of(host) == request["host"][0]
                )
                if not same:
                    continue
                closest = one
                if one["complete"] == request["complete"]:
                    if not one["complete"] or one["length"] == request["length"]:
                        return
                elif one["complete"] and not request["complete"]:
                    # Cut off: never wrong, only late.
                    return
        shown = [case.sent, self.reading(case)[1]] if len(candidates) == 1 else [line]
        self.find(f"h11 does not find it in the client's bytes ({closest})", bytes(raw), *shown)

    def reading(self, case):
        if not hasattr(case, "reading"):
            case.reading = upstream.read(case.sent, lenient=True)
        return case.reading


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--binary", default=str(ROOT / "target/debug/countersign"))
    options = parser.parse_args()
    if not shutil.which("node"):
        print("missing: node (18 or later)", file=sys.stderr)
        return 2
    app = upstream.Upstream()
    gateway = Gateway(options.binary, app.port)
    until = time.monotonic() + options.seconds
    done = []
    clients = [
        threading.Thread(target=client, args=(number, gateway.port, options.seed, until, done))
        for number in range(2, 2 + CLIENTS)
    ]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    code, audit, log = gateway.stop()
    deadline = time.monotonic() + 20
    while app.live and time.monotonic() < deadline:
        time.sleep(0.05)

    judge = Judge(audit, done)
    connections = [raw for raw in app.connections if raw]
    readings = node(connections)
    for raw, by_node in zip(connections, readings, strict=True):
        judge.connection(raw, by_node)
    for case in done:
        if case.left_open:
            judge.find("the connection stayed open", case.sent, case.got)
        if case.got.startswith(b"cannot connect"):
            judge.find("no connection", case.got)
    if code != 0:
        judge.find(f"the gateway ended with {code}", log[-2000:])
    if "panicked" in log:
        judge.find("the gateway panicked", log[-4000:])
    forwarded = sum(len(one["requests"]) for one in readings)
    refused = sum(line["decision"] == "deny" for line in audit)
    unread = sum(not case.ids() for case in done)
    print(
        f"seed {options.seed}: {len(done)} connections from clients, {unread} of them without an id in"
        f" any answer, {refused} requests refused, {forwarded} forwarded over {len(connections)}"
        f" upstream connections, {len(judge.findings)} findings"
    )
    for finding in judge.findings[:20]:
        print(f"FOUND: {finding}")
    return 1 if judge.findings else 0


if __name__ == "__main__":
    sys.exit(main())
