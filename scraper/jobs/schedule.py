"""When a job runs: its schedules, its zone, its first and last day, jitter and blackout hours.

A schedule is cron (cron.py) or words (every.py), or several of them separated by ";". Planned times are whole
seconds. Pure: time is passed in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property, lru_cache
from hashlib import blake2b
from heapq import merge
from itertools import islice, takewhile
from typing import Protocol
from zoneinfo import ZoneInfo

from ..convert import Unfit, closest
from ..errors import UsageError
from .cron import NAMED, Cron
from .every import Passing, every, once
from .job import Job
from .windows import Window, free, windows
from .words import CENTURY, DASH
from .zones import FIRST, LAST, counted, dated, zone_named

LONGEST = 1000  # characters of a schedule
SHARED = 4096  # schedules that are remembered: thousands of jobs have few different ones


class Rule(Protocol):
    """One of the schedules of a job."""

    def times(self, after: float) -> Iterator[float]:
        """Its moments later than `after`, in order, lazily."""
        ...

    def count(self, a: float, b: float) -> int:
        """How many of them are in (a, b]."""
        ...

    def said(self) -> str:
        """In words."""
        ...


class Shared:
    """A rule with what was found out of it, which all jobs of that rule share. Safe between threads."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        # Two moments (mostly the first of all and one of today) with the first planned one after each, which is
        # that of all moments between them too
        self._known = ((math.inf, -math.inf),) * 2

    def after(self, t: float) -> float:
        """The first moment later than `t`, infinity when there is none. Mostly a look at what is known."""
        for low, high in self._known:
            if low <= t < high:
                return high
        found = next(self.rule.times(t), math.inf)
        others = [each for each in self._known if each[1] != found]
        self._known = (others[-1], (t, found))
        return found

    @cached_property
    def said(self) -> str:
        """The rule in words."""
        return self.rule.said()


class Schedule:
    """The planned times of one job. Moments are seconds since 1970."""

    def __init__(self, job: Job, rules: tuple[Shared, ...], zone: ZoneInfo, start: float, end: float) -> None:
        self.job = job
        self._rules = rules
        self.zone = zone
        self.start = start  # the first moment that may be planned
        self.end = end  # and the last one
        self.blackout: tuple[Window, ...] = windows(job.blackout, "blackout")

    @property
    def planned(self) -> bool:
        """Whether it has times at all: a job may be run by hand, or after others, alone."""
        return bool(self._rules)

    @classmethod
    def parse(cls, job: Job) -> Schedule:
        """Raises UsageError that begins with the key: schedule, timezone, start, end, blackout or jitter."""
        try:
            zone = zone_named(job.timezone)
        except Unfit as error:
            raise UsageError(f"timezone {error}") from error
        start, end = _bound("start", job.start, zone, FIRST + 1), _bound("end", job.end, zone, LAST)
        if end < start:
            raise UsageError(f"end {job.end!r} is before start {job.start!r}")
        if not 0 <= job.jitter <= CENTURY:
            raise UsageError(f"jitter must be from 0 seconds to 100 years, not {job.jitter}")
        rules = tuple(_shared(part, zone) for part in _parts(job.schedule))
        schedule = cls(job, rules, zone, start, end)
        if rules and schedule.after(FIRST) is None:
            limits = [f"{key} {text!r}" for key, text in (("start", job.start), ("end", job.end)) if text]
            within = f" with {' and '.join(limits)}" if limits else ""
            raise UsageError(f"schedule {job.schedule[:80]!r} never comes{within}")
        return schedule

    def after(self, t: float) -> float | None:
        """The first planned time later than `t`; None: there is none any more. Mostly a look at what is known."""
        t = max(t, self.start - 1)
        if t >= self.end:
            return None
        first = min((each.after(t) for each in self._rules), default=math.inf)
        return first if first <= self.end else None

    def between(self, a: float, b: float, most: int) -> Iterator[float]:
        """The planned times in (a, b] in order, lazily, at most `most`."""
        first = self.after(a)
        if first is None or first > b:
            return iter(())
        b = min(b, self.end)
        return islice(takewhile(lambda moment: moment <= b, self._times(first - 1)), most)

    def count(self, a: float, b: float) -> int:
        """How many planned times are in (a, b]: of one rule work for each day at most, of several for each time."""
        a, b = max(math.floor(a) if a > FIRST else FIRST, self.start - 1), min(b, self.end)
        if b <= a:
            return 0
        if len(self._rules) == 1:
            return self._rules[0].rule.count(a, math.floor(b))
        return counted(self._times(a), b)

    def begins(self, planned: float) -> float:
        """When a run planned for that time begins: with its share of the jitter, after a blackout it falls in.

        The share depends on the job's name and the time only: it is the same after a restart.
        """
        digest = blake2b(f"{self.job.name}\0{planned:.3f}".encode(), digest_size=8).digest()
        share = int.from_bytes(digest, "big") / 2**64
        return free(planned + self.job.jitter * share, self.blackout, self.zone)

    def said(self) -> str:
        """For people: "every day at 08:30 Europe/Berlin"."""
        parts = "; ".join(each.said for each in self._rules)
        if parts and not all(isinstance(each.rule, Passing) for each in self._rules):
            parts = f"{parts}{'' if parts[-1].isdigit() else ','} {self.zone.key}"
        if parts and self.job.start:
            parts = f"{parts}, from {self.job.start}"
        if parts and self.job.end:
            parts = f"{parts}, until {self.job.end}"
        if self.job.after:
            parts = f"{parts}{'; ' * bool(parts)}after {', '.join(self.job.after)}"
        return parts or "by hand"

    def _times(self, after: float) -> Iterator[float]:
        """The moments of all rules later than `after`, each once."""
        last = after
        for moment in merge(*(each.rule.times(after) for each in self._rules)):
            if moment > last:
                yield moment
                last = moment


