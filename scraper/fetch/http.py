"""The transport: one HTTP/1.1 exchange over aiohttp, with its cookies, redirects and decompression off."""

from __future__ import annotations

import asyncio
import errno
import ssl
from math import inf
from types import TracebackType

import aiohttp
from aiohttp.connector import Connection
from aiohttp.hdrs import CONTENT_ENCODING, TRANSFER_ENCODING
from aiohttp.http import HttpProcessingError, RawResponseMessage

from ..errors import FetchError, NotNow
from ..reasons import Reason
from ..request import Request
from ..response import Response
from ..settings import HostRules
from .deadline import Deadline
from .decode import decoder
from .departure import DEPARTURE
from .guard import Guard
from .head import field_lines, length_line, request_line, waits
from .headers import WireHeaders
from .pool import Place, Pool
from .resolve import Names
from .watch import Exchange, Watch
from .wire import Wire

REFUSED = frozenset({errno.ECONNREFUSED})
UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})
LOCAL = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM})


class Http:
    """`await http(request) -> Response`: whole and decoded, or a FetchError that says why not.

    One task, no timer and mostly one wake-up a request: its answer is looked at when it is whole.
    """

    def __init__(
        self, rules: HostRules, guard: Guard, resolver: aiohttp.abc.AbstractResolver | None = None
    ) -> None:
        self._rules = rules
        self._settings = rules.settings
        self._guard = guard
        self._resolver = resolver
        self._opened: aiohttp.abc.AbstractResolver | None = None

    async def __aenter__(self) -> Http:
        self._loop = asyncio.get_running_loop()
        inner = self._resolver or Names()
        self._opened = None if self._resolver else inner
        self._pool = Pool(self._loop, self._rules, self._guard, inner)
        self._watch = Watch(self._loop)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.close()
        try:
            await self._pool.close()
        finally:
            if self._opened is not None:  # aiohttp closes none that it was given
                await self._opened.close()

    async def __call__(self, request: Request, lines: bytes = b"") -> Response:
        """One exchange; `lines` are ready header lines, b"": those of the request.

        Raises FetchError, and NotNow when the gate called it off.
        """
        settings, url = self._settings, request.url
        timeout = settings.timeout if request.timeout is None else request.timeout
        exchange = Exchange(self._loop, timeout, settings.header_timeout, settings.min_rate, settings.slow_after)
        try:
            end = url.index("/", 8)  # behind `https://` at the latest; a canonical URL has one
            place = self._pool.place(url[:end])
            target = request_line(request.method, place.prefix + url[end:])
            connection, wire = self._pool.take(place) or await self._dial(place, exchange)
            exchange.wire = wire
            self._watch.add(exchange)
            try:
                await self._send(request, target, lines, place, exchange, wire)
                response = await self._answer(request, wire)
            except NotNow:
                self._pool.give(place, connection, wire)
                raise
            except BaseException:
                connection.close()  # the rest of the body is not drained
                raise
            finally:
                self._watch.discard(exchange)
            self._pool.give(place, connection, wire)
        except TimeoutError as error:
            raise FetchError(exchange.reason, f"after {exchange.seconds():.1f} s") from error
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            raise typed(error, departed=exchange.departed, reused=exchange.reused) from error
        response.elapsed = exchange.seconds()
        return response

    async def _dial(self, place: Place, exchange: Exchange) -> tuple[Connection, Wire]:
        exchange.phase(Reason.CONNECT_TIMEOUT, self._settings.connect_timeout)
        async with Deadline() as deadline:
            deadline.move(exchange.until if exchange.until < inf else None)
            return await self._pool.dial(place)

    async def _send(
        self, request: Request, target: bytes, lines: bytes, place: Place, exchange: Exchange, wire: Wire
    ) -> None:
        """Depart, or raise NotNow before a byte is written."""
        lines = lines or field_lines(request.headers, place.netloc)
        body, later = request.body, b""
        if body is not None or request.method != "GET":
            lines += length_line(request.method, lines, body)
            if body and waits(lines):
                body, later = b"", body
        departure = DEPARTURE.get()
        exchange.reused = wire.used
        word = departure.depart(reused=wire.used)
        if word is not None:
            await word  # `ask` sees whether the server has closed the connection meanwhile
        exchange.departed = True
        head = b"%b%b%b\r\n%b" % (target, lines, place.proxied, body or b"")
        wire.ask(head, later, exchange, head=request.method == "HEAD")
        departure.sent()
        exchange.sent()

    async def _answer(self, request: Request, wire: Wire) -> Response:
        """The answer to what was sent. Raises FetchError, and what aiohttp raises."""
        if (news := wire.news()) is not None:
            await news
        message = wire.message
        if message is None:
            raise wire.exception() or aiohttp.ServerDisconnectedError()
        response = Response(
            request.url,
            status=message.code,
            headers=WireHeaders.of(message.headers, message.raw_headers),
            request=request,
        )
        _refuse_framing(message)
        await self._body(response, message, wire)
        return response

    async def _body(self, response: Response, message: RawResponseMessage, wire: Wire) -> None:
        """Read the body into the response. Raises FetchError; one that is too large carries what came."""
        settings, limit = self._settings, response.request.max_body
        most = settings.max_body if limit is None else limit
        coding = message.headers.getall(CONTENT_ENCODING, None)
        decode = decoder(",".join(coding), most) if coding else None
        parts: list[bytes] = []
        size = 0
        try:
            while True:
                chunk = wire.take()
                response.wire_bytes += len(chunk)
                if response.wire_bytes > settings.max_wire:
                    raise FetchError(Reason.TOO_LARGE, f"more than {settings.max_wire:,} bytes on the wire")
                if decode is not None:
                    chunk = decode.feed(chunk)
                size += len(chunk)
                parts.append(chunk)
                if size > most:
                    raise FetchError(Reason.TOO_LARGE, f"more than {most:,} bytes")
                if wire.whole():
                    break
                if (news := wire.news()) is not None:
                    await news
            if decode is not None:
                parts.append(decode.finish())
                response.flags = tuple(decode.flags)
        except FetchError as error:
            if error.reason is Reason.TOO_LARGE:
                response.body = b"".join(parts)[:most]
                error.partial = response
            raise
        except (aiohttp.ClientPayloadError, ConnectionError, aiohttp.ServerDisconnectedError) as error:
            if not settings.keep_partial:
                raise FetchError(Reason.PARTIAL, f"{response.wire_bytes:,} bytes came") from error
            response.flags = ("partial",)
        response.body = parts[0] if len(parts) == 1 else b"".join(parts)


