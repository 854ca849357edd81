"""What a run's ledger knows of one request, in words."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, tzinfo

from .folder import ENDED, RUNNING, RunFolder, RunInfo
from .frontier.entries import QUEUED, WAITING, Attempt, Entry, Rest, Story
from .logs import clean
from .reasons import Reason
from .url import printable
from .words import count, duration, size

DIED = "died"  # the process of a run has ended without saying so
_ZONE: ContextVar[tzinfo | None] = ContextVar("zone", default=None)  # None: that of this machine
SHOWN = 8  # pages of a chain, from its near end; of a longer one also the last two
MEANING = {
    Reason.ROBOTS: "robots.txt forbids it",
    Reason.HOST_LIMIT: "max_pages_per_host was used up",
    Reason.TOO_DEEP: "further from its seed than max_depth",
    Reason.OUT_OF_SCOPE: "outside the scope of the crawl",
    Reason.SKIPPED: "its callback raised Skip",
    Reason.ROBOTS_UNREACHABLE: "the robots.txt of its host could not be fetched",
    Reason.HOST_DOWN: "its host had not answered for too long",
    Reason.UNKNOWN: "nobody knows whether it arrived",
    Reason.POISON: "too many processes died while they worked on it",
}


def standing(folder: RunFolder, info: RunInfo) -> str:
    """How a run stands; one that says it runs, and whose process is gone, has died."""
    return DIED if info.state == RUNNING and not folder.held() else info.state


@contextmanager
def told_in(zone: tzinfo) -> Iterator[None]:
    """Tell times in a zone, in this task or thread alone."""
    before = _ZONE.set(zone)
    try:
        yield
    finally:
        _ZONE.reset(before)


def at(second: float, now: float) -> str:
    """A wall-clock second as a person here reads it: with its date when that is not today's.

    Inside `told_in` it is in that zone, with the date and the zone: who reads it may be elsewhere.
    """
    if (zone := _ZONE.get()) is not None:
        return datetime.fromtimestamp(second, zone).strftime("%Y-%m-%d %H:%M:%S %Z")
    there, here = time.localtime(second), time.localtime(now)
    return time.strftime("%H:%M:%S" if there[:3] == here[:3] else "%Y-%m-%d %H:%M:%S", there)


def named(entry: Entry) -> str:
    """Its URL, and what else makes it another request than the GET of that."""
    other = [entry.method] if entry.method != "GET" else []
    other += [f"session {clean(entry.session)}"] if entry.session else []
    return printable(entry.url) + (f" ({', '.join(other)})" if other else "")


def lines(story: Story, now: float, run_state: str, *, rest: Rest | None = None, rule: str = "") -> Iterator[str]:
    """The story, its first line naming the URL. `rule` is the line of robots.txt that forbade it."""
    entry = story.entry
    yield f"{named(entry)}: {said(entry, now, tries=len(story.attempts), rule=rule)}"
    for attempt in story.attempts:
        yield f"  tried at {at(attempt.at, now)}: {_because(attempt)}"
    yield from (f"  {line}" for line in _outlook(story, now, run_state, rest))
    for target in story.onward:
        yield f"  redirected to {named(target)}: {said(target, now)}"
    yield from (f"  {line}" for line in _origin(entry, story.chain, now))


def said(entry: Entry, now: float, *, tries: int = 0, rule: str = "") -> str:
    """How a request stands, and why; `tries` are the earlier ones."""
    if entry.state in (QUEUED, WAITING):
        how = f"waits until {at(entry.due, now)}" if entry.state == WAITING else "queued"
        return how + (f" for its {_nth(tries + 1)} try" if tries else "")
    parts = [f"{entry.state} at {at(entry.answered, now)}" if entry.answered else entry.state]
    if entry.state in ("failed", "dropped"):
        parts.append(_because(entry) + (f" ({rule})" if rule else ""))
    elif entry.status:
        parts.append(f"status {entry.status}")
    if entry.state == "done":
        parts += [count(entry.items, "item"), f"{size(entry.bytes)} in {duration(entry.seconds)}"]
    parts += ["cut by max_items"] if entry.cut else []
    parts += [f"in {clean(entry.place)}"] if entry.place else []
    tries += entry.sent
    parts += [count(tries, "try", "tries")] if tries > 1 else []
    return ", ".join(parts)


def _because(end: Entry | Attempt) -> str:
    detail = clean(end.detail)
    if end.reason == Reason.STATUS:
        return f"status {end.status}"
    meaning = MEANING[Reason(end.reason)] if end.reason in MEANING else end.reason.replace("_", " ")
    status = f"status {end.status}, " if end.status and end.status != 200 else ""
    return f"{status}{meaning}" + (f": {detail}" if detail else "")


def _outlook(story: Story, now: float, run_state: str, rest: Rest | None) -> Iterator[str]:
    """What has to happen before it is sent."""
    entry = story.entry
    if entry.state not in (QUEUED, WAITING):
        return
    if entry.started:
        yield f"a {entry.method} that a process may have sent before it died: it fails unless resend_unsafe is set"
    if entry.kills:
        yield f"{count(entry.kills, 'process', 'processes')} died while working on it: it will be worked on alone"
    if rest is not None:
        yield f"its host {resting(rest, now)}"
    if run_state in ENDED:
        yield "the run has ended without it"
    elif run_state != RUNNING:
        yield "the run is not going on now"
    elif entry.state == QUEUED:
        before = f"{count(story.ahead, 'request')} of its host come before it" if story.ahead else "it is next"
        yield f"{before}, or it is being fetched"


def resting(rest: Rest, now: float) -> str:
    """Until when a host is left alone."""
    return "is down" if rest.down else f"rests until {at(rest.until, now)}"


def _origin(entry: Entry, chain: Sequence[Entry], now: float) -> Iterator[str]:
    """Where it was found, back to a seed."""
    when = f" at {at(entry.found, now)}" if entry.found else ""
    node, hidden = entry, len(chain) - SHOWN - 2
    for number, page in enumerate(chain):
        word = "redirected here from" if node.via else f"found{when if node is entry else ''} on"
        shown = hidden <= 0 or not SHOWN <= number < SHOWN + hidden
        if shown:
            depth = "a seed" if page.seed else f"depth {page.depth}"
            yield f"{'which was ' if number else ''}{word} {named(page)} ({depth})"
        elif number == SHOWN:
            yield f"which was found through {hidden} more pages, of which the first was"
        node = page
    if entry.seed:
        yield f"a seed, queued{when}"


def _nth(number: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")
