"""What a server can do wrong on one connection, each as a script with a name.

A script is `async def script(reader, writer, n)`. Most are a few fixed bytes: `says(reply, ...)` answers
the first request of a connection with the first reply and so on, the last one again and again.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import repeat

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Script = Callable[[Reader, Writer, int], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok"
PAUSE = 0.05  # seconds between the bytes of a slow server
MAX_HEAD = 1 << 16  # bytes of a request head that a script reads


class Then(enum.Enum):
    """What follows a reply."""

    SERVE = "the next request is answered"
    CLOSE = "the connection is closed"
    RESET = "the connection is reset"
    HANG = "nothing, and the connection stays open"


def answer(body: bytes = b"ok", *headers: bytes, status: bytes = b"200 OK", length: bool = True) -> bytes:
    """A well-formed response, with the headers given as whole lines."""
    lines = [b"HTTP/1.1 " + status, b"Content-Type: text/html", *headers]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def head(reader: Reader) -> bytes:
    """The next request's head, with its empty line. Raises IncompleteReadError when none comes."""
    return await reader.readuntil(b"\r\n\r\n")


async def forever() -> None:
    """Wait until cancelled."""
    await asyncio.get_running_loop().create_future()


def reset(writer: Writer) -> None:
    """End the connection with a RST, after what was written before has left."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def says(*replies: bytes, then: Then = Then.SERVE) -> Script:
    """Answer with these bytes, whatever is asked; what `then` says happens after the last of them.

    With `Then.SERVE` the last reply is given to every further request.
    """

    async def script(reader: Reader, writer: Writer, n: int) -> None:
        for reply in replies:
            await head(reader)
            writer.write(reply)
            await writer.drain()
        while then is Then.SERVE:
            await head(reader)
            writer.write(replies[-1])
            await writer.drain()
        if then is Then.RESET:
            await asyncio.sleep(PAUSE)  # lets the client read what came before the RST
            reset(writer)
        elif then is Then.HANG:
            await forever()

    return script


def slowly(first: bytes, piece: bytes, times: int | None = None, pause: float = PAUSE, end: bytes = b"") -> Script:
    """Send `first` at once, then `piece` every `pause` seconds, so many times or for ever, then `end`."""

    async def script(reader: Reader, writer: Writer, n: int) -> None:
        await head(reader)
        writer.write(first)
        for _ in repeat(None) if times is None else repeat(None, times):
            await writer.drain()
            await asyncio.sleep(pause)
            writer.write(piece)
        writer.write(end)
        await writer.drain()

    return script


def endless(first: bytes, piece: bytes) -> Script:
    """Send `first`, then `piece` as fast as the client takes it, until it goes away."""

    async def script(reader: Reader, writer: Writer, n: int) -> None:
        await head(reader)
        writer.write(first)
        while True:
            writer.write(piece)
            await writer.drain()

    return script


async def _silent(reader: Reader, writer: Writer, n: int) -> None:
    while await reader.read(MAX_HEAD):
        pass


async def _unread(reader: Reader, writer: Writer, n: int) -> None:
    transport = writer.transport
    assert isinstance(transport, asyncio.ReadTransport)
    transport.pause_reading()
    await forever()


async def _close_at_once(reader: Reader, writer: Writer, n: int) -> None:
    await head(reader)


async def _reset_at_once(reader: Reader, writer: Writer, n: int) -> None:
    reset(writer)


async def _stale(reader: Reader, writer: Writer, n: int) -> None:
    await head(reader)
    writer.write(OK)
    await head(reader)


async def _stale_idle(reader: Reader, writer: Writer, n: int) -> None:
    await head(reader)
    writer.write(OK)
    await writer.drain()
    await asyncio.sleep(PAUSE)


async def _second_later(reader: Reader, writer: Writer, n: int) -> None:
    async for _ in _heads(reader):
        writer.write(OK)
        await writer.drain()
        await asyncio.sleep(PAUSE)
        writer.write(answer(b"unasked"))
        await writer.drain()


async def _stalls(reader: Reader, writer: Writer, n: int) -> None:
    """Announces a body, sends half of it and then nothing."""
    await head(reader)
    writer.write(CUT)
    await forever()


async def _heads(reader: Reader) -> AsyncIterator[bytes]:
    while True:
        yield await head(reader)


CUT = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
START = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
LENGTHS = {
    "negative length": b"-2",
    "length in words": b"two",
    "length list": b"2, 2",
    "length overflow": b"9" * 30,
    "length with sign": b"+2",
}

SCRIPTS: dict[str, Script] = {
    "good": says(OK),
    # Connection and timing.
    "silent": _silent,
    "never reads": _unread,
    "reset at once": _reset_at_once,
    "close at once": _close_at_once,
    "slow headers": slowly(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
    "slow body": slowly(START + b"Content-Length: 100000\r\n\r\n", b"x"),
    "stalled body": _stalls,
    "endless body": endless(START + b"Connection: close\r\n\r\n", bytes(65536)),
    "endless chunks": endless(CHUNKED, b"10000\r\n" + bytes(65536) + b"\r\n"),
    "close in headers": says(START + b"X-Cut: of", then=Then.CLOSE),
    "reset in body": says(CUT, then=Then.RESET),
    "short body": says(CUT, then=Then.CLOSE),
    "chunks without end": says(CHUNKED + b"5\r\nhello\r\n", then=Then.CLOSE),
    "chunk cut": says(CHUNKED + b"ff\r\nhello", then=Then.CLOSE),
    "stale": _stale,
    "stale when idle": _stale_idle,
    # Not HTTP, or not quite.
    "garbage": says(bytes(range(256)) * 4, then=Then.CLOSE),
    "http 0.9": says(b"<html>plain old page</html>", then=Then.CLOSE),
    "icy": says(b"ICY 200 OK\r\nicy-name: radio\r\nContent-Length: 2\r\n\r\nok", then=Then.CLOSE),
    "http 2.0 in text": says(OK.replace(b"1.1", b"2.0")),
    "status 000": says(OK.replace(b"200", b"000")),
    "status 99": says(OK.replace(b"200", b"99")),
    "status 1000": says(OK.replace(b"200", b"1000")),
    "status 999": says(OK.replace(b"200 OK", b"999 Request Denied")),
    "status negative": says(OK.replace(b"200", b"-1")),
    "status without reason": says(OK.replace(b"200 OK", b"200")),
    "status with colon": says(OK.replace(b"200 OK", b"200: OK")),
    # Interim responses.
    "early hints": says(EARLY + OK),
    "interim flood": says(EARLY * 1000 + OK),
    "interim for ever": endless(b"", EARLY * 100),
    "continue only": says(b"HTTP/1.1 100 Continue\r\n\r\n", then=Then.HANG),
    "switching protocols": says(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        then=Then.HANG,
    ),
    # Headers.
    "huge header line": says(answer(b"ok", b"X-Huge: " + b"h" * 100_000)),
    "10,000 headers": says(answer(b"ok", *(b"X-%d: y" % number for number in range(10_000)))),
    "endless headers": endless(START, b"X-More: and more\r\n" * 1000),
    "endless header line": endless(START + b"X-Line: ", b"x" * 65536),
    "nul in header": says(answer(b"ok", b"X-Nul: a\0b")),
    "cr in header": says(answer(b"ok", b"X-Cr: a\rb")),
    "bare lf": says(OK.replace(b"\r\n", b"\n")),
    "folded header": says(answer(b"ok", b"X-Fold: one\r\n two")),
    "no colon": says(answer(b"ok", b"no colon here")),
    "space before colon": says(answer(b"ok", b"X-Space : value")),
    "8-bit header": says(answer(b"ok", b"X-Latin: caf\xe9")),
    "two locations": says(answer(b"", b"Location: /one", b"Location: /two", status=b"302 Found")),
    # Length and framing (RFC 9112 6).
    "two lengths": says(answer(b"ok", b"Content-Length: 3")),
    "equal lengths": says(answer(b"ok", b"Content-Length: 2")),
    **{name: says(answer(b"ok", b"Content-Length: " + value, length=False)) for name, value in LENGTHS.items()},
    "length and chunked": says(
        answer(b"2\r\nok\r\n0\r\n\r\n", b"Transfer-Encoding: chunked\r\nContent-Length: 2", length=False)
    ),
    "chunked not last": says(
        answer(b"2\r\nok\r\n0\r\n\r\n", b"Transfer-Encoding: chunked, gzip", length=False), then=Then.CLOSE
    ),
    "bad chunk size": says(CHUNKED + b"xyz\r\nok\r\n0\r\n\r\n"),
    "negative chunk size": says(CHUNKED + b"-2\r\nok\r\n0\r\n\r\n"),
    "chunk size overflow": says(CHUNKED + b"f" * 20 + b"\r\nok\r\n0\r\n\r\n", then=Then.CLOSE),
    "huge chunk extension": says(CHUNKED + b"2;e=" + b"x" * 100_000 + b"\r\nok\r\n0\r\n\r\n"),
    "trailer flood": says(CHUNKED + b"2\r\nok\r\n0\r\n" + b"X-T: t\r\n" * 10_000 + b"\r\n"),
    "endless trailers": endless(CHUNKED + b"2\r\nok\r\n0\r\n", b"X-T: t\r\n" * 1000),
    # More than was asked: the next response on the connection must not be poisoned by it.
    "body on 204": says(b"HTTP/1.1 204 No Content\r\n\r\npoison", OK),
    "body on 304": says(b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\npoison', OK),
    "body on head": says(answer(b"poison"), OK),
    "extra bytes": says(OK + b"poison", OK),
    "second response": says(OK + answer(b"unasked"), OK),
    "second response later": _second_later,
}
