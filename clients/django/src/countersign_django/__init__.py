"""Believe the Countersign gateway, and nobody else, in Django, DRF and Channels.

The gateway decides who a request acts as and says so in a signed assertion. This package verifies
the assertion, sets `request.user`, `request.account` and `request.tenant` from it once, refuses
what did not come through the gateway, and tells the gateway whom the app really acted as.
"""

from __future__ import annotations

from .context import acted_as, current_principal
from .principal import Principal

__all__ = ["Principal", "acted_as", "current_principal"]
