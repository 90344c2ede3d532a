#!/usr/bin/env python3
"""A TCP proxy in front of a server, whose path can be held silent, lost, reset, refused or switched.

    proxy.py NAME=TARGET…        # ports on 127.0.0.1; prints NAME=PORT for each, on one line

It reads commands from standard input, one a line, and answers each with `ok`; it ends with its input.

    hold NAME      nothing goes through any more, nothing is closed
    release NAME   what was held goes on where it stood
    lose NAME      the connections that are open will be silent for ever; new ones work
    reset NAME     the connections that are open are reset
    refuse NAME    new connections are reset
    accept NAME    new connections work again
    target NAME P  new connections lead to port P
"""

import asyncio
import contextlib
import os
import socket
import struct
import sys


class Path:
    def __init__(self, target: int):
        self.target = target
        self.refuses = False
        self.flows = asyncio.Event()
        self.flows.set()
        self.open: set[Pair] = set()

    async def serve(self, reader, writer) -> None:
        if self.refuses:
            abort(writer)
            return
        await self.flows.wait()
        try:
            ahead = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            abort(writer)
            return
        pair = Pair(self, writer, ahead[1])
        self.open.add(pair)
        await asyncio.gather(pair.carry(reader, ahead[1], from_client=True), pair.carry(ahead[0], writer, from_client=False))
        self.open.discard(pair)


class Pair:
    def __init__(self, path: Path, client, server):
        self.path, self.client, self.server = path, client, server
        self.lost = False

    async def carry(self, reader, writer, *, from_client: bool) -> None:
        """One direction. A lost pair ends when the client ends it; what the server says is not told."""
        data = b"-"
        while data:
            try:
                data = await reader.read(1 << 16)
            except OSError:
                data = b""
            await self.path.flows.wait()
            if self.lost:
                if not data and from_client:
                    self.abort()
                continue
            if data:
                with contextlib.suppress(OSError):
                    writer.write(data)
                    await writer.drain()
        if not self.lost:
            self.abort()

    def abort(self) -> None:
        abort(self.client)
        abort(self.server)


def abort(writer) -> None:
    """Closes with a reset, as a path that breaks does."""
    peer = writer.get_extra_info("socket")
    if peer is not None:
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def main() -> None:
    paths, ports = {}, []
    for argument in sys.argv[1:]:
        name, target = argument.split("=")
        paths[name] = Path(int(target))
        server = await asyncio.start_server(paths[name].serve, "127.0.0.1", 0)
        ports.append(f"{name}={server.sockets[0].getsockname()[1]}")
    print(" ".join(ports), flush=True)
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := (await commands.readline()).decode().split():
        obey(line, paths[line[1]])
        print("ok", flush=True)
    # With every connection, and without waiting for any.
    os._exit(0)


def obey(line: list[str], path: Path) -> None:
    match line[0]:
        case "hold":
            path.flows.clear()
        case "release":
            path.flows.set()
        case "lose":
            for pair in path.open:
                pair.lost = True
        case "reset":
            for pair in list(path.open):
                pair.lost = False
                pair.abort()
        case "refuse":
            path.refuses = True
        case "accept":
            path.refuses = False
        case "target":
            path.target = int(line[2])


if __name__ == "__main__":
    asyncio.run(main())
