"""Fills an empty database: `python -m system_a.seed`."""

from __future__ import annotations

import os

import django

PASSWORD = "correct horse"
# id: (name, role, account)
USERS = {
    1: ("admin", "admin", 7),
    2: ("match", "member", 7),
    3: ("moved", "member", 7),
    4: ("removed", "member", 7),
    5: ("late", "member", None),
    6: ("dev", "developer", 7),
    7: ("demoted", "developer", 7),
    8: ("inactive", "member", 7),
    9: ("left", "member", 7),
    10: ("changed", "member", 7),
    11: ("ben", "member", 12),
    12: ("nomad", "member", 7),
    13: ("nowhere", "developer", None),
    14: ("steady", "member", 7),
    15: ("shifter", "member", 7),
    16: ("gone", "member", 7),
    17: ("rekeyed", "member", 7),
    18: ("guide", "member", 7),
    19: ("nobody", "member", None),
    20: ("frozen", "member", 20),
}
# Those whose sessions are in Redis, for each engine that keeps some there.
IN_REDIS = ("steady", "shifter", "gone", "rekeyed")
for engine in ("cached_db", "cache"):
    for name in IN_REDIS:
        USERS[len(USERS) + 1] = (f"{name}-{engine}", "member", 7)


def seed() -> None:
    from django.db import connection

    from .models import Account, Plan, Record, User

    plans = {slug: Plan.objects.create(slug=slug) for slug in ("free", "pro")}
    for number, plan in ((7, "free"), (12, "pro"), (20, "free")):
        Account.objects.create(pk=number, name=f"account {number}", plan=plans[plan])
    for number, (name, role, account) in USERS.items():
        user = User(pk=number, email=f"{name}@example.com", role=role, tenant_id=account)
        user.set_password(PASSWORD)
        user.save()
    Account.objects.filter(pk=7).update(owner_id=2)
    Account.objects.filter(pk=20).update(status="suspended")
    for account in (7, 12):
        Record.objects.create(account_id=account, text=f"of {account}", updated_by_id=1)
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval('users_id_seq', 1000)")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "system_a.settings")
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    seed()
