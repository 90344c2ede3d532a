#!/usr/bin/env python3
"""The fault run: nothing that goes wrong makes the gateway act on what is no longer true.

    tests/faults/run.py                                  # 15 minutes: by NOTIFY, then by Redis
    tests/faults/run.py --minutes 2 --channels redis --seed 7

Three replicas, a real PostgreSQL with a second server that follows it, and a real Redis. Every few
seconds something fails: backends are terminated, servers are stopped and continued, the paths to them
are held silent, lost, reset or refused, a replica is restarted; at the end the first PostgreSQL is killed
and the second takes its place. Meanwhile users are moved, deactivated and re-activated, clients ask
every replica all the time, and WebSockets are open through each. An oracle knows what was true when
(oracle.py) and judges every answer: one that was not true at any moment between the bound of docs/live.md
before its request and its arrival is wrong, and so is a refusal or a 503 without a reason.

The faults, the changes and who is asked follow from --seed; how they meet does not. What it needs from
PyPI is installed as for tests/apps. The exit status is 1 if anything was wrong, and the first wrong
answers are printed with what was true and what failed; COUNTERSIGN_FAULTS_LOGS=FOLDER then keeps the logs.
"""

import argparse
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "benches/live"))

from stand import ROOT, Stand, enter_environment, wait_until_ready  # noqa: E402 - found by the line above

REPLICAS = 3
ASKERS = 2
SOCKETS = 8
POLL = 0.25


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", default="notify,redis", help="of notify, redis, outbox")
    parser.add_argument("--minutes", type=float, default=15, help="over all channels")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--changes", type=float, default=8, help="each second")
    parser.add_argument("--bound", type=float, default=0.25, help="seconds that push may take on a loaded machine, while nothing fails")
    parser.add_argument("--margin", type=float, default=1.0, help="seconds beyond the stated bound during a fault")
    parser.add_argument("--binary", type=pathlib.Path, help="a countersign instead of building one")
    options = parser.parse_args()
    binary = options.binary
    if binary is None:
        subprocess.run(["cargo", "build", "--profile", "optimised", "--locked"], cwd=ROOT, check=True)
        binary = ROOT / "target/optimised/countersign"
    channels = options.channels.split(",")
    # Each in the order that it says: also when somebody ends the run, everything is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return max([one_run(binary.resolve(), channel, options.minutes * 60 / len(channels), options) for channel in channels])


def one_run(binary: pathlib.Path, channel: str, seconds: float, options: argparse.Namespace) -> int:
    from clients import Asker, Sockets, Writer  # noqa: PLC0415 - in the environment only
    from faults import Faults  # noqa: PLC0415
    from oracle import Oracle, now  # noqa: PLC0415
    from runner.processes import free_port  # noqa: PLC0415

    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="countersign-faults-") as name, contextlib.ExitStack() as stack:
        run = Run(pathlib.Path(name), binary, stack, channel)
        run.start(options.users, sockets := free_port())
        oracle = Oracle(options.users, options.bound + (POLL if channel == "outbox" else 0), options.margin)
        seed = f"{options.seed}-{channel}"
        writer = Writer(oracle, run.url, run.redis_url, options.changes, f"{seed}-writer", stop)
        run.writer = writer
        threads = [writer, Sockets(run, oracle, SOCKETS, sockets, f"{seed}-sockets", stop)]
        threads += [Asker(run, oracle, replica, f"{seed}-{replica}-{number}", stop)
                    for replica in range(REPLICAS) for number in range(ASKERS)]
        for thread in threads:
            thread.start()
        try:
            faults = Faults(run, oracle, seed)
            faults.calm(3)
            faults.go_on(now() + seconds - 30)
            faults.fail_over(silent=channel != "redis")
            for thread in threads:
                if not thread.is_alive():
                    oracle.blame(f"{type(thread).__name__} has ended early")
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)
        for thread in threads:
            if thread.is_alive():
                oracle.blame(f"{type(thread).__name__} does not end")
        report(oracle, channel, now() - oracle.started)
        if oracle.wrong and (kept := os.environ.get("COUNTERSIGN_FAULTS_LOGS")):
            for log in run.folder.glob("*.log"):
                shutil.copy(log, kept)
        return 1 if oracle.wrong else 0


