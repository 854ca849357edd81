"""robots.txt: the rules of one origin for one product token (RFC 9309). Pure: nothing is fetched here.

A rule and a URL are compared octet by octet in one normal form (2.2.2): what needs no escape is
unescaped, everything else is escaped in upper case; `*` and `$` of a URL count as escaped, because in
a rule they are not literal (2.2.3). The longest matching rule wins, and Allow among equals. Plain
rules are looked up by their length, so a file of 40,000 of them costs no more than its distinct
lengths; a rule with wildcards is matched piece by piece from the left, without going back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import msgspec

from ..errors import StoreError

MAX_BYTES = 512_000  # 500 KiB, as much as must be read (RFC 9309 2.5)
MAX_REDIRECTS = 5  # hops to follow, across hosts too (2.3.1.2)
LIFETIME = 86_400.0  # seconds a file may be used without asking again (2.4)
RETRY_AFTER = 600.0  # seconds to wait before an unreachable file is asked for again
MAX_CRAWL_DELAY = 30.0  # seconds; more would stop a crawl by one line

VERSION = 1
# Characters compared that one URL may cost. A file that asks for more was made to be costly: read as closed.
MAX_COST = 1 << 26

_USER_AGENT, _ALLOW, _DISALLOW, _CRAWL_DELAY, _SITEMAP = range(5)
_KEYS = {
    b"user-agent": _USER_AGENT,
    b"useragent": _USER_AGENT,
    b"user agent": _USER_AGENT,
    b"allow": _ALLOW,
    b"disallow": _DISALLOW,
    # Misspelt often enough to be known; the owner's wish is clear.
    b"dissallow": _DISALLOW,
    b"dissalow": _DISALLOW,
    b"disalow": _DISALLOW,
    b"diasllow": _DISALLOW,
    b"disallaw": _DISALLOW,
    b"crawl-delay": _CRAWL_DELAY,
    b"crawldelay": _CRAWL_DELAY,
    b"sitemap": _SITEMAP,
    b"site-map": _SITEMAP,
}
_SHORTEST_LINE = len(b"allow:")
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
# RFC 9309 has letters, "_" and "-" only; products with digits and dots exist, and name themselves so.
_TOKEN = re.compile(rb"[A-Za-z0-9_.-]+")

_PERCENT = ord("%")
_KEPT = rb"A-Za-z0-9._~\-:/?@!'(),;\[\]&=+"  # RFC 3986 unreserved and reserved, but for # $ *
_IN_URL = re.compile(rb"%[0-9A-Fa-f]{2}|%|[^%" + _KEPT + rb"]+")
_PLAIN = re.compile("[^" + _KEPT.decode() + "]")  # what is not its own normal form
_IN_RULE = re.compile(rb"%[0-9A-Fa-f]{2}|%|[^%*" + _KEPT + rb"]+")
# Escapes that say the same as the character itself: not "/" and "?" in a path, not "&", "=", "+" anywhere.
_SAME_IN_PATH = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:@!'(),;[]")
_SAME_IN_QUERY = _SAME_IN_PATH | frozenset(b"/?")


class _Wild(NamedTuple):
    """A rule with wildcards: what a path begins with, holds in this order, ends with (None: anything)."""

    rank: int
    head: str
    pieces: tuple[str, ...]
    tail: str | None

    def matches(self, path: str) -> bool:
        """Leftmost match of every piece: O(path x longest piece), mostly O(path)."""
        if not path.startswith(self.head):
            return False
        at = len(self.head)
        for piece in self.pieces:
            at = path.find(piece, at)
            if at < 0:
                return False
            at += len(piece)
        return self.tail is None or (len(path) - len(self.tail) >= at and path.endswith(self.tail))


class _Index(NamedTuple):
    """The rules as they are searched. A rank is twice the rule's length, plus one for Allow."""

    heads: tuple[str, ...]  # with which every path begins that a rule without wildcards matches
    exact: dict[str, int]
    plain: dict[str, int]
    lengths: tuple[int, ...]  # of the plain rules
    wild: tuple[_Wild, ...]  # highest rank first
    weight: int  # characters of a path that all wild rules may look at, for each of its characters


