"""The Django app. It owns the verifier, so that there is one per process and none per module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.db import connection

from .conf import Conf
from .context import STAMP
from .verify import Verifier


class CountersignConfig(AppConfig):
    """Holds what is built from the setting `COUNTERSIGN`."""

    name = "countersign_django"
    label = "countersign_django"
    verbose_name = "Countersign"
    default = True

    _built: tuple[Mapping[str, Any], Conf, Verifier | None] | None = None

    def ready(self) -> None:
        """Stamps users with their schema, if asked to."""
        if not self.conf.stamp_users:
            return
        from django.contrib.auth import get_user_model
        from django.db.models.signals import post_init

        post_init.connect(_stamp, sender=get_user_model(), dispatch_uid="countersign_stamp")

    @property
    def conf(self) -> Conf:
        """The checked setting; read again when it is another object, as in tests."""
        given: Mapping[str, Any] = getattr(settings, "COUNTERSIGN", {})
        if self._built is None or self._built[0] is not given:
            self._built = (given, Conf.of(given), None)
        return self._built[1]

    @property
    def verifier(self) -> Verifier:
        """The verifier of that setting; made when it is first needed."""
        conf = self.conf
        built = self._built
        if built is not None and built[1] is conf and built[2] is not None:
            return built[2]
        verifier = Verifier(conf)
        self._built = (getattr(settings, "COUNTERSIGN", {}), conf, verifier)
        return verifier


def installed() -> CountersignConfig:
    """The app's configuration, wherever it is needed."""
    config = apps.get_app_config("countersign_django")
    assert isinstance(config, CountersignConfig)
    return config


def _stamp(instance: Any, **_: Any) -> None:
    # The first load decides; a copy out of a cache brings its own stamp along.
    instance.__dict__.setdefault(STAMP, getattr(connection, "schema_name", None))
