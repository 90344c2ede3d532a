#!/usr/bin/env python3
"""Where the CPU time of a request goes: the kernel, cryptography, hyper, the gateway's own code.

    benches/compare/where.py target/published/countersign
    benches/compare/where.py target/published/countersign --cases "nginx, plain, no log;countersign, everything on"

Samples each proxy in turn with `perf record` under the load of benches/compare, everything at the full rate,
and adds the samples up by the names of the functions. A function that the compiler has put into another
counts as that one. Needs nginx, haproxy, wrk and perf.
"""

import argparse
import collections
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benches"))

import loads
import setups
from run import PROXY_CPU, measure
from shared import family, provide, two_processors

CASES = ("nginx, plain, no log;countersign, public route, no audit lines;haproxy, jwt_verify RS256, iss, aud, exp;"
         "countersign, RS256 verified each time;haproxy, jwt_verify HS256, iss, aud, exp;"
         "countersign, HS256 verified each time;countersign, everything on")

# The first that fits. Other proxies have the kernel and their own.
PARTS = [
    ("allocator", re.compile(r"rjem|malloc|^free$")),
    ("cryptography", re.compile(r"aws_lc|bn_|rsaz|sha256|sha512")),
    ("copies", re.compile(r"mem(cpy|move|set|cmp)|bcmp")),
    ("gateway", re.compile(r"countersign")),
    ("hyper, http", re.compile(r"hyper|http::|httparse|bytes::|h2::")),
    ("tokio", re.compile(r"tokio|mio::")),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path, help="a countersign")
    parser.add_argument("--cases", default=CASES, help="as benches/compare names them, separated by semicolons")
    parser.add_argument("--seconds", type=int, default=5, help="of samples for each (default: 5)")
    options = parser.parse_args()
    two_processors("where", "proxy")
    provide({"nginx": "nginx-light", "haproxy": "haproxy", "wrk": "wrk", "openssl": "openssl", "perf": "linux-perf"})
    with tempfile.TemporaryDirectory(prefix="countersign-where-") as folder:
        bench = setups.Bench(pathlib.Path(folder), options.binary.resolve())
        try:
            bench.start_upstream(loads.LOAD_CPU)
            known = {case.name: case for case in setups.cases(bench, None, None)}
            names = options.cases.split(";")
            if unknown := [name for name in names if name not in known]:
                parser.error(f"--cases: unknown {'; '.join(unknown)}; there are: " + "; ".join(known))
            for name in names:
                say(bench, known[name], options.seconds, pathlib.Path(folder) / "samples")
        finally:
            bench.stop()
    return 0


def say(bench: setups.Bench, case: setups.Case, seconds: int, samples: pathlib.Path) -> None:
    """Prints the CPU seconds of 100,000 requests, part by part."""
    bench.start(case, PROXY_CPU)
    try:
        loads.wrk(case, 1)
        pids = ",".join(map(str, family(case.pid)))
        record = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "4000", "-p", pids, "-o", str(samples), "--", "sleep", str(seconds)]
        recording = subprocess.Popen(record)
        measure(case, seconds + 1)
        if recording.wait() != 0:
            raise SystemExit("where: perf cannot sample (see /proc/sys/kernel/perf_event_paranoid)")
    finally:
        bench.end(case)
    shares = parts(samples, own=case.name.startswith("countersign"))
    whole = case.cpu[-1]
    told = ", ".join(f"{name} {whole * share:.2f} ({share:.0%})" for name, share in shares.most_common())
    print(f"{case.name}: {whole:.2f} s per 100,000: {told}", flush=True)


def parts(samples: pathlib.Path, own: bool) -> collections.Counter[str]:
    """The share of each part."""
    report = ["perf", "report", "-i", str(samples), "--no-children", "--stdio", "-q", "--sort", "sym"]
    text = subprocess.run(report, capture_output=True, text=True, check=True).stdout
    shares: collections.Counter[str] = collections.Counter()
    for percent, kind, name in re.findall(r"^\s*([\d.]+)%\s+\[(.)\]\s+(.*)$", text, re.MULTILINE):
        fits = (part for part, names in PARTS if names.search(name))
        part = "kernel" if kind == "k" else next(fits, "the rest") if own else "its own"
        shares[part] += float(percent)
    total = shares.total()
    return collections.Counter({part: share / total for part, share in shares.items()})


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