def _refuse_framing(message: RawResponseMessage) -> None:
    """What aiohttp lets pass: no final status (RFC 9110 15), a transfer coding it does not undo (RFC 9112 6.1)."""
    if message.code < 200:
        raise FetchError(Reason.PROTOCOL, f"status {message.code:03d} ends no exchange")
    if TRANSFER_ENCODING in message.headers:
        coding = ",".join(message.headers.getall(TRANSFER_ENCODING))
        if coding and coding.strip().lower() != "chunked":
            raise FetchError(Reason.PROTOCOL, f"transfer coding {_short_text(coding)!r}")


def typed(error: Exception, *, departed: bool, reused: bool) -> FetchError:
    """The project's own error for what aiohttp or the system raised."""
    text = _short(error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return _connecting(error)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return FetchError(Reason.PROXY, f"status {error.status}")
    if isinstance(error, HttpProcessingError | aiohttp.ClientResponseError):
        message = _short_text(error.message.partition("\n")[0].rstrip(":"))
        too_large = message.startswith(("Got more than", "Too many headers"))
        return FetchError(Reason.HEADERS_TOO_LARGE if too_large else Reason.PROTOCOL, message)
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionError):
        if reused and departed:
            return FetchError(Reason.STALE, "the connection had been closed")
        if not isinstance(error, aiohttp.ServerDisconnectedError):
            return FetchError(Reason.RESET, text)
        begun = not isinstance(error.message, str)
        return FetchError(Reason.EMPTY_REPLY, "closed within the headers" if begun else "closed without a word")
    if isinstance(error, aiohttp.ClientPayloadError):
        return FetchError(Reason.PARTIAL, text)
    if isinstance(error, OSError) and error.errno in LOCAL:
        return FetchError(Reason.LOCAL, text)
    return FetchError(Reason.BAD_REQUEST if isinstance(error, ValueError) else Reason.PROTOCOL, text)


def _connecting(error: aiohttp.ClientConnectorError) -> FetchError:
    number = error.os_error.errno if error.os_error is not None else None
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return FetchError(Reason.DNS, error.host)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return FetchError(Reason.PROXY, _short(error.os_error))
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return FetchError(Reason.TLS_CERTIFICATE, _short(error.certificate_error))
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        broken = isinstance(error.os_error, ssl.SSLCertVerificationError)
        return FetchError(Reason.TLS_CERTIFICATE if broken else Reason.TLS, _short(error.os_error))
    for numbers, reason in (
        (REFUSED, Reason.REFUSED),
        (UNREACHABLE, Reason.UNREACHABLE),
        (LOCAL, Reason.LOCAL),
    ):
        if number in numbers:
            return FetchError(reason, f"{error.host}:{error.port}")
    return FetchError(Reason.RESET if departed_reset(number) else Reason.UNREACHABLE, _short(error))


def departed_reset(number: int | None) -> bool:
    """Whether an error number means that the other side ended the connection."""
    return number in (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)


def _short(error: BaseException | None) -> str:
    return _short_text(str(error) or type(error).__name__)


def _short_text(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:200])
