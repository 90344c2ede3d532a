"""The scenarios of system A."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from system_a.seed import PASSWORD, USERS

from .client import Answer, Door, audit_lines
from .processes import wait_for
from .table import Scenario

IDS = {name: number for number, (name, _, _) in USERS.items()}
BAD = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VyX2lkIjoyfQ.AAAA"


@dataclass
class SystemA:
    """The running app, and the tokens of everyone from before anything changed."""

    app: Door
    gateway: Door
    audit: Path
    # Whether the gateway takes a session as a credential.
    sessions: bool
    tokens: dict[str, str] = field(default_factory=dict)
    # A session that is still good when the rows are through.
    cookie: str = ""

    def log_in(self) -> None:
        for name in IDS:
            self.tokens[name] = self.token(name)
        for name in ("dev", "admin", "demoted", "nowhere"):
            self.tokens[f"{name} in 12"] = self.token(name, account=12)

    def token(self, name: str, **more: int) -> str:
        known = {"email": f"{name}@example.com", "password": PASSWORD}
        return self.app.post("/auth/token/", {**known, **more}).json["access"]

    def session(self, name: str) -> str:
        """A session, made at the app; as a Cookie header."""
        known = {"email": f"{name}@example.com", "password": PASSWORD}
        answer = self.app.post("/auth/session/", known)
        return "; ".join(f"{name}={value}" for name, value in answer.cookies.items())

    def manage(self, name: str, **changes: object) -> None:
        """What an admin does, at the app."""
        path = f"/manage/{IDS[name]}/"
        token = self.tokens.setdefault("admin", self.token("admin"))
        assert self.app.post(path, changes, token=token).status == 200

    def me(self, name: str) -> str:
        return f"200 user {IDS[name]}"

    def audited(self, answer: Answer) -> dict[str, object]:
        """The gateway's audit line of a request, once it is written."""
        known = answer.headers["x-request-id"]
        found: list[dict[str, object]] = []

        def written() -> bool:
            found[:] = [line for line in audit_lines(self.audit) if line["request_id"] == known]
            return bool(found)

        wait_for("the audit", written)
        return found[0]


