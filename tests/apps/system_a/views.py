"""What system A serves."""

from __future__ import annotations

from django.contrib.auth import authenticate, login, logout
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from . import tokens
from .auth import OfOwnAccount
from .models import Record, User


def health(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok", content_type="text/plain")


def _known(request: Request) -> User | None:
    return authenticate(username=request.data.get("email"), password=request.data.get("password"))


@api_view(["POST"])
@authentication_classes([])
@permission_classes([AllowAny])
def token(request: Request) -> Response:
    """Tokens. Developers and admins may ask for one of another account than their own."""
    user = _known(request)
    if user is None:
        return Response({"detail": "no such user"}, status=401)
    claims = {}
    if "account" in request.data and user.role in ("developer", "admin"):
        claims["account_id"] = request.data["account"]
    return Response({"access": tokens.mint(user, **claims)})


@api_view(["POST"])
@authentication_classes([])
@permission_classes([AllowAny])
def refresh(request: Request) -> Response:
    """BUG A7: copies the old claims, so that a stale client stays stale for ever."""
    claims = tokens.read(f"Bearer {request.data.get('access')}")
    if claims is None:
        return Response({"detail": "bad token"}, status=401)
    user = User.objects.get(pk=claims["user_id"])
    return Response({"access": tokens.mint(user, account_id=claims["account_id"])})


@api_view(["POST"])
@authentication_classes([])
@permission_classes([AllowAny])
def session(request: Request) -> Response:
    user = _known(request)
    if user is None:
        return Response({"detail": "no such user"}, status=401)
    login(request._request, user)
    return Response({"detail": "welcome"})


@csrf_exempt
@api_view(["POST"])
def leave(request: Request) -> Response:
    """Logs out of everything; BUG A6: the tokens that are about work on."""
    User.objects.filter(pk=request.user.pk).update(tokens_valid_after=timezone.now())
    logout(request._request)
    return Response({"detail": "bye"})


@api_view(["POST"])
def password(request: Request) -> Response:
    request.user.set_password(request.data["password"])
    request.user.tokens_valid_after = timezone.now()
    request.user.save()
    return Response({"detail": "changed"})


@api_view(["GET"])
def me(request: Request) -> Response:
    """BUG A3, A6: an AttributeError, thus a 500, for whoever has no account."""
    account = request._request.account
    return Response(
        {
            "user": request.user.pk,
            "account": account.pk,
            "plan": account.plan.slug,
            "owner": account.owner_id == request.user.pk,
        }
    )


def dashboard(request: HttpRequest) -> JsonResponse:
    """A view without DRF: it sees what the middlewares say."""
    account = request.account
    return JsonResponse({"user": request.user.pk, "account": account and account.pk})


@api_view(["GET", "POST"])
@permission_classes([IsAuthenticated])
def records(request: Request) -> Response:
    """The records of the request's account."""
    account = request._request.account
    if request.method == "POST":
        Record.objects.create(account=account, text=request.data["text"], updated_by=request.user)
    texts = Record.objects.filter(account=account).values_list("text", flat=True)
    return Response({"user": request.user.pk, "account": account.pk, "records": list(texts)})


@api_view(["GET"])
@permission_classes([IsAuthenticated, OfOwnAccount])
def account_records(request: Request, account: int) -> Response:
    """The records of the account in the path."""
    texts = Record.objects.filter(account_id=account).values_list("text", flat=True)
    return Response({"user": request.user.pk, "account": account, "records": list(texts)})


@api_view(["POST"])
def manage(request: Request, user: int) -> Response:
    """Moves, deactivates or promotes a user; for admins."""
    if request.user.role != "admin":
        return Response({"detail": "for admins"}, status=403)
    fields = {"account": "tenant_id", "active": "is_active", "role": "role"}
    changes = {fields[name]: value for name, value in request.data.items()}
    User.objects.filter(pk=user).update(**changes)
    return Response({"detail": "done"})
