"""For daphne."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "system_b.settings")
http = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402

from .work.consumers import EditConsumer  # noqa: E402

sockets = AuthMiddlewareStack(URLRouter([path("ws/edit/", EditConsumer.as_asgi())]))
application = ProtocolTypeRouter({"http": http, "websocket": sockets})
