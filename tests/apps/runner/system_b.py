"""The scenarios of system B."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psycopg

from system_b.seed import NAMED, PASSWORD, TENANTS, USERS

from .client import Door, audit_lines, end_of
from .processes import wait_for
from .system_a import BAD
from .table import Scenario

# How many clients send at the same time. Daphne's queue of new connections has 50 places.
AT_ONCE = 200
AT_ONCE_DAPHNE = 40


@dataclass
class SystemB:
    """The running apps: as they are, with the echo, and with the package."""

    daphne: tuple[Door, Door]
    gunicorn: tuple[Door, Door]
    echo: tuple[Door, Door]
    package: tuple[Door, Door]
    database: str
    package_log: Path
    echo_audit: Path
    tokens: dict[str, str] = field(default_factory=dict)
    refresh: dict[str, str] = field(default_factory=dict)

    def log_in(self) -> None:
        """Real tokens of SimpleJWT for some; for the crowd they are minted just like them."""
        for tenant in TENANTS:
            for number in range(1, NAMED + 1):
                known = {"username": f"user{number}", "password": PASSWORD}
                answer = self.daphne[0].post("/api/token/", known, host=f"{tenant}.test").json
                self.tokens[f"{number}@{tenant}"] = answer["access"]
                self.refresh[f"{number}@{tenant}"] = answer["refresh"]

    def crowd(self, secret: str) -> None:
        import time
        import uuid

        import jwt

        now = int(time.time())
        for tenant in TENANTS:
            for number in range(NAMED + 1, USERS + 1):
                claims = {
                    "token_type": "access",
                    "exp": now + 3600,
                    "iat": now,
                    "jti": uuid.uuid4().hex,
                    "user_id": str(number),
                    "tenant_schema": tenant,
                    "team_id": "red",
                }
                self.tokens[f"{number}@{tenant}"] = jwt.encode(claims, secret, algorithm="HS256")

    def acted_as(self) -> list[dict[str, Any]]:
        """The lines of the gateway's audit that name two people."""
        lines = audit_lines(self.echo_audit)
        return [line for line in lines if "acted_as" in line and "user" in line]

    def sql(self, tenant: str, statement: str) -> list[tuple[object, ...]]:
        """Runs SQL in a tenant's schema."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute(f"SET search_path = {tenant}")
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


def scenarios(b: SystemB) -> Iterator[Scenario]:
    """Everything that works without sessions being credentials of the gateway."""

    def me(who: str, host: str | None = None, path: str = "/me/"):  # noqa: ANN202
        where = f"{host or who.partition('@')[2]}.test"
        return lambda door: door.get(path, b.tokens[who], host=where).say("email")

    for name, doors in (("daphne", b.daphne), ("gunicorn", b.gunicorn)):
        yield Scenario(
            f"   matching tenant, {name}",
            me("5@acme"),
            "200 email user5@acme",
            "200 email user5@acme",
            doors=doors,
        )
        yield Scenario(
            f"   same id in two tenants, {name}",
            lambda door: " and ".join(me(f"5@{t}")(door)[10:] for t in ("acme", "globex")),
            "user5@acme and user5@globex",
            "user5@acme and user5@globex",
            doors=doors,
        )
        yield Scenario(
            f"B5 token of acme on globex, {name}",
            me("5@acme", "globex"),
            "200 email user5@globex",
            "403 tenant_mismatch",
            doors=doors,
        )
    yield from _wrong_credentials(b, me)
    yield from _teams(b)
    yield from _sockets(b)
    yield from _echoes(b, me)
    yield from _crowds(b)
    yield _old_token(b)
    yield from _package(b, me)


def _wrong_credentials(b: SystemB, me: Callable[..., Callable[[Door], str]]) -> Iterator[Scenario]:
    known = {"username": "user6", "password": PASSWORD}
    answer = b.daphne[0].post("/api/session/", known, host="acme.test")
    session = f"sessionid={answer.cookies['sessionid']}"
    yield Scenario(
        "B1 B3 bad JWT beside another's session",
        lambda door: door.get("/me/", BAD, host="acme.test", Cookie=session).say("email"),
        "200 email user6@acme",
        "401 signature_invalid",
    )
    yield Scenario(
        "   refresh token as an access token",
        lambda door: door.get("/me/", b.refresh["5@acme"], host="acme.test").say(),
        "401",
        "401 claim_missing",
    )
    yield Scenario(
        "B5 deactivated user, in the app's cache",
        me("8@acme", path="/cached/me/"),
        "200 email user8@acme",
        "403 user_inactive",
        prepare=lambda: (
            me("8@acme", path="/cached/me/")(b.daphne[0]),
            b.sql("acme", "UPDATE auth_user SET is_active = false WHERE id = 8"),
        ),
    )


def _teams(b: SystemB) -> Iterator[Scenario]:
    def team(door: Door, token: str) -> str:
        return door.get("/me/", token, host="acme.test").say("team")

    yield Scenario(
        "A1 user moved to another team",
        lambda door: team(door, b.tokens["7@acme"]),
        "200 team red",
        "200 team blue",
        prepare=lambda: b.sql("acme", "UPDATE work_membership SET team = 'blue' WHERE user_id = 7"),
    )

    def refreshed(door: Door) -> str:
        asked = {"refresh": b.refresh["7@acme"]}
        token = door.post("/api/token/refresh/", asked, host="acme.test").json["access"]
        if door.is_gateway:
            path = "/.well-known/countersign/token"
            token = door.send("POST", path, token=token, host="acme.test").json["access_token"]
        return team(b.daphne[0], token)  # the app itself has to believe it

    yield Scenario(
        "A7 moved user refreshes with SimpleJWT, then asks the app",
        refreshed,
        "200 team red",
        "200 team blue",
    )


def _handshake(token: str, place: str) -> dict[str, object]:
    """How a client carries a token to a WebSocket."""
    if place == "query":
        return {"path": f"/ws/edit/?token={token}"}
    if place == "subprotocol":
        return {"path": "/ws/edit/", "subprotocols": ["app", f"bearer.{token}"]}
    return {"path": "/ws/edit/", "additional_headers": {"Cookie": f"access_token={token}"}}


def _sockets(b: SystemB) -> Iterator[Scenario]:
    def ws(who: str, host: str, place: str) -> Callable[[Door], str]:
        def run(door: Door) -> str:
            more = _handshake(b.tokens[who], place)
            # Browsers always send it.
            return door.handshake(f"{host}.test", origin=f"http://{host}.test", **more)

        return run

    for place in ("query", "subprotocol", "cookie"):
        yield Scenario(
            f"   WebSocket, own tenant, {place}", ws("5@acme", "acme", place), *["user5@acme"] * 2
        )
        yield Scenario(
            f"B6 WebSocket, token of acme on globex, {place}",
            ws("5@acme", "globex", place),
            "user5@globex",
            "403 tenant_mismatch",
        )
    yield Scenario(
        "   WebSocket without a token",
        lambda door: door.handshake("acme.test", "/ws/edit/", origin="http://acme.test"),
        "403",
        "401 credential_missing",
    )
    yield Scenario(
        "   WebSocket from another site's page, cookie",
        lambda door: door.handshake(
            "acme.test", origin="https://evil.example", **_handshake(b.tokens["5@acme"], "cookie")
        ),
        "user5@acme",
        "403 origin_not_allowed",
    )

    def held(who: str, change: str) -> Callable[[Door], str]:
        number, _, tenant = who.partition("@")

        def run(door: Door) -> str:
            b.sql(tenant, f"UPDATE work_membership SET team = 'red' WHERE user_id = {number}")
            b.sql(tenant, f"UPDATE auth_user SET is_active = true WHERE id = {number}")
            if door.is_gateway:  # until it has seen that too
                _settled(door, b.tokens[who], tenant)
            more = _handshake(b.tokens[who], "query")
            with door.socket(f"{tenant}.test", **more) as opened:
                opened.recv(30)
                b.sql(tenant, change)
                if door.is_gateway:
                    return end_of(opened)
                opened.send(json.dumps({"type": "edit", "record": int(number), "text": "late"}))
                answer = json.loads(opened.recv(30))
                return f"writes as {answer['updated_by']}"

        return run

    yield Scenario(
        "B8 user moved while a WebSocket is open",
        held("9@acme", "UPDATE work_membership SET team = 'blue' WHERE user_id = 9"),
        "writes as 9",
        "closed 4403",
    )
    yield Scenario(
        "B8 user deactivated while a WebSocket is open",
        held("10@acme", "UPDATE auth_user SET is_active = false WHERE id = 10"),
        "writes as 10",
        "closed 4403",
    )

    def in_band(door: Door) -> str:
        more = _handshake(b.tokens["5@acme"], "query")
        with door.socket("acme.test", **more) as opened:
            opened.recv(30)
            other = {"type": "authenticate", "token": b.tokens["6@acme"]}
            opened.send(json.dumps(other))
            opened.recv(30)
            opened.send(json.dumps({"type": "edit", "record": 5, "text": "in band"}))
            return f"writes as {json.loads(opened.recv(30))['updated_by']}"

    yield Scenario(
        "B6 another identity by a message, the app as it is",
        in_band,
        "writes as 6",
        "writes as 6",
        remark="not to be seen from outside; bounded by the life of the first identity",
    )

    def in_band_logged(door: Door) -> str:
        if not door.is_gateway:
            return door.handshake("acme.test", **_handshake(b.tokens["5@acme"], "query"))
        said = in_band(door)
        logged = "acted as somebody else" in b.package_log.read_text()
        return f"{said}, {'logged' if logged else 'not noticed'}"

    yield Scenario(
        "B6 B7 the same with countersign-django",
        in_band_logged,
        "403",
        "writes as 6, logged",
        doors=b.package,
    )


def _settled(door: Door, token: str, tenant: str) -> None:
    def red() -> bool:
        answer = door.get("/me/", token, host=f"{tenant}.test")
        return answer.status == 200 and answer.json["team"] == "red"

    wait_for("the gateway sees the user as before", red)


def _echoes(b: SystemB, me: Callable[..., Callable[[Door], str]]) -> Iterator[Scenario]:
    cached = me("3@globex", path="/cached/me/")
    for name, doors, seen in (
        ("the app as it is", b.gunicorn, "200 email user3@acme"),
        ("with the echo", b.echo, "502 echo_mismatch"),
    ):
        warm = lambda doors=doors: me("3@acme", path="/cached/me/")(doors[0])  # noqa: E731
        yield Scenario(
            f"B2 user 3 of globex after user 3 of acme, {name}",
            cached,
            "200 email user3@acme",
            seen,
            prepare=warm,
            doors=doors,
            remark="" if "echo" in name else "inside the app's cache: not to be seen from outside",
        )
    for name, doors, direct, seen in (
        ("the app as it is", b.daphne, "200 email user5@public", "200 email user5@public"),
        ("with the package", b.package, "403 assertion_missing", "502 echo_mismatch"),
    ):
        yield Scenario(
            f"B4 asynchronous view without a tenant, {name}",
            me("5@acme", path="/async/me/"),
            direct,
            seen,
            doors=doors,
        )


@dataclass
class Count:
    """What came of many edits."""

    edits: int = 0
    refused: int = 0
    wrong: int = 0
    withheld: int = 0
    unnoticed: int = 0


def _edit_all(
    b: SystemB, door: Door, path: str, people: list[tuple[str, int]], at_once: int = AT_ONCE
) -> Count:
    """Everyone edits the own record at once; then the audit is read."""
    for tenant in TENANTS:
        b.sql(tenant, "TRUNCATE work_auditentry")

    def edit(who: tuple[str, int]) -> int:
        tenant, number = who
        text = {"text": f"by {number}"}
        token = b.tokens[f"{number}@{tenant}"]
        target = f"{path}{number}/"
        return door.send("PATCH", target, token=token, host=f"{tenant}.test", body=text).status

    with ThreadPoolExecutor(at_once) as pool:
        statuses = dict(zip(people, pool.map(edit, people), strict=True))
    count = Count(edits=len(people))
    rows = {
        (tenant, record): (user, text)
        for tenant in TENANTS
        for record, user, text in b.sql(
            tenant, "SELECT record_id, user_id, text FROM work_auditentry"
        )
    }
    for (tenant, number), status in statuses.items():
        user, _ = rows.get((tenant, number), (None, None))
        wrong, withheld = user not in (None, number), status == 502
        count.refused += status not in (200, 502)
        count.wrong += wrong
        count.withheld += wrong and withheld
        count.unnoticed += wrong and not withheld
    return count


def _crowds(b: SystemB) -> Iterator[Scenario]:
    everyone = [("acme", n) for n in range(NAMED + 1, 113)]
    everyone += [("globex", n) for n in range(113, USERS + 1)]
    shares: list[str] = []

    def stock(at_once: int) -> Callable[[Door], str]:
        return lambda door: _sum(_edit_all(b, door, "/records/", _all_of("initech"), at_once))

    for name, doors, at_once in (
        ("daphne", b.daphne, AT_ONCE_DAPHNE),
        ("gunicorn", b.gunicorn, AT_ONCE),
    ):
        yield Scenario(
            f"B1 B8 200 users edit at once, {name}",
            stock(at_once),
            "200 edits, 0 wrong or refused",
            "200 edits, 0 wrong or refused",
            doors=doors,
        )

    def shared(door: Door) -> str:
        count = _edit_all(b, door, "/shared/records/", everyone)
        if not door.is_gateway:
            return "wrong people recorded" if count.wrong else "none wrong"
        share = 100 * count.withheld // count.wrong if count.wrong else 100
        shares.append(f"{count.wrong} of {count.edits} wrong, {share} % of them withheld")
        # Withheld beside them: where the right id was the other tenant's user of that id.
        false = sum(
            (line["acted_as"]["user"], line["acted_as"]["tenant"]) == (line["user"], line["tenant"])
            for line in b.acted_as()
        )
        return f"{share} % caught, {false} false alarms"

    yield Scenario(
        "B1 B5 the same, one authenticator for all, the app as it is",
        lambda door: shared(door) if not door.is_gateway else _as_it_is(b, door, everyone),
        "wrong people recorded",
        "wrong people recorded",
        doors=b.gunicorn,
        remark="inside the app's process: not to be repaired from outside",
    )
    yield Scenario(
        "B7 the same with the echo",
        shared,
        "wrong people recorded",
        "100 % caught, 0 false alarms",
        doors=b.echo,
    )

    def audited(door: Door) -> str:
        if not door.is_gateway:
            return "nothing"
        both = b.acted_as()
        print(f"      {shares[-1]}; {len(both)} lines of the audit name both", flush=True)
        return "both people" if both else "nothing"

    yield Scenario(
        "B7 what the gateway's audit says of them", audited, "nothing", "both people", doors=b.echo
    )

    def tabs(door: Door) -> str:
        """One user's tabs edit different records, beside a WebSocket of another."""
        b.sql("acme", "TRUNCATE work_auditentry")
        done = Event()

        def socket() -> None:
            more = _handshake(b.tokens["6@acme"], "query")
            with door.socket("acme.test", **more) as opened:
                opened.recv(30)
                while not done.is_set():
                    edit = {"type": "edit", "record": 6, "text": "by 6"}
                    opened.send(json.dumps(edit))
                    opened.recv(30)

        beside = Thread(target=socket)
        beside.start()
        try:
            with ThreadPoolExecutor(8) as pool:
                for record in range(20, 60):
                    pool.submit(
                        door.send,
                        "PATCH",
                        f"/records/{record}/",
                        token=b.tokens["5@acme"],
                        host="acme.test",
                        body={"text": "by 5"},
                    )
        finally:
            done.set()
            beside.join()
        rows = b.sql("acme", "SELECT user_id, text FROM work_auditentry")
        wrong = sum(text != f"by {user}" for user, text in rows)
        mine = sum(user == 5 for user, _ in rows)
        return f"{mine} edits, {wrong} wrong"

    yield Scenario(
        "B8 one user in several tabs beside another's WebSocket",
        tabs,
        "40 edits, 0 wrong",
        "40 edits, 0 wrong",
    )


