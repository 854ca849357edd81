"""One connection: aiohttp's protocol and parser, whose reader is woken once an answer, not once a packet.

What of aiohttp this room drives that its documentation does not promise is named in BUILT_ON; a test
compares it with what is installed.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage

from .watch import Exchange

BUILT_ON: dict[type, tuple[str, ...]] = {
    ResponseHandler: (
        "set_response_params", "feed_data", "exception", "should_close", "is_connected", "resume_reading",
        "pause_reading", "data_received", "connection_lost", "close", "abort",
    ),
    aiohttp.StreamReader: ("read_nowait", "is_eof", "at_eof", "exception"),
    aiohttp.TCPConnector: ("connect", "close"),
    aiohttp.ClientRequest: ("connection_key", "is_ssl", "url"),
    Connection: ("protocol", "close", "closed"),
}  # fmt: skip
"""And `BaseConnector._factory`, the one private name: what makes the protocol of a new connection."""

MAX_LINE = 65_536  # bytes of one header line; servers with large cookies go beyond aiohttp's 8,190
MAX_HEADERS = 512
BUFFER = 2**18  # bytes of a body that are read before the socket is paused
PIECE = 2**16  # bytes of an unfinished body that wake its reader

Answer = tuple[RawResponseMessage, aiohttp.StreamReader]


class Wire(ResponseHandler):
    """`ask` writes a request, `news` says what to wait for until `take` gives some of the answer's body.

    One exchange at a time. What comes while nothing is asked spoils the connection: it is never taken for
    the answer to the next request.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.used = False  # it has waited for a request: it may have been closed meanwhile, or spoiled
        self.spoiled = False
        self.message: RawResponseMessage | None = None
        self.payload: aiohttp.StreamReader | None = None
        self._exchange: Exchange | None = None  # while a request is answered
        self._news: asyncio.Future[None] | None = None
        self._later = b""  # the body of a request that waits for 100 Continue
        self._rest = b""  # what had come of a body when its connection was lost
        self._taken = 0
        self._held = False  # reading is paused

    def ask(self, request: bytes, later: bytes, exchange: Exchange, *, head: bool) -> None:
        """Write a request, `later` once the server says 100; no body follows the answer to `head`.

        Raises ServerDisconnectedError where the connection is of no use any more.
        """
        if self.used and (self.spoiled or self.should_close):
            raise aiohttp.ServerDisconnectedError
        transport = self.transport
        if transport is None or transport.is_closing():
            raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")
        self._taken = 0
        self._later = later
        self._exchange = exchange
        self.set_response_params(
            skip_payload=head,
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=BUFFER,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
        )
        transport.write(request)

    def news(self) -> asyncio.Future[None] | None:
        """What to wait for before the next look at the answer; None: there is something to see already."""
        if self._ready():
            return None
        self._news = self._loop.create_future()
        return self._news

    def take(self) -> bytes:
        """What has come of the body since the last time. Raises ClientPayloadError when it ended too soon."""
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        assert self.payload is not None
        piece = self.payload.read_nowait()
        self._taken += len(piece)
        if not (piece or self.connected or self.payload.is_eof()):
            raise aiohttp.ServerDisconnectedError
        return piece

    def whole(self) -> bool:
        """Whether all of the body has been taken."""
        return self.payload is None or (self.payload.at_eof() and not self._rest)

    def done(self) -> bool:
        """The answer has been taken whole, or nothing asked; whether it may carry another request."""
        transport, later = self.transport, self._later
        self.used = True
        self.message = self.payload = self._exchange = None
        return not (
            later or self.spoiled or self.should_close or transport is None or transport.get_write_buffer_size()
        )

    def close(self) -> None:
        """Close the connection; the rest of a body that the server does not take is not pressed upon it."""
        if self.transport is not None and self.transport.get_write_buffer_size():
            self.abort()
        else:
            super().close()

    def give_up(self, error: BaseException) -> None:
        """Raise this where the answer is waited for."""
        if self._news is not None and not self._news.done():
            self._news.set_exception(error)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """A head has been parsed: an interim one is passed over, the final one is the answer (RFC 9110 15.2)."""
        if self._exchange is None or self.message is not None:
            super().feed_data(data, size)  # from where it makes `should_close` true
            return
        message, payload = data
        if 100 <= message.code <= 199 and message.code != 101:
            if self._later and message.code == 100 and self.transport is not None:
                self.transport.write(self._later)
                self._later = b""
            return
        self.message, self.payload = message, payload

    def data_received(self, data: bytes) -> None:
        """Parse, and wake the reader when the answer is whole, broken, or much of it is there."""
        if self._exchange is None or (self.payload is not None and self.payload.is_eof()):
            self.spoiled = True
        super().data_received(data)
        self._tell()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Keep what had come: once aiohttp has marked a body as broken, it gives none of it."""
        payload = self.payload
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            self._rest = b"".join(iter(payload.read_nowait, b""))
        super().connection_lost(exc)
        self._tell()

    def pause_reading(self) -> None:
        """The reader is behind, or a body comes in very small chunks: it is woken either way."""
        self._held = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """aiohttp asks for this after every piece, and it is dear: only where reading is paused."""
        if self._held:
            self._held = False
            super().resume_reading(resume_parser)

    def _ready(self) -> bool:
        payload = self.payload
        if payload is None:
            return self.message is not None or self.exception() is not None or not self.connected
        if payload.is_eof() or self._held or payload.exception() is not None or not self.connected:
            return True
        return payload.total_bytes - self._taken >= PIECE

    def _tell(self) -> None:
        payload, exchange = self.payload, self._exchange
        if payload is not None and exchange is not None and not payload.is_eof():
            exchange.received(payload.total_bytes)
        news = self._news
        if news is not None and self._ready():
            self._news = None
            if not news.done():
                news.set_result(None)
