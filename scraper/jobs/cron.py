"""Cron lines: 5 fields, or 6 with seconds first, as Debian's cron reads them.

What a line means is cronsim's matter, over local times without a zone; where clocks are moved is ours. Lines whose
minute or hour begins with a star are wildcard jobs and follow the clock as it goes; all others run at fixed times,
so a skipped time runs once right after the gap and a repeated one once. cronsim's own walk through zones is not
used: it loses runs of every few hours where clocks move by half an hour (Australia/Lord_Howe).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ..convert import Unfit, near
from ..errors import UsageError
from .zones import SECOND, change, counted, local, moment_of, settled, shown

if TYPE_CHECKING:
    from cronsim import CronSim

NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
FIELDS = ("second", "minute", "hour", "day of month", "month", "day of week")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES = {"month": MONTHS, "day of week": DAYS}
_RANGES = ("0 to 59", "0 to 59", "0 to 23", "1 to 31, L or LW", "1 to 12 or jan to dec", "0 to 7 or sun to sat")
_SIZES = (60, 60, 24, 31, 12, 7)
_ENDS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_SOME_DAY = datetime(2024, 1, 1)
_DAY = 86400
_DAYS = timedelta(days=1)


class NoCron(UsageError):
    """cronsim is not installed: the times of a cron line are not known here, though nothing is wrong with it."""


class Cron:
    """One cron line in a zone. Raises Unfit for a wrong line, NoCron."""

    def __init__(self, text: str, zone: ZoneInfo) -> None:
        self.text = text
        self.zone = zone
        line = NAMED.get(text.lower(), text)
        if line.startswith("@"):
            raise Unfit(f"there are only {', '.join(NAMED)}{near(text.lower(), NAMED)}")
        fields = line.split()
        if len(fields) not in (5, 6):
            raise Unfit(
                "cron has 5 fields (minute, hour, day of month, month, day of week), or 6 with seconds first; "
                f"this has {len(fields)}"
            )
        self.fields = fields if len(fields) == 6 else ["0", *fields]
        self.line = " ".join(self.fields)
        self.wild = self.fields[1].startswith("*") or self.fields[2].startswith("*")
        self._check()
        self._a_day: int | None = None

    def times(self, after: float) -> Iterator[float]:
        """Its moments later than `after`, lazily; a step is some 10 us, for one run a day 50 us."""
        if self.wild:
            return shown(self.naive, after, self.zone)
        return settled(self.naive(local(after, self.zone)), after, self.zone)

    def naive(self, after: datetime) -> Iterator[datetime]:
        """The local times later than `after` that match. Ends where nothing matches for 50 years."""
        return _parsed()(self.line, after)

    def count(self, a: float, b: float) -> int:
        """How many of its moments are in (a, b]: work for each day, for each moment only where clocks are moved."""
        total = 0
        while a < b:
            today = local(a + 1, self.zone).replace(hour=0, minute=0, second=0)
            midnight, end = moment_of(today, self.zone), moment_of(today + _DAYS, self.zone)
            since = midnight - (1 if self.wild else _DAY)  # what a gap skips at the end of a day runs on the next
            if midnight == a + 1 and end - 1 <= b and change(since, end, self.zone) is None:
                total += self._on(today)
                a = end - 1
                continue
            stop = min(b, max(end - 1, a + 3600))  # a day may be over before it is gone on with
            total += counted(self.times(a), stop)
            a = stop
        return total

    def _on(self, day: datetime) -> int:
        """How many local times of a day match: as many on each day on which any does."""
        first = next(self.naive(day - SECOND), None)
        if first is None or first.date() != day.date():
            return 0
        if self._a_day is None:
            end = datetime.combine(day.date() + _DAYS, time())
            self._a_day = sum(1 for _ in takewhile(lambda at: at < end, self.naive(day - SECOND)))
        return self._a_day

    def said(self) -> str:
        """In words: "every day at 08:30", "at 08:30 on Monday through Friday"."""
        words = _parsed()(self.line if self.fields[0] != "0" else self.line[2:], _SOME_DAY).explain()
        if words.endswith(" every day"):
            words = f"every day {words.removesuffix(' every day')}"
        return words.replace("At ", "at ", 1).replace("Every ", "every ", 1)

    def _check(self) -> None:
        """Raise Unfit that says which field is wrong, or that there is no such day."""
        parsed = _parsed()
        from cronsim import CronSimError

        try:
            found = next(parsed(self.line, _SOME_DAY), None)
        except CronSimError as error:
            for number, field in enumerate(self.fields):
                if not _stands(number, field):
                    raise Unfit(_blame(number, field)) from error
            found = None
        for number, field in enumerate(self.fields):
            for term in field.split(","):
                step = term.partition("/")[2]
                if step.isdecimal() and int(step) > _SIZES[number]:
                    raise Unfit(
                        f"the {FIELDS[number]} {term!r} has a step that is longer than the whole field; "
                        "write 'every 90 minutes' for such intervals"
                    )
        if found is None:
            raise Unfit("never comes: there is no such day in these months")


def _parsed() -> type[CronSim]:
    """cronsim's reader and walker. Raises NoCron."""
    try:
        from cronsim import CronSim
    except ImportError as error:
        raise NoCron("schedule: cron needs the package cronsim: install scraper with its extra `server`") from error
    return CronSim


def _stands(number: int, field: str) -> bool:
    """Whether a field is right by itself."""
    from cronsim import CronSim, CronSimError

    fields = ["*"] * 6
    fields[number] = field
    try:
        CronSim(" ".join(fields), _SOME_DAY)
    except CronSimError:
        # 30 and 31 stand in some month; this is asked of fields that are refused in every one
        return False
    return True


def _blame(number: int, field: str) -> str:
    """What is wrong with a field, and what was probably meant."""
    name = FIELDS[number]
    term = next((each for each in field.split(",") if not _stands(number, each)), field)
    bare, slash, step = term.partition("/")
    if slash and (not step.isdecimal() or int(step) == 0):
        return f"the {name} {term!r} must have a step of 1 or more after the slash, not {step!r}"
    first, dash, last = bare.partition("-")
    if dash and _stands(number, first) and _stands(number, last):
        low, high = _ENDS[number]
        return f"the {name} {term!r} must be a range that rises; write '{first}-{high},{low}-{last}'"
    word = next((each for each in (first, last) if each and not _stands(number, each)), bare)
    hint = ""
    if word.isalpha() and name in _NAMES:
        hint = near(word.lower(), _NAMES[name])
    elif word == "?":
        hint = "; write '*'"
    return f"the {name} must be {_RANGES[number]}, not {word[:60]!r}{hint}"
