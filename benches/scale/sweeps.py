"""What grows: routes, hosts, tenants, users, issuers. Each size is a gateway of its own."""

import dataclasses
import pathlib
import random
import sqlite3
import time
from collections.abc import Callable

from shared import cpu_seconds, hs256

import fill
from stand import SECRET, Gateway, Stand

#: Different requests that the load of one size consists of, at most.
DISTINCT = 20_000
APP = 'issuers: [ { name: app, secret: "${SCALE_SECRET}", algorithms: [HS256], claims: { user: sub, account: account_id, tenant: tenant } } ]\n'
ROUTE = "routes: [ { match: { path: / }, access: member, upstream: app } ]\n"
#: Nothing of a token is remembered: its verification costs the same at every size.
FORGET = "limits: { token_cache: 0 }\n"
CACHE = "cache: { capacity: 1000000, ttl: 1h, ttl_without_push: 1h }"


@dataclasses.dataclass
class Point:
    """One size: its gateway, and what it is asked."""

    size: int
    gateway: Gateway
    script: pathlib.Path
    #: What was measured while it was filled, for the notes.
    note: str = ""


@dataclasses.dataclass
class Sweep:
    name: str
    sizes: list[int]
    quick: list[int]
    make: Callable[[Stand, int], Point]


def token(user: int, secret: str = SECRET, **claims) -> str:
    now = int(time.time())
    return hs256({"sub": str(user), "account_id": str(user % 50), "iat": now, "exp": now + 86400, "jti": f"{user:032x}", **claims}, secret)


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def one_user(stand: Stand) -> str:
    (stand.folder / "one.yaml").write_text('users: [ { user: "5", account: "5" } ]\n')
    return "directory: { source: { file: { path: one.yaml } } }\n"


def routes(stand: Stand, size: int) -> Point:
    listed = "".join(f"  - {{ match: {{ path: /api/v1/service-{n} }}, access: member, upstream: app }}\n" for n in range(size))
    gateway = stand.gateway(f"routes-{size}", f"{APP}{one_user(stand)}routes:\n{listed}")
    asked = random.Random(1).sample(range(size), min(size, DISTINCT))
    script = stand.requests(gateway.name, [(f"/api/v1/service-{n}/items/1", bearer(token(5))) for n in asked])
    return Point(size, gateway, script)


def hosts(stand: Stand, size: int) -> Point:
    """So many routes of one path, told apart by the host alone."""
    listed = "".join(f"  - {{ match: {{ host: h{n}.example.com, path: / }}, access: member, upstream: app }}\n" for n in range(size))
    gateway = stand.gateway(f"hosts-{size}", f"{APP}{one_user(stand)}routes:\n{listed}")
    asked = random.Random(1).sample(range(size), min(size, DISTINCT))
    script = stand.requests(gateway.name, [("/items/1", {"Host": f"h{n}.example.com", **bearer(token(5))}) for n in asked])
    return Point(size, gateway, script)


def tenants(stand: Stand, size: int) -> Point:
    """So many tenants that the file lists, named by the path and by the token, a user of each in the cache."""
    names = [f"tenant-{n}" for n in range(size)]
    (stand.folder / f"tenants-{size}-users.yaml").write_text(
        "users:\n" + "".join(f'  - {{ tenant: {name}, user: "5", account: "5" }}\n' for name in names))
    gateway = stand.gateway(f"tenants-{size}", f"""{APP}{ROUTE}{FORGET}
directory: {{ source: {{ file: {{ path: tenants-{size}-users.yaml }} }}, {CACHE} }}
tenants: {{ sources: [ {{ path: "/t/{{tenant}}" }} ], known: [{", ".join(names)}] }}
""")
    lines = [(f"/t/{name}/items/1", bearer(token(5, tenant=name))) for name in names]
    script = stand.requests(gateway.name, lines)
    fill.ask(gateway.port, lines)
    return Point(size, gateway, script)


def users(stand: Stand, size: int) -> Point:
    """So many users of one tenant in the cache, read from SQLite, each asked for once."""
    database = stand.folder / "users.db"
    if not database.exists():
        with sqlite3.connect(database) as connection:
            connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, account INTEGER)")
            connection.executemany("INSERT INTO users VALUES (?, ?)", ((user, user % 50) for user in range(1_000_000)))
        connection.close()
    gateway = stand.gateway(f"users-{size}", f"""{APP}{ROUTE}{FORGET}
directory:
  source: {{ sqlite: {{ path: users.db, lookups: {{ default: "SELECT id, account, 1 AS active FROM users WHERE id = $user" }} }} }}
  {CACHE}
""")
    before, cpu, began = gateway.memory(), cpu_seconds(gateway.process.pid), time.monotonic()
    fill.ask(gateway.port, (("/items/1", bearer(token)) for token in fill.minted(size, SECRET)))
    took = time.monotonic() - began
    cost = (cpu_seconds(gateway.process.pid) - cpu) * 1_000_000 / size
    each = (gateway.memory() - before) * 1024 * 1024 / size
    note = f"{size:,} users read in {took:.0f} s, {cost:.0f} µs of CPU and {each:,.0f} bytes each" if size >= 10_000 else ""
    asked = random.Random(1).sample(range(size), min(size, DISTINCT))
    script = stand.requests(gateway.name, [("/items/1", bearer(token(user))) for user in asked])
    return Point(size, gateway, script, note)


def issuers(stand: Stand, size: int) -> Point:
    """So many issuers, a key of its own each."""
    secrets = {f"SECRET_{n}": f"{n:06d}-{SECRET}" for n in range(size)}
    listed = "".join(
        f'  - {{ name: issuer-{n}, issuer: "https://{n}.example.com/", algorithms: [HS256], secret: "${{SECRET_{n}}}", '
        "claims: { user: sub, account: account_id } }\n" for n in range(size))
    gateway = stand.gateway(f"issuers-{size}", f"{ROUTE}{FORGET}{one_user(stand)}issuers:\n{listed}", secrets)
    lines = [("/items/1", bearer(token(5, secrets[f"SECRET_{n}"], iss=f"https://{n}.example.com/"))) for n in range(size)]
    return Point(size, gateway, stand.requests(gateway.name, lines))


SWEEPS = [
    Sweep("routes", [1, 10, 100, 1_000, 10_000], [1, 10_000], routes),
    Sweep("hosts", [1, 100, 10_000], [1, 10_000], hosts),
    Sweep("tenants", [1, 10, 100, 1_000, 10_000], [1, 10_000], tenants),
    Sweep("users", [1, 100, 10_000, 100_000, 1_000_000], [1, 10_000], users),
    Sweep("issuers", [1, 10, 100, 1_000], [1, 1_000], issuers),
]
