"""What a measurement of the live directory stands on: an upstream, a table of users, gateways.

The interpreter is the one of tests/apps, which has psycopg, redis and websockets; `enter_environment`
goes on in it. Nothing here starts anything that `stack` does not stop.
"""

import contextlib
import importlib.machinery
import importlib.util
import os
import pathlib
import secrets
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
APPS = ROOT / "tests/apps"
sys.path.insert(0, str(ROOT / "benches"))

from shared import hs256


def enter_environment() -> None:
    """Goes on in the interpreter that has psycopg and websockets."""
    loader = importlib.machinery.SourceFileLoader("apps_run", str(APPS / "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("apps_run", loader))
    loader.exec_module(module)
    python = module.environment()
    if pathlib.Path(sys.prefix).resolve() != python.parent.parent.resolve():
        os.execv(python, [str(python), *sys.argv])
    sys.path.insert(0, str(APPS))


class Stand:
    """The parts; who uses them sets `database`, an open connection."""

    def __init__(self, folder: pathlib.Path, binary: pathlib.Path, stack: contextlib.ExitStack):
        self.folder, self.binary, self.stack = folder, binary, stack
        self.secret = secrets.token_hex(32)

    def create_users(self, users: int) -> None:
        self.database.execute("CREATE TABLE users (id bigint PRIMARY KEY, account_id bigint, is_active boolean)")
        self.database.execute("INSERT INTO users SELECT n, 1, true FROM generate_series(0, %s) n", [users - 1])

    def spawn(self, command, name, port, env=None):
        from runner.processes import running  # noqa: PLC0415

        self.stack.enter_context(running(list(map(str, command)), self.folder / f"{name}.log", port, env or {}, cwd=self.folder))

    def serve_accounts(self, upstream: int) -> None:
        """An nginx that answers with the account that it was told."""
        (self.folder / "nginx.conf").write_text(f"""daemon off; worker_processes 1; pid nginx.pid; error_log stderr warn;
            events {{ worker_connections 4096; }}
            http {{ access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
                server {{ listen 127.0.0.1:{upstream}; keepalive_requests 1000000000;
                    location / {{ return 200 "$http_x_auth_account_id"; }} }} }}""")
        self.spawn(["nginx", "-p", self.folder, "-c", "nginx.conf"], "nginx", upstream)

    def configuration(self, number: int, port: int, admin: int, database: str, push: str, upstream: int, sockets: int) -> str:
        return f"""
listeners: [ {{ address: "127.0.0.1:{port}" }} ]
admin: {{ address: "127.0.0.1:{admin}" }}
issuers: [ {{ name: app, secret: "${{LIVE_SECRET}}", algorithms: [HS256], claims: {{ user: sub, account: account_id }} }} ]
credentials: [ {{ bearer: {{ forward: remove }} }} ]
directory:
  source:
    postgres:
      url: "{database}"
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
"""

    def install_triggers(self, config: pathlib.Path, channel: str) -> None:
        ran = subprocess.run([self.binary, "sql", "postgres", "--config", config], capture_output=True, text=True, check=False,
                             env={**os.environ, "LIVE_SECRET": self.secret})
        if ran.returncode != 0:
            raise SystemExit(f"live: no triggers for {channel}: {ran.stderr}")
        self.database.execute(ran.stdout)

    def token(self, user: int) -> str:
        now = int(time.time())
        claims = {"sub": str(user), "account_id": "1", "iat": now, "exp": now + 3600, "token_type": "access"}
        return hs256(claims, self.secret)


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
