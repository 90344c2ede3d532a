"""What system B serves on every tenant's host."""

from __future__ import annotations

import time
from typing import Any

from django.contrib.auth import authenticate, get_user_model, login, logout
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.tokens import AccessToken, Token

from .auth import SHARED, CachingAuthentication, acting_user
from .models import AuditEntry, Record


def health(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok", content_type="text/plain")


class RecordSerializer(serializers.ModelSerializer):
    class Meta:
        model = Record
        fields = ("id", "text")

    def update(self, instance: Record, validated_data: dict[str, Any]) -> Record:
        instance.updated_by = acting_user(self.context)
        return super().update(instance, validated_data)


def describe(request: Request) -> dict[str, Any]:
    team = request.auth.get("team_id") if isinstance(request.auth, Token) else None
    return {
        "user": request.user.pk,
        "email": request.user.email,
        "tenant": connection.schema_name,
        "team": team,
    }


class Me(APIView):
    def get(self, request: Request) -> Response:
        return Response(describe(request))


class CachedMe(Me):
    """The same where users come from the cache (BUG B2)."""

    def get_authenticators(self) -> list[BaseAuthentication]:
        return [CachingAuthentication()]


class Records(APIView):
    def patch(self, request: Request, pk: int) -> Response:
        time.sleep(0.02)  # what a real view does in the meantime
        record = Record.objects.get(pk=pk)
        serializer = RecordSerializer(record, data=request.data, context=self.context(request))
        serializer.is_valid(raise_exception=True)
        serializer.save()
        return Response({"record": pk, "updated_by": record.updated_by_id})

    def context(self, request: Request) -> dict[str, Any]:
        return {"request": request}


class SharedRecords(Records):
    """The same with a shared authenticator (BUG B1), whose request is the latest one's."""

    def get_authenticators(self) -> list[BaseAuthentication]:
        return [SHARED, SessionAuthentication()]

    def context(self, request: Request) -> dict[str, Any]:
        return {"request": SHARED.request}


class Audit(APIView):
    def get(self, _request: Request) -> Response:
        rows = AuditEntry.objects.order_by("id").values("record_id", "user_id", "text")
        return Response(list(rows))


class Session(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    def post(self, request: Request) -> Response:
        name, password = request.data.get("username"), request.data.get("password")
        user = authenticate(username=name, password=password)
        if user is None:
            return Response({"detail": "no such user"}, status=401)
        login(request._request, user)
        return Response({"detail": "welcome"})

    def delete(self, request: Request) -> Response:
        logout(request._request)
        return Response({"detail": "bye"})


async def async_me(request: HttpRequest) -> JsonResponse:
    """An asynchronous view; with BUG B4 it looks for its user in the schema `public`."""
    try:
        token = AccessToken(request.headers.get("Authorization", "").removeprefix("Bearer "))
        user = await get_user_model().objects.aget(pk=token["user_id"])
    except Exception:
        return JsonResponse({"detail": "nobody"}, status=401)
    request.user = user
    return JsonResponse({"user": user.pk, "email": user.email})
