"""Views of the tests."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from countersign_django import acted_as, current_principal


def describe(request: HttpRequest) -> dict[str, object]:
    principal = current_principal()
    return {
        "user": request.user.pk,
        "account": request.account,
        "tenant": request.tenant,
        "principal": principal and principal.user,
    }


def view(request: HttpRequest) -> JsonResponse:
    return JsonResponse(describe(request))


async def async_view(request: HttpRequest) -> JsonResponse:
    user = await request.auser()
    known = await sync_to_async(describe)(request)
    return JsonResponse({**known, "auser": user.pk})


@api_view(["GET"])
def drf(request: Request) -> Response:
    return Response({"user": request.user.pk, "roles": list(request.auth.roles)})


def other(_request: HttpRequest) -> HttpResponse:
    """Works in the name of somebody else."""
    fits = acted_as(user=get_user_model().objects.get(username="ben"))
    return HttpResponse(str(fits))


async def async_other(_request: HttpRequest) -> HttpResponse:
    ben = await get_user_model().objects.aget(username="ben")
    await sync_to_async(acted_as)(user=ben)
    return HttpResponse()


def health(request: HttpRequest) -> HttpResponse:
    return HttpResponse("anonymous" if request.user.is_anonymous else "somebody")


urlpatterns = [
    path("view/", view),
    path("async/", async_view),
    path("drf/", drf),
    path("other/", other),
    path("async-other/", async_other),
    path("health", health),
]
