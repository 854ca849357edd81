"""Cookie jars: which cookies are kept, for how long, and which go with a request (RFC 6265bis 5.7, 5.8)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from .. import url as urls
from ..domains import site
from ..errors import StoreError
from .set_cookie import Cookie, Refused, domain_matches, parse, path_matches, path_of

PER_DOMAIN = 180  # cookies of one registrable domain (6.1 asks for 50 at least)
MAX_HEADER = 8_000  # characters of one Cookie header: common servers refuse longer request heads
TOTAL = 3000  # cookies of one jar (6.1)
ROOM = TOTAL // 10  # how many go at once when a jar is full, so that a full jar is not sorted for every cookie

Key = tuple[str, str, bool, str]  # name, domain, host-only, path: what makes a cookie the same (5.7, step 23)

_log = logging.getLogger(__name__)


class Jar:
    """The cookies of one session.

    They lie by registrable domain, then by identity: for a host without cookies `header()` costs one
    lookup, for another it looks at the cookies of its domain (180 at most).
    """

    def __init__(self) -> None:
        self._sites: dict[str, dict[Key, Cookie]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def store(self, url: str, set_cookie: Sequence[str], now: float) -> bool:
        """Take the Set-Cookie lines of an answer from a canonical URL; true when the jar changed.

        `now` is wall-clock seconds. Never raises: a line that breaks a rule is left out, and one debug line
        tells how many were and why the first.
        """
        changed = False
        refused: list[str] = []
        for line in set_cookie:
            try:
                changed |= self._put(parse(line, url, now), url, now)
            except Refused as error:
                refused.append(str(error))
        if refused:
            _log.debug(
                "%s: %d of %d cookies refused (%s)",
                urls.netloc(url),
                len(refused),
                len(set_cookie),
                refused[0],
            )
        return changed

    def header(self, url: str, now: float, *, same_site: bool = True, safe: bool = True) -> str:
        """The Cookie header for a canonical URL at wall-clock second `now`, "" when no cookie fits.

        Longer paths come first, then older cookies (5.8.3). `same_site` says whether the page that led here
        is of the same site (a seed has none, so it is), `safe` whether the method is: a request is taken
        for a top-level navigation, so Strict cookies stay behind when it comes from another site, and Lax
        ones (and those that say nothing) when it is unsafe as well (5.2, 5.8.3).
        """
        if not self._sites:
            return ""
        key = urls.netloc(url)
        name = site(key)
        cookies = self._sites.get(name)
        if cookies is None:
            return ""
        host, path, secure = urls.hostname(key), path_of(url), url.startswith("https:")
        found: list[Cookie] = []
        expired = False
        for cookie in cookies.values():
            if cookie.expires is not None and cookie.expires <= now:
                expired = True
            elif _fits(cookie, host, path, secure) and (same_site or _crosses(cookie, safe)):
                found.append(cookie)
        if expired:
            self._expire(name, now)
        if len(found) > 1:
            found.sort(key=_order)
        pairs: list[str] = []
        left = MAX_HEADER
        for cookie in found:
            pair = f"{cookie.name}={cookie.value}" if cookie.name else cookie.value
            left -= len(pair) + 2
            if left < 0:  # a site that set more would refuse its own cookies, and us with them
                break
            cookie.used = now
            pairs.append(pair)
        return "; ".join(pairs)

    def clear(self) -> None:
        """Forget every cookie."""
        self._sites.clear()
        self._count = 0

    def to_data(self) -> list[list[Any]]:
        """The whole jar as plain lists, for msgpack or JSON; host-only flags and expiry included."""
        data: list[list[Any]] = msgspec.to_builtins(
            [cookie for cookies in self._sites.values() for cookie in cookies.values()]
        )
        return data

    @classmethod
    def from_data(cls, data: Iterable[Any]) -> Jar:
        """A jar from what `to_data` gave. Raises StoreError for anything else."""
        jar = cls()
        try:
            cookies = msgspec.convert(list(data), list[Cookie])
        except msgspec.ValidationError as error:
            raise StoreError(f"stored cookies cannot be read: {error}") from error
        for cookie in cookies[:TOTAL]:
            jar._sites.setdefault(site(cookie.domain), {})[_key(cookie)] = cookie
        jar._count = sum(map(len, jar._sites.values()))
        return jar

    def _put(self, cookie: Cookie, url: str, now: float) -> bool:
        """Steps 15 and 22 to 24 of 5.7: replace, add, or delete by a past expiry."""
        name = site(urls.netloc(url))
        cookies = self._sites.get(name, {})
        if not cookie.secure and not url.startswith("https:") and _shadows(cookie, cookies.values()):
            raise Refused("a secure cookie of that name is there")
        key = _key(cookie)
        old = cookies.get(key)
        if cookie.expires is not None and cookie.expires <= now:
            if old is not None:
                self._drop(name, [key])
            return old is not None
        if old is not None:
            cookie.created = old.created
            cookies[key] = cookie
            old.used = now
            return old != cookie
        self._sites.setdefault(name, cookies)[key] = cookie
        self._count += 1
        self._evict(name, now)
        return True

    def _drop(self, name: str, keys: Iterable[Key]) -> None:
        cookies = self._sites[name]
        for key in keys:
            del cookies[key]
            self._count -= 1
        if not cookies:
            del self._sites[name]

    def _expire(self, name: str, now: float) -> None:
        cookies = self._sites[name].items()
        self._drop(name, [key for key, kept in cookies if kept.expires is not None and kept.expires <= now])

    def _evict(self, name: str, now: float) -> None:
        """Make room as 5.7 ends: the expired first, then the not secure, then the longest unused."""
        if len(self._sites[name]) > PER_DOMAIN:
            self._expire(name, now)
            cookies = self._sites.get(name, {})
            if len(cookies) > PER_DOMAIN:
                self._drop(name, [min(cookies, key=lambda key: (cookies[key].secure, cookies[key].used))])
        if self._count > TOTAL:
            for each in list(self._sites):
                self._expire(each, now)
            self._drop_oldest(self._count - (TOTAL - ROOM))

    def _drop_oldest(self, count: int) -> None:
        if count <= 0:
            return
        every = [(kept.used, name, key) for name, cookies in self._sites.items() for key, kept in cookies.items()]
        every.sort(key=lambda entry: entry[0])
        for _, name, key in every[:count]:
            self._drop(name, [key])


class Jars:
    """The jars of a crawl by session name; "" is the session of requests that name none."""

    def __init__(self) -> None:
        self._jars: dict[str, Jar] = {}
        self._changed: set[str] = set()

    def touch(self, session: str) -> None:
        """The jar of a session has changed."""
        self._changed.add(session)

    def changes(self) -> dict[str, list[list[Any]]]:
        """The jars that changed since the last call, as plain data by session."""
        changed, self._changed = self._changed, set()
        return {session: self.jar(session).to_data() for session in changed}

    def restore(self, data: Mapping[str, Iterable[Any]]) -> None:
        """Take the jars that `changes` gave to an earlier process. Raises StoreError for anything else."""
        self._jars.update({session: Jar.from_data(cookies) for session, cookies in data.items()})

    def jar(self, session: str = "") -> Jar:
        """The jar of a session, made when first asked for."""
        jar = self._jars.get(session)
        if jar is None:
            jar = self._jars[session] = Jar()
        return jar

    def forget(self, session: str) -> None:
        """Drop a session with all its cookies."""
        self._jars.pop(session, None)

    def to_data(self) -> dict[str, list[list[Any]]]:
        """Every jar that holds a cookie, as plain data by session."""
        return {session: jar.to_data() for session, jar in self._jars.items() if len(jar)}

    @classmethod
    def from_data(cls, data: Mapping[str, Iterable[Any]]) -> Jars:
        """The jars from what `to_data` gave. Raises StoreError for anything else."""
        jars = cls()
        jars._jars = {session: Jar.from_data(cookies) for session, cookies in data.items()}
        return jars


def _key(cookie: Cookie) -> Key:
    return cookie.name, cookie.domain, cookie.host_only, cookie.path


def _order(cookie: Cookie) -> tuple[int, float]:
    return -len(cookie.path), cookie.created


def _fits(cookie: Cookie, host: str, path: str, secure: bool) -> bool:
    if cookie.secure and not secure:
        return False
    if cookie.domain != host and (cookie.host_only or not domain_matches(host, cookie.domain)):
        return False
    return path_matches(path, cookie.path)


def _crosses(cookie: Cookie, safe: bool) -> bool:
    """Whether a cookie goes with a navigation from another site."""
    return cookie.same_site == "none" or (cookie.same_site != "strict" and safe)


def _shadows(new: Cookie, kept: Iterable[Cookie]) -> bool:
    """Whether an insecure answer would overlay a secure cookie (5.7, step 15)."""
    return any(
        old.secure
        and old.name == new.name
        and (domain_matches(old.domain, new.domain) or domain_matches(new.domain, old.domain))
        and path_matches(new.path, old.path)
        for old in kept
    )
