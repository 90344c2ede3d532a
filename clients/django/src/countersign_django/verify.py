"""From a header to a principal, or to the reason why there is none."""

from __future__ import annotations

import jwt

from .conf import Conf
from .keys import FileKey, JwksKeys, Keys, KeysUnavailableError
from .principal import Principal

ASSERTION_TYPE = "countersign+jwt"
REQUIRED = ["iss", "aud", "sub", "iat", "exp", "jti", "tenant"]


class NotFromGatewayError(Exception):
    """The request did not come through the gateway, or not to this app. `code` says why."""

    def __init__(self, code: str, status: int = 403) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


class Verifier:
    """Verifies assertions by the gateway's keys."""

    def __init__(self, conf: Conf) -> None:
        conf.require_keys()
        self.conf = conf
        self.keys: Keys = (
            FileKey(conf.public_key_file) if conf.public_key_file else JwksKeys(str(conf.jwks_url))
        )

    def verify(self, token: str | None) -> Principal:
        """The principal of an assertion; two of them, joined by a comma, are none."""
        if not token:
            raise NotFromGatewayError("assertion_missing")
        try:
            head = jwt.get_unverified_header(token)
            if head.get("typ") != ASSERTION_TYPE:
                raise NotFromGatewayError("assertion_type")
            key = self.keys.find(head.get("kid"))
            if key is None:
                raise NotFromGatewayError("assertion_key_unknown")
            claims = jwt.decode(
                token,
                key,
                algorithms=list(self.conf.algorithms),
                audience=self.conf.audience,
                issuer=self.conf.issuer,
                leeway=self.conf.leeway,
                options={"require": REQUIRED},
            )
            return Principal.of(claims)
        except KeysUnavailableError as error:
            raise NotFromGatewayError("keys_unavailable", 503) from error
        except jwt.ExpiredSignatureError as error:
            raise NotFromGatewayError("assertion_expired") from error
        except jwt.InvalidAudienceError as error:
            raise NotFromGatewayError("assertion_audience") from error
        # TypeError: a key of another family than the algorithm's.
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise NotFromGatewayError("assertion_invalid") from error