def _bound(key: str, text: str, zone: ZoneInfo, default: float) -> float:
    """The moment of `start` or `end`; a date as `end` is all of that day."""
    if not text:
        return default
    try:
        return dated(text, zone, last=key == "end")
    except Unfit as error:
        raise UsageError(f"{key} {error}") from error


def _parts(text: str) -> list[str]:
    """The schedules that are separated by ";", with one space between words."""
    if len(text) > LONGEST:
        raise UsageError(f"schedule must have at most {LONGEST} characters, not {len(text)}")
    parts = [" ".join(part.replace(DASH, "-").split()) for part in text.split(";")]
    return [part for part in parts if part]


@lru_cache(maxsize=SHARED)
def _shared(text: str, zone: ZoneInfo) -> Shared:
    """One schedule, read once. Raises UsageError."""
    return Shared(_rule(text, zone))


def _rule(text: str, zone: ZoneInfo) -> Rule:
    """One schedule. Raises UsageError that quotes it."""
    word, _, rest = text.partition(" ")
    try:
        if word.lower() == "every":
            return every(rest.lower(), zone)
        if word.lower() == "once":
            return once(rest, zone)
        return Cron(text, zone)
    except Unfit as error:
        raise UsageError(f"schedule {text[:80]!r}: {error}{_meant(text, zone)}") from error


def _meant(text: str, zone: ZoneInfo) -> str:
    """A hint for what is neither cron nor words: "daily", "mon at 6:00", "evry day"."""
    word, _, rest = text.lower().partition(" ")
    if f"@{word}" in NAMED and not rest:
        return f"; did you mean '@{word}'?"
    if word[:1].isalpha() and word not in ("every", "once"):
        close = closest(word, ("every", "once")) if rest else ""
        for meant in (f"{close} {rest}", f"every {text.lower()}", f"once {text}"):
            if _reads(meant, zone):
                return f"; did you mean {meant[:80]!r}?"
        return "; or write 'every ...' or 'once ...'"
    return f"; did you mean 'once {text[:80]}'?" if _reads(f"once {text}", zone) else ""


def _reads(text: str, zone: ZoneInfo) -> bool:
    """Whether words are a schedule."""
    word, _, rest = text.partition(" ")
    try:
        if word == "every":
            every(rest, zone)
        elif word == "once":
            once(rest, zone)
        else:
            return False
    except Unfit:
        return False
    return True
