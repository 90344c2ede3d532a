"""For daphne, with the middleware of `countersign-django` in the place of Channels' own."""

from __future__ import annotations

from channels.routing import ProtocolTypeRouter, URLRouter
from countersign_django.channels import CountersignMiddleware
from django.urls import path

from .asgi import http
from .work.consumers import EditConsumer

sockets = CountersignMiddleware(URLRouter([path("ws/edit/", EditConsumer.as_asgi())]))
application = ProtocolTypeRouter({"http": http, "websocket": sockets})
