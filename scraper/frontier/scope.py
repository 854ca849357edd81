"""Which URLs belong to the crawl: sites, hosts, listed domains, path prefixes, patterns. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .. import url as urls
from ..domains import site
from ..errors import UsageError
from ..settings import Settings

MODES = ("site", "host", "any")
ANY = "*"  # the label of a crawl that may go everywhere
MEMO = 65_536  # answers remembered, about 10 MB at most

MAX_REPEATS = 3  # of a run of path segments, one behind the other
MAX_SEGMENTS = 64
MAX_PARAMETERS = 100
LONGEST_RUN = 32  # segments looked at as one repeated run


@dataclass(frozen=True, slots=True)
class Scope:
    """The rule a link must pass, next to the label that its page carries.

    `mode` is what a seed opens when no `domains` are listed: its "site" (registrable domain), its "host"
    (with the port) or "any". `domains` hold with their subdomains; one with a port means that host and
    port only. `prefixes` are path prefixes such as "/docs/", of which one must fit; `allow` and `deny` are
    regular expressions searched in the whole URL. Raises UsageError for what cannot be meant.
    """

    mode: str = "site"
    domains: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    _domains: frozenset[str] = field(init=False, repr=False, compare=False)
    _prefixes: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _allow: tuple[re.Pattern[str], ...] = field(init=False, repr=False, compare=False)
    _deny: tuple[re.Pattern[str], ...] = field(init=False, repr=False, compare=False)
    _plain: bool = field(init=False, repr=False, compare=False)
    _memo: dict[tuple[str, str], bool] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"scope {self.mode!r} is none of {', '.join(MODES)}")
        for name in ("domains", "prefixes", "allow", "deny"):
            self._set(name, _strings(name, getattr(self, name)))
        self._set("_domains", frozenset(map(_domain, self.domains)))
        self._set("_prefixes", tuple(map(_prefix, self.prefixes)))
        self._set("_allow", tuple(_compiled("allow", text) for text in self.allow))
        self._set("_deny", tuple(_compiled("deny", text) for text in self.deny))
        self._set("_plain", not (self.prefixes or self.allow or self.deny))
        self._set("_memo", {})

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @classmethod
    def of(cls, settings: Settings, domains: Iterable[str]) -> Scope:
        """The scope that settings ask for; `domains` are the spider's own. Raises UsageError."""
        return cls(
            mode=settings.scope,
            domains=tuple(settings.allowed_domains) or tuple(domains),
            prefixes=tuple(settings.prefixes),
            allow=tuple(settings.allow),
            deny=tuple(settings.deny),
        )

    def label(self, url: str) -> str:
        """The mark that a seed, or what a seed redirects to, gives to all it leads to; URL canonical."""
        if self._domains:
            return ""
        if self.mode == "any":
            return ANY
        host = urls.netloc(url)
        return host if self.mode == "host" else site(host)

    def accepts(self, url: str, host: str, label: str) -> bool:
        """Whether a canonical URL on `host` (its netloc) belongs to a crawl that carries `label`.

        One dict lookup for a host seen before, when there are no prefixes and patterns.
        """
        return self.reaches(host, label) and (self._plain or self._fits(url))

    def reaches(self, host: str, label: str) -> bool:
        """Whether any URL on a host may belong to a crawl that carries `label`."""
        within = self._memo.get((host, label))
        if within is None:
            within = self._within(host, label)
            if len(self._memo) >= MEMO:
                self._memo.clear()
            self._memo[host, label] = within
        return within

    def accepts_all(self, host: str, label: str) -> bool:
        """Whether every URL on a host belongs to a crawl that carries `label`."""
        return self._plain and self.reaches(host, label)

    def _within(self, host: str, label: str) -> bool:
        if self._domains:
            return _listed(host, self._domains)
        if label == ANY:
            return True
        return label == (host if self.mode == "host" else site(host))

    def _fits(self, url: str) -> bool:
        if self._prefixes and not url.startswith(self._prefixes, len(urls.origin(url))):
            return False
        if self._allow and not any(pattern.search(url) for pattern in self._allow):
            return False
        return not any(pattern.search(url) for pattern in self._deny)


def suspicious(
    url: str,
    repeats: int = MAX_REPEATS,
    segments: int = MAX_SEGMENTS,
    parameters: int = MAX_PARAMETERS,
) -> bool:
    """Whether a canonical URL looks like one of a trap's endless many; 0 switches a rule off.

    `repeats`: so many times the same run of path segments in a row (/a/b/a/b/a/b); `segments` and
    `parameters`: more than so many of them. O(length) for a path whose segments differ.
    """
    path, _, query = url.partition("?")
    if parameters and query.count("&") >= parameters:
        return True
    parts = path.split("/")  # scheme, nothing and host before the path
    if segments and len(parts) - 3 > segments:
        return True
    if repeats < 2 or _differ(parts, repeats):
        return False
    return _repeated(parts[3:], repeats)


def _differ(parts: list[str], times: int) -> bool:
    """Whether there are too few equal parts for a run that stands `times` in a row; more parts change nothing."""
    return len(set(parts)) > len(parts) - (times - 1)


def _repeated(parts: list[str], times: int) -> bool:
    """Whether a run of parts stands `times` in a row: part i equals part i + n for n * (times - 1) i's."""
    if _differ(parts, times):
        return False
    for run in range(1, min(len(parts) // times, LONGEST_RUN) + 1):
        needed = run * (times - 1)
        equal = 0
        for part, later in zip(parts, parts[run:], strict=False):
            equal = equal + 1 if part == later else 0
            if equal == needed:
                return True
    return False


def _listed(host: str, domains: frozenset[str]) -> bool:
    name = urls.hostname(host)
    if host in domains or name in domains:
        return True
    while name:
        name = name.partition(".")[2]
        if name in domains:
            return True
    return False


def _strings(name: str, values: Iterable[str]) -> tuple[str, ...]:
    """A lone string is a list of one."""
    found = (values,) if isinstance(values, str) else tuple(values)
    if not all(isinstance(value, str) and value for value in found):
        raise UsageError(f"{name} must be texts that are not empty, not {found!r}")
    return found


def _domain(text: str) -> str:
    """A listed domain as the host of a canonical URL."""
    name = text.strip().removeprefix("*").removeprefix(".")
    try:
        host = urls.netloc(urls.canonical(name if "//" in name else f"http://{name}/"))
    except urls.BadURL:
        host = ""
    if not host or any(c in name for c in "/?#@"):
        raise UsageError(f"{text!r} in domains is no domain; write {host or 'example.com'}")
    return host


def _prefix(text: str) -> str:
    """A path prefix as it stands in a canonical URL."""
    if not text.startswith("/"):
        raise UsageError(f"path prefix {text!r} must begin with a slash")
    return urls.canonical("http://prefix.invalid" + text).removeprefix("http://prefix.invalid")


def _compiled(name: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"{text!r} in {name} is no regular expression: {error}") from error
