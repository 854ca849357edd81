"""The transport: one HTTP/1.1 exchange over aiohttp, with its cookies, redirects and decompression off."""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Awaitable
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from yarl import URL

from ..errors import FetchError
from ..reasons import Reason
from ..request import Request
from ..response import Headers, Response
from ..settings import HostRules
from .deadline import Deadline
from .decode import decoder
from .departure import DEPARTURE
from .guard import Guard
from .resolve import GuardedResolver

MAX_LINE = 65_536  # bytes of one header line; servers with large cookies go beyond aiohttp's 8,190
MAX_HEADERS = 512
BUFFER = 2**18  # bytes of a body that are read before the socket is paused
KEEPALIVE = 15.0  # seconds an idle connection is kept: shorter than what servers commonly keep

REFUSED = frozenset({errno.ECONNREFUSED})
UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})
LOCAL = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM})


class DepartingRequest(ClientRequest):
    """aiohttp's request, which tells the gate when its connection is ready and when its headers are out."""

    async def send(self, conn: Any) -> Any:
        """Depart, or raise NotNow before a byte is written."""
        departure = DEPARTURE.get()
        reused = getattr(conn.protocol, "departed_before", False)
        word = departure.depart(reused=reused)
        if word is not None:
            await word
        if reused and conn.protocol.should_close:  # an answer nobody asked for lies in it: never take it for ours
            raise aiohttp.ServerDisconnectedError
        conn.protocol.departed_before = True
        response = await super().send(conn)
        departure.sent()
        return response


class Http:
    """`await http(request) -> Response`: whole and decoded, or a FetchError that says why not."""

    def __init__(
        self, rules: HostRules, guard: Guard, resolver: aiohttp.abc.AbstractResolver | None = None
    ) -> None:
        self._rules = rules
        self._settings = rules.settings
        self._guard = guard
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None
        self._opened: aiohttp.abc.AbstractResolver | None = None

    async def __aenter__(self) -> Http:
        inner = self._resolver or aiohttp.DefaultResolver()
        self._opened = None if self._resolver else inner
        connector = aiohttp.TCPConnector(
            limit=0,
            use_dns_cache=False,
            resolver=GuardedResolver(inner, self._guard),
            keepalive_timeout=KEEPALIVE,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            request_class=DepartingRequest,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=BUFFER,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
        )
        self._session._retry_connection = False  # one permit, one send: a stale connection is ours to answer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._session is not None:
                await self._session.close()
        finally:
            if self._opened is not None:  # aiohttp closes none that it was given
                await self._opened.close()

    async def __call__(self, request: Request) -> Response:
        """One exchange. Raises FetchError, and NotNow when the gate called it off."""
        self._guard.check_url(request.url)
        settings = self._settings
        timeout = settings.timeout if request.timeout is None else request.timeout
        exchange = _Exchange(timeout, settings.header_timeout)
        try:
            async with exchange.deadline:
                return await self._exchange(request, exchange)
        except TimeoutError as error:
            raise FetchError(exchange.reason, f"after {exchange.seconds():.1f} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise typed(error, departed=exchange.departed, reused=exchange.reused) from error

    async def _exchange(self, request: Request, exchange: _Exchange) -> Response:
        assert self._session is not None, "the transport is entered first"
        settings, rule = self._settings, self._rules[request.host]
        proxy = rule.proxy
        exchange.phase(Reason.CONNECT_TIMEOUT, settings.connect_timeout)
        token = DEPARTURE.set(exchange)
        try:
            answer = await self._session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
                ssl=bool(rule.verify),
                proxy=proxy,
            )
        finally:
            DEPARTURE.reset(token)
        response = Response(
            request.url,
            status=answer.status,
            headers=Headers((_text(name), _text(value)) for name, value in answer.raw_headers),
            request=request,
        )
        try:
            _refuse_framing(answer)
            await self._body(response, answer, exchange)
        except BaseException:
            answer.close()  # the rest of the body is not drained
            raise
        answer.release()
        response.elapsed = exchange.seconds()
        return response

    async def _body(self, response: Response, answer: aiohttp.ClientResponse, exchange: _Exchange) -> None:
        """Read the body into the response. Raises FetchError; one that is too large carries what came."""
        settings, limit = self._settings, response.request.max_body
        most = settings.max_body if limit is None else limit
        decode = decoder(",".join(answer.headers.getall("Content-Encoding", ())), most)
        exchange.body(settings.min_rate, settings.slow_after)
        parts: list[bytes] = []
        size = 0
        try:
            async for chunk in answer.content.iter_any():
                response.wire_bytes += len(chunk)
                if response.wire_bytes > settings.max_wire:
                    raise FetchError(Reason.TOO_LARGE, f"more than {settings.max_wire:,} bytes on the wire")
                exchange.received(response.wire_bytes)
                if decode is not None:
                    chunk = decode.feed(chunk)
                size += len(chunk)
                parts.append(chunk)
                if size > most:
                    raise FetchError(Reason.TOO_LARGE, f"more than {most:,} bytes")
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


