"""Connects the signals."""

from __future__ import annotations

from django.apps import AppConfig


class WorkConfig(AppConfig):
    name = "system_b.work"
    label = "work"

    def ready(self) -> None:
        from . import signals  # noqa: F401
