"""Every setting: its default, its unit, its one-line meaning; and how the sources are merged."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta

from .convert import Unfit, fit, wants
from .convert import near as near
from .errors import UsageError
from .url import BadURL, canonical, hostname, netloc

SECONDS = {"unit": "seconds"}
BYTES = {"unit": "bytes"}
Seconds = Annotated[float, Meta(ge=0, extra=SECONDS)]
Positive = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]


def _doc(text: str, unit: str = "") -> Meta:
    return Meta(description=text, extra={"unit": unit} if unit else None)


class HostSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one pattern of `hosts` overrides; None leaves the general setting."""

    delay: Seconds | None = None
    per_host: Positive | None = None
    robots: bool | None = None
    headers: dict[str, str] | None = None
    proxy: str | None = None
    auth: str | None = None
    verify: bool | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one crawl, checked. Times in seconds, sizes in bytes; 0 means no limit for `max_*`."""

    # Pace
    concurrency: Annotated[Positive, _doc("Requests in flight at once, over all hosts.")] = 32
    processes: Annotated[
        Positive, _doc("Processes that fetch, parse and run callbacks; 1 is the crawl's own, alone.")
    ] = 1
    per_host: Annotated[Positive, _doc("Requests in flight at once to one host.")] = 4
    delay: Annotated[Seconds, _doc("Least time between departures to one host.", "seconds")] = 0.5
    hosts: Annotated[
        dict[str, HostSettings],
        _doc("Overrides by host pattern: delay, per_host, robots, headers, proxy, auth, verify."),
    ] = {}
    robots: Annotated[bool, _doc("Obey robots.txt (RFC 9309) and its crawl delay, up to 30 s.")] = True
    max_rest: Annotated[Seconds, _doc("Longest time a host is left alone for a Retry-After.", "seconds")] = 3600.0
    # Identity
    user_agent: Annotated[str, _doc("Name sent to servers; its first word is the robots.txt product token.")] = (
        "scraper/0.1"
    )
    contact: Annotated[str, _doc("A URL or address for site owners, added to the user agent.")] = ""
    headers: Annotated[dict[str, str], _doc("Header fields sent with every request.")] = {}
    auth: Annotated[str, _doc("`user:password` for basic auth at the hosts of the seeds.")] = ""
    proxy: Annotated[str, _doc("HTTP proxy for every request: `http://user:password@host:port`.")] = ""
    cookies: Annotated[bool, _doc("Keep and send cookies (RFC 6265bis).")] = True
    verify: Annotated[bool, _doc("Verify TLS certificates.")] = True
    allow_private: Annotated[bool, _doc("Let public pages lead to private addresses.")] = False
    # Patience
    timeout: Annotated[Seconds, _doc("Whole time of one request.", "seconds")] = 30.0
    connect_timeout: Annotated[Seconds, _doc("DNS, connect and TLS together.", "seconds")] = 10.0
    header_timeout: Annotated[Seconds, _doc("From the request's end to the response's headers.", "seconds")] = 20.0
    min_rate: Annotated[
        Count, _doc("A body slower than this over `slow_after` seconds is given up.", "bytes/s")
    ] = 100
    slow_after: Annotated[Seconds, _doc("How long a body may be slower than `min_rate`.", "seconds")] = 15.0
    retries: Annotated[Count, _doc("Further tries after the first.")] = 3
    backoff: Annotated[Seconds, _doc("First step of the full-jitter exponential back-off.", "seconds")] = 1.0
    max_backoff: Annotated[Seconds, _doc("Longest back-off between two tries.", "seconds")] = 120.0
    breaker: Annotated[Positive, _doc("Connection failures in a row after which a host rests.")] = 8
    breaker_rest: Annotated[Seconds, _doc("First rest of such a host; it doubles.", "seconds")] = 30.0
    breaker_trips: Annotated[Positive, _doc("Rests in a row after which the host counts as down.")] = 3
    max_wait: Annotated[
        Seconds, _doc("When only work later than this is left, the crawl ends resumable.", "seconds")
    ] = 3600.0
    grace: Annotated[Seconds, _doc("Time for requests in flight after an interrupt.", "seconds")] = 10.0
    # Sizes
    max_body: Annotated[Positive, _doc("Largest decoded body.", "bytes")] = 32 * 2**20
    max_wire: Annotated[Positive, _doc("Largest body as sent.", "bytes")] = 32 * 2**20
    max_links: Annotated[Positive, _doc("Links taken from one page.")] = 100_000
    max_redirects: Annotated[Count, _doc("Hops of one redirect chain.")] = 20
    # Limits of the crawl
    max_pages: Annotated[
        Count, _doc("Pages fetched in the whole run; redirects and retries do not count again.")
    ] = 0
    max_pages_per_host: Annotated[Count, _doc("Pages fetched from one host.")] = 0
    max_items: Annotated[Count, _doc("Items kept in the whole run.")] = 0
    max_depth: Annotated[Count, _doc("Links from a seed to a page.")] = 0
    max_seconds: Annotated[
        Seconds, _doc("Time of the run; a process that continues it counts anew.", "seconds")
    ] = 0.0
    max_run_bytes: Annotated[Count, _doc("Bytes received in the run, counted like `max_seconds`.", "bytes")] = 0
    # What belongs to the crawl
    scope: Annotated[
        Literal["site", "host", "any"], _doc("A seed's registrable domain, its host, or anywhere.")
    ] = "site"
    allowed_domains: Annotated[list[str], _doc("Domains (and their subdomains) instead of the seeds' own.")] = []
    prefixes: Annotated[list[str], _doc("Path prefixes of which a URL must have one.")] = []
    allow: Annotated[list[str], _doc("Regular expressions of which a URL must match one.")] = []
    deny: Annotated[list[str], _doc("Regular expressions of which a URL must match none.")] = []
    traps: Annotated[bool, _doc("Drop URLs that look like an endless space.")] = True
    nofollow: Annotated[bool, _doc("Honour nofollow of pages and headers in `links()`.")] = True
    accept_status: Annotated[list[int], _doc("Statuses besides 2xx that reach the callback.")] = []
    keep_partial: Annotated[bool, _doc("Hand cut-off bodies to the callback, flagged `partial`.")] = False
    # Spider
    callback_timeout: Annotated[Seconds, _doc("Time of one callback, its own fetches not counted.", "seconds")] = (
        60.0
    )
    max_open_pages: Annotated[Positive, _doc("Callbacks that wait for their own fetches at once.")] = 256
    # The run and its results
    commit_every: Annotated[Seconds, _doc("Longest time before outcomes and items are recorded.", "seconds")] = 0.5
    durability: Annotated[
        Literal["none", "process", "power"],
        _doc("What a run survives: `none` nothing, `process` a kill or crash, `power` a loss of power too."),
    ] = "process"
    resume_within: Annotated[
        Seconds, _doc("An unfinished run younger than this is continued by the same command.", "seconds")
    ] = 86400.0
    resend_unsafe: Annotated[
        bool, _doc("After a kill, send a POST again of which nobody knows whether it arrived.")
    ] = False
    keep_runs: Annotated[Count, _doc("Finished runs kept per spider; 0 keeps all.")] = 20
    max_lag: Annotated[Positive, _doc("Bytes an output may fall behind before the crawl waits.", "bytes")] = (
        64 * 2**20
    )
    csv_safe: Annotated[bool, _doc("Guard CSV cells that a spreadsheet would run as a formula.")] = False
    min_items: Annotated[Count, _doc("Fewer items than this end the run with exit code 3.")] = 0
    max_error_rate: Annotated[
        float, Meta(ge=0, le=1), _doc("A larger share of failed pages ends the run with exit code 3.")
    ] = 1.0
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _doc("Least level that is logged.")] = "info"

    def agent(self) -> str:
        """The User-Agent header."""
        return f"{self.user_agent} (+{self.contact})" if self.contact else self.user_agent


SECRET = frozenset({"authorization", "cookie", "proxy-authorization"})
CREDENTIALS = re.compile(r"(?:^|\.)(?:auth|headers|proxy)\b")
FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
NAMES = Settings.__struct_fields__
Layer = tuple[str, Mapping[str, Any]]


def resolve(layers: Iterable[Layer]) -> Settings:
    """Merge layers, weakest first; each is (where it comes from, its settings). Raises UsageError."""
    merged: dict[str, Any] = {}
    for where, values in layers:
        for key, value in values.items():
            if key not in NAMES:
                hint = near(key, NAMES) or "; `scraper settings` lists them"
                raise UsageError(f"{where}: unknown setting {key!r}{hint}")
            merged[key] = _checked(where, key, value)
    return Settings(**merged)


def _checked(where: str, key: str, value: Any) -> Any:
    try:
        made = fit(value, HINTS[key])
        _sense(key, made)
    except Unfit as error:
        text, path = str(error), f"{key}{error.path}"
        if CREDENTIALS.search(path):  # what is said must not hold what was given
            text = text.partition(", not ")[0]
        raise UsageError(f"{where}: setting '{path}' {text}") from error
    return made


def _sense(key: str, value: Any) -> None:
    """What a type cannot say. Raises Unfit."""
    if key in ("user_agent", "contact"):
        _one_line(value)
    elif key == "headers":
        for name, text in value.items():
            if name.lower() in SECRET:
                raise Unfit("would go to every host; set it under 'hosts'", f'."{name}"')
            _header(name, text, f'."{name}"')
    elif key == "auth":
        _user_password(value)
    elif key == "proxy":
        _proxy(value)
    elif key == "hosts":
        for pattern, rule in value.items():
            _host(rule, f'."{pattern}"')


def _host(rule: HostSettings, path: str) -> None:
    if rule.delay is not None and not math.isfinite(rule.delay):
        raise Unfit(f"must be {wants(Seconds)}, not {rule.delay}", f"{path}.delay")
    for name, text in (rule.headers or {}).items():
        _header(name, text, f'{path}.headers."{name}"')
    _user_password(rule.auth or "", f"{path}.auth")
    _proxy(rule.proxy or "", f"{path}.proxy")


def _header(name: str, text: str, path: str) -> None:
    """RFC 9110 5.1 and 5.5."""
    if not FIELD_NAME.fullmatch(name):
        raise Unfit("is no name of a header field", path)
    _one_line(text, path)


def _one_line(text: str, path: str = "") -> None:
    if any(c in text for c in "\r\n\0"):
        raise Unfit("must be one line of text", path)


def _user_password(text: str, path: str = "") -> None:
    """RFC 7617: the user has no colon, and there is one behind it."""
    _one_line(text, path)
    if text and ":" not in text:
        raise Unfit("must be user:password", path)


def _proxy(text: str, path: str = "") -> None:
    if not text:
        return
    try:
        canonical(text)
    except BadURL as error:
        raise Unfit("must be an address such as http://user:password@host:port", path) from error


HINTS: dict[str, Any] = get_type_hints(Settings, include_extras=True)


def describe(name: str) -> tuple[str, str]:
    """The meaning and the unit of a setting."""
    meaning, unit = "", ""
    for meta in getattr(HINTS[name], "__metadata__", ()):
        if isinstance(meta, Meta):
            meaning = meta.description or meaning
            unit = str((meta.extra or {}).get("unit", "")) or unit
    return meaning, unit


def from_files(folder: Path) -> Layer:
    """`scraper.toml`, else `[tool.scraper]` of pyproject.toml, in `folder` or the nearest one above."""
    for place in (folder, *folder.parents):
        own, project = place / "scraper.toml", place / "pyproject.toml"
        if own.is_file():
            return str(own), _toml(own)
        if project.is_file():
            tools = _toml(project).get("tool", {})
            table = tools.get("scraper") if isinstance(tools, dict) else None
            if table is not None and not isinstance(table, dict):
                raise UsageError(f"{project}: tool.scraper must be a table")
            if table is not None:
                return f"{project} [tool.scraper]", table
    return "scraper.toml", {}


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path}: {error}") from error


def from_environment(environ: Mapping[str, str] | None = None) -> Layer:
    """`SCRAPER_DELAY=2` and the like; SCRAPER_ variables that name no setting are an error."""
    found = {}
    for name, value in (os.environ if environ is None else environ).items():
        if name.startswith("SCRAPER_") and name not in NOT_SETTINGS:
            found[name.removeprefix("SCRAPER_").lower()] = value
    return "environment", found


NOT_SETTINGS = frozenset({"SCRAPER_CONFORMANCE", "SCRAPER_PYTHON"})


def from_pairs(pairs: Iterable[str], option: str = "-s") -> Layer:
    """`key=value` words of the command line."""
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"{option} {pair!r}: write {option} key=value")
        found[key.strip().replace("-", "_")] = value
    return option, found


MOST_HOSTS = 10_000
WILDCARDS = frozenset("*?[")


def _secret(headers: Mapping[str, str] | None) -> bool:
    return any(name.lower() in SECRET for name in headers or ())


def proxies(settings: Settings) -> Iterator[str]:
    """The proxies of the settings, as canonical URLs."""
    for proxy in (settings.proxy, *(rule.proxy for rule in settings.hosts.values())):
        if proxy:
            yield canonical(proxy)


class HostRules:
    """The settings of one host: the general ones, overridden by the patterns of `hosts` in their order.

    Hosts that no pattern fits share one value; O(patterns with wildcards) for a host that is new here.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.seeds: set[str] = set()  # origins that the general `auth` is for
        self._memo: dict[str, HostSettings] = {}  # the first to come is the first to go
        self._secret = bool(settings.auth) or _secret(settings.headers)
        self._secret = self._secret or any(rule.auth or _secret(rule.headers) for rule in settings.hosts.values())
        self._wild: list[tuple[int, str]] = []
        self._exact: dict[str, int] = {}
        self._rules = list(settings.hosts.values())
        for number, pattern in enumerate(settings.hosts):
            if WILDCARDS.isdisjoint(pattern):
                self._exact[pattern] = number
            else:
                self._wild.append((number, pattern))
        self._plain = self._merged(())

    def seed(self, place: str) -> None:
        """A seed is of this origin; not kept where there are no credentials that could go there."""
        if self._secret:
            self.seeds.add(place)

    def credentials(self, place: str) -> str:
        """`user:password` for an origin, "" for none: over http only where it was seeded."""
        if place in self.seeds:
            return self[netloc(place)].auth or self.settings.auth
        return (self[netloc(place)].auth or "") if place.startswith("https:") else ""

    def fields(self, place: str) -> Mapping[str, str]:
        """Header fields for an origin; those that are credentials go where `credentials` would."""
        found = self[netloc(place)].headers or {}
        if place in self.seeds or place.startswith("https:"):
            return found
        return {name: text for name, text in found.items() if name.lower() not in SECRET}

    def __getitem__(self, host: str) -> HostSettings:
        found = self._memo.get(host)
        if found is None:
            if not self._rules:
                return self._plain
            found = self._memo[host] = self._resolve(host)
            if len(self._memo) > MOST_HOSTS:
                del self._memo[next(iter(self._memo))]
        return found

    def _resolve(self, host: str) -> HostSettings:
        names = {host, hostname(host)}
        fit = {self._exact[name] for name in names if name in self._exact}
        fit |= {number for number, pattern in self._wild if any(fnmatchcase(name, pattern) for name in names)}
        return self._merged([self._rules[number] for number in sorted(fit)]) if fit else self._plain

    def _merged(self, overrides: Sequence[HostSettings]) -> HostSettings:
        plain = self.settings
        values: dict[str, Any] = {
            "delay": plain.delay,
            "per_host": plain.per_host,
            "robots": plain.robots,
            "headers": dict(plain.headers),
            "proxy": plain.proxy or None,
            "verify": plain.verify,
        }
        for override in overrides:
            for name in HostSettings.__struct_fields__:
                value = getattr(override, name)
                if value is not None:
                    values[name] = {**values["headers"], **value} if name == "headers" else value
        return HostSettings(**values)
