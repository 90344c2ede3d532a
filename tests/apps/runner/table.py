"""Scenarios, and the table that they make."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from .client import Door

Run = Callable[[Door], str]


@dataclass(frozen=True)
class Scenario:
    """What is tried at both doors, and what is expected there."""

    name: str
    run: Run
    direct: str
    gateway: str
    # Runs once, before both.
    prepare: Callable[[], object] | None = None
    # The doors, where they are not the system's usual ones.
    doors: tuple[Door, Door] | None = None
    # Why what is wrong stays so through the gateway.
    remark: str = ""


@dataclass
class Table:
    """Rows as they come."""

    only: str = ""
    failed: list[str] = field(default_factory=list)
    count: int = 0

    def title(self, text: str) -> None:
        print(f"\n{text}\n")
        print(
            f"  {'scenario':<62} {'directly':<38} {'through the gateway':<38} verdict", flush=True
        )

    def row(self, scenario: Scenario, doors: tuple[Door, Door]) -> None:
        """Runs one scenario."""
        if self.only not in scenario.name:
            return
        seen: list[str] = []
        start = time.monotonic()
        try:
            if scenario.prepare:
                scenario.prepare()
            seen.extend(scenario.run(door) for door in scenario.doors or doors)
        except Exception:
            traceback.print_exc(file=sys.stdout)
            seen += ["failed"] * (2 - len(seen))
        expected = [scenario.direct, scenario.gateway]
        good = seen == expected
        self.count += 1
        verdict = "as expected" if good else "UNEXPECTED"
        verdict += f"  {time.monotonic() - start:.1f} s"
        print(f"  {scenario.name:<62} {seen[0]:<38} {seen[1]:<38} {verdict}")
        if not good:
            self.failed.append(scenario.name)
            print(f"  {'  expected:':<62} {expected[0]:<38} {expected[1]:<38}")
        if scenario.remark:
            print(f"      {scenario.remark}")
        sys.stdout.flush()
