"""The audit."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver

from .models import AuditEntry, Record


@receiver(post_save, sender=Record)
def write_audit(instance: Record, **_: Any) -> None:
    # BUG B7: whoever `updated_by` is, without a look at who acts.
    AuditEntry.objects.create(record=instance, user=instance.updated_by, text=instance.text)