def _old_token(b: SystemB) -> Scenario:
    def marked(door: Door) -> str:
        if not door.is_gateway:
            return "nothing"
        answer = door.get("/me/", b.tokens["6@acme"], host="acme.test")
        known = answer.headers["x-request-id"]
        found: list[dict[str, Any]] = []

        def written() -> bool:
            lines = audit_lines(b.echo_audit)
            found[:] = [line for line in lines if line["request_id"] == known]
            return bool(found)

        wait_for("the audit", written)
        return "marked" if found[0].get("stale_context") else "not marked"

    return Scenario(
        "B7 an old token in the audit (warn_age)", marked, "nothing", "marked", doors=b.echo
    )


def _as_it_is(b: SystemB, door: Door, people: list[tuple[str, int]]) -> str:
    count = _edit_all(b, door, "/shared/records/", people)
    return "wrong people recorded" if count.unnoticed else "none wrong"


def _package(b: SystemB, me: Callable[..., Callable[[Door], str]]) -> Iterator[Scenario]:
    yield Scenario(
        "   app with countersign-django, matching tenant",
        me("5@acme"),
        "403 assertion_missing",
        "200 email user5@acme",
        doors=b.package,
    )
    yield Scenario(
        "   app with countersign-django, 200 users edit at once",
        lambda door: _sum(_edit_all(b, door, "/records/", _all_of("initech"), AT_ONCE_DAPHNE)),
        "200 edits, 200 wrong or refused",
        "200 edits, 0 wrong or refused",
        doors=b.package,
    )
    forged = "eyJhbGciOiJub25lIiwidHlwIjoiY291bnRlcnNpZ24rand0In0.eyJzdWIiOiI1In0."
    yield Scenario(
        "   app with countersign-django, forged assertion",
        lambda door: door.get(
            "/me/", b.tokens["6@acme"], host="acme.test", X_Auth_Assertion=forged
        ).say("email"),
        "403 assertion_key_unknown",
        "200 email user6@acme",
        doors=b.package,
    )


