"""From a principal to the app's user, in the tenant's own schema."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import connection

from .conf import Conf
from .principal import Principal
from .verify import NotFromGatewayError

if TYPE_CHECKING:  # not before the apps are ready: asgi.py imports this
    from django.contrib.auth.models import AbstractBaseUser


def load(principal: Principal, conf: Conf) -> AbstractBaseUser:
    """The active user that the principal is; nobody is created."""
    model: Any = get_user_model()
    with in_schema(principal.tenant):
        try:
            user: AbstractBaseUser = model._default_manager.get(**{conf.user_field: principal.user})
        except (ObjectDoesNotExist, ValueError, TypeError, ValidationError) as error:
            raise NotFromGatewayError("user_unknown") from error
    if not user.is_active:
        raise NotFromGatewayError("user_inactive")
    return user


def in_schema(tenant: str) -> AbstractContextManager[None]:
    """The tenant's schema where django-tenants is in use."""
    if not hasattr(connection, "set_schema"):
        return nullcontext()
    from django_tenants.utils import schema_context

    context: AbstractContextManager[None] = schema_context(tenant)
    return context
