"""URLs: the WHATWG rules and one canonical form.

Canonical form, version 1: what the WHATWG URL Standard's parser gives (lower-case scheme and host,
IDNA, default port dropped, dot segments resolved), without fragment and user information, without
the trailing dot of a host, percent-encoding in upper case. Nothing else is touched: the order of
query parameters, a trailing slash and `index.html` can matter to a server.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import quote

from url import URL, URLError

from .errors import ScraperError
from .reasons import Reason

CANONICAL_VERSION = 1
MAX_LENGTH = 8192  # characters, like the request line limit of common servers (RFC 9112 3 asks for 8000)

_STRIPPED = "".join(map(chr, range(33)))  # C0 controls and space, at both ends
_DELETED = dict.fromkeys(map(ord, "\t\n\r"))  # anywhere
_BLAKE = blake2b(digest_size=8)
_LOWER_ESCAPE = re.compile(r"%(?:[a-f][0-9A-Fa-f]|[0-9A-F][a-f])")


class BadURL(ScraperError):
    """A string that is no URL we fetch; `reason` is BAD_URL, BAD_SCHEME or URL_TOO_LONG."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(f"{reason.value}: {printable(text[:200])!r}")
        self.reason = reason


def parse(text: str, base: URL | None = None) -> URL:
    """Parse an absolute URL, or one relative to `base`, by the WHATWG rules. Raises BadURL."""
    if len(text) > MAX_LENGTH:
        raise BadURL(Reason.URL_TOO_LONG, text)
    try:
        return URL.parse(text) if base is None else base.join(text)
    except (URLError, ValueError) as error:
        full = _spelled_out(text, base) if base is not None else text
        if full != text:
            return parse(full)
        raise BadURL(Reason.BAD_URL, text) from error


def _spelled_out(text: str, base: URL) -> str:
    """A link of three or more slashes with its scheme: `///host/` is `//host/` (WHATWG URL 4.4)."""
    host = text.strip(_STRIPPED).translate(_DELETED)
    if base.scheme in ("http", "https") and host.startswith(("//", "/\\", "\\/", "\\\\")):
        return f"{base.scheme}://" + host.lstrip("/\\")
    return text


def canonical(text: str, base: URL | None = None) -> str:
    """The canonical form of a URL, absolute or relative to `base`. Raises BadURL."""
    return normal(parse(text, base))


def normal(parsed: URL) -> str:
    """The canonical form of a parsed URL. Raises BadURL for what is not http or https, or too long."""
    text = str(parsed)
    cut = text.find("#")
    if cut >= 0:
        text = text[:cut]
    start = 8 if text.startswith("https://") else 7 if text.startswith("http://") else 0
    if not start:
        raise BadURL(Reason.BAD_SCHEME, text)
    host = text[start : text.find("/", start)]
    if "@" in host or ".:" in host or host.endswith("."):
        text = _plain_host(parsed, text)
    if len(text) > MAX_LENGTH:
        raise BadURL(Reason.URL_TOO_LONG, text)
    if "%" in text:
        text = _LOWER_ESCAPE.sub(lambda match: match[0].upper(), text)
    return text


def _plain_host(parsed: URL, text: str) -> str:
    """A URL without user information and without the dot that may end a host."""
    host = parsed.host_str or ""
    if not host:
        raise BadURL(Reason.BAD_URL, text)
    parsed = parsed.with_username("").with_password(None).with_fragment(None)
    if host.endswith(".") and host != "." and not host.endswith(".."):  # ".." ends in an empty label
        parsed = parsed.with_host(host[:-1])
    return str(parsed)


def netloc(url: str) -> str:
    """Host and explicit port of a canonical URL: the key of politeness, `example.com:8080`."""
    start = url.index("//") + 2
    end = url.find("/", start)
    return url[start:] if end < 0 else url[start:end]


def origin(url: str) -> str:
    """Scheme, host and port of a canonical URL: `https://example.com`."""
    end = url.find("/", url.index("//") + 2)
    return url if end < 0 else url[:end]


@lru_cache(maxsize=4096)
def hostname(key: str) -> str:
    """The host of a netloc, without port; an IPv6 address keeps its brackets."""
    if key.startswith("["):
        return key[: key.index("]") + 1]
    return key.partition(":")[0]


def fingerprint(url: str, method: str = "GET", body: bytes | None = None, session: str = "") -> int:
    """64 signed bits of blake2b over what makes a request the same: method, URL, body, session."""
    if method == "GET" and body is None and not session:
        return digest(url.encode())
    parts = (method.encode(), url.encode("utf-8", "surrogatepass"), body or b"", session.encode())
    return digest(b"\x00".join(b"%d:%b" % (len(part), part) for part in parts))


def digest(data: bytes) -> int:
    """64 signed bits of blake2b, as SQLite and Redis store them."""
    blake = _BLAKE.copy()  # half the cost of a new one
    blake.update(data)
    return int.from_bytes(blake.digest(), "little", signed=True)


def printable(url: str) -> str:
    """A URL for logs and errors: no user information, no control characters."""
    shown = re.sub(r"//[^/?#]*@", "//", url, count=1)
    return "".join(c if c.isprintable() else quote(c, safe="", errors="surrogatepass") for c in shown)
