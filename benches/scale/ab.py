#!/usr/bin/env python3
"""Two countersigns in turn, with more and more users in the directory's cache.

    benches/scale/ab.py /tmp/before target/release/countersign
    benches/scale/ab.py --sizes 1,100000 --tokens A B      # tokens are remembered, as they are by default

Either is a countersign, or a script that starts one. Both run at every size at once, and every round asks
each in turn for a second; a figure is the median of the rounds' CPU times, a ratio the median of the rounds'
own. Without --tokens each token is verified anew, as in benches/scale/run.py.
"""

import argparse
import pathlib
import signal
import statistics
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benches"))

import stand as stands
import sweeps
from shared import provide, two_processors


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", type=pathlib.Path, help="a countersign")
    parser.add_argument("b", type=pathlib.Path, help="the other")
    parser.add_argument("--sizes", default="1,1000,10000,100000", help="numbers of users (default: 1,1000,10000,100000)")
    parser.add_argument("--rounds", type=int, default=8, help="default: 8")
    parser.add_argument("--tokens", action="store_true", help="remember verified tokens")
    options = parser.parse_args()
    two_processors("scale", "gateway")
    provide({"nginx": "nginx-light", "wrk": "wrk"})
    stands.open_files()
    if options.tokens:
        sweeps.FORGET = ""
    with tempfile.TemporaryDirectory(prefix="countersign-scale-") as folder:
        stand = stands.Stand(pathlib.Path(folder), options.a.resolve())
        try:
            pairs = []
            for size in map(int, options.sizes.split(",")):
                pair = []
                for binary in (options.a, options.b):
                    stand.binary = binary.resolve()
                    pair.append(sweeps.users(stand, size))
                    stand.load(pair[-1].gateway, pair[-1].script, 1, keep=False)
                pairs.append(pair)
            for _ in range(options.rounds):
                for point in (point for pair in pairs for point in pair):
                    stand.load(point.gateway, point.script, 1)
            for a, b in pairs:
                costs = [point.gateway.cpu for point in (a, b)]
                medians = [statistics.median(cost) for cost in costs]
                ratios = [after / before for before, after in zip(*costs)]
                print(f"users {a.size:,}: {medians[0]:.2f} and {medians[1]:.2f} s per 100,000 requests; the second to the first "
                      f"{statistics.median(ratios):.3f} ({min(ratios):.2f} to {max(ratios):.2f}); "
                      f"{a.gateway.memory():.0f} and {b.gateway.memory():.0f} MiB")
        finally:
            stand.stop()
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
