#!/usr/bin/env python3
"""Measures how long after a commit in the app's database nobody acts under the old account any more.

    benches/live/run.py                                  # every channel, with one replica and with three
    benches/live/run.py --channels notify --replicas 1 --moves 100

A real PostgreSQL (and Redis) is started, and one or three gateways behind which nginx answers with the
account that it was told; h2load keeps RATE requests a second going. Then users are moved, one after the
other. From the moment the commit has returned each replica is asked again and again, until it answers
with the new account: the slowest replica counts, and its answer's arrival is the effect. For sockets,
the user's open WebSocket is waited on until its close frame arrives. After each move all replicas are
asked CHECKS times more, and every answer with the old account is counted as stale.

What it needs from PyPI is installed as for tests/apps; nginx and h2load are Debian packages.
"""

import argparse
import base64
import contextlib
import hashlib
import hmac
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
APPS = ROOT / "tests/apps"
RATE = 2000
USERS = 400
CHANNELS = ("notify", "redis", "outbox", "ttl")


def enter_environment() -> None:
    """Goes on in the interpreter that has psycopg and websockets."""
    loader = importlib.machinery.SourceFileLoader("apps_run", str(APPS / "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("apps_run", loader))
    loader.exec_module(module)
    python = module.environment()
    if pathlib.Path(sys.prefix).resolve() != python.parent.parent.resolve():
        os.execv(python, [str(python), *sys.argv])
    sys.path.insert(0, str(APPS))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", default=",".join(CHANNELS))
    parser.add_argument("--replicas", default="1,3")
    parser.add_argument("--moves", type=int, default=200, help="for requests, and as many for sockets")
    parser.add_argument("--checks", type=int, default=500, help="requests after each move, over all replicas")
    parser.add_argument("--binary", type=pathlib.Path, help="a countersign instead of building one")
    options = parser.parse_args()
    for program in ("nginx", "h2load"):
        if shutil.which(program) is None:
            print(f"live: {program} is missing: apt-get install -y nginx-light nghttp2-client", file=sys.stderr)
            return 2
    binary = options.binary
    if binary is None:
        subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
        binary = ROOT / "target/release/countersign"
    print("| channel | replicas | requests: p50, p99, max in ms | WebSockets: p50, p99, max in ms | moves | stale answers afterwards |")
    print("|---|---|---|---|---|---|", flush=True)
    bad = 0
    for channel in options.channels.split(","):
        for replicas in map(int, options.replicas.split(",")):
            bad += measure(binary.resolve(), channel, replicas, options)
    return 1 if bad else 0


def measure(binary: pathlib.Path, channel: str, replicas: int, options: argparse.Namespace) -> int:
    from runner.processes import postgres, redis  # noqa: PLC0415 - in the environment only

    with tempfile.TemporaryDirectory(prefix="countersign-live-") as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        bench = Bench(folder, binary, stack, stack.enter_context(postgres(folder)),
                      stack.enter_context(redis(folder)) if channel == "redis" else "")
        bench.prepare(channel)
        bench.start(channel, replicas)
        slow = channel == "ttl"
        moves = min(options.moves, 15) if slow else options.moves
        requests, stale = bench.move_requests(moves, options.checks)
        sockets = bench.move_sockets(moves)
        print(f"| {channel} | {replicas} | {shown(requests)} | {shown(sockets)} | {2 * moves} | "
              f"{stale} of {moves * options.checks:,} |", flush=True)
        return stale


def shown(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return ", ".join(f"{1000 * value:.1f}" for value in (cuts[49], cuts[98], max(seconds)))


class Bench:
    def __init__(self, folder, binary, stack, server, redis_url):
        self.folder, self.binary, self.stack = folder, binary, stack
        self.url = f"postgres://postgres@{server['PGHOST']}:{server['PGPORT']}/postgres"
        self.redis_url = redis_url
        self.secret = secrets.token_hex(32)
        self.gateways: list[int] = []
        self.account = dict.fromkeys(range(USERS), 1)

    def prepare(self, channel: str) -> None:
        import psycopg  # noqa: PLC0415

        self.database = self.stack.enter_context(psycopg.connect(self.url, autocommit=True))
        self.database.execute("CREATE TABLE users (id bigint PRIMARY KEY, account_id bigint, is_active boolean)")
        self.database.execute("INSERT INTO users SELECT n, 1, true FROM generate_series(0, %s) n", [USERS - 1])
        if channel == "redis":
            import redis  # noqa: PLC0415

            self.redis = redis.Redis.from_url(self.redis_url)

    def spawn(self, command, name, port, env=None):
        from runner.processes import running  # noqa: PLC0415

        self.stack.enter_context(running(list(map(str, command)), self.folder / f"{name}.log", port, env or {}, cwd=self.folder))

    def start(self, channel: str, replicas: int) -> None:
        from runner.processes import free_port  # noqa: PLC0415

        upstream = free_port()
        self.serve_websockets(sockets := free_port())
        (self.folder / "nginx.conf").write_text(f"""daemon off; worker_processes 1; pid nginx.pid; error_log stderr warn;
            events {{ worker_connections 4096; }}
            http {{ access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
                server {{ listen 127.0.0.1:{upstream}; keepalive_requests 1000000000;
                    location / {{ return 200 "$http_x_auth_account_id"; }} }} }}""")
        self.spawn(["nginx", "-p", self.folder, "-c", "nginx.conf"], "nginx", upstream)
        push = {
            "notify": "invalidation: { postgres_notify: { channel: countersign, tables: [ { table: users, user: id, watch: [account_id, is_active] } ] } }",
            "redis": f'invalidation: {{ redis: {{ url: "{self.redis_url}", channel: countersign }} }}',
            "outbox": "invalidation: { outbox: { poll: 250ms, tables: [ { table: users, user: id, watch: [account_id, is_active] } ] } }",
            "ttl": "",
        }[channel]
        for number in range(replicas):
            port, admin = free_port(), free_port()
            config = self.folder / f"gateway-{number}.yaml"
            config.write_text(f"""
listeners: [ {{ address: "127.0.0.1:{port}" }} ]
admin: {{ address: "127.0.0.1:{admin}" }}
issuers: [ {{ name: app, secret: "${{LIVE_SECRET}}", algorithms: [HS256], claims: {{ user: sub, account: account_id }} }} ]
credentials: [ {{ bearer: {{ forward: remove }} }} ]
directory:
  source:
    postgres:
      url: "{self.url}"
      lookups: {{ default: "SELECT id, account_id AS account, is_active AS active FROM users WHERE id = $user::bigint" }}
  {push}
upstreams:
  - {{ name: app, servers: ["http://127.0.0.1:{upstream}"], timeouts: {{ pool_idle: 60s }} }}
  - {{ name: sockets, servers: ["http://127.0.0.1:{sockets}"] }}
routes:
  - {{ match: {{ path: / }}, access: member, upstream: app }}
  - {{ match: {{ path: /ws }}, access: member, upstream: sockets }}
drain: {{ delay: 0s }}
audit: {{ sink: {{ file: audit-{number}.log }} }}
""")
            if number == 0 and channel in ("notify", "outbox"):
                self.install_triggers(config, channel)
            self.spawn([self.binary, "serve", "--config", config], f"gateway-{number}", port, {"LIVE_SECRET": self.secret})
            wait_until_ready(admin)
            self.gateways.append(port)
        for port in self.gateways:
            command = ["h2load", "--h1", "-c8", "-t1", "-D3600", f"--rps={RATE / 8 / len(self.gateways)}",
                       "-H", f"Authorization: Bearer {self.token(0)}", f"http://127.0.0.1:{port}/load"]
            load = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.stack.callback(load.wait)
            self.stack.callback(load.terminate)

    def install_triggers(self, config: pathlib.Path, channel: str) -> None:
        ran = subprocess.run([self.binary, "sql", "postgres", "--config", config], capture_output=True, text=True, check=False,
                             env={**os.environ, "LIVE_SECRET": self.secret})
        if ran.returncode != 0:
            raise SystemExit(f"live: no triggers for {channel}: {ran.stderr}")
        self.database.execute(ran.stdout)

    def token(self, user: int) -> str:
        b64 = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode()
        now = int(time.time())
        claims = {"sub": str(user), "account_id": "1", "iat": now, "exp": now + 3600, "token_type": "access"}
        message = b64(b'{"alg":"HS256","typ":"JWT"}') + "." + b64(json.dumps(claims).encode())
        return f"{message}.{b64(hmac.digest(self.secret.encode(), message.encode(), hashlib.sha256))}"

    def serve_websockets(self, port: int) -> None:
        from websockets.sync.server import serve  # noqa: PLC0415

        def hold(socket):
            with contextlib.suppress(Exception):
                for _ in socket:
                    pass

        server = self.stack.enter_context(serve(hold, "127.0.0.1", port))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.stack.callback(server.shutdown)

    def move(self, user: int) -> tuple[int, float]:
        """Moves a user; the new account, and when the commit (and the app's own message) was done."""
        self.account[user] += 1
        self.database.execute("UPDATE users SET account_id = %s WHERE id = %s", [self.account[user], user])
        committed = time.perf_counter()
        if self.redis_url:
            self.redis.publish("countersign", json.dumps({"tenant": "default", "user": str(user)}))
        return self.account[user], committed

    def move_requests(self, moves: int, checks: int) -> tuple[list[float], int]:
        seconds, stale = [], 0
        clients = [socket.create_connection(("127.0.0.1", port)) for port in self.gateways]
        for number in range(moves):
            user = 1 + number % (USERS - 1)
            request = f"GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {self.token(user)}\r\n\r\n".encode()
            for client in clients:
                answers(client, request, 1)
            account, committed = self.move(user)
            open_ones, last = set(range(len(clients))), committed
            while open_ones:
                for index in list(open_ones):
                    if answers(clients[index], request, 1) == [str(account)]:
                        open_ones.discard(index)
                        last = time.perf_counter()
            seconds.append(last - committed)
            for index, client in enumerate(clients):
                for _ in range(checks // len(clients) // 50 + 1 if index == 0 else checks // len(clients) // 50):
                    stale += sum(answer != str(account) for answer in answers(client, request, 50))
        for client in clients:
            client.close()
        return seconds, stale

    def move_sockets(self, moves: int) -> list[float]:
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415
        from websockets.sync.client import connect  # noqa: PLC0415

        seconds = []
        for number in range(moves):
            user = 1 + number % (USERS - 1)
            port = self.gateways[number % len(self.gateways)]
            headers = {"Authorization": f"Bearer {self.token(user)}"}
            with connect(f"ws://127.0.0.1:{port}/ws", additional_headers=headers, compression=None) as opened:
                _, committed = self.move(user)
                try:
                    opened.recv(60)
                except ConnectionClosed as closed:
                    seconds.append(time.perf_counter() - committed)
                    if closed.rcvd is None or closed.rcvd.code != 4403:
                        raise SystemExit(f"live: a moved user's socket ended with {closed}") from None
        return seconds


def answers(client: socket.socket, request: bytes, count: int) -> list[str]:
    """The accounts that so many pipelined requests were answered with."""
    client.sendall(request * count)
    data, found = b"", []
    while len(found) < count:
        more = client.recv(1 << 16)
        if not more:
            raise SystemExit("live: the gateway closed a connection")
        data += more
        while (end := data.find(b"\r\n\r\n")) >= 0:
            head = data[:end].decode().lower()
            if not head.startswith("http/1.1 200"):
                raise SystemExit(f"live: not answered with 200:\n{head}")
            length = int(head.split("content-length:")[1].split("\r\n")[0])
            if len(data) < end + 4 + length:
                break
            found.append(data[end + 4 : end + 4 + length].decode())
            data = data[end + 4 + length :]
    return found


def wait_until_ready(admin: int) -> None:
    import urllib.request  # noqa: PLC0415

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=5) as answer:
                if b"degraded" not in answer.read():
                    return
        time.sleep(0.1)
    raise SystemExit("live: a gateway does not become ready")


if __name__ == "__main__":
    enter_environment()
    sys.exit(main())
