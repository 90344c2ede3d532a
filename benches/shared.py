"""What the benches share: free ports, tokens, what a process has used, pages that are written."""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

TICK = os.sysconf("SC_CLK_TCK")

#: The ports that `free_port` has given.
GIVEN: set[int] = set()


def two_processors(bench: str, proxy: str) -> None:
    """Ends a bench that would measure its load as well."""
    if (os.cpu_count() or 1) < 2:
        print(f"{bench}: two processors are needed, one for the {proxy} and one for load and upstream", file=sys.stderr)
        sys.exit(2)


def free_port() -> int:
    """A port that is free now and was not given before: a bench chooses dozens before it starts anything, and
    the kernel gives one twice in one of twenty runs."""
    while True:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        if port not in GIVEN:
            GIVEN.add(port)
            return port


def wait(port: int, output: pathlib.Path, process: subprocess.Popen | None = None, seconds: float = 30) -> None:
    """Until somebody listens there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    sys.exit(f"nobody listens on {port}:\n{output.read_text(errors='replace')[-3000:]}")


def reap(process: subprocess.Popen) -> None:
    """Waits for a process that was told to end, and ends it where it does not."""
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def certificate(folder: pathlib.Path) -> None:
    """A certificate of its own for app.test and loopback: tls.crt and tls.key."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=app.test",
               "-addext", "subjectAltName=DNS:app.test,IP:127.0.0.1", "-keyout", folder / "tls.key", "-out", folder / "tls.crt"]
    subprocess.run(command, check=True, capture_output=True)


def b64(data: bytes) -> str:
    """Base64url without padding, as JOSE writes it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(algorithm: str, claims: dict) -> str:
    """Header and claims of a token, up to its signature."""
    return b64(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()) + "." + b64(json.dumps(claims).encode())


def hs256(claims: dict, secret: str) -> str:
    message = unsigned("HS256", claims)
    return f"{message}.{b64(hmac.digest(secret.encode(), message.encode(), hashlib.sha256))}"


def family(pid: int) -> list[int]:
    """A process and its living children."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of its living children."""
    def of(one: int) -> float:
        fields = pathlib.Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    return sum(of(one) for one in family(pid))


def resident(pid: int) -> float:
    """Resident memory of a process and its children, in MiB."""
    total = 0
    for one in family(pid):
        status = pathlib.Path(f"/proc/{one}/status").read_text()
        total += int(re.search(r"^VmRSS:\s+(\d+)", status, re.M).group(1))
    return total / 1024


def provide(programs: dict[str, str]) -> None:
    """Programs by the Debian package that brings them; installed where they are missing and can be."""
    missing = sorted({package for program, package in programs.items() if shutil.which(program) is None})
    if not missing:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit("missing; install with: sudo " + " ".join(command))
    print("installing", *missing, flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def nginx(pid: pathlib.Path, http: str, log: str) -> str:
    """The configuration of an nginx with one process."""
    return f"""daemon off; worker_processes 1; pid {pid}; error_log stderr warn;
        events {{ worker_connections 16384; }}
        http {{ {log} client_body_temp_path /tmp; proxy_temp_path /tmp; fastcgi_temp_path /tmp;
            uwsgi_temp_path /tmp; scgi_temp_path /tmp; {http} }}"""


def replace_between(page: pathlib.Path, begin: str, end: str, text: str) -> None:
    """Puts `text` between two marks of a page."""
    before = page.read_text()
    after, times = re.subn(re.escape(begin) + ".*?" + re.escape(end), lambda _: f"{begin}\n{text}\n{end}", before, flags=re.S)
    if times != 1:
        sys.exit(f"{page}: {begin} and {end} have to stand in it once")
    page.write_text(after)
