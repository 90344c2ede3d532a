"""Executes the steps of docs/django.md."""

from __future__ import annotations

from typing import Any

def run(world: Any, table: Any, system: str, app: Any) -> None:
    return
