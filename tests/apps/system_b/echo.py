"""Tells `countersign-django` in whose name a record is written; the guide adds it to the app."""

from __future__ import annotations

from typing import Any

from countersign_django import acted_as
from django.apps import AppConfig
from django.db.models.signals import post_save


def tell(instance: Any, **_: Any) -> None:
    acted_as(user=instance.updated_by)


class EchoConfig(AppConfig):
    name = "system_b.echo"
    label = "echo"

    def ready(self) -> None:
        from .work.models import Record

        post_save.connect(tell, sender=Record, dispatch_uid="echo")
