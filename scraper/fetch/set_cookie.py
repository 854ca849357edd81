"""One Set-Cookie line: from text to a cookie, by RFC 6265bis 5.1, 5.6 and 5.7. Pure, never raises."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from .. import url as urls
from ..domains import is_address, is_suffix

MAX_PAIR = 4096  # bytes of name and value together (5.6)
MAX_ATTRIBUTE = 1024  # bytes of an attribute's value; a longer one is as good as not there (5.6)
MAX_AGE = 400 * 86400.0  # seconds a cookie lives at most (5.5)
LONG_AGO = -1e18  # an expiry that has always passed

_CONTROLS = frozenset(map(chr, [*range(9), *range(10, 32), 127]))
_BLANK = " \t"
_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
    "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip
_DELIMITERS = {
    code: " "
    for part in (range(9, 10), range(0x20, 0x30), range(0x3B, 0x41), range(0x5B, 0x61), range(0x7B, 0x7F))
    for code in part
}
_DIGITS = frozenset("0123456789")
_SAME_SITE = frozenset({"strict", "lax", "none"})


class Cookie(msgspec.Struct, array_like=True, gc=False):
    """A cookie as it is kept; times are wall-clock seconds, `expires` None for a session cookie.

    `same_site` is "strict", "lax", "none", or "" where the server said nothing we know.
    """

    name: str
    value: str
    domain: str
    path: str
    created: float
    used: float
    expires: float | None = None
    host_only: bool = True
    secure: bool = False
    http_only: bool = False
    same_site: str = ""


class Refused(Exception):
    """A line that makes no cookie; the text says by which rule, never what was in it."""


def parse(line: str, url: str, now: float) -> Cookie:
    """The cookie that one Set-Cookie line of an answer from `url` asks for. Raises Refused."""
    if not _CONTROLS.isdisjoint(line):
        raise Refused("control character")
    pair, _, rest = line.partition(";")
    name, value = _pair(pair)
    attributes = _attributes(rest) if rest else {}
    host = urls.hostname(urls.netloc(url))
    domain = _domain(attributes.get("domain", ""), host)
    path = attributes.get("path", "")
    same_site = attributes.get("samesite", "").lower()
    cookie = Cookie(
        name=name,
        value=value,
        domain=domain or host,
        path=path if path.startswith("/") else default_path(url),
        created=now,
        used=now,
        expires=_expires(attributes, now),
        host_only=not domain,
        secure="secure" in attributes,
        http_only="httponly" in attributes,
        same_site=same_site if same_site in _SAME_SITE else "",
    )
    _check(cookie, url, path)
    return cookie


def default_path(url: str) -> str:
    """The folder of a canonical URL's path (5.1.4)."""
    path = path_of(url)
    end = path.rfind("/")
    return path[:end] if end > 0 else "/"


def path_of(url: str) -> str:
    """The path of a canonical URL, without its query."""
    start = url.find("/", url.index("//") + 2)
    if start < 0:
        return "/"
    end = url.find("?", start)
    return url[start:] if end < 0 else url[start:end]


def path_matches(path: str, of_cookie: str) -> bool:
    """Whether a request's path is the cookie's or lies below it (5.1.4)."""
    if not path.startswith(of_cookie):
        return False
    return len(path) == len(of_cookie) or of_cookie.endswith("/") or path[len(of_cookie)] == "/"


def domain_matches(host: str, domain: str) -> bool:
    """Whether a host is the domain or one of its subdomains; an address matches only itself (5.1.3)."""
    return host == domain or (host.endswith("." + domain) and not is_address(host))


