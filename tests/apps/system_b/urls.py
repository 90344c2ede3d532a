"""The paths of system B."""

from __future__ import annotations

from django.urls import path
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from .work import views

urlpatterns = [
    path("health", views.health),
    path("api/token/", TokenObtainPairView.as_view()),
    path("api/token/refresh/", TokenRefreshView.as_view()),
    path("api/session/", views.Session.as_view()),
    path("me/", views.Me.as_view()),
    path("cached/me/", views.CachedMe.as_view()),
    path("records/<int:pk>/", views.Records.as_view()),
    path("shared/records/<int:pk>/", views.SharedRecords.as_view()),
    path("audit/", views.Audit.as_view()),
    path("async/me/", views.async_me),
]
