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

A process can have as many connections as open files (`ulimit -Hn`): where one gateway cannot hold them
all, as few as can share them, which is said.
"""

import argparse
import pathlib
import signal
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
    if files < 2048:
        sys.exit(f"scale: {files} open files are too few (ulimit -Hn): 2048 at least")
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
    shares, by = shared_out(wanted, files - 300, files)
    sections = f"{sweeps.APP}{sweeps.one_user(stand)}{sweeps.ROUTE}limits: {{ connections: 100000 }}\n"
    gateways = [stand.gateway(f"idle-{n}", sections) for n in range(len(shares))]
    rest = gateways[0].memory()
    fields = sweeps.bearer(sweeps.token(5))
    for gateway in gateways:
        fill.ask(gateway.port, [("/items/1", fields)] * 2000)
    before = sum(gateway.memory() for gateway in gateways)
    holders = [connections.Holder("idle", gateway.port, share, fields, stands.LOAD_CPU) for gateway, share in zip(gateways, shares)]
    for holder in holders:
        holder.opened()
    each = (sum(gateway.memory() for gateway in gateways) - before) * 1024 / wanted
    for holder in holders:
        holder.served()
        holder.close()
    stand.end(*gateways)
    facts = [("memory at rest", f"{rest:.1f} MiB"), (f"{wanted:,} idle connections{by}", f"{each:.1f} KiB each")]
    print(f"scale: {facts}", flush=True)
    return facts


def websockets(stand: stands.Stand, wanted: int, files: int) -> list[tuple[str, str]]:
    # Two descriptors each: the client's and the upstream's.
    shares, by = shared_out(wanted, (files - 300) // 2, files)
    sections = f"{sweeps.APP}{sweeps.one_user(stand)}{sweeps.ROUTE}limits: {{ connections: 100000 }}\n"
    upstream, gateways = stand.upstream, []
    for n in range(len(shares)):
        # One of their own each, which has a limit of open files as well.
        stand.upstream = free_port()
        command = [sys.executable, connections.__file__, "serve", stand.upstream]
        process, output = stand.spawn(command, stands.LOAD_CPU, f"websockets-upstream-{n}")
        wait(stand.upstream, output, process)
        gateways.append(stand.gateway(f"websockets-{n}", sections))
    stand.upstream = upstream
    fields, first = sweeps.bearer(sweeps.token(5)), 100
    holders = [connections.Holder("websocket", gateway.port, first, fields, stands.LOAD_CPU) for gateway in gateways]
    for holder in holders:
        holder.opened()
    measure = lambda: (sum(gateway.memory() for gateway in gateways), sum(cpu_seconds(gateway.process.pid) for gateway in gateways))
    before, cpu = measure()
    more = [connections.Holder("websocket", gateway.port, share - first, fields, stands.LOAD_CPU) for gateway, share in zip(gateways, shares)]
    for holder in more:
        holder.opened()
    opened = wanted - first * len(gateways)
    memory, spent = (after - earlier for after, earlier in zip(measure(), (before, cpu)))
    for holder in holders + more:
        holder.close()
    stand.end(*gateways)
    facts = [(f"{wanted:,} open WebSockets{by}", f"{memory * 1024 / opened:.1f} KiB each; {spent * 1_000_000 / opened:.0f} µs of CPU for each handshake")]
    print(f"scale: {facts}", flush=True)
    return facts


def shared_out(wanted: int, most: int, files: int) -> tuple[list[int], str]:
    """How many each of as few gateways as can hold them has, and how that is told."""
    count = -(-wanted // most)
    shares = [wanted // count + (n < wanted % count) for n in range(count)]
    return shares, f", shared out to {count} gateways (each may have {files:,} open files)" if count > 1 else ""


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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
