"""Times in which something is not done: blackout hours of jobs, quiet hours of alerts.

A window is days of the week and times of day, by the local clock. Where clocks are moved: a time that comes twice
begins a window the first time and ends it the last time, so a window holds whenever the clock shows a time in it;
one that is skipped stands for the end of the gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from ..convert import Unfit
from ..errors import UsageError
from .words import ALL, DASH, time_of_day, weekdays
from .zones import SECOND, local, moment_of

EXAMPLE = "'22:00-06:00', 'sat 00:00-24:00' or 'mon-fri 09:00-17:00'"
_DAY = 86400


@dataclass(frozen=True, slots=True)
class Window:
    """Days (Monday is 0) on which it begins, and the times of day between which it holds, seconds after midnight.

    `end` is more than a day where it ends on the day after.
    """

    text: str
    days: frozenset[int]
    begin: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read "22:00-06:00", "fri 22:00-06:00" (ends on Saturday), "sat, sun" (whole days). Raises Unfit."""
        plain = " ".join(text.replace(DASH, "-").split())
        start = next((at for at, letter in enumerate(plain) if letter.isdigit()), len(plain))
        names, times = plain[:start].strip(), plain[start:]
        if not plain or len(plain) > 200:
            raise Unfit(f"must be times such as {EXAMPLE}, not {plain[:60]!r}")
        days = weekdays(names) if names else ALL
        if not times:
            return cls(text, days, 0, _DAY)
        first, dash, last = times.replace(" to ", "-").partition("-")
        if not dash:
            raise Unfit(f"must be times such as {EXAMPLE}, not {plain[:60]!r}")
        begin, end = time_of_day(first), time_of_day(last, last=True)
        if begin == end:
            raise Unfit(f"must begin and end at two times, not {plain[:60]!r}; a whole day is 00:00-24:00")
        return cls(text, days, begin, end if end > begin else end + _DAY)

    def spans(self, t: float, zone: ZoneInfo) -> Iterator[tuple[float, float]]:
        """Its beginnings and ends on the days around a moment."""
        today = local(t, zone).date()
        for step in (
            -1,
            0,
            1,
        ):  # one across midnight began yesterday; tomorrow's may begin before midnight is moved back
            day = today + timedelta(days=step)
            if day.weekday() in self.days:
                yield moment_of(_at(day, self.begin), zone), _end(_at(day, self.end), zone)

    def holds(self, t: float, zone: ZoneInfo) -> bool:
        """Whether a moment is in it; the end is not."""
        return any(begin <= t < end for begin, end in self.spans(t, zone))

    def ends(self, t: float, zone: ZoneInfo) -> float:
        """When the window ends that holds at a moment; that moment where none does."""
        return max([end for begin, end in self.spans(t, zone) if begin <= t < end], default=t)


def windows(texts: Iterable[str], key: str) -> tuple[Window, ...]:
    """Windows as written under a key. Raises UsageError that names the key, also when they leave no time free."""
    found = []
    for number, text in enumerate(texts):
        try:
            found.append(Window.parse(text))
        except Unfit as error:
            raise UsageError(f"{key}[{number}] {text[:60]!r} {error}") from error
    if _whole_week(found):
        raise UsageError(f"{key}: {', '.join(each.text for each in found)[:200]} leaves no time of the week")
    return tuple(found)


def free(t: float, among: Iterable[Window], zone: ZoneInfo) -> float:
    """The first moment from `t` on that is in none of the windows, which `windows` has made. A few steps a week."""
    every = tuple(among)
    moved = True
    while moved:
        later = max((each.ends(t, zone) for each in every), default=t)
        moved, t = later > t, later
    return t


def _at(day: date, seconds: int) -> datetime:
    """A day and seconds after its midnight by the clock."""
    return datetime.combine(day, time()) + timedelta(seconds=seconds)


def _end(naive: datetime, zone: ZoneInfo) -> float:
    """The first moment after the last one at which the clock shows an earlier time of the window."""
    last = naive - SECOND
    moment = moment_of(last, zone, fold=1)
    return moment + 1 if local(moment, zone) == last else moment


def _whole_week(among: Iterable[Window]) -> bool:
    """Whether every second of a week is in one of them."""
    week = 7 * _DAY
    spans = sorted(
        (begin, begin + each.end - each.begin)
        for each in among
        for day in each.days
        for begin in (day * _DAY + each.begin, (day - 7) * _DAY + each.begin)
    )
    reached = 0
    for begin, end in spans:
        if begin > reached:
            return False
        reached = max(reached, end)
    return reached >= week