class _Exchange:
    """The deadlines of one exchange: one timer, moved from phase to phase. Seconds of the loop's clock."""

    __slots__ = ("_end", "_inner", "_loop", "_mark", "_rate", "_start", "_step", "_wait", "deadline", "departed",
                 "reason", "reused")  # fmt: skip

    def __init__(self, timeout: float, header_timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._end = self._start + timeout if timeout else None
        self._wait = header_timeout
        self._inner = DEPARTURE.get()
        self._rate = self._mark = 0
        self._step = 0.0
        self.reason = Reason.CONNECT_TIMEOUT
        self.departed = self.reused = False
        self.deadline = Deadline()

    def seconds(self) -> float:
        """Since the exchange began."""
        return self._loop.time() - self._start

    def phase(self, reason: Reason, seconds: float) -> None:
        """From here the phase may take so many seconds (0: any), and never more than is left of the whole."""
        until = self._loop.time() + seconds if seconds else None
        self.reason = reason
        if self._end is not None and (until is None or self._end <= until):
            self.reason, until = Reason.TIMEOUT, self._end
        self.deadline.move(until)

    def depart(self, *, reused: bool = False) -> Awaitable[None] | None:
        """Pass the gate's word on."""
        self.reused = reused
        word = self._inner.depart(reused=reused)
        if word is not None:
            return self._after(word)
        self.departed = True
        return None

    async def _after(self, word: Awaitable[None]) -> None:
        await word
        self.departed = True

    def sent(self) -> None:
        """From here the headers of the answer are waited for."""
        self._inner.sent()
        self.phase(Reason.HEADER_TIMEOUT, self._wait)

    def body(self, rate: int, step: float) -> None:
        """From here a body is read that brings at least `rate` bytes a second over every `step` seconds."""
        self._rate, self._step = rate, step
        self.phase(Reason.SLOW_BODY, step if rate else 0.0)

    def received(self, wire: int) -> None:
        """So many bytes of body have come; enough of them begin a new step."""
        if self._rate and wire - self._mark >= self._rate * self._step:
            self._mark = wire
            self.phase(Reason.SLOW_BODY, self._step)


def _refuse_framing(answer: aiohttp.ClientResponse) -> None:
    """What aiohttp lets pass: no final status (RFC 9110 15), a transfer coding it does not undo (RFC 9112 6.1)."""
    if answer.status < 200:
        raise FetchError(Reason.PROTOCOL, f"status {answer.status:03d} ends no exchange")
    coding = ",".join(answer.headers.getall("Transfer-Encoding", ()))
    if coding and coding.strip().lower() != "chunked":
        raise FetchError(Reason.PROTOCOL, f"transfer coding {_short_text(coding)!r}")


def typed(error: Exception, *, departed: bool, reused: bool) -> FetchError:
    """The project's own error for what aiohttp or the system raised."""
    text = _short(error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return _connecting(error)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return FetchError(Reason.PROXY, f"status {error.status}")
    if isinstance(error, aiohttp.ClientResponseError):
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


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
