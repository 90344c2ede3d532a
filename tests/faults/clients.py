"""Who asks, and who changes: requests on connections that are kept, open WebSockets, and the app's writer."""

import asyncio
import contextlib
import json
import random
import socket
import threading
import time

from oracle import Oracle, now

PACE = 0.004
HANGS = 20.0


class Asker(threading.Thread):
    """Asks one replica, now the next user in turn, now one that has just changed."""

    def __init__(self, run, oracle: Oracle, replica: int, seed: str, stop: threading.Event):
        super().__init__(daemon=True)
        self.run_, self.oracle, self.replica, self.stop = run, oracle, replica, stop
        self.random = random.Random(seed)

    def run(self) -> None:
        users = len(self.oracle.users)
        turn = self.random.randrange(users)
        client, data = None, b""
        what = f"replica {self.replica}"
        while not self.stop.is_set():
            turn = (turn + 1) % users
            user = turn
            if self.oracle.recent and self.random.random() < 0.5:
                user = self.random.choice(list(self.oracle.recent))
            began = now()
            try:
                if client is None:
                    client = socket.create_connection(("127.0.0.1", self.run_.ports[self.replica]), HANGS)
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    began = now()
                client.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n\r\n" % self.run_.tokens[user])
                status, body, closes = answer(client)
            except TimeoutError:
                self.oracle.blame(f"{what}, user {user}: no answer within {HANGS:.0f} s")
                client = None
                continue
            except (OSError, EOFError) as problem:
                client = None
                if not self.stop.is_set():
                    self.oracle.judge_unanswered(what, user, began, repr(problem))
                self.stop.wait(0.05)
                continue
            self.oracle.judge_status(what, user, status, body, began, now())
            if closes:
                client.close()
                client = None
            time.sleep(PACE)


def answer(client: socket.socket) -> tuple[int, str, bool]:
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += received(client)
    head = data[:end].decode("latin-1").lower()
    length = int(head.split("content-length:")[1].split("\r\n")[0]) if "content-length:" in head else 0
    while len(data) < end + 4 + length:
        data += received(client)
    return int(head[9:12]), data[end + 4 :].decode("latin-1"), "connection: close" in head


def received(client: socket.socket) -> bytes:
    data = client.recv(1 << 16)
    if not data:
        raise EOFError("closed")
    return data


class Sockets(threading.Thread):
    """The upstream that echoes, and the clients that keep a WebSocket open through each replica."""

    def __init__(self, run, oracle: Oracle, each: int, port: int, seed: str, stop: threading.Event):
        super().__init__(daemon=True)
        self.run_, self.oracle, self.each, self.port, self.stop = run, oracle, each, port, stop
        self.seed = seed

    def run(self) -> None:
        asyncio.run(self.all())

    async def all(self) -> None:
        from websockets.asyncio.server import serve  # noqa: PLC0415

        async with serve(echo, "127.0.0.1", self.port, ping_interval=None, compression=None):
            await asyncio.gather(*(self.keep(replica, random.Random(f"{self.seed}-{replica}-{number}"))
                                   for replica in range(len(self.run_.ports)) for number in range(self.each)))

    async def keep(self, replica: int, chance: random.Random) -> None:
        from websockets.asyncio.client import connect  # noqa: PLC0415
        from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus  # noqa: PLC0415

        what = f"WebSocket of replica {replica}"
        while not self.stop.is_set():
            user, opened, account = chance.randrange(len(self.oracle.users)), now(), ""
            headers = {"Authorization": f"Bearer {self.run_.tokens[user].decode()}"}
            try:
                async with connect(f"ws://127.0.0.1:{self.run_.ports[replica]}/ws", additional_headers=headers,
                                   compression=None, ping_interval=None, close_timeout=1, open_timeout=HANGS) as client:
                    account = (await asyncio.wait_for(client.recv(), HANGS)).split()[0]
                    self.oracle.judge_echo(what, user, account, opened, now())
                    await self.talk(client, what, user, account, opened, chance)
            except InvalidStatus as refused:
                response = refused.response
                self.oracle.judge_status(what, user, response.status_code, (response.body or b"").decode(), opened, now())
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else 1006
                self.oracle.judge_close(what, user, account, code, opened)
            except (OSError, EOFError, InvalidHandshake, TimeoutError) as problem:
                if not self.stop.is_set():
                    self.oracle.judge_unanswered(what, user, opened, repr(problem))
            await asyncio.sleep(0.1)

    async def talk(self, client, what: str, user: int, account: str, opened: float, chance: random.Random) -> None:
        """Sends a message after the other, each when the last has come back."""
        until, number, sent = now() + chance.uniform(10, 60), 0, None
        while now() < until and not self.stop.is_set():
            if sent is None:
                number, sent = number + 1, now()
                await client.send(str(number))
            with contextlib.suppress(TimeoutError):
                echoed = (await asyncio.wait_for(client.recv(), 0.25)).split()
                self.oracle.judge_echo(what, user, echoed[0], sent, now())
                if echoed[1] != str(number):
                    self.oracle.blame(f"{what}, user {user}: {echoed[1]} came back for {number}")
                sent = None
                # Also a pause, that a close ends.
                await asyncio.wait_for(client.wait_closed(), 0.25)
            if not self.oracle.judge_open(what, user, account, opened):
                return


