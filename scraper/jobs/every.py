"""Schedules in words: "every 30 minutes", "every weekday at 08:30 and 17:00", "once 2026-12-24 18:00".

What is counted is counted from midnight of Monday 2024-01-01 in the job's zone: a fixed moment, so no start of a
server moves anything. Weeks, days and times of day are those of the local clock. Seconds, minutes and hours are
time that passes: where clocks are moved the distance stays the same, and the hour that the clock shows shifts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from ..convert import Unfit, near
from .words import ALL, DAY_WORDS, UNITS, duration, listed, spell, spell_days, spell_time, time_of_day, weekdays
from .zones import LAST, counted, dated, local, moment_of, settled

EPOCH = datetime(2024, 1, 1)  # a Monday
_DAY = 86400
_DAYS = ("day", "days")
_WEEKS = ("week", "weeks")
_CLOCK = {"second": 1, "minute": 60, "hour": 3600}
_LAST_DAY = date(8999, 12, 31)


class Passing:
    """Every so many whole seconds of passing time."""

    def __init__(self, seconds: int, zone: ZoneInfo) -> None:
        self.seconds = seconds
        self.anchor = moment_of(EPOCH, zone)

    def times(self, after: float) -> Iterator[float]:
        """Its moments later than `after`."""
        moment = self.anchor + ((after - self.anchor) // self.seconds + 1) * self.seconds
        while moment <= LAST:
            yield moment
            moment += self.seconds

    def count(self, a: float, b: float) -> int:
        """How many of its moments are in (a, b], at once."""
        return max(0, int((b - self.anchor) // self.seconds - (a - self.anchor) // self.seconds))

    def said(self) -> str:
        """In words: "every 30 minutes"."""
        words = spell(self.seconds)
        return f"every {words[2:] if self.seconds in _CLOCK.values() else words}"


class Days:
    """Times of day (seconds) on every `step`th day, or on weekdays (Monday is 0) of every `step`th week."""

    def __init__(self, step: int, days: frozenset[int] | None, times: tuple[int, ...], zone: ZoneInfo) -> None:
        self.step = step
        self.days = days
        self.at = tuple(sorted(set(times)))
        self.zone = zone

    def times(self, after: float) -> Iterator[float]:
        """Its moments later than `after`: a skipped time right after the gap, a repeated one once."""
        return settled(self._naive(local(after, self.zone)), after, self.zone)

    def _naive(self, after: datetime) -> Iterator[datetime]:
        """The local times later than `after`."""
        for day in self._dates(after.date()):
            midnight = datetime.combine(day, time())
            for seconds in self.at:
                naive = midnight + timedelta(seconds=seconds)
                if naive > after:
                    yield naive

    def _dates(self, day: date) -> Iterator[date]:
        """The dates from one on."""
        if self.days is None:
            day += timedelta(days=-(day - EPOCH.date()).days % self.step)
            while day < _LAST_DAY:
                yield day
                day += timedelta(days=self.step)
            return
        while day < _LAST_DAY:
            late = (day - EPOCH.date()).days // 7 % self.step
            if late:  # the Monday of the next week that counts
                day += timedelta(days=7 * (self.step - late) - day.weekday())
            if day.weekday() in self.days:
                yield day
            day += timedelta(days=1)

    def count(self, a: float, b: float) -> int:
        """How many of its moments are in (a, b]; as much work."""
        return counted(self.times(a), b)

    def said(self) -> str:
        """In words: "every weekday at 08:30 and 17:00", "every 2 weeks on Monday at 06:00"."""
        times = listed([spell_time(seconds) for seconds in self.at])
        if self.days is None:
            return f"every {self.step} days at {times}"
        days = spell_days(self.days)
        return f"every {self.step} weeks on {days} at {times}" if self.step > 1 else f"every {days} at {times}"


class Once:
    """One moment."""

    def __init__(self, moment: float, zone: ZoneInfo) -> None:
        self.moment = moment
        self.zone = zone

    def times(self, after: float) -> Iterator[float]:
        """The moment, when it is later than `after`."""
        if self.moment > after:
            yield self.moment

    def count(self, a: float, b: float) -> int:
        """1 when it is in (a, b]."""
        return int(a < self.moment <= b)

    def said(self) -> str:
        """In words: "once on 2026-12-24 at 18:00"."""
        at = local(self.moment, self.zone)
        return f"once on {at:%Y-%m-%d} at {spell_time(at.hour * 3600 + at.minute * 60 + at.second)}"


def every(text: str, zone: ZoneInfo) -> Passing | Days:
    """Read what comes after "every". Raises Unfit."""
    head, at, tail = f"{text} ".partition(" at ")
    head = head.strip()
    times = _times(tail) if at else (0,)
    count, unit = _counted(head)
    if unit in _DAYS and count:
        return Days(count, None if count > 1 else ALL, times, zone)
    week, on, names = head.partition(" on ")
    count, unit = _counted(week.strip())
    if unit in _WEEKS:
        return Days(count, _days(names) if on else frozenset({0}), times, zone)
    if head.split()[-1:] in (["month"], ["months"], ["year"], ["years"]):
        raise Unfit(f"'every {head}' has no fixed length; write '@monthly', '@yearly' or cron such as '30 8 1 * *'")
    if not head[:1].isdigit() and unit not in _CLOCK:
        return Days(1, _days(names if on and week.strip() in _DAYS else head), times, zone)
    if at:
        raise Unfit(f"'at' goes with days, as in 'every day at {spell_time(times[0])}', not with 'every {head}'")
    return Passing(_seconds(head, count, unit), zone)


def _counted(words: str) -> tuple[int, str]:
    """The number and the unit of "3 days", "other day" and "day"; 0 for what is none of that."""
    number, _, unit = words.rpartition(" ")
    if number in ("", "other", "second"):
        return (2 if number else 1), unit
    if not (number.isascii() and number.isdigit() and 0 < int(number) <= 36525):
        return 0, ""
    return int(number), unit


def _seconds(words: str, count: int, unit: str) -> int:
    """The whole seconds of an interval."""
    if unit in _CLOCK and not words[0].isdigit():
        return count * _CLOCK[unit]
    try:
        seconds = duration(words)
    except Unfit as error:
        raise Unfit(f"the interval {error}") from error
    if words.replace(".", "").isdigit():
        raise Unfit(f"the interval needs a unit, as in 'every {words} minutes'")
    if seconds < 1 or seconds != int(seconds):
        raise Unfit(f"the interval must be whole seconds, 1 at least, not {words[:60]!r}")
    return int(seconds)


def _days(words: str) -> frozenset[int]:
    """Days of the week."""
    try:
        return weekdays(words)
    except Unfit as error:
        known = (*DAY_WORDS, *UNITS, "month")
        wrong = next((word for word in re.split(r"[-,\s]+", words) if word not in known), words)
        raise Unfit(
            "after 'every' comes an interval such as '30 minutes', 'day', or days such as 'mon-fri' or 'sat, sun', "
            f"not {wrong[:60]!r}{near(wrong, known)}"
        ) from error


def _times(words: str) -> tuple[int, ...]:
    """Times of day: "08:30", "08:30 and 17:00", "8:30, 12:00"."""
    parts = [part.strip() for part in words.replace(" and ", ",").split(",")]
    try:
        return tuple(time_of_day(part) for part in parts)
    except Unfit as error:
        raise Unfit(f"what comes after 'at' {error}") from error


def once(text: str, zone: ZoneInfo) -> Once:
    """Read what comes after "once". Raises Unfit."""
    try:
        return Once(dated(text.replace(" at ", " "), zone), zone)
    except Unfit as error:
        raise Unfit(f"what comes after 'once' {error}") from error
