"""Why a URL that has no row was left out: the rules that need no memory, applied once more. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .. import url as urls
from ..reasons import Reason
from ..settings import Settings
from .robots import Robots
from .scope import ANY, Scope, suspicious


class Verdict(NamedTuple):
    """Which rule leaves a URL out, and what it says."""

    reason: Reason
    said: str


def unfit(text: str) -> Verdict | None:
    """Why a text is no URL that is fetched; None when it is one."""
    try:
        urls.canonical(text)
    except urls.BadURL as error:
        return Verdict(error.reason, UNFIT[error.reason])
    return None


UNFIT = {
    Reason.BAD_URL: "this is no absolute URL",
    Reason.BAD_SCHEME: "only http and https are fetched",
    Reason.URL_TOO_LONG: f"a URL may have {urls.MAX_LENGTH:,} characters",
}


def outside(url: str, settings: Settings, labels: Sequence[str]) -> Verdict | None:
    """The rule of the scope that leaves a canonical URL out, by the labels of the run's seeds; None for none.

    A label "" stands for domains listed in the spider's class, of which `settings` may know nothing.
    """
    said = _outside(url, urls.netloc(url), settings, labels)
    return Verdict(Reason.OUT_OF_SCOPE, said) if said else None


def _outside(url: str, host: str, settings: Settings, labels: Sequence[str]) -> str:
    domains = tuple(settings.allowed_domains)
    if domains:
        if not Scope(domains=domains).accepts(url, host, ""):
            return f"its host is none of allowed_domains ({_listed(domains)})"
    elif "" not in labels and not any(Scope(settings.scope).accepts(url, host, label) for label in labels):
        return f"the seeds belong to {_listed(labels)} (scope = {settings.scope})"
    if settings.prefixes and not Scope("any", prefixes=tuple(settings.prefixes)).accepts(url, host, ANY):
        return f"its path has none of the prefixes {_listed(settings.prefixes)}"
    if settings.allow and not Scope("any", allow=tuple(settings.allow)).accepts(url, host, ANY):
        return f"none of the patterns of allow fits: {_listed(settings.allow)}"
    for pattern in settings.deny:
        if not Scope("any", deny=(pattern,)).accepts(url, host, ANY):
            return f"the pattern {pattern} of deny fits"
    if settings.traps and suspicious(url):
        return "it looks like one of an endless space of URLs (setting traps)"
    return ""


def _listed(words: Sequence[str], most: int = 5) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def forbidding(robots: Robots, url: str) -> str:
    """The rule of a robots.txt that forbids a canonical URL, "" when it may be fetched. O(rules)."""
    if robots.allowed(url):
        return ""
    for pattern, allow in sorted(robots.rules, key=lambda rule: -len(rule[0])):
        if not allow and not Robots(((pattern, False),)).allowed(url):
            return f"Disallow: {pattern}"
    return "its rules cost too much to be read"