class Robots(msgspec.Struct, frozen=True, dict=True):
    """What one origin asks of one product: rules, the delay between requests (seconds), its sitemaps.

    `rules` are (normal form of the pattern, is it Allow) in the order of the file.
    """

    rules: tuple[tuple[str, bool], ...] = ()
    crawl_delay: float | None = None
    sitemaps: tuple[str, ...] = ()
    version: int = VERSION

    @staticmethod
    def parse(body: bytes, product: str) -> Robots:
        """Read a file for one product token; of more than MAX_BYTES the whole lines before that count.

        Never raises: what is no rule is passed over (RFC 9309 2.2.4).
        """
        reading = _Reading(product)
        for key, value in _lines(body):
            reading.take(key, value)
        group = reading.own if reading.named else reading.others
        return Robots(tuple(group.rules), group.delay, tuple(reading.sitemaps))

    @staticmethod
    def allow_all() -> Robots:
        """No rules: the file is not there (2.3.1.3)."""
        return Robots()

    @staticmethod
    def disallow_all() -> Robots:
        """Nothing may be fetched: the file could not be reached (2.3.1.4)."""
        return Robots((("/", False),))

    @staticmethod
    def from_bytes(data: bytes) -> Robots:
        """What `to_bytes` stored. Raises StoreError."""
        try:
            robots = msgspec.msgpack.decode(data, type=Robots)
        except msgspec.MsgspecError as error:
            raise StoreError(f"stored robots rules cannot be read: {error}") from error
        if robots.version != VERSION:
            raise StoreError(f"stored robots rules are of version {robots.version}, not {VERSION}")
        return robots

    def to_bytes(self) -> bytes:
        """The rules as msgpack."""
        return msgspec.msgpack.encode(self)

    def allowed(self, url: str) -> bool:
        """Whether a canonical absolute URL may be fetched; `/robots.txt` always may (2.2.2).

        O(distinct lengths of plain rules + wild rules x length of the path).
        """
        path = _path(url)
        return path == "/robots.txt" or self._rank(path) % 2 == 1

    def _rank(self, path: str) -> int:
        index = self._index
        best = 1
        if path.startswith(index.heads):  # rarely
            best = index.exact.get(path, 1)
            for length in index.lengths:
                rank = index.plain.get(path[:length])
                if rank is not None and rank > best:
                    best = rank
        if index.weight * len(path) > MAX_COST:
            return 0
        for rule in index.wild:
            if rule.rank <= best:
                break
            if rule.matches(path):
                return rule.rank
        return best

    @cached_property
    def _index(self) -> _Index:
        exact: dict[str, int] = {}
        plain: dict[str, int] = {}
        wild: dict[str, _Wild] = {}
        for pattern, allow in self.rules:
            rank = 2 * len(pattern) + allow
            anchored = pattern.endswith("$")
            head, *pieces = (pattern[:-1] if anchored else pattern).split("*")
            if anchored and not pieces:
                exact[head] = max(rank, exact.get(head, 0))
            elif not any(pieces):
                plain[head] = max(rank, plain.get(head, 0))  # "/a*" and "/a*$" say no more than "/a"
            elif rank > (wild[pattern].rank if pattern in wild else 0):
                tail = pieces.pop() if anchored else None
                wild[pattern] = _Wild(rank, head, tuple(filter(None, pieces)), tail)
        return _Index(
            tuple({*exact, *plain}),
            exact,
            plain,
            tuple(sorted({len(head) for head in plain})),
            tuple(sorted(wild.values(), key=lambda rule: -rule.rank)),
            sum(1 + max(map(len, rule.pieces), default=0) for rule in wild.values()),
        )


class _Group:
    """The rules and the longest delay (seconds) that are meant for someone."""

    def __init__(self) -> None:
        self.rules: list[tuple[str, bool]] = []
        self.delay: float | None = None


