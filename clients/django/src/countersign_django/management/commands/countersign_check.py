"""`manage.py countersign_check`: whether the app believes the gateway and nobody else."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from countersign_django.apps import installed
from countersign_django.keys import KeysUnavailableError
from countersign_django.verify import NotFromGatewayError

IDENTITY = "countersign_django.middleware.IdentityMiddleware"
ECHO = "countersign_django.middleware.EchoMiddleware"
AUTHENTICATION = "countersign_django.rest_framework.CountersignAuthentication"
DJANGO = "django.contrib.auth.middleware.AuthenticationMiddleware"
# Each identifies people by something that the gateway has not vouched for.
RIVALS = (
    "django.contrib.auth.middleware.RemoteUserMiddleware",
    "django.contrib.auth.middleware.PersistentRemoteUserMiddleware",
)


class Command(BaseCommand):
    """Prints what is right and what is not; fails if anything is not."""

    help = "Checks the set-up behind Countersign: settings, order of middlewares, keys."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """An assertion to try."""
        parser.add_argument("--assertion", help="an assertion, to see what it says")

    def handle(self, *_: Any, **options: Any) -> None:
        """Checks everything, then says all."""
        wrong = 0
        for good, text in self.findings(options["assertion"]):
            self.stdout.write(f"{'ok   ' if good else 'WRONG'} {text}")
            wrong += not good
        if wrong:
            raise CommandError(f"{wrong} to repair")

    def findings(self, assertion: str | None) -> Iterator[tuple[bool, str]]:
        """Each thing looked at."""
        try:
            conf = installed().conf
        except ImproperlyConfigured as error:
            yield False, str(error)
            return
        order = list(settings.MIDDLEWARE)
        trusts = IDENTITY in order
        if not trusts and ECHO not in order:
            yield False, f"MIDDLEWARE has neither {IDENTITY} nor {ECHO}"
        for rival in RIVALS:
            if rival in order:
                yield False, f"MIDDLEWARE has {rival}: any client may say who it is"
        if not trusts:
            yield True, "echo alone: the app authenticates by itself"
            return
        yield from self.order(order)
        yield from self.rest_framework()
        try:
            verifier = installed().verifier
            # A key id that nobody has, so that the keys are really asked for.
            verifier.keys.find("countersign_check")
            yield True, f"keys from {conf.jwks_url or conf.public_key_file}"
        except (ImproperlyConfigured, KeysUnavailableError) as error:
            yield False, str(error)
            return
        if assertion is not None:
            try:
                yield True, f"assertion of {verifier.verify(assertion)}"
            except NotFromGatewayError as error:
                yield False, f"assertion: {error.code}"

    def order(self, order: list[str]) -> Iterator[tuple[bool, str]]:
        """What must stand before the middleware."""
        before = [name for name in order if name == DJANGO or "tenant" in name.lower()]
        for name in before:
            good = order.index(name) < order.index(IDENTITY)
            yield good, f"{IDENTITY} after {name}"

    def rest_framework(self) -> Iterator[tuple[bool, str]]:
        """Whether DRF asks anyone else."""
        given = getattr(settings, "REST_FRAMEWORK", None)
        if given is None:
            return
        classes = list(given.get("DEFAULT_AUTHENTICATION_CLASSES", ["DRF's own defaults"]))
        good = classes == [AUTHENTICATION]
        yield good, f"DRF authenticates by {', '.join(map(str, classes))}"
