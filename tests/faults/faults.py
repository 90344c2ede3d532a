"""The faults, and when each is over."""

import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
import urllib.request

from oracle import NOTICED, Fault, Oracle, now

RECOVERS = 30.0
HERE = pathlib.Path(__file__).resolve().parent


class Proxy:
    """The proxy's process; its names are paths."""

    def __init__(self, stack: contextlib.ExitStack, targets: dict[str, int]):
        command = [sys.executable, HERE / "proxy.py", *(f"{name}={port}" for name, port in targets.items())]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        stack.callback(self.process.wait)
        stack.callback(self.process.stdin.close)
        line = self.process.stdout.readline().split()
        self.ports = {name: int(port) for name, port in (part.split("=") for part in line)}

    def tell(self, *words) -> None:
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        if self.process.stdout.readline() != "ok\n":
            raise SystemExit("faults: the proxy has ended")


class Faults:
    """Makes one fault after the other, in the thread that owns the processes."""

    def __init__(self, run, oracle: Oracle, seed: str):
        self.run, self.oracle = run, oracle
        self.random = random.Random(seed)
        self.open: list[Fault] = []
        self.bag: list = []

    def kinds(self) -> list:
        """Every kind, with whether it can disturb push."""
        notify = self.run.channel != "redis"
        kinds = [
            ("terminate the directory's backends", False, lambda: self.terminate("countersign")),
            ("terminate all backends", notify, lambda: self.terminate("countersign%")),
            ("stop PostgreSQL", notify, lambda: self.stop(self.run.postgres_processes())),
            ("hold the directory's path", False, lambda: self.hold("directory")),
            ("lose the directory's connections", False, lambda: self.lose("directory")),
            ("reset the directory's connections", False, lambda: self.cut("directory")),
            ("hold the push path", True, lambda: self.hold("push")),
            ("hold and reset the push path", True, lambda: self.hold("push", reset=True)),
            ("lose the push connections", True, lambda: self.lose("push")),
            ("reset the push connections", True, lambda: self.cut("push")),
            ("refuse push", True, lambda: self.cut("push", refuse=True)),
            ("hold everything", True, lambda: self.hold("push", "directory")),
            ("lose everything", True, lambda: self.lose("push", "directory")),
            ("restart a replica by SIGTERM", True, lambda: self.restart(signal.SIGTERM)),
            ("restart a replica by SIGKILL", True, lambda: self.restart(signal.SIGKILL)),
        ]
        if notify:
            kinds.append(("terminate the listener's backend", True, lambda: self.terminate("countersign-push")))
        else:
            kinds.append(("stop Redis", True, lambda: self.stop(self.run.redis_processes())))
            kinds.append(("kill the subscribers in Redis", True, self.run.kill_subscribers))
        return kinds

    def go_on(self, until: float) -> None:
        """Faults until then, mostly with a calm between two, sometimes on top of each other."""
        while now() < until:
            if not self.bag:
                self.bag = self.kinds()
                self.random.shuffle(self.bag)
            self.make(*self.bag.pop())
            if self.random.random() < 0.7:
                self.recover()
                self.calm(self.random.uniform(1, 5))
            else:
                self.calm(self.random.uniform(0.1, 1))
        self.recover()

    def make(self, kind: str, push: bool, work) -> None:
        fault = self.oracle.fault(kind, push)
        self.open.append(fault)
        work()
        fault.repaired = now()

    def calm(self, seconds: float) -> None:
        """Waits, and meanwhile finds out whether what was repaired has recovered."""
        until = now() + seconds
        while now() < until:
            self.look()
            time.sleep(0.05)

    def recover(self) -> None:
        until = now() + RECOVERS
        while self.open:
            self.look()
            if now() > until:
                self.oracle.blame(f"{self.open[-1].kind}: not recovered within {RECOVERS:.0f} s: {self.run.readiness()}")
                self.open.clear()
            time.sleep(0.05)

    def look(self) -> None:
        asked = now()
        # What was held up goes on its way first.
        due = [fault for fault in self.open if fault.repaired + 0.3 < asked]
        if due and all(ready == "ready" for ready in self.run.readiness()):
            # Faults on top of each other: the last repair counts.
            took = now() - max(fault.repaired for fault in self.oracle.faults)
            self.oracle.longest["repair"] = max(self.oracle.longest["repair"], took)
            for fault in due:
                fault.over = now()
                self.open.remove(fault)

    # --- kinds ----------------------------------------------------------------------------------

    def terminate(self, name: str) -> None:
        self.run.admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s", [name])

    def stop(self, processes: list[int]) -> None:
        try:
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGSTOP)
            time.sleep(self.random.uniform(1, 8))
        finally:
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)

    def hold(self, *paths: str, reset: bool = False) -> None:
        for path in paths:
            self.run.proxy.tell("hold", path)
        time.sleep(self.random.uniform(1, 8))
        for path in paths:
            if reset:
                self.run.proxy.tell("reset", path)
            self.run.proxy.tell("release", path)

    def lose(self, *paths: str) -> None:
        for path in paths:
            self.run.proxy.tell("lose", path)
        # Nobody can know before the heartbeat is missed.
        time.sleep(NOTICED + 0.3)

    def cut(self, path: str, *, refuse: bool = False) -> None:
        if refuse:
            self.run.proxy.tell("refuse", path)
        self.run.proxy.tell("reset", path)
        if refuse:
            time.sleep(self.random.uniform(2, 10))
            self.run.proxy.tell("accept", path)

    def restart(self, how: signal.Signals) -> None:
        self.run.restart(self.random.randrange(len(self.run.ports)), how)

    def fail_over(self, silent: bool) -> None:
        """The first PostgreSQL is killed and the second takes its place, at the address of the first."""
        def work() -> None:
            paths = ["directory", "push"] if self.run.channel != "redis" else ["directory"]
            for path in paths:
                if silent:  # as when the machine is gone: nobody says that the connections are
                    self.run.proxy.tell("lose", path)
                self.run.proxy.tell("refuse", path)
            port = self.run.promote()
            for path in paths:
                self.run.proxy.tell("target", path, port)
                self.run.proxy.tell("accept", path)
            if silent:
                time.sleep(NOTICED + 0.3)

        self.make(f"fail over to the second server, {'silently' if silent else 'with resets'}", self.run.channel != "redis", work)
        self.recover()
        self.calm(15)


def readiness(admin: int) -> str:
    """`ready`, or what is not."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=5) as answer:
            found = json.load(answer)
    except OSError as problem:
        return str(problem)
    return "ready" if found.get("status") == "ready" else json.dumps(found)
