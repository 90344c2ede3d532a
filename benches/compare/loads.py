"""How the proxies are loaded, and in what their cost is counted."""

import contextlib
import dataclasses
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

import messages
from setups import MIB, Case

LOAD_CPU = "1"
CONNECTIONS = 64
GIB = 1 << 30


@dataclasses.dataclass
class Load:
    #: Runs for so many seconds; how many were done, and how many a second.
    run: Callable[[Case, float], tuple[int, float]]
    #: What the CPU is counted for, and how many of what was done are one of these.
    per: str
    one: float
    #: What is counted a second.
    rate: str


def on_load_cpu(*command, **more) -> str:
    ran = subprocess.run(["taskset", "-c", LOAD_CPU, *map(str, command)], capture_output=True, text=True, check=False, **more)
    if ran.returncode != 0:
        sys.exit(f"compare: {command[0]} fails:\n{ran.stdout}\n{ran.stderr}")
    return ran.stdout


def wrk(case: Case, seconds: float, connections: int = CONNECTIONS) -> tuple[int, float]:
    text = on_load_cpu("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", case.script, case.url)
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(f"compare: {case.name} does not answer 200 to everything:\n{text}\n{case.log()}")
    requests = int(re.search(r"(\d+) requests in", text).group(1))
    return requests, float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))


def h2load(case: Case, seconds: float, *options: str) -> tuple[int, float]:
    text = on_load_cpu("h2load", "-t1", f"-D{int(seconds)}", *options, *(part for header in case.headers for part in ("-H", header)), case.url)
    done, good = (int(number) for number in re.search(r"(\d+) done, (\d+) succeeded", text).groups())
    if good < done or not good or " 0 3xx, 0 4xx, 0 5xx" not in text:
        sys.exit(f"compare: {case.name} does not answer everything:\n{text}\n{case.log()}")
    return good, good / seconds


def http2(case: Case, seconds: float) -> tuple[int, float]:
    return h2load(case, seconds, "-c16", "-m10")


def bulk(case: Case, seconds: float) -> tuple[int, float]:
    """The same cipher for all; kept connections, so that handshakes do not count."""
    return h2load(case, seconds, "--h1", "-c8", "--tls13-ciphers=TLS_AES_128_GCM_SHA256")


def handshakes(case: Case, seconds: float) -> tuple[int, float]:
    """Whole handshakes without resumption, four at a time; nothing is asked on the connection."""
    command = ["taskset", "-c", LOAD_CPU, "openssl", "s_time", "-connect", f"127.0.0.1:{case.port}", "-new", "-tls1_3",
               "-time", str(int(seconds))]
    began = time.monotonic()
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(4)]
    texts = [one.communicate()[0] for one in running]
    counts = [re.search(r"(\d+) connections in \d+ real seconds", text) for text in texts]
    if not all(counts) or any(one.returncode for one in running):
        sys.exit(f"compare: {case.name}: {texts}\n{case.log()}")
    done = sum(int(count.group(1)) for count in counts)
    return done, done / (time.monotonic() - began)


def downloads(case: Case, seconds: float) -> tuple[int, float]:
    return wrk(case, seconds, 16)


def echoes(case: Case, seconds: float) -> tuple[int, float]:
    done = int(on_load_cpu(sys.executable, messages.__file__, "client", case.port, seconds))
    return done, done / seconds


LOADS = {
    "requests": Load(wrk, "CPU s per 100,000 requests", 100_000, "requests/s"),
    "http2": Load(http2, "CPU s per 100,000 requests", 100_000, "requests/s"),
    "handshakes": Load(handshakes, "CPU ms per handshake", 1000, "handshakes/s"),
    "bulk": Load(bulk, "CPU s per GiB", GIB / MIB, "MiB/s"),
    "downloads": Load(downloads, "CPU s per GiB", GIB / MIB, "MiB/s"),
    "uploads": Load(downloads, "CPU s per GiB", GIB / MIB, "MiB/s"),
    "echoes": Load(echoes, "CPU s per 100,000 messages", 100_000, "messages/s"),
}


def system_calls(case: Case, pids: list[int], seconds: int) -> float | None:
    """For each request at the full rate, by perf or else strace; strace slows the proxy down."""
    with tempfile.TemporaryDirectory() as name:
        report = pathlib.Path(name) / "report"
        perf = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", ",".join(map(str, pids)), "-o", str(report)]
        strace = ["strace", "-f", "-c", "-o", str(report), *(part for pid in pids for part in ("-p", str(pid)))]
        for command in (perf, strace):
            done: list[tuple[int, float]] = []
            with contextlib.suppress(FileNotFoundError):
                counter = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(0.3)
                if counter.poll() is None:
                    load = threading.Thread(target=lambda: done.append(LOADS[case.load].run(case, seconds)))
                    load.start()
                    load.join()
                    counter.send_signal(2)
                counter.wait(20)
            text = report.read_text() if report.exists() else ""
            found = re.search(r"^(\d+),.*raw_syscalls:sys_enter", text, re.M) or re.search(r"^100\.00\s+\S+\s+\S*\s+(\d+)\s.*total$", text, re.M)
            if done and found:
                return int(found.group(1)) / done[0][0]
    return None