async def echo(upstream) -> None:
    from websockets.exceptions import ConnectionClosed  # noqa: PLC0415

    account = upstream.request.headers.get("X-Auth-Account-Id", "nobody")
    with contextlib.suppress(ConnectionClosed):
        await upstream.send(f"{account} 0")
        async for message in upstream:
            await upstream.send(f"{account} {message}")


class Writer(threading.Thread):
    """The app: moves, deactivates and re-activates users, and tells Redis where that is the channel."""

    def __init__(self, oracle: Oracle, url: str, redis_url: str, per_second: float, seed: str, stop: threading.Event):
        super().__init__(daemon=True)
        self.oracle, self.url, self.redis_url, self.stop = oracle, url, redis_url, stop
        self.pause, self.random = 1 / per_second, random.Random(seed)
        self.database = self.redis = None

    def run(self) -> None:
        if self.redis_url:
            import redis  # noqa: PLC0415

            self.redis = redis.Redis.from_url(self.redis_url, socket_timeout=1, socket_connect_timeout=1)
        while not self.stop.wait(self.random.uniform(0, 2 * self.pause)):
            user = self.random.randrange(len(self.oracle.users))
            last = self.oracle.users[user][-1]
            account, active, kind = last.account + 1, True, "moves"
            if not last.active and self.random.random() < 0.7:
                account, kind = last.account, "re-activations"
            elif last.active and self.random.random() < 0.3:
                account, active, kind = last.account, False, "deactivations"
            self.change(user, account, active, kind)

    def change(self, user: int, account: int, active: bool, kind: str) -> None:
        import psycopg  # noqa: PLC0415

        connection = self.connection()
        self.oracle.begin(user, account, active)
        try:
            connection.execute("UPDATE users SET account_id = %s, is_active = %s WHERE id = %s", [account, active, user])
        except psycopg.OperationalError:
            # Whether it was committed, only the database knows.
            self.database = None
            found = self.connection().execute("SELECT account_id, is_active FROM users WHERE id = %s", [user]).fetchone()
            if found != (account, active):
                self.oracle.undone(user)
                return
        self.publish(user)
        self.oracle.done(user)
        self.oracle.counts[kind] += 1

    def connection(self):
        """The kept one, or one to the server that can be written to."""
        import psycopg  # noqa: PLC0415

        while self.database is None:
            with contextlib.suppress(psycopg.OperationalError):
                opened = psycopg.connect(self.url, autocommit=True, connect_timeout=5)
                opened.execute("SET synchronous_commit = remote_apply")
                if opened.execute("SELECT pg_is_in_recovery()").fetchone() == (False,):
                    self.database = opened
                    break
                opened.close()
            time.sleep(0.05)
        return self.database

    def publish(self, user: int) -> None:
        """Until Redis has taken it: nobody else can notice that it did not."""
        import redis  # noqa: PLC0415

        while self.redis is not None:
            try:
                self.redis.publish("countersign", json.dumps({"tenant": "default", "user": str(user)}))
                return
            except redis.RedisError:
                time.sleep(0.05)
