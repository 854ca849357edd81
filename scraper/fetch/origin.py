"""Redirects and what may cross an origin: pure rules (RFC 9110 15.4, Fetch 4.4, Referrer Policy)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .. import url as urls
from ..errors import FetchError
from ..reasons import Reason
from ..request import Request, altered

REDIRECTS = frozenset({301, 302, 303, 307, 308})  # 300 and 304 are none, whatever they carry
MAX_HOPS = 20  # as browsers do (Fetch 4.4, step 7)
SAME_URL = 3  # how often one URL may redirect within a chain: a cookie wall needs one or two
MAX_REFERER = 4096  # characters, above which only the origin is told (Referrer Policy 8.3)

# What a spider may have set that says nothing about who it is; everything else stays with its origin.
HARMLESS = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "content-language",
        "content-type",
        "dnt",
        "pragma",
        "upgrade-insecure-requests",
        "user-agent",
    }
)

_BLANK = " \t"
_RAW_BYTE = re.compile("[\udc80-\udcff]")


def same_origin(url: str, other: str) -> bool:
    """Whether two canonical URLs have the same scheme, host and port."""
    return urls.origin(url) == urls.origin(other)


def redirect_method(status: int, method: str) -> str:
    """The method after a redirect (Fetch 4.4, step 12)."""
    if status == 303 and method != "HEAD":
        return "GET"
    if status in (301, 302) and method == "POST":
        return "GET"
    return method


def location(values: Sequence[str], url: str) -> str | None:
    """The canonical target of an answer's Location fields, None when they name none (missing or blank).

    `url` is what the answer came from; the values are text decoded as UTF-8 with surrogateescape. Raises
    FetchError(BAD_REDIRECT) for two different targets and for what is no http or https URL.
    """
    named = {value.strip(_BLANK) for value in values}
    named.discard("")
    if not named:
        return None
    if len(named) > 1:
        raise FetchError(Reason.BAD_REDIRECT, "two different Location fields")
    text = named.pop()
    if any(c in text for c in "\r\n\0"):
        raise FetchError(Reason.BAD_REDIRECT, "control character in Location")
    if not text.isascii():
        text = _RAW_BYTE.sub(lambda match: f"%{ord(match[0]) - 0xDC00:02X}", text)
    try:
        return urls.canonical(text, urls.parse(url))
    except urls.BadURL as error:
        # The text may hold a password where it is too odd to find it: then it is not shown.
        shown = "" if "@" in text else f": {urls.printable(text[:200])}"
        raise FetchError(Reason.BAD_REDIRECT, f"{error.reason.value}{shown}") from None


def follow(
    request: Request, status: int, target: str, *, limit: int = MAX_HOPS, send_body: bool = False
) -> Request:
    """The request that a redirect asks for; `target` is canonical, `limit` 0 allows none.

    To another origin go no headers but harmless ones, and a body only with `send_body`. Whether scope,
    robots and guard let the target pass is the caller's question. Raises FetchError: TOO_MANY_REDIRECTS,
    or BAD_REDIRECT for a body that would cross.
    """
    hops = (*request.hops, request.url)
    if len(hops) > limit:
        raise FetchError(Reason.TOO_MANY_REDIRECTS, f"more than {limit}")
    if hops.count(target) >= SAME_URL:
        raise FetchError(Reason.TOO_MANY_REDIRECTS, f"{SAME_URL} times through {urls.printable(target)}")
    method = redirect_method(status, request.method)
    headers, body = request.headers, request.body
    if method != request.method:
        headers, body = tuple(field for field in headers if not _describes_body(field[0])), None
    if not same_origin(request.url, target):
        if body is not None and not send_body:
            raise FetchError(Reason.BAD_REDIRECT, "body not sent across origins")
        headers = tuple(field for field in headers if field[0].lower() in HARMLESS)
    return altered(
        request,
        url=target,
        method=method,
        headers=headers,
        body=body,
        hops=hops,
        referer=referer(request.referer, target),
        after=0.0,
        due=0.0,
    )


def referer(url: str, target: str) -> str:
    """The Referer that a page at `url` gives a request for `target`, both canonical; "" for none.

    strict-origin-when-cross-origin: whole within an origin, the origin to another, nothing from https to
    http (Referrer Policy 3.7); user information and fragment never.
    """
    if not url.startswith(("http://", "https://")):
        return ""
    if url.startswith("https:") and not target.startswith("https:"):
        return ""
    if "@" in url or "#" in url:
        try:
            url = urls.canonical(url)
        except urls.BadURL:
            return ""
    origin = urls.origin(url)
    if origin == urls.origin(target) and len(url) <= MAX_REFERER:
        return url
    return origin + "/"


def _describes_body(name: str) -> bool:
    name = name.lower()
    return name.startswith("content-") or name == "transfer-encoding"
