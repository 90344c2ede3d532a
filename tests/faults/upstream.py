#!/usr/bin/env python3
"""The app behind the gateways: answers each request on PORT with the account that it was told.

    upstream.py PORT
"""

import asyncio
import sys


class Account(asyncio.Protocol):
    def connection_made(self, transport) -> None:
        self.transport, self.data = transport, b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head, self.data = self.data[:end].split(b"\r\n"), self.data[end + 4 :]
            told = [line.split(b":", 1)[1].strip() for line in head if line.lower().startswith(b"x-auth-account-id:")]
            body = b",".join(told)
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Account, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
