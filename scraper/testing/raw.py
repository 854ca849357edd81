"""A server that says exactly the bytes a test wants, at the pace a test wants.

    async with RawServer(SCRIPTS["short body"]) as server:
        ... server.url("/"), server.connections, server.requests

`SCRIPTS` (scripts.py) has a script for each thing a server can do wrong. What no server can do, because
it happens before one is asked, are two contexts: `refusing()` and `black_hole()`, each giving a port.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import SupportsIndex

from .routes import LOOPBACK
from .scripts import OK, SCRIPTS, Script, Then, says, slowly

__all__ = ["OK", "SCRIPTS", "RawServer", "Script", "Then", "black_hole", "refusing", "says", "slowly"]

HEAD_END = b"\r\n\r\n"


class _Incoming(asyncio.StreamReader):
    """A reader that counts request heads as they come in, whether a script reads them or not."""

    def __init__(self, server: RawServer) -> None:
        super().__init__(limit=1 << 20)
        self._server = server
        self._tail = b""

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        seen = self._tail + bytes(data)
        self._server.requests += seen.count(HEAD_END)
        self._tail = b"" if seen.endswith(HEAD_END) else seen[-3:]
        super().feed_data(data)


class RawServer:
    """A TCP server on a free loopback port that runs `script(reader, writer, n)` on its n-th connection.

    `n` counts from 0. A script that returns has its connection closed; one whose client goes away just
    ends. An error in a script is raised when the server is closed. `connections` and `requests` (heads
    received) count what came in; `receive_buffer` (bytes) is small, so that a script that does not read
    soon makes its client wait. With `ssl` it speaks TLS.
    """

    def __init__(
        self,
        script: Script,
        *,
        ssl: ssl.SSLContext | None = None,
        receive_buffer: int = 4096,
    ) -> None:
        self.port = 0
        self.connections = 0
        self.requests = 0
        self._script = script
        self._ssl = ssl
        self._receive_buffer = receive_buffer
        self._server: asyncio.Server | None = None
        self._talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._errors: list[Exception] = []

    def url(self, path: str = "/", host: str = LOOPBACK) -> str:
        """The address of the server."""
        return f"{'http' if self._ssl is None else 'https'}://{host}:{self.port}{path}"

    async def __aenter__(self) -> RawServer:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        sock.bind((LOOPBACK, 0))
        self.port = sock.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, sock=sock, ssl=self._ssl, backlog=1024)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._server is not None:
            self._server.close()
        talks = dict(self._talks)
        for talk in talks:
            talk.cancel()
        if talks:
            await asyncio.wait(talks)
        if self._errors:
            raise ExceptionGroup("errors in the server's script", self._errors)

    def _protocol(self) -> asyncio.Protocol:
        return asyncio.StreamReaderProtocol(_Incoming(self), self._connected)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.create_task(self._talk(reader, writer, self.connections))
        self.connections += 1
        self._talks[talk] = writer
        talk.add_done_callback(self._talks.pop)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        try:
            await self._script(reader, writer, number)
            writer.close()
            await writer.wait_closed()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            return  # the client went away, as it may
        except Exception as error:  # noqa: BLE001  raised again in __aexit__
            self._errors.append(error)
        finally:
            writer.transport.abort()


@contextmanager
def refusing() -> Iterator[int]:
    """A port on which every connection is refused: taken, but nobody listens."""
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        yield sock.getsockname()[1]


@contextmanager
def black_hole() -> Iterator[int]:
    """A port that answers no connection attempt: its queue is full and nobody takes from it (Linux)."""
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        sock.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(sock.getsockname())
            yield sock.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()