def _all_of(tenant: str) -> list[tuple[str, int]]:
    return [(tenant, number) for number in range(11, USERS + 1)]


def _sum(count: Count) -> str:
    return f"{count.edits} edits, {count.wrong + count.refused} wrong or refused"


def session_scenarios(b: SystemB) -> Iterator[Scenario]:
    """What needs the credential `django_session`."""

    def session(number: int, tenant: str) -> str:
        known = {"username": f"user{number}", "password": PASSWORD}
        answer = b.daphne[0].post("/api/session/", known, host=f"{tenant}.test")
        return f"sessionid={answer.cookies['sessionid']}"

    acme, other = session(5, "acme"), session(6, "acme")

    def me(cookie: str, tenant: str = "acme", token: str | None = None):  # noqa: ANN202
        where = f"{tenant}.test"
        return lambda door: door.get("/me/", token, host=where, Cookie=cookie).say("email")

    yield Scenario("   session", me(acme), "200 email user5@acme", "200 email user5@acme")
    yield Scenario("   session of acme on globex", me(acme, "globex"), "401", "401 session_invalid")
    yield Scenario(
        "B3 session and JWT of one user",
        me(acme, token=b.tokens["5@acme"]),
        "200 email user5@acme",
        "200 email user5@acme",
    )
    yield Scenario(
        "B3 session and JWT of two users",
        me(other, token=b.tokens["5@acme"]),
        "200 email user5@acme",
        "401 credential_conflict",
    )

    def noticed(door: Door) -> str:
        """Until then the gateway lets it through to the app, which knows better."""
        if door.is_gateway:
            wait_for("the log-out", lambda: me(other)(door) == "401 session_invalid")
        return me(other)(door)

    yield Scenario(
        "   session after log-out",
        noticed,
        "401",
        "401 session_invalid",
        prepare=lambda: b.sql("acme", "DELETE FROM django_session"),
    )
    changed = session(2, "acme")

    def rekeyed(door: Door) -> str:
        if door.is_gateway:
            wait_for("the change", lambda: me(changed)(door) == "401 session_invalid")
        return me(changed)(door)

    yield Scenario(
        "   session after a change of password",
        rekeyed,
        "401",
        "401 session_invalid",
        prepare=lambda: (
            me(changed)(b.daphne[1]),
            b.sql("acme", "UPDATE auth_user SET password = 'another' WHERE id = 2"),
        ),
    )


def redis_scenarios(app: Door) -> Iterator[Scenario]:
    """Sessions in Redis, under keys of django-tenants."""
    known = {"username": "user5", "password": PASSWORD}
    answer = app.post("/api/session/", known, host="acme.test")
    session = f"sessionid={answer.cookies['sessionid']}"

    def me(tenant: str):  # noqa: ANN202
        where = f"{tenant}.test"
        return lambda door: door.get("/me/", host=where, Cookie=session).say("email")

    yield Scenario("   session in Redis", me("acme"), *["200 email user5@acme"] * 2)
    yield Scenario(
        "   session in Redis of acme on globex", me("globex"), "401", "401 session_invalid"
    )