def scenarios(a: SystemA) -> Iterator[Scenario]:
    """Everything that works without sessions being credentials of the gateway."""

    def me(name: str, path: str = "/me/"):  # noqa: ANN202
        return lambda door: door.get(path, a.tokens[name]).say("user", "account")

    yield Scenario(
        "   matching account", me("match"), "200 user 2 account 7", "200 user 2 account 7"
    )
    yield Scenario(
        "A1 moved user, /me/",
        me("moved"),
        "200 user 3 account 7",
        "200 user 3 account 12",
        prepare=lambda: a.manage("moved", account=12),
    )

    def authorities(door: Door) -> str:
        views = {path: door.get(path, a.tokens["moved"]).json for path in ("/dashboard/", "/me/")}
        return ", ".join(f"{path} account {view['account']}" for path, view in views.items())

    yield Scenario(
        "A1 moved user, a view by the middleware and one by the JWT class",
        authorities,
        "/dashboard/ account 12, /me/ account 7",
        "/dashboard/ account 12, /me/ account 12",
    )

    def write(door: Door) -> str:
        answer = door.post("/records/", {"text": "mine"}, token=a.tokens["moved"])
        return answer.say("account")

    yield Scenario("A2 moved user writes", write, "200 account 7", "200 account 12")
    yield Scenario(
        "A2 moved user reads the new account",
        me("moved", "/accounts/12/records/"),
        "403",
        "200 user 3 account 12",
    )
    yield Scenario(
        "A2 moved user reads the old account",
        me("moved", "/accounts/7/records/"),
        "200 user 3 account 7",
        "403",
    )
    yield Scenario(
        "A2 user is moved between two requests",
        lambda door: _until(door, a, "nomad", "12") if door.is_gateway else me("nomad")(door),
        "200 user 12 account 7",
        "200 user 12 account 12",
        prepare=lambda: (a.gateway.get("/me/", a.tokens["nomad"]), a.manage("nomad", account=12)),
    )
    yield Scenario(
        "A3 no account in the token, none now", me("nobody"), "500", "403 account_missing"
    )
    yield Scenario(
        "A3 no account in the token, one by now",
        me("late"),
        "500",
        "200 user 5 account 12",
        prepare=lambda: a.manage("late", account=12),
    )
    yield Scenario(
        "A3 removed from every account",
        me("removed"),
        "200 user 4 account 7",
        "403 account_missing",
        prepare=lambda: a.manage("removed", account=None),
    )
    yield Scenario(
        "   suspended account", me("frozen"), "200 user 20 account 20", "403 account_inactive"
    )

    def bypass(name: str):  # noqa: ANN202
        def run(door: Door) -> str:
            answer = door.get("/records/", a.tokens[f"{name} in 12"])
            said = answer.say("user", "account")
            if door.is_gateway and a.audited(answer).get("bypass"):
                said += ", audited"
            return said

        return run

    for name in ("dev", "admin", "nowhere"):
        number = IDS[name]
        yield Scenario(
            f"A4 {name}, token of account 12 by role",
            bypass(name),
            f"200 user {number} account 12",
            f"200 user {number} account 12, audited",
        )
    yield Scenario(
        "A4 developer, token of account 12, later no developer",
        bypass("demoted"),
        "200 user 7 account 12",
        "200 user 7 account 7",
        prepare=lambda: a.manage("demoted", role="member"),
    )
    yield Scenario(
        "A4 developer, token of account 7, in account 12",
        me("dev", "/accounts/12/records/"),
        "403",
        "403",
        remark="the app's own refusal: its permission class knows no roles; a token of 12 it is",
    )
    yield Scenario(
        "A4 developer, token of account 12, in account 12",
        me("dev in 12", "/accounts/12/records/"),
        "200 user 6 account 12",
        "200 user 6 account 12",
    )
    ben = a.session("ben")
    yield Scenario(
        "A5 bad JWT beside a good session",
        lambda door: door.get("/me/", BAD, Cookie=ben).say("user"),
        "200 user 11",
        "401 signature_invalid",
    )
    yield Scenario(
        "A5 `bearer` in small letters beside another's session",
        lambda door: door.get("/me/", Cookie=ben, Authorization=f"bearer {a.tokens['match']}").say(
            "user"
        ),
        "200 user 11",
        "401 credential_conflict" if a.sessions else "200 user 2",
        remark="the app reads no small letters and takes the session; the gateway reads both",
    )
    basic = base64.b64encode(f"match@example.com:{PASSWORD}".encode()).decode()
    yield Scenario(
        "A5 Basic credentials",
        lambda door: door.get("/records/", Authorization=f"Basic {basic}").say(),
        "500",
        "401 credential_malformed",
    )
    yield Scenario(
        "A6 deactivated user",
        me("inactive"),
        "200 user 8 account 7",
        "403 user_inactive",
        prepare=lambda: a.manage("inactive", active=False),
    )
    yield Scenario(
        "A6 token after log-out",
        me("left"),
        "200 user 9 account 7",
        "401 token_revoked",
        prepare=lambda: a.app.post("/logout/", token=a.tokens["left"]),
    )
    yield Scenario(
        "A6 token after a change of password",
        me("changed"),
        "200 user 10 account 7",
        "401 token_revoked",
        prepare=lambda: a.app.post("/password/", {"password": "x"}, token=a.tokens["changed"]),
    )
    yield Scenario(
        "A7 the client learns that its token is stale",
        lambda door: door.get("/me/", a.tokens["moved"]).headers.get(
            "x-auth-token-stale", "not told"
        ),
        "not told",
        "account",
    )

    def refreshed(door: Door) -> str:
        token = door.post("/auth/refresh/", {"access": a.tokens["moved"]}).json["access"]
        if door.is_gateway:
            token = door.send("POST", "/.well-known/countersign/token", token=token).json[
                "access_token"
            ]
        # Shown to the app itself, which has to believe what the gateway made.
        return a.app.get("/me/", token).say("user", "account")

    yield Scenario(
        "A7 the client refreshes its token, then uses it at the app",
        refreshed,
        "200 user 3 account 7",
        "200 user 3 account 12",
    )
    forged = {"X_Auth_User_Id": "1", "X_Auth_Account_Id": "12", "Remote_User": "admin@example.com"}
    yield Scenario(
        "   headers of an identity, sent by a client",
        lambda door: door.get("/me/", a.tokens["match"], **forged).say("user", "account"),
        "200 user 2 account 7",
        "200 user 2 account 7",
    )


