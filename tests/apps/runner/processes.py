"""Processes that are started, waited for and stopped, each by its own id."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

PATIENCE = 60.0
PR_SET_PDEATHSIG = 1


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what: str, ready: Callable[[], bool]) -> None:
    """Asks until the answer is yes."""
    deadline = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.05)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _end_with_parent(sign: signal.Signals) -> Callable[[], None]:
    """So that nothing is left when the runner itself is killed."""
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(PR_SET_PDEATHSIG, int(sign))


@contextmanager
def running(
    command: list[str | Path],
    log: Path,
    port: int,
    environment: Mapping[str, str],
    *,
    user: str | None = None,
    stop_by: signal.Signals = signal.SIGTERM,
    cwd: Path | None = None,
) -> Iterator[None]:
    """A server, from when it listens until it has ended."""
    account = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            cwd=cwd,
            preexec_fn=_end_with_parent(stop_by),
            **account,
        )

    def ready() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended:\n{log.read_text()[-3000:]}")
        return listens(port)

    try:
        wait_for(str(command[0]), ready)
        yield
    finally:
        process.send_signal(stop_by)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url):
        return True
    return False


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis of its own, with nothing on disk; gives its URL."""
    server = shutil.which("redis-server")
    if server is None:
        raise SystemExit(
            "Redis is missing: apt-get install -y --no-install-recommends redis-server"
        )
    port = free_port()
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    with running(command, folder / f"redis-{port}.log", port, {}):
        yield f"redis://127.0.0.1:{port}/0"


def postgres_binaries() -> Path:
    """Where initdb is; it is seldom on the PATH."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    found = installed[0] if installed else shutil.which("initdb")
    if found is None:
        raise SystemExit(
            "PostgreSQL is missing: apt-get install -y --no-install-recommends postgresql"
        )
    return Path(found).parent


@contextmanager
def postgres(folder: Path) -> Iterator[dict[str, str]]:
    """A PostgreSQL of its own; gives the environment that leads to it."""
    binaries = postgres_binaries()
    user = None
    data = folder / "postgres"
    data.mkdir()
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = "nobody"
        entry = pwd.getpwnam(user)
        os.chown(data, entry.pw_uid, entry.pw_gid)
        folder.chmod(0o755)
    account = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
    subprocess.run(
        [
            binaries / "initdb",
            "-D",
            data / "data",
            "-U",
            "postgres",
            "-A",
            "trust",
            "-N",
            "-E",
            "UTF8",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=data,
        **account,
    )
    port = free_port()
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": data,
        "max_connections": 500,
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
    }
    command = [binaries / "postgres", "-D", data / "data"]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    log = folder / "postgres.log"
    environment = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "postgres"}
    with running(command, log, port, {}, user=user, stop_by=signal.SIGINT, cwd=data):
        wait_for("PostgreSQL", lambda: _answers(f"postgres://postgres@127.0.0.1:{port}/postgres"))
        yield environment