class _Reading:
    """The state of a reader of lines: who is spoken to, and what was said to us and to everyone.

    All groups that name the product count as one (2.2.1). Lines that are neither a user agent nor a rule
    end no group (2.2.4); a delay is meant for those named before it.
    """

    def __init__(self, product: str) -> None:
        self.product = product.lower().encode("utf-8", "replace")
        self.named = False
        self.own = _Group()
        self.others = _Group()
        self.sitemaps: dict[str, None] = {}
        self._naming = False
        self._to: list[_Group] = []

    def take(self, key: int, value: bytes) -> None:
        """One line of the file."""
        if key == _USER_AGENT:
            self._agent(value)
        elif key == _SITEMAP:
            if value:
                self.sitemaps[value.decode("utf-8", "replace")] = None
        elif key == _CRAWL_DELAY:
            delay = _seconds(value)
            for group in self._to:
                if delay is not None:
                    group.delay = max(delay, group.delay or 0.0)
        else:
            self._naming = False
            self._rule(value, key == _ALLOW)

    def _agent(self, value: bytes) -> None:
        if not self._naming:
            self._naming = True
            self._to = []
        token = _TOKEN.match(value)
        if token is None:
            group = self.others if value[:1] == b"*" and not value[1:2].strip() else None
        elif token[0].lower() == self.product:
            group = self.own
            self.named = True
        else:
            group = None
        if group is not None and group not in self._to:
            self._to.append(group)

    def _rule(self, value: bytes, allow: bool) -> None:
        if not self._to or not value.startswith((b"/", b"*")):
            return  # an empty pattern matches nothing, any other must begin so (2.2.2)
        patterns = [_pattern(value)]
        folder, slash, page = patterns[0].rpartition("/")
        if allow and page.startswith("index.htm"):
            patterns.append(folder + slash + "$")  # a folder's page is asked for by the folder's name
        for group in self._to:
            group.rules.extend((pattern, allow) for pattern in patterns)


def verdict(status: int, body: bytes, product: str) -> Robots | None:
    """What an answer for robots.txt means (2.3.1), redirects already followed; None: unreachable for now.

    429 is no missing file but a server that asks to be left alone, so it counts as unreachable.
    """
    if 200 <= status < 300:
        return Robots.parse(body, product)
    if 400 <= status < 500 and status != 429:
        return Robots.allow_all()
    return None


def product_token(user_agent: str) -> str:
    """The name under which robots.txt speaks to a user agent: "shopbot/1.0 (+https://...)" -> "shopbot".

    Of a browser-like string it is what follows "compatible;", as crawlers write it; "" when there is none.
    """
    text = user_agent.strip()
    if text.lower().startswith("mozilla/"):
        before, mark, after = text.partition("compatible;")
        text = after.lstrip() if mark else before
    found = _TOKEN.match(text.encode("utf-8", "replace"))
    return found[0].decode() if found else ""


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that say something, as (key, value); "user-agent shopbot" passes for its colon left out."""
    if len(body) > MAX_BYTES:
        body = body[:MAX_BYTES]
        body = body[: max(body.rfind(b"\n"), body.rfind(b"\r")) + 1]
    for mark in _BYTE_ORDER_MARKS:
        body = body.removeprefix(mark)
    # Without its NULs UTF-16 reads as the ASCII it mostly is.
    for line in body.replace(b"\0", b"").splitlines():
        if len(line) < _SHORTEST_LINE:
            continue
        line = line.partition(b"#")[0]
        name, colon, value = line.partition(b":")
        if not colon:
            words = line.split()
            if len(words) != 2:
                continue
            name, value = words
        key = _KEYS.get(name.strip().lower())
        if key is not None:
            yield key, value.strip()


def _seconds(value: bytes) -> float | None:
    try:
        delay = float(value)
    except ValueError:
        return None
    return None if math.isnan(delay) or delay < 0 else min(delay, MAX_CRAWL_DELAY)


def _path(url: str) -> str:
    """Path and query of a URL in normal form."""
    start = url.find("/", url.find("//") + 2)
    path = url[start:].partition("#")[0] if start >= 0 else "/"
    if _PLAIN.search(path) is None:
        return path
    return _normal(path.encode("utf-8", "surrogatepass"), _IN_URL)


def _pattern(value: bytes) -> str:
    """A rule's pattern in normal form: `*` and a last `$` are special, all others of them are escaped."""
    if value.endswith(b"$"):
        return _normal(value[:-1], _IN_RULE) + "$"
    return _normal(value, _IN_RULE)


def _normal(text: bytes, special: re.Pattern[bytes]) -> str:
    path, mark, query = text.partition(b"?")
    return (special.sub(_in_path, path) + mark + special.sub(_in_query, query)).decode("ascii")


def _in_path(found: re.Match[bytes]) -> bytes:
    return _escaped(found[0], _SAME_IN_PATH)


def _in_query(found: re.Match[bytes]) -> bytes:
    return _escaped(found[0], _SAME_IN_QUERY)


def _escaped(text: bytes, same: frozenset[int]) -> bytes:
    if len(text) == 3 and text[0] == _PERCENT:
        octet = int(text[1:], 16)
        return bytes((octet,)) if octet in same else text.upper()
    return b"%" + text.hex("%").upper().encode()