def report(oracle, channel: str, seconds: float) -> None:
    counts = oracle.counts
    faults = {kind.removeprefix("fault "): number for kind, number in sorted(counts.items()) if kind.startswith("fault ")}
    disturbed = sum(min(fault.over, oracle.started + seconds) - fault.began for fault in oracle.faults)
    ms = {name: f"{1000 * value:.0f} ms" for name, value in oracle.longest.items()}
    print(f"""
== {channel}: {seconds:.0f} s, of which about {disturbed:.0f} s with a fault
requests {counts['requests']:,}, messages through WebSockets {counts['echoes']:,}
moves {counts['moves']:,}, deactivations {counts['deactivations']:,}, re-activations {counts['re-activations']:,}
faults {sum(faults.values())}: {'; '.join(f'{kind} {number}' for kind, number in faults.items())}
403 {counts['403']:,}; 503 {counts['503']:,}; no answer (a replica that was restarted) {counts['no answer']:,}
WebSockets closed: {', '.join(f"{number} by {kind.removeprefix('closed ')}" for kind, number in sorted(counts.items()) if kind.startswith('closed ')) or 'none'}
longest staleness outside faults {ms['outside']} ({oracle.seen_stale['outside']} answers; bound {oracle.bound * 1000:.0f} ms), during faults {ms['during']} ({oracle.seen_stale['during']} answers; bound {oracle.late * 1000:.0f} ms)
longest until a WebSocket was closed outside faults {ms['close']}; longest answer {ms['answer']}; longest from repair to ready {ms['repair']}
wrong answers: {len(oracle.wrong)}""", flush=True)
    for wrong in oracle.wrong[:10]:
        print(f"  {wrong}", flush=True)