def session_scenarios(a: SystemA, engine: str = "") -> Iterator[Scenario]:
    """What needs the credential `django_session`: sessions in the table, or of this engine in
    Redis, each with people of its own."""
    where = f", {engine} in Redis" if engine else ""

    def person(name: str) -> str:
        return f"{name}-{engine}" if engine else name

    roles = ("steady", "shifter", "gone", "rekeyed")
    cookies = {name: a.session(person(name)) for name in roles}
    tokens = {name: a.token(name) for name in (person("steady"), person("rekeyed"), "late")}
    steady, shifter = IDS[person("steady")], IDS[person("shifter")]
    a.cookie = a.session(person("steady"))

    def me(name: str):  # noqa: ANN202
        return lambda door: door.get("/me/", Cookie=cookies[name]).say("user", "account")

    seen = f"200 user {steady} account 7"
    yield Scenario(f"   session{where}", me("steady"), seen, seen)

    def moved(door: Door) -> str:
        """Seen before, and moved then; the gateway's bound is two seconds without push."""
        if door.is_gateway:
            wait_for("the move", lambda: me("shifter")(door).endswith("account 12"))
        return me("shifter")(door)

    seen = f"200 user {shifter} account 12"
    yield Scenario(
        f"   session of a moved user{where}",
        moved,
        seen,
        seen,
        prepare=lambda: (
            me("shifter")(a.gateway),
            a.manage(person("shifter"), account=12),
        ),
    )
    yield Scenario(
        f"A5 session and JWT of one user{where}",
        lambda door: door.get("/me/", tokens[person("steady")], Cookie=cookies["steady"]).say(
            "user"
        ),
        *[f"200 user {steady}"] * 2,
    )
    yield Scenario(
        f"A5 session and JWT of two users{where}",
        lambda door: door.get("/dashboard/", tokens["late"], Cookie=cookies["steady"]).say(
            "user", "account"
        ),
        f"200 user {steady} account 12",
        "401 credential_conflict",
        remark="directly: one's id with the other's account",
    )

    def dead(name: str):  # noqa: ANN202
        """Until then the gateway lets it through to the app, if at all."""

        def run(door: Door) -> str:
            def said() -> Answer:
                return door.get("/me/", Cookie=cookies[name])

            if not door.is_gateway:
                return said().say()
            # Before that it may be refused as older than the log-out.
            wait_for("the end", lambda: said().say() == "401 session_invalid")
            answer = said()
            deleted = "sessionid=;" in answer.headers.get("set-cookie", "")
            return f"{answer.say()}{', cookie deleted' if deleted else ''}"

        return run

    yield Scenario(
        f"A6 session after log-out{where}",
        dead("gone"),
        "401",
        "401 session_invalid, cookie deleted",
        prepare=lambda: (
            me("gone")(a.gateway),
            a.app.post("/logout/", Cookie=cookies["gone"]),
        ),
    )
    yield Scenario(
        f"A6 session after a change of password{where}",
        dead("rekeyed"),
        "401",
        "401 session_invalid, cookie deleted",
        prepare=lambda: (
            me("rekeyed")(a.gateway),
            a.app.post("/password/", {"password": "x"}, token=tokens[person("rekeyed")]),
        ),
    )


def own_site_scenarios(a: SystemA) -> Iterator[Scenario]:
    """What a session may do depends on the page that it comes from."""
    ben = a.session("ben")

    def post(**headers: str):  # noqa: ANN202
        return lambda door: door.post("/records/", {"text": "x"}, Cookie=ben, **headers).say()

    yield Scenario(
        "A5 another site's form rides on the session",
        post(Origin="https://evil.example", Sec_Fetch_Site="cross-site"),
        "200",
        "403 origin_not_allowed",
    )
    yield Scenario(
        "A5 the own site's form without Django's token",
        post(Sec_Fetch_Site="same-origin"),
        "200",
        "403 csrf_failed",
        remark="the app gets a bearer token for the session, and would check nothing",
    )
    token = ben.partition("csrftoken=")[2].partition(";")[0]
    yield Scenario(
        "   the own site's form with Django's token",
        post(Sec_Fetch_Site="same-origin", X_CSRFToken=token),
        "200",
        "200",
    )


def without_redis(a: SystemA, engine: str) -> Scenario:
    """Asked with a session that nobody has asked with before."""
    number = IDS[f"steady-{engine}"]
    rows = engine == "cached_db"
    return Scenario(
        f"   session after Redis is gone, {engine}",
        lambda door: door.get("/me/", Cookie=a.cookie).say("user", "account"),
        "500" if rows else "401",
        f"200 user {number} account 7" if rows else "503 directory_unavailable",
        remark="the rows say as much as Redis did" if rows else "nobody is logged out by that",
    )


def _until(door: Door, a: SystemA, name: str, account: str) -> str:
    """Asks until the live account is there; the gateway's bound is two seconds without push."""

    def said() -> str:
        return door.get("/me/", a.tokens[name]).say("user", "account")

    wait_for(f"{name} in {account}", lambda: said().endswith(account))
    return said()
