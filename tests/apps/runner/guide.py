"""Executes the steps of docs/django.md, and compares what they print with what it says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .client import Door
from .processes import free_port, postgres_binaries
from .table import Scenario, Table

if TYPE_CHECKING:
    from .__main__ import World

GUIDE = Path(__file__).resolve().parent.parent.parent.parent / "docs" / "django.md"
STEP = re.compile(
    r"<!-- run: (?P<system>\w) -->\n```sh\n(?P<commands>.*?)```\n"
    r"(?:```text\n(?P<expected>.*?)```)?",
    re.DOTALL,
)
FILE = re.compile(r"<!-- file: (?P<system>\w) -->\n```yaml\n(?P<text>.*?)```", re.DOTALL)
MARK = "@@ next step @@"
PATIENCE = 120


@dataclass(frozen=True)
class Step:
    """One block of commands, and what is printed under it."""

    commands: str
    expected: str


def read(system: str) -> tuple[str, list[Step]]:
    """The configuration and the steps for one system."""
    text = GUIDE.read_text()
    files = [found["text"] for found in FILE.finditer(text) if found["system"] == system]
    steps = [
        Step(found["commands"], (found["expected"] or "").strip())
        for found in STEP.finditer(text)
        if found["system"] == system
    ]
    if len(files) != 1 or not steps:
        raise SystemExit(f"docs/django.md has no steps for {system}")
    return files[0], steps


def run(world: World, table: Table, system: str, app: Door) -> None:
    """One row for each step."""
    config, steps = read(system)
    port = free_port()

    def here(text: str) -> str:
        return text.replace("127.0.0.1:8080", f"127.0.0.1:{port}").replace(
            "127.0.0.1:8000", f"127.0.0.1:{app.port}"
        )

    folder = world.folder / f"guide-{system}"
    folder.mkdir()
    admin = f"admin: {{ address: 127.0.0.1:{free_port()} }}\n"
    (folder / "countersign.yaml").write_text(here(config) + admin)
    binaries = folder / "bin"
    binaries.mkdir()
    (binaries / "countersign").symlink_to(world.binary)
    # The gateway that the guide leaves running ends with the steps.
    script = "trap 'kill $(jobs -p); wait' EXIT\n"
    script += f"\necho; echo '{MARK}'\n".join(here(step.commands) for step in steps)
    path = os.pathsep.join([str(binaries), str(postgres_binaries()), os.environ["PATH"]])
    known = {
        **world.environment,
        "PATH": path,
        "DATABASE_URL": f"{world.database(f'system_{system}')}?sslmode=disable",
    }
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, **known},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        output = "the steps do not end"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    said = [part.strip() for part in output.split(MARK)]
    for number, step in enumerate(steps):
        seen = said[number] if number < len(said) else "never came to it"
        good = seen == step.expected
        if not good:
            print(f"--- docs/django.md\n{step.commands}--- expected\n{step.expected}")
            print(f"--- seen\n{seen}")
        title = f"   docs/django.md, {system}, step {number + 1} of {len(steps)}"
        verdict = "as the guide says" if good else "another output"
        row = Scenario(title, lambda _, verdict=verdict: verdict, *["as the guide says"] * 2)
        table.row(row, (app, app))
