#!/usr/bin/env python3
"""Two countersigns in turn: whether a change, a build or a setting costs or saves CPU.

    benches/compare/ab.py /tmp/before target/published/countersign
    benches/compare/ab.py "env _RJEM_MALLOC_CONF=thp:always target/published/countersign" target/published/countersign

Each round starts both anew (two processes of one binary differ by a tenth for as long as they live) and
loads them in turn as benches/compare does, everything on by default; the figure is the median of the rounds'
own ratios, with the quarter and three-quarter marks. Differences of 1 % need a hundred rounds here. Needs
nginx and wrk.
"""

import argparse
import pathlib
import shlex
import signal
import statistics
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benches"))

import loads
import setups
from run import PROXY_CPU, measure
from shared import provide, two_processors


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", help="a countersign, or a command line that ends in one")
    parser.add_argument("b", help="the other")
    parser.add_argument("--case", default="everything on", help="as benches/compare names it (default: everything on)")
    parser.add_argument("--rounds", type=int, default=30, help="default: 30")
    parser.add_argument("--seconds", type=int, default=1, help="of load for each in a round (default: 1)")
    options = parser.parse_args()
    two_processors("ab", "gateway")
    provide({"nginx": "nginx-light", "wrk": "wrk", "openssl": "openssl"})
    commands = [[str(pathlib.Path(word).resolve()) if pathlib.Path(word).is_file() else word for word in shlex.split(text)]
                for text in (options.a, options.b)]
    with tempfile.TemporaryDirectory(prefix="countersign-ab-") as folder:
        bench = setups.Bench(pathlib.Path(folder), pathlib.Path(commands[0][-1]))
        try:
            bench.start_upstream(loads.LOAD_CPU)
            known = {case.name.removeprefix("countersign, "): case for case in setups.cases(bench, None, None)
                     if case.name.startswith("countersign")}
            if options.case not in known:
                parser.error(f"--case: unknown {options.case}; there are: " + "; ".join(known))
            case = known[options.case]
            arguments = case.command[1:]
            costs: list[list[float]] = [[], []]
            for number in range(options.rounds):
                for which in (0, 1) if number % 2 == 0 else (1, 0):
                    case.command = commands[which] + arguments
                    costs[which].append(cost(bench, case, options.seconds))
                print(f"ab: round {number + 1}: {costs[0][-1]:.2f} and {costs[1][-1]:.2f} s per 100,000", flush=True)
        finally:
            bench.stop()
    ratios = [b / a for a, b in zip(*costs)]
    quarters = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    print(f"\n{options.case}: {statistics.median(costs[0]):.2f} and {statistics.median(costs[1]):.2f} s per 100,000 requests; "
          f"the second to the first {statistics.median(ratios):.3f} (half of the rounds {quarters[0]:.2f} to {quarters[2]:.2f})")
    return 0


def cost(bench: setups.Bench, case: setups.Case, seconds: int) -> float:
    """CPU seconds of a gateway of its own for 100,000 requests."""
    bench.start(case, PROXY_CPU)
    try:
        loads.LOADS[case.load].run(case, seconds)
        measure(case, seconds)
        return case.cpu[-1]
    finally:
        bench.end(case)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
