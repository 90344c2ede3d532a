"""The oracle: what was true when, which faults there were, and whether an answer may be what it is.

All times are of one monotonic clock. A state is true from the moment its commit began until the commit
of its successor had returned: in between, both are right. So a wrong answer is wrong beyond doubt.
"""

import collections
import dataclasses
import math
import threading
import time

now = time.perf_counter

# docs/live.md: a loss that the gateway cannot see is noticed after a heartbeat (2 s) that does not come
# back (3 s); from then on records live ttl_without_push (2 s), which is less than has passed by then.
NOTICED = 5.0
# After a fault, look-ups that it held up may still run into their deadline (2 s).
SHORTLY = 3.0
# What is told to an open stream ends it, within close_grace (1 s) where no frame ends.
CLOSE_GRACE = 1.0
# A held stream asks again every 500 ms, and each look-up may take 2 s.
DECIDED_AGAIN = 3.0


@dataclasses.dataclass
class State:
    account: int
    active: bool
    began: float
    ended: float = math.inf


@dataclasses.dataclass
class Fault:
    kind: str
    push: bool
    began: float
    repaired: float = math.inf
    over: float = math.inf


class Oracle:
    def __init__(self, users: int, bound: float, margin: float):
        self.bound, self.late = bound, NOTICED + margin
        self.margin = margin
        self.users = [[State(1, True, now())] for _ in range(users)]
        self.recent: collections.deque[int] = collections.deque(maxlen=40)
        self.faults: list[Fault] = []
        self.counts: collections.Counter[str] = collections.Counter()
        self.longest = {"outside": 0.0, "during": 0.0, "answer": 0.0, "close": 0.0, "repair": 0.0}
        self.seen_stale = {"outside": 0, "during": 0}
        self.wrong: list[str] = []
        self.lock = threading.Lock()
        self.started = now()

    # --- what is true ---------------------------------------------------------------------------

    def begin(self, user: int, account: int, active: bool) -> State:
        state = State(account, active, now())
        self.users[user].append(state)
        return state

    def done(self, user: int) -> None:
        self.users[user][-2].ended = now()
        self.recent.append(user)

    def undone(self, user: int) -> None:
        """A commit whose outcome was unknown has turned out never to have happened."""
        self.users[user].pop()

    def fault(self, kind: str, push: bool) -> Fault:
        fault = Fault(kind, push, now())
        self.faults.append(fault)
        self.counts[f"fault {kind}"] += 1
        return fault

    def disturbed(self, begin: float, end: float, *, push_only: bool = False, after: float = 0.0) -> bool:
        return any(fault.began <= end and fault.over + after >= begin
                   for fault in reversed(self.faults[-60:]) if fault.push or not push_only)

    # --- what was answered ----------------------------------------------------------------------

    def judge_status(self, what: str, user: int, status: int, body: str, began: float, arrived: float) -> None:
        with self.lock:
            self.counts["requests"] += 1
            self.longest["answer"] = max(self.longest["answer"], arrived - began)
            if status == 200:
                self._judge(what, user, began, arrived, f"200 {body}", lambda s: s.active and str(s.account) == body)
            elif status == 403:
                self.counts["403"] += 1
                self._judge(what, user, began, arrived, "403", lambda s: not s.active)
            elif status == 503:
                self.counts["503"] += 1
                if not self.disturbed(began, arrived, after=SHORTLY):
                    self._blame(what, user, began, arrived, f"503 outside faults: {body}")
            else:
                self._blame(what, user, began, arrived, f"status {status}: {body}")

    def judge_echo(self, what: str, user: int, account: str, began: float, arrived: float) -> None:
        with self.lock:
            self.counts["echoes"] += 1
            self._judge(what, user, began, arrived, f"echo {account}", lambda s: s.active and str(s.account) == account)

    def judge_unanswered(self, what: str, user: int, began: float, problem: str) -> None:
        """A connection that broke: only a replica that is restarted may do that."""
        with self.lock:
            self.counts["no answer"] += 1
            if not self.disturbed(began, now(), after=SHORTLY):
                self._blame(what, user, began, now(), f"no answer outside faults: {problem}")

    def judge_open(self, what: str, user: int, account: str, opened: float) -> bool:
        """Whether a stream may still be open; it is asked again and again."""
        with self.lock:
            at = now()
            states = self.users[user]
            ended = max((s.ended for s in states if s.active and str(s.account) == account and s.began <= at), default=opened)
            if ended == math.inf:
                return True
            open_until = ended + self.bound + CLOSE_GRACE
            for fault in self.faults[-60:]:
                if fault.began <= at and fault.over + DECIDED_AGAIN >= ended:
                    open_until = max(open_until, fault.over + DECIDED_AGAIN + self.margin)
            if at > open_until:
                self._blame(what, user, opened, at, f"open under {account}, {at - ended:.3f} s after it had ended")
                return False
            return True

    def judge_close(self, what: str, user: int, account: str, code: int, opened: float) -> None:
        with self.lock:
            at = now()
            self.counts[f"closed {code}"] += 1
            changes = [s for s in self.users[user] if not (s.active and str(s.account) == account) and s.ended >= opened - self.late]
            if code in (4401, 4403):
                if not changes:
                    self._blame(what, user, opened, at, f"closed with {code}, and nothing had changed")
                elif self.users[user][-1].active and str(self.users[user][-1].account) == account:
                    return
                else:
                    ended = max(s.ended for s in self.users[user] if s.active and str(s.account) == account)
                    if ended < math.inf and not self.disturbed(ended, at, after=DECIDED_AGAIN):
                        self.longest["close"] = max(self.longest["close"], at - ended)
            elif not self.disturbed(opened if code == 1013 else at - 1, at, after=SHORTLY):
                self._blame(what, user, opened, at, f"closed with {code} outside faults")

    def blame(self, what: str) -> None:
        with self.lock:
            self.wrong.append(what)

    def _judge(self, what, user, began, arrived, answer, fits) -> None:
        ended = max((s.ended for s in self.users[user] if s.began <= arrived and fits(s)), default=None)
        if ended is None:
            self._blame(what, user, began, arrived, f"{answer}, which was never true")
            return
        stale = began - ended
        if stale <= 0:
            return
        during = self.disturbed(ended, began, push_only=True)
        where = "during" if during else "outside"
        self.seen_stale[where] += 1
        self.longest[where] = max(self.longest[where], stale)
        if stale > (self.late if during else self.bound):
            self._blame(what, user, began, arrived, f"{answer}, {stale:.3f} s after it had ended")

    def _blame(self, what, user, began, arrived, problem) -> None:
        clock = lambda t: "-" if t == math.inf else f"{t - self.started:.3f}"
        history = "; ".join(f"account {s.account} {'active' if s.active else 'inactive'} [{clock(s.began)}, {clock(s.ended)}]"
                            for s in self.users[user][-6:])
        faults = "; ".join(f"{f.kind} [{clock(f.began)}, repaired {clock(f.repaired)}, over {clock(f.over)}]" for f in self.faults[-4:])
        self.wrong.append(f"{what}, user {user}, asked {clock(began)}, answered {clock(arrived)}: {problem}\n"
                          f"    truth: {history}\n    faults: {faults or 'none'}")
