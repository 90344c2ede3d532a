#!/usr/bin/env python3
"""Records which code requests run, for deploy/build (profile-guided optimisation).

    benches/record.py      # about 20 minutes on two cores; then commit deploy/profile

Builds the release profile so that it counts, lets it serve what benches/compare asks of it and requests
that are refused, and merges the counts into deploy/profile/countersign.profdata. The binary they are
used for is the same whatever they say: they decide which code lies together and what is inlined. Record
again with each release, and whenever the version of Rust changes; a function that has changed since is
built without its counts.

Needs llvm-profdata of the compiler (`rustup component add llvm-tools`), or another one that reads its
counts (Debian: llvm-19; LLVM_PROFDATA names a program).
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benches"), str(ROOT / "benches/compare")]

import loads
import protocols
import setups
from shared import provide

PROFILE = ROOT / "deploy/profile"
SECONDS = 4
REFUSED = 3000


def main() -> int:
    merge = profdata()
    if merge is None:
        print("record: llvm-profdata is missing; run: rustup component add llvm-tools (or sudo apt-get install -y llvm-19)", file=sys.stderr)
        return 2
    provide({"nginx": "nginx-light", "wrk": "wrk", "h2load": "nghttp2-client", "openssl": "openssl"})
    version = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    host = next(line.removeprefix("host: ") for line in version.splitlines() if line.startswith("host: "))
    with tempfile.TemporaryDirectory(prefix="countersign-profile-") as name:
        folder = pathlib.Path(name)
        # Always the same, so that what has been built is not built again.
        counts = ROOT / "target/counting/counts"
        command = ["cargo", "build", "--release", "--locked", "--target", host, "--target-dir", "target/counting", "--bin", "countersign"]
        subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "CARGO_ENCODED_RUSTFLAGS": f"-Cprofile-generate={counts}"})
        # What the compiler itself has counted while it was built belongs to nobody.
        shutil.rmtree(counts, ignore_errors=True)
        # The counts go where the environment says; the folder of the build is compiled in.
        os.environ["LLVM_PROFILE_FILE"] = str(counts / "%m_%p.profraw")
        serve(folder, ROOT / f"target/counting/{host}/release/countersign")
        PROFILE.mkdir(exist_ok=True)
        subprocess.run([merge, "merge", "--sparse", "-o", PROFILE / "countersign.profdata", counts], check=True)
    (PROFILE / "recorded").write_text(f"{host}, {version.splitlines()[0]}\n")
    print(f"record: {PROFILE / 'countersign.profdata'}, {(PROFILE / 'countersign.profdata').stat().st_size:,} bytes")
    return 0


def profdata() -> str | None:
    """The compiler's own, or the newest that is installed."""
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    own = [str(path) for path in pathlib.Path(sysroot).glob("lib/rustlib/*/bin/llvm-profdata")]
    newest = [f"llvm-profdata-{number}" for number in range(40, 18, -1)]
    wanted = [os.environ.get("LLVM_PROFDATA", ""), *own, *newest]
    return next((found for found in map(shutil.which, wanted) if found), None)


def serve(folder: pathlib.Path, binary: pathlib.Path) -> None:
    bench = setups.Bench(folder, binary)
    try:
        bench.start_upstream(loads.LOAD_CPU)
        for case in setups.cases(bench, None, None) + protocols.cases(bench):
            if not case.name.startswith("countersign"):
                continue
            if case.group in bench.also:
                bench.also.pop(case.group)(loads.LOAD_CPU)
            bench.start(case, "0")
            done, _ = loads.LOADS[case.load].run(case, SECONDS)
            print(f"record: {case.name}: {done:,}", flush=True)
            if case.name == "countersign, everything on":
                print(f"record: {case.name}, refused: {refused(case):,}", flush=True)
            # Its counts are written when it ends.
            bench.end(case)
    finally:
        bench.stop()


def refused(case: setups.Case) -> int:
    """Requests that are refused, for want of a token or for a wrong one, and some that carry cookies."""
    number, began = 0, time.monotonic()
    # Whatever the environment names, it is not between this and the gateway.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    good = case.headers[0].removeprefix("Authorization: ")
    while number < REFUSED and time.monotonic() - began < 5 * SECONDS:
        number += 1
        request = urllib.request.Request(f"{case.url}?page={number}", headers={"Cookie": "theme=dark; lang=en"})
        if number % 3 == 1:
            request.add_header("Authorization", good[:-2] + "AA")
        elif number % 3 == 2:
            request.add_header("Authorization", good)
        try:
            opener.open(request, timeout=10).read()
        except urllib.error.HTTPError as error:
            error.read()
    return number


if __name__ == "__main__":
    sys.exit(main())
