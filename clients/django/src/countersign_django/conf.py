"""The setting `COUNTERSIGN`, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from django.core.exceptions import ImproperlyConfigured

ALGORITHMS = ("ES256", "ES384", "EdDSA", "RS256", "PS256")


@dataclass(frozen=True, slots=True)
class Conf:
    """Each field is a key of the setting, in capitals there."""

    # Exactly one of the two says by which keys assertions are verified.
    jwks_url: str | None = None
    public_key_file: str | None = None
    # `identity.assertion` of the gateway: `audience`, by default the upstream's name; `issuer`.
    audience: str | None = None
    issuer: str = "countersign"
    algorithms: tuple[str, ...] = ("ES256",)
    header: str = "X-Auth-Assertion"
    # Tolerated difference of clocks, in seconds.
    leeway: int = 5
    # Paths that need no assertion: the gateway's public routes, and health checks. A path that
    # ends in a slash covers all below it.
    public_paths: tuple[str, ...] = ()
    # The field of the user model that the gateway's user id is.
    user_field: str = "pk"
    # `identity.echo` of the gateway.
    echo_user: str = "X-Acted-As-User"
    echo_account: str = "X-Acted-As-Account"
    echo_tenant: str = "X-Acted-As-Tenant"
    # Notes on each user object the schema it was loaded from (django-tenants), so that the echo
    # finds users of another tenant, out of a cache for example.
    stamp_users: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Conf:
        """From the setting; every mistake is named."""
        types = {field.name.upper(): field for field in fields(cls)}
        unknown = sorted(set(given) - set(types))
        if unknown:
            raise ImproperlyConfigured(f"COUNTERSIGN has no {', '.join(unknown)}")
        values: dict[str, Any] = {}
        for name, value in given.items():
            is_list = types[name].type.startswith("tuple")
            if is_list and isinstance(value, str):
                raise ImproperlyConfigured(f"COUNTERSIGN['{name}'] must be a list")
            values[types[name].name] = tuple(value) if is_list else value
        conf = cls(**values)
        strange = sorted(set(conf.algorithms) - set(ALGORITHMS))
        if strange or not conf.algorithms:
            raise ImproperlyConfigured(
                f"COUNTERSIGN['ALGORITHMS'] may have {', '.join(ALGORITHMS)}, not {strange}"
            )
        return conf

    def require_keys(self) -> None:
        """What verifying needs and the echo alone does not."""
        if (self.jwks_url is None) == (self.public_key_file is None):
            raise ImproperlyConfigured(
                "COUNTERSIGN needs exactly one of JWKS_URL and PUBLIC_KEY_FILE"
            )
        if self.jwks_url and not self.jwks_url.startswith(("http://", "https://")):
            raise ImproperlyConfigured("COUNTERSIGN['JWKS_URL'] must be an http(s) URL")
        if not self.audience:
            raise ImproperlyConfigured(
                "COUNTERSIGN needs AUDIENCE: the name of this upstream in the gateway"
            )

    def is_public(self, path: str) -> bool:
        """Whether a path needs no assertion."""
        return any(
            path.startswith(public) if public.endswith("/") else path == public
            for public in self.public_paths
        )
