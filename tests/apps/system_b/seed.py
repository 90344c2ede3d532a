"""Fills an empty database: `python -m system_b.seed`."""

from __future__ import annotations

import os

import django

TENANTS = ("acme", "globex", "initech")
USERS = 210
# Ids repeat in every tenant, and in `public`. These have a password and do more than edit.
PASSWORD = "correct horse"
NAMED = 12


def seed() -> None:
    from django.contrib.auth import get_user_model
    from django.contrib.auth.hashers import make_password
    from django.db import connection
    from django_tenants.utils import schema_context

    from .tenants.models import Domain, Tenant
    from .work.models import Membership, Record

    model = get_user_model()
    password = make_password(PASSWORD)

    def users(schema: str) -> None:
        model.objects.bulk_create(
            model(
                pk=pk,
                username=f"user{pk}",
                email=f"user{pk}@{schema}",
                password=password if pk <= NAMED else "!",
            )
            for pk in range(1, USERS + 1)
        )

    users("public")
    for name in TENANTS:
        tenant = Tenant(schema_name=name, name=name)
        tenant.save(verbosity=0)
        Domain.objects.create(domain=f"{name}.test", tenant=tenant, is_primary=True)
        with schema_context(name):
            users(name)
            everyone = range(1, USERS + 1)
            Membership.objects.bulk_create(Membership(user_id=pk, team="red") for pk in everyone)
            Record.objects.bulk_create(
                Record(pk=pk, text="new", updated_by_id=pk) for pk in everyone
            )
    connection.close()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "system_b.settings")
    django.setup()
    from django.core.management import call_command

    call_command("migrate_schemas", schema_name="public", verbosity=0)
    seed()
