"""Starts everything, runs every scenario, stops everything."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from . import guide, system_a, system_b
from .client import Door
from .processes import free_port, postgres, redis, running
from .table import Table

APPS = Path(__file__).resolve().parent.parent
ROOT = APPS.parent.parent
BIN = Path(sys.executable).parent
SESSIONS = "#sessions#"
TABLE = "store: { database: { table: django_session } }"


def find_gateway(given: str | None) -> Path:
    """The gateway's binary."""
    named = given or os.environ.get("COUNTERSIGN_BINARY")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [target / kind / "countersign" for kind in ("release", "debug")]
    found = [path for path in ([Path(named)] if named else built) if path.is_file()]
    if found:
        return max(found, key=lambda path: path.stat().st_mtime).resolve()
    raise SystemExit("no gateway to test: cargo build, or --gateway PATH")


@dataclass
class World:
    """What runs, and where to put what else is to run."""

    stack: ExitStack
    folder: Path
    binary: Path
    environment: dict[str, str]
    key: Path
    sessions: bool = False

    def database(self, name: str) -> str:
        known = self.environment
        return f"postgres://{known['PGUSER']}@{known['PGHOST']}:{known['PGPORT']}/{name}"

    def seed(self, system: str) -> None:
        import psycopg

        with psycopg.connect(self.database("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {system}")
        command = [sys.executable, "-m", f"{system}.seed"]
        subprocess.run(command, check=True, env={**os.environ, **self.environment}, cwd=APPS)

    def app(self, name: str, command: list[str], port: int, **more: str) -> Door:
        log = self.folder / f"{name}.log"
        known = {**self.environment, **more}
        self.stack.enter_context(running(command, log, port, known, cwd=APPS))
        return Door(port, is_gateway=False)

    def gunicorn(self, name: str, module: str, workers: int = 1, **more: str) -> Door:
        port = free_port()
        command = [str(BIN / "gunicorn"), "-b", f"127.0.0.1:{port}", "-w", str(workers)]
        command += ["--threads", "16", "--no-control-socket", module]
        return self.app(name, command, port, **more)

    def daphne(self, name: str, module: str, **more: str) -> Door:
        port = free_port()
        command = [str(BIN / "daphne"), "-b", "127.0.0.1", "-p", str(port), module]
        return self.app(name, command, port, **more)

    def config(self, name: str, store: str = "") -> Path:
        """A gateway's configuration, with the lines about sessions or without. They are kept in
        the app's table, or in this store."""
        lines = (APPS / f"{name}.yaml").read_text().splitlines()
        kept = [
            line.removeprefix(SESSIONS)
            for line in lines
            if self.sessions or not line.startswith(SESSIONS)
        ]
        text = "\n".join(kept) + "\n"
        path = self.folder / f"{name}.yaml"
        if store:
            assert text.count(TABLE) == 1
            text = text.replace(TABLE, store)
            path = self.folder / f"{name}-{abs(hash(store))}.yaml"
        path.write_text(text)
        return path

    def settings(self, name: str, database: str, app: Door, port: int) -> dict[str, str]:
        return {
            **self.environment,
            "LISTEN": f"127.0.0.1:{port}",
            "ADMIN": f"127.0.0.1:{free_port()}",
            "APP_URL": f"http://127.0.0.1:{app.port}",
            "DATABASE_URL": f"{self.database(database)}?sslmode=disable",
            "AUDIT_FILE": str(self.folder / f"{name}.audit"),
            "ASSERTION_KEY": str(self.key),
        }

    def gateway(
        self, name: str, system: str, app: Door, port: int | None = None, store: str = ""
    ) -> Door:
        port = port or free_port()
        command = [self.binary, "serve", "-c", self.config(system, store)]
        known = self.settings(name, system, app, port)
        log = self.folder / f"{name}.log"
        self.stack.enter_context(running(command, log, port, known))
        return Door(port, is_gateway=True)

    def knows_sessions(self) -> bool:
        """Whether this gateway takes a Django session as a credential."""
        self.sessions = True
        known = self.settings("check", "system_a", Door(1, is_gateway=False), 1)
        command = [self.binary, "check", "-c", self.config("system_a")]
        answer = subprocess.run(
            command, check=False, capture_output=True, text=True, env={**os.environ, **known}
        )
        self.sessions = answer.returncode == 0
        if not self.sessions and "not supported in this version" not in answer.stderr:
            raise SystemExit(f"tests/apps/system_a.yaml is refused:\n{answer.stderr}")
        return self.sessions


@contextmanager
def world(binary: Path) -> Iterator[World]:
    """A folder, a PostgreSQL and a key; everything ends with it. Each Redis is its rows' own."""
    folder = Path(tempfile.mkdtemp(prefix="countersign-apps-"))
    try:
        with ExitStack() as stack:
            server = stack.enter_context(postgres(folder))
            private = ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            key = folder / "assertion.pem"
            key.touch(0o600)
            key.write_bytes(private)
            environment = {**server, "JWT_SECRET": secrets.token_hex(32)}
            yield World(stack, folder, binary, environment, key)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_a(world: World, table: Table) -> None:
    world.seed("system_a")
    app = world.gunicorn("app-a", "system_a.wsgi:application", workers=2)
    gateway = world.gateway("gateway-a", "system_a", app)
    a = system_a.SystemA(app, gateway, world.folder / "gateway-a.audit", world.sessions)
    a.log_in()
    doors = (app, gateway)
    table.title("System A: Django + DRF, one database, gunicorn")
    for scenario in system_a.scenarios(a):
        table.row(scenario, doors)
    if world.sessions:
        for scenario in system_a.session_scenarios(a):
            table.row(scenario, doors)
        for scenario in system_a.own_site_scenarios(a):
            table.row(scenario, doors)
        run_a_in_redis(world, table)
    guide.run(world, table, "a", app)


def run_a_in_redis(world: World, table: Table) -> None:
    """System A once more for each engine that keeps sessions in Redis; last without Redis."""
    for engine in ("cached_db", "cache"):
        with redis(world.folder) as url:
            name = f"a-{engine}"
            more = {
                "EXTRA_SETTINGS": str(APPS / "system_a" / "redis_settings.py"),
                "SESSION_ENGINE": engine,
                "REDIS_URL": url,
            }
            app = world.gunicorn(f"app-{name}", "system_a.wsgi:application", **more)
            store = (
                f"store: {{ redis: {{ url: '{url}', engine: {engine}, key_prefix: system-a }} }}"
            )
            gateway = world.gateway(f"gateway-{name}", "system_a", app, store=store)
            audit = world.folder / f"gateway-{name}.audit"
            a = system_a.SystemA(app, gateway, audit, sessions=True)
            for scenario in system_a.session_scenarios(a, engine):
                table.row(scenario, (app, gateway))
        table.row(system_a.without_redis(a, engine), (app, gateway))


def run_b(world: World, table: Table) -> None:
    world.seed("system_b")

    def doors(name: str, app: Door, port: int | None = None) -> tuple[Door, Door]:
        return app, world.gateway(f"gateway-{name}", "system_b", app, port)

    port = free_port()
    package = world.daphne(
        "package",
        "system_b.asgi_trust:application",
        EXTRA_SETTINGS=str(APPS / "system_b" / "trust_settings.py"),
        JWKS_URL=f"http://127.0.0.1:{port}/.well-known/countersign/jwks.json",
    )
    echo = world.gunicorn(
        "echo",
        "system_b.wsgi:application",
        EXTRA_SETTINGS=str(APPS / "system_b" / "echo_settings.py"),
    )
    daphne = world.daphne("daphne", "system_b.asgi:application")
    gunicorn = world.gunicorn("gunicorn", "system_b.wsgi:application")
    b = system_b.SystemB(
        doors("daphne", daphne),
        doors("gunicorn", gunicorn),
        doors("echo", echo),
        doors("package", package, port),
        world.database("system_b"),
        world.folder / "package.log",
        world.folder / "gateway-echo.audit",
    )
    b.log_in()
    b.crowd(world.environment["JWT_SECRET"])
    table.title("System B: django-tenants, SimpleJWT, Channels, daphne and gunicorn")
    for scenario in system_b.scenarios(b):
        table.row(scenario, b.daphne)
    if world.sessions:
        for scenario in system_b.session_scenarios(b):
            table.row(scenario, b.daphne)
        with redis(world.folder) as url:
            more = {"EXTRA_SETTINGS": str(APPS / "system_b" / "redis_settings.py")}
            app = world.gunicorn("redis", "system_b.wsgi:application", REDIS_URL=url, **more)
            known = f"url: '{url}', engine: cache, key_function: django_tenants"
            store = f"store: {{ redis: {{ {known} }} }}"
            gateway = world.gateway("gateway-redis", "system_b", app, store=store)
            for scenario in system_b.redis_scenarios(app):
                table.row(scenario, (app, gateway))
    guide.run(world, table, "b", daphne)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/apps/run")
    parser.add_argument("--gateway", help="the gateway's binary")
    parser.add_argument("--only", default="", help="rows whose name has this")
    parser.add_argument("--system", choices=("a", "b"), help="one system alone")
    parser.add_argument("--keep-logs", metavar="FOLDER", help="where to copy the logs to")
    given = parser.parse_args()
    # So that everything is stopped when the runner is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    table = Table(given.only)
    binary = find_gateway(given.gateway)
    print(f"gateway: {binary}")
    with world(binary) as here:
        try:
            if not here.knows_sessions():
                print("this gateway has no `django_session` yet: rows about sessions are left out")
            if given.system != "b":
                run_a(here, table)
            if given.system != "a":
                run_b(here, table)
        finally:
            if given.keep_logs:
                shutil.copytree(
                    here.folder,
                    given.keep_logs,
                    ignore=shutil.ignore_patterns("postgres", "*.pem"),
                    dirs_exist_ok=True,
                )
    if table.failed:
        print(f"\n{len(table.failed)} of {table.count} rows are not as expected")
        return 1
    print(f"\nall {table.count} rows are as expected")
    return 0 if table.count else 1


if __name__ == "__main__":
    sys.exit(main())
