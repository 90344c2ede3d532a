"""Records, who wrote them, and the audit of it."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Membership(models.Model):
    """The team that a user works in now; moving is a change of this row."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE)
    team = models.CharField(max_length=40, null=True)


class Record(models.Model):
    text = models.CharField(max_length=200)
    updated_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT)


class AuditEntry(models.Model):
    record = models.ForeignKey(Record, models.CASCADE)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT)
    text = models.CharField(max_length=200)
