#!/usr/bin/env python3
"""What a request costs, and what memory is taken, when everything grows.

    benches/scale/run.py                       # everything, under 15 minutes
    benches/scale/run.py --quick               # the ends alone, under 2 minutes
    benches/scale/run.py --only users,idle     # some of: routes, hosts, tenants, users, issuers,
                                               # idle, websockets, audit
    benches/scale/run.py --write               # also into docs/performance.md, with its chart

Routes, hosts, tenants, users in the directory's cache and issuers grow from 1. The gateways of all sizes run
at once, one core each; every round asks each size in turn, and a size's figure is the CPU time of a
request (user and system, from /proc) as a ratio to the smallest size in the same round. Then idle
connections, open WebSockets, and the audit log at the full rate. The gateway has CPU 0, load and
upstream CPU 1. The binary is target/optimised/countersign, which is built, unless --binary names one.

Connections are bounded by the limit of open files (`ulimit -Hn`); what fits is opened, and said.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benches"))

import connections
import fill
import report
import stand as stands
import sweeps
from shared import cpu_seconds, free_port, provide, two_processors, wait

OTHERS = ("idle", "websockets", "audit")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="interleaved repeats (default: 5, quick: 2)")
    parser.add_argument("--seconds", type=int, help="of load per repeat (default: 3, quick: 1)")
    parser.add_argument("--quick", action="store_true", help="the smallest size and one large one")
    parser.add_argument("--only", default="", help="some, separated by commas")
    parser.add_argument("--binary", type=pathlib.Path, help="a countersign instead of building one")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md and its chart")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 3)
    known = [sweep.name for sweep in sweeps.SWEEPS] + list(OTHERS)
    only = list(filter(None, options.only.split(","))) or known
    if unknown := set(only) - set(known):
        parser.error(f"--only: unknown {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if options.write and (options.quick or len(only) < len(known)):
        parser.error("--write needs a whole run")
    two_processors("scale", "gateway")
    provide({"nginx": "nginx-light", "wrk": "wrk"})
    binary = options.binary and options.binary.resolve()
    if binary is None:
        subprocess.run(["cargo", "build", "--profile", "optimised", "--locked", "--bin", "countersign"], cwd=ROOT, check=True)
        binary = ROOT / "target/optimised/countersign"
    files = stands.open_files()
    with tempfile.TemporaryDirectory(prefix="countersign-scale-") as folder:
        stand = stands.Stand(pathlib.Path(folder), binary)
        try:
            results, notes = {}, []
            for sweep in sweeps.SWEEPS:
                if sweep.name in only:
                    results[sweep.name] = grow(stand, sweep, options, notes)
            facts = []
            if "idle" in only:
                facts += idle(stand, 2_000 if options.quick else 50_000, files)
            if "websockets" in only:
                facts += websockets(stand, 1_000 if options.quick else 10_000, files)
            if "audit" in only:
                facts += audit(stand, options)
        finally:
            stand.stop()
    text = report.table(results, notes + facts, options)
    print("\n" + text)
    if options.write:
        report.write(ROOT, text, results)
    return 0


def grow(stand: stands.Stand, sweep: sweeps.Sweep, options: argparse.Namespace, notes: list) -> list:
    """All sizes of one sweep; each point with its memory after the load."""
    points = []
    for size in sweep.quick if options.quick else sweep.sizes:
        point = sweep.make(stand, size)
        points.append(point)
        print(f"scale: {sweep.name} {size:,}: listens after {point.gateway.start:.2f} s, {point.gateway.memory():.0f} MiB {point.note}", flush=True)
    for point in points:
        stand.load(point.gateway, point.script, 1, keep=False)
    for number in range(options.rounds):
        for point in points:
            stand.load(point.gateway, point.script, options.seconds)
            print(f"scale: round {number + 1}: {sweep.name} {point.size:,}: {point.gateway.cpu[-1]:.2f} s per 100,000, "
                  f"{point.gateway.rate[-1]:,.0f} requests/s", flush=True)
    measured = [(point, point.gateway.memory()) for point in points]
    notes += [(f"{sweep.name}: the fill", point.note) for point in points if point.note]
    stand.end(*(point.gateway for point in points))
    return measured


def idle(stand: stands.Stand, wanted: int, files: int) -> list[tuple[str, str]]:
    count = min(wanted, files - 300)
    gateway = stand.gateway("idle", f"{sweeps.APP}{sweeps.one_user(stand)}{sweeps.ROUTE}limits: {{ connections: 100000 }}\n")
    rest = gateway.memory()
    fields = sweeps.bearer(sweeps.token(5))
    fill.ask(gateway.port, [("/items/1", fields)] * 2000)
    before = gateway.memory()
    opened = [connections.idle(gateway.port, number, fields) for number in range(count)]
    each = (gateway.memory() - before) * 1024 / count
    # They are all there still, and served.
    connections.exchange(opened[0], f"GET /items/1 HTTP/1.1\r\nHost: app.test\r\n{connections.lines(fields)}\r\n", b"HTTP/1.1 200")
    for one in opened:
        one.close()
    stand.end(gateway)
    why = f" (of {wanted:,}: the limit of open files is {files:,})" if count < wanted else ""
    facts = [("memory at rest", f"{rest:.1f} MiB"), (f"{count:,} idle connections{why}", f"{each:.1f} KiB each")]
    print(f"scale: {facts}", flush=True)
    return facts


def websockets(stand: stands.Stand, wanted: int, files: int) -> list[tuple[str, str]]:
    # Two descriptors each: the client's and the upstream's.
    count = min(wanted, (files - 300) // 2)
    port = free_port()
    process, output = stand.spawn([sys.executable, connections.__file__, port], stands.LOAD_CPU, "websockets-upstream")
    wait(port, output, process)
    upstream, stand.upstream = stand.upstream, port
    gateway = stand.gateway("websockets", f"{sweeps.APP}{sweeps.one_user(stand)}{sweeps.ROUTE}limits: {{ connections: 100000 }}\n")
    stand.upstream = upstream
    fields = sweeps.bearer(sweeps.token(5))
    first = [connections.websocket(gateway.port, number, fields) for number in range(100)]
    before, cpu = gateway.memory(), cpu_seconds(gateway.process.pid)
    opened = [connections.websocket(gateway.port, number, fields) for number in range(count - len(first))]
    each = (gateway.memory() - before) * 1024 / len(opened)
    cost = (cpu_seconds(gateway.process.pid) - cpu) * 1_000_000 / len(opened)
    for one in first + opened:
        one.close()
    stand.end(gateway)
    why = f" (of {wanted:,}: the limit of open files is {files:,})" if count < wanted else ""
    facts = [(f"{count:,} open WebSockets{why}", f"{each:.1f} KiB each; {cost:.0f} µs of CPU for each handshake")]
    print(f"scale: {facts}", flush=True)
    return facts


def audit(stand: stands.Stand, options: argparse.Namespace) -> list[tuple[str, str]]:
    """The full rate with lines to a file, beside lines to nowhere, in turn."""
    sections = f"{sweeps.APP}{sweeps.one_user(stand)}{sweeps.ROUTE}"
    log = stand.folder / "audit.log"
    filed = stand.gateway("audit-file", sections, audit=str(log))
    nowhere = stand.gateway("audit-nowhere", sections)
    script = stand.requests("audit", [("/items/1", sweeps.bearer(sweeps.token(5)))])
    asked = sum(stand.load(one, script, 1, keep=False) for one in (nowhere, filed))
    asked = 0
    with log.open("rb") as lines:
        begun = sum(1 for _ in lines)
    for _ in range(options.rounds):
        stand.load(nowhere, script, options.seconds)
        asked += stand.load(filed, script, options.seconds)
    memory = filed.memory()
    stand.end(filed, nowhere)
    with log.open("rb") as lines:
        written = sum(1 for _ in lines) - begun
    if written < asked:
        sys.exit(f"scale: {asked:,} requests were answered and {written:,} audit lines are there")
    ratios = [ours / theirs for ours, theirs in zip(filed.cpu, nowhere.cpu)]
    log.unlink()
    return [("audit to a file at the full rate", f"{report.spread(filed.rate, 0)} lines/s, none lost; {memory:.0f} MiB"),
            ("its CPU per request, to lines into /dev/null", report.spread(ratios))]


if __name__ == "__main__":
    sys.exit(main())
