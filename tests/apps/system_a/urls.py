"""The paths of system A."""

from __future__ import annotations

from django.urls import path

from . import views

urlpatterns = [
    path("health", views.health),
    path("auth/token/", views.token),
    path("auth/refresh/", views.refresh),
    path("auth/session/", views.session),
    path("logout/", views.leave),
    path("password/", views.password),
    path("me/", views.me),
    path("dashboard/", views.dashboard),
    path("records/", views.records),
    path("accounts/<int:account>/records/", views.account_records),
    path("manage/<int:user>/", views.manage),
]
