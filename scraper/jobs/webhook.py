"""Tells a channel by HTTP: one signed POST of JSON; only an answer 2xx counts, and no redirect is followed.

The signature is that of the timestamp, a dot and the body, by HMAC-SHA256 (RFC 2104): who knows the secret can tell
that a message is ours, whole, and, by the timestamp, not an old one again.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from .. import url as urls
from ..clock import Clock
from ..errors import FetchError
from ..fetch.guard import Guard
from ..fetch.resolve import GuardedResolver, Names
from ..logs import clean
from ..reasons import Reason
from .channels import headers_of, secret
from .job import Channel
from .message import Untold

TIMEOUT = 10.0  # seconds for all of it
SAID = 300  # bytes of an answer that are read and kept
LONGEST_WAIT = 3600.0  # seconds that a receiver may have us wait
SIGNATURE, TIMESTAMP, DELIVERY = "X-Scraper-Signature", "X-Scraper-Timestamp", "X-Scraper-Delivery"


def signature(key: str, timestamp: int, body: bytes) -> str:
    """What the header says: `v1=` and the digest in hexadecimal."""
    return "v1=" + hmac.new(key.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


async def post(channel: Channel, body: bytes, key: str, clock: Clock, *, timeout: float = TIMEOUT) -> str:
    """Send a body to the channel's webhook. Raises Untold, also for an address that is not a public one."""
    own = headers_of(channel)
    now = int(clock.wall())
    headers = {**own, "Content-Type": "application/json", "User-Agent": "scraper", TIMESTAMP: str(now)}
    headers |= {DELIVERY: key, "Idempotency-Key": key}
    shared = secret(channel.secret, "secret")
    if shared:
        headers[SIGNATURE] = signature(shared, now, body)
    try:
        url = urls.canonical(channel.webhook)
    except urls.BadURL as error:
        raise Untold("its address is no URL") from error
    host = urls.hostname(urls.netloc(url))
    try:
        async with asyncio.timeout(timeout):
            status, after, said = await _posted(url, body, headers, channel.allow_private)
    except TimeoutError as error:
        raise Untold(f"{host} has not answered within {timeout:g} s") from error
    except FetchError as error:
        raise Untold(_refused(error, host)) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Untold(f"{host}: {_why(error)}") from error
    if 200 <= status < 300:
        return ""
    told = _redacted(said, [url, channel.webhook, URL(url, encoded=True).raw_path_qs, shared, *own.values()])
    raise Untold(f"{host} answered {status}{f': {told}' if told else ''}", after)


async def _posted(url: str, body: bytes, headers: dict[str, str], private: bool) -> tuple[int, float, str]:
    """The answer's status, the seconds it asks us to wait, and how its body begins."""
    guard = Guard(allow_private=private)
    guard.check_url(url)
    resolver = GuardedResolver(Names(threads=2), guard)
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True)
    async with (
        _closing(resolver),
        aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
        ) as session,
        session.post(URL(url, encoded=True), data=body, headers=headers, allow_redirects=False) as answer,
    ):
        said = b"" if 200 <= answer.status < 300 else await _beginning(answer)
        return answer.status, _after(answer.headers.get("Retry-After", "")), said.decode("utf-8", "replace")


@asynccontextmanager
async def _closing(resolver: GuardedResolver) -> AsyncIterator[None]:
    """aiohttp closes only resolvers of its own."""
    try:
        yield
    finally:
        await resolver.close()


async def _beginning(answer: aiohttp.ClientResponse) -> bytes:
    """The first bytes of a body, however long it is."""
    said = b""
    while len(said) < SAID and (more := await answer.content.read(SAID - len(said))):
        said += more
    return said


def _after(text: str) -> float:
    """Retry-After in seconds (RFC 9110 10.2.3); a date is not worth the trouble."""
    return min(float(text), LONGEST_WAIT) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0


def _why(error: Exception) -> str:
    """An error of a connection in a few words, without the address."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return "its certificate is not valid"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection ({error.os_error.strerror or type(error.os_error).__name__})"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection without an answer"
    return f"no answer ({type(error).__name__})"


def _refused(error: FetchError, host: str) -> str:
    if error.reason is Reason.PRIVATE_ADDRESS:
        return f"{host} is not on the public Internet; if it is yours, set allow_private = true in its channel"
    return error.detail if error.detail.startswith(host) else f"{host}: {error.detail}"


def _redacted(text: str, hidden: Iterable[str]) -> str:
    """What a receiver said, on one line, without what it may have repeated of ours."""
    for each in hidden:
        if len(each) > 1:  # not every slash
            text = text.replace(each, "…")
    return clean(text.strip())