class Run(Stand):
    """The servers, the paths to them, and the replicas."""

    def __init__(self, folder, binary, stack, channel: str):
        super().__init__(folder, binary, stack)
        self.channel = channel
        self.redis_url = ""
        self.replicas: list[contextlib.ExitStack] = []
        self.processes: list[subprocess.Popen] = []
        self.ports: list[int] = []
        self.admins: list[int] = []

    def start(self, users: int, sockets: int) -> None:
        import psycopg  # noqa: PLC0415
        from faults import Proxy  # noqa: PLC0415
        from runner.processes import free_port, postgres, redis  # noqa: PLC0415

        first = int(self.stack.enter_context(postgres(self.folder))["PGPORT"])
        self.url = url(first)
        self.database = self.admin = self.stack.enter_context(psycopg.connect(self.url, autocommit=True))
        self.create_users(users)
        push = first
        if self.channel == "redis":
            import redis as client  # noqa: PLC0415

            self.redis_url = self.stack.enter_context(redis(self.folder))
            self.redis = self.stack.enter_context(client.Redis.from_url(self.redis_url))
            push = int(self.redis_url.rsplit(":", 1)[1].split("/")[0])
        self.follow(first)
        self.proxy = Proxy(self.stack, {"directory": first, "push": push})
        self.tokens = [self.token(user).encode() for user in range(users)]
        upstream = free_port()
        self.spawn([sys.executable, HERE / "upstream.py", upstream], "upstream", upstream)
        ports = self.proxy.ports
        through = url(ports["push"])
        tables = "tables: [ { table: users, user: id, watch: [account_id, is_active] } ]"
        invalidation = "invalidation: { %s }" % {
            "notify": f'postgres_notify: {{ url: "{through}", channel: countersign, {tables} }}',
            "outbox": f'outbox: {{ url: "{through}", poll: 250ms, {tables} }}',
            "redis": f'redis: {{ url: "redis://127.0.0.1:{ports["push"]}/0", channel: countersign }}',
        }[self.channel]
        for number in range(REPLICAS):
            self.ports.append(free_port())
            self.admins.append(free_port())
            configuration = self.configuration(number, self.ports[-1], self.admins[-1], url(ports["directory"]),
                                               invalidation, upstream, sockets)
            config = self.folder / f"gateway-{number}.yaml"
            config.write_text(configuration)
            if number == 0 and self.channel != "redis":
                self.install_triggers(config, self.channel)
            self.replicas.append(self.stack.enter_context(contextlib.ExitStack()))
            self.processes.append(self.serve(number))
        for admin in self.admins:
            wait_until_ready(admin)

    def serve(self, number: int) -> subprocess.Popen:
        from runner.processes import running  # noqa: PLC0415

        command = [self.binary, "serve", "--config", self.folder / f"gateway-{number}.yaml"]
        environment = {"LIVE_SECRET": self.secret}
        return self.replicas[number].enter_context(
            running(command, self.folder / f"gateway-{number}.log", self.ports[number], environment, cwd=self.folder))

    def restart(self, number: int, how: signal.Signals) -> None:
        process = self.processes[number]
        process.send_signal(how)
        process.wait(60)
        self.replicas[number].close()
        self.processes[number] = self.serve(number)

    def readiness(self) -> list[str]:
        from faults import readiness  # noqa: PLC0415

        return [readiness(admin) for admin in self.admins]

    # --- the servers ----------------------------------------------------------------------------

    def follow(self, first: int) -> None:
        """A second PostgreSQL that has every commit before its writer is told that it has returned."""
        from runner.processes import free_port, postgres_binaries, running, wait_for  # noqa: PLC0415

        user, data, binaries = None, self.folder / "postgres/second", postgres_binaries()
        account = {}
        if os.geteuid() == 0:
            user = "nobody"
            account = {"user": user, "group": (self.folder / "postgres").stat().st_gid, "extra_groups": []}
        subprocess.run([binaries / "pg_basebackup", "-D", data, "-d", url(first), "-R", "-X", "stream", "-c", "fast"],
                       check=True, cwd=self.folder / "postgres", **account)
        self.second = free_port()
        command = [binaries / "postgres", "-D", data, "-p", self.second, "-c", "listen_addresses=127.0.0.1",
                   "-c", "max_connections=500", "-c", "fsync=off", "-k", self.folder / "postgres"]
        self.stack.enter_context(running(list(map(str, command)), self.folder / "second.log", self.second, {}, user=user,
                                         stop_by=signal.SIGINT, cwd=self.folder / "postgres"))
        self.admin.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.admin.execute("SELECT pg_reload_conf()")
        wait_for("the second PostgreSQL follows", lambda: self.admin.execute(
            "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'").fetchone() == (1,))

    def promote(self) -> int:
        """Kills the first server; the second's port, once it can be written to."""
        import psycopg  # noqa: PLC0415

        for process in self.postgres_processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        with psycopg.connect(url(self.second), autocommit=True) as second:
            if second.execute("SELECT pg_promote(true, 60)").fetchone() != (True,):
                raise SystemExit("faults: the second PostgreSQL is not promoted")
        self.writer.url = url(self.second)
        return self.second

    def postgres_processes(self) -> list[int]:
        postmaster = int((self.folder / "postgres/data/postmaster.pid").read_text().split()[0])
        return [postmaster, *children(postmaster)]

    def redis_processes(self) -> list[int]:
        return [self.redis.info("server")["process_id"]]

    def kill_subscribers(self) -> None:
        self.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")


def children(parent: int) -> list[int]:
    found = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(process) for process in found.split()]


def url(port: int) -> str:
    return f"postgres://postgres@127.0.0.1:{port}/postgres"


if __name__ == "__main__":
    enter_environment()
    sys.exit(main())