@lru_cache(maxsize=512)
def date(text: str) -> float | None:
    """Wall-clock seconds of a cookie's date, read as leniently as browsers do (5.1.1), or None."""
    clock: tuple[int, int, int] | None = None
    day = month = year = None
    for token in text.translate(_DELIMITERS).split(" "):
        if clock is None and (clock := _time(token)) is not None:
            continue
        if day is None and (day := _number(token, 1, 2)) is not None:
            continue
        if month is None and (month := _MONTHS.get(token[:3].lower())) is not None:
            continue
        if year is None:
            year = _number(token, 2, 4)
    if clock is None or day is None or month is None or year is None:
        return None
    if year < 100:
        year += 1900 if year >= 70 else 2000
    if year < 1601:
        return None
    try:
        return datetime(year, month, day, *clock, tzinfo=UTC).timestamp()
    except ValueError:  # no such day, hour, minute or second
        return None


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        name, value = "", name
    name, value = name.strip(_BLANK), value.strip(_BLANK)
    if not name and not value:
        raise Refused("empty")
    if _size(name) + _size(value) > MAX_PAIR:
        raise Refused("too large")
    return name, value


def _attributes(text: str) -> dict[str, str]:
    """The last valid value of each attribute, by lower-case name."""
    found: dict[str, str] = {}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        name, value = name.strip(_BLANK).lower(), value.strip(_BLANK)
        if _size(value) > MAX_ATTRIBUTE:
            continue
        if (name == "expires" and date(value) is None) or (name == "max-age" and not _is_age(value)):
            continue
        found[name] = value
    return found


def _size(text: str) -> int:
    """Bytes on the wire. A text that is not UTF-8 is refused: it could be neither stored nor sent again."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise Refused("not UTF-8") from error


def _is_age(value: str) -> bool:
    return value != "" and _DIGITS.issuperset(value.removeprefix("-")) and value != "-"


def _expires(attributes: dict[str, str], now: float) -> float | None:
    age = attributes.get("max-age")
    if age is not None:
        seconds = min(int(age), int(MAX_AGE))  # 1,024 digits at most, so int() takes them
        return now + seconds if seconds > 0 else LONG_AGO
    when = attributes.get("expires")
    moment = date(when) if when is not None else None
    return None if moment is None else min(moment, now + MAX_AGE)


def _domain(attribute: str, host: str) -> str:
    """The domain a cookie is for, "" when for the host alone (5.7, steps 7 to 9)."""
    if not attribute.isascii():
        raise Refused("domain not ASCII")
    domain = attribute.removeprefix(".").lower()
    if not domain:
        return ""
    if not domain_matches(host, domain):
        raise Refused("domain of another host")
    if is_address(host):
        return ""
    if is_suffix(domain):
        if domain != host:
            raise Refused("domain is a public suffix")
        return ""
    return domain


def _check(cookie: Cookie, url: str, path: str) -> None:
    """What Secure, SameSite and the name's prefix demand (5.7, steps 12 and 18 to 21)."""
    if cookie.secure and not url.startswith("https:"):
        raise Refused("secure over http")
    if cookie.same_site == "none" and not cookie.secure:
        raise Refused("SameSite=None without Secure")
    name = (cookie.name or cookie.value).lower()
    if not name.startswith(("__host-", "__secure-")):
        return
    if not cookie.name:
        raise Refused("prefix in the value")
    if not cookie.secure:
        raise Refused("prefix without Secure")
    if name.startswith("__host-") and not (cookie.host_only and path == "/"):
        raise Refused("__Host- with a domain or without Path=/")


def _number(token: str, least: int, most: int) -> int | None:
    """The digits a token begins with, if they are so many; what follows must be no digit."""
    count = 0
    while count < len(token) and token[count] in _DIGITS:
        count += 1
        if count > most:
            return None
    return int(token[:count]) if count >= least else None


def _time(token: str) -> tuple[int, int, int] | None:
    parts = token.split(":", 3)
    if len(parts) < 3:
        return None
    hour, minute = parts[0], parts[1]
    second = _number(parts[2], 1, 2)
    if not (_is_field(hour) and _is_field(minute)) or second is None:
        return None
    return int(hour), int(minute), second


def _is_field(text: str) -> bool:
    return 0 < len(text) < 3 and _DIGITS.issuperset(text)
