"""Durations, sizes, days of the week and times of day, as people write them.

All readers raise Unfit, whose text goes on after the name of the value: "must be a duration such as ...".
"""

from __future__ import annotations

import math
import re

from ..convert import Unfit, near
from .job import DAY, HOUR, MINUTE

WEEK = 7 * DAY
CENTURY = 36525 * DAY  # the longest duration that is taken
LARGEST = 2**60  # the largest size, bytes: 1 EiB
DASH = "\u2013"  # what some editors make of a hyphen
EXAMPLE = "a duration such as '90 seconds', '1h30m' or '2 days'"

_SPANS: dict[float, tuple[str, ...]] = {
    0.001: ("ms", "millisecond", "milliseconds"),
    1.0: ("s", "sec", "secs", "second", "seconds"),
    MINUTE: ("m", "min", "mins", "minute", "minutes"),
    HOUR: ("h", "hr", "hrs", "hour", "hours"),
    DAY: ("d", "day", "days"),
    WEEK: ("w", "wk", "wks", "week", "weeks"),
}
UNITS = {word: seconds for seconds, words in _SPANS.items() for word in words}
_UNFIXED = frozenset({"mo", "month", "months", "y", "yr", "year", "years"})
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_PART = re.compile(r"(?:\s*(?:,|and\b)\s*|\s*)(\d{1,15}(?:\.\d{1,9})?)\s*([a-z]+)", re.ASCII)

_SIZES = {"": 1, "b": 1, "byte": 1, "bytes": 1}
_SIZES |= {f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)}
_SIZES |= {f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)}
_SIZE = re.compile(r"(\d{1,20}(?:\.\d{1,9})?)\s*([a-z]*)", re.ASCII)

SPAN_UNITS = "; units are ms, s, m, h, d and w, or their names"
SIZE_UNITS = "; units are B, kB, MB, GB and TB (by 1000), KiB, MiB, GiB and TiB (by 1024)"

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WEEKDAYS, WEEKEND, ALL = frozenset(range(5)), frozenset({5, 6}), frozenset(range(7))
_GROUPS = {
    "day": ALL,
    "daily": ALL,
    "weekday": WEEKDAYS,
    "weekdays": WEEKDAYS,
    "weekend": WEEKEND,
    "weekends": WEEKEND,
}
_DAY_OF = {word: day for day, name in enumerate(map(str.lower, DAYS)) for word in (name, name + "s", name[:3])}
_DAY_OF |= {"tues": 1, "weds": 2, "thur": 3, "thurs": 3}
DAY_WORDS = (*_GROUPS, *_DAY_OF)
_TIME = re.compile(r"(\d{1,2})(?::(\d{2}))?(?::(\d{2}))?\s*([ap]m)?", re.ASCII)


def duration(value: object) -> float:
    """Seconds of "30 minutes", "1h30m", "2 days" or a number of seconds; at most a century. Raises Unfit."""
    seconds = _spelled(value) if isinstance(value, str) else _number(value, EXAMPLE)
    if not 0 <= seconds <= CENTURY:
        raise Unfit(f"must be from 0 seconds to 100 years, not {_cut(value)}")
    return seconds


def _spelled(text: str) -> float:
    """The seconds of a duration in words."""
    plain = text.strip().lower()
    if _NUMBER.fullmatch(plain):
        return float(plain)
    seconds, at = 0.0, 0
    given: set[float] = set()
    while found := _PART.match(plain, at):
        number, unit = found.groups()
        if unit in _UNFIXED:
            raise Unfit(f"must be {EXAMPLE}, not {_cut(text)}: {unit!r} has no fixed length")
        if unit not in UNITS:
            raise Unfit(f"must be {EXAMPLE}, not {_cut(text)}{near(unit, UNITS) or SPAN_UNITS}")
        if UNITS[unit] in given:
            raise Unfit(f"must name each unit once, not {_cut(text)}")
        given.add(UNITS[unit])
        seconds, at = seconds + float(number) * UNITS[unit], found.end()
    if not given or at < len(plain) or not plain[0].isdigit():
        raise Unfit(f"must be {EXAMPLE}, not {_cut(text)}")
    return seconds


def size(value: object) -> int:
    """Bytes of "500 MB" (decimal), "1 GiB" (binary) or a number of bytes. Raises Unfit."""
    wanted = "a size such as '500 MB' or '1 GiB'"
    if not isinstance(value, str):
        number = _number(value, wanted)
    else:
        found = _SIZE.fullmatch(value.strip().lower())
        if not found:
            raise Unfit(f"must be {wanted}, not {_cut(value)}")
        digits, unit = found.groups()
        if unit and unit in "kmgt":
            raise Unfit(f"must say {unit.upper()}B (1000) or {unit.upper()}iB (1024), not {_cut(value)}")
        if unit not in _SIZES:
            raise Unfit(f"must be {wanted}, not {_cut(value)}{SIZE_UNITS}")
        number = float(digits) * _SIZES[unit]
    if not 0 <= number <= LARGEST:
        raise Unfit(f"must be from 0 bytes to 1 EiB, not {_cut(value)}")
    if number < 1024 and number != int(number):
        raise Unfit(f"must be whole bytes, not {_cut(value)}")
    return round(number)


def _number(value: object, wanted: str) -> float:
    """A number that is one, and finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(f"must be {wanted}, not {_cut(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise Unfit(f"must be {wanted}, not {value}")
    return float(value) if -CENTURY * 1e9 < value < CENTURY * 1e9 else -1.0  # -1: out of all bounds


def spell(seconds: float) -> str:
    """A duration in words that `duration` reads: "1 hour 30 minutes"."""
    parts = []
    left = seconds
    for unit in (WEEK, DAY, HOUR, MINUTE):
        whole, rest = divmod(left, unit)
        if whole and (unit != WEEK or not rest):  # weeks only where it is nothing but weeks
            parts.append(_counted(whole, UNIT_NAMES[unit]))
            left = rest
    if left or not parts:
        parts.append(_counted(round(left, 3), "second"))
    return " ".join(parts)


UNIT_NAMES = {WEEK: "week", DAY: "day", HOUR: "hour", MINUTE: "minute"}


def _counted(number: float, noun: str) -> str:
    """`1 day`, `2 days`, `0.5 seconds`."""
    return f"{number:.10g} {noun if number == 1 else noun + 's'}"


def weekdays(text: str) -> frozenset[int]:
    """The days (Monday is 0) of "mon, thu", "mon-fri", "weekdays"; "fri-mon" goes round. Raises Unfit."""
    days: set[int] = set()
    plain = re.sub(r"\s*(?:-|\bto\b|\bthrough\b)\s*", "-", text.replace(DASH, "-").strip().lower())
    for word in re.sub(r",|\band\b", " ", plain).split():
        if word in _GROUPS:
            days |= _GROUPS[word]
            continue
        first, dash, last = word.partition("-")
        begin = _day(first)
        end = _day(last) if dash else begin
        days |= {(begin + step) % 7 for step in range((end - begin) % 7 + 1)}
    if not days:
        raise Unfit(f"must be days such as 'mon-fri' or 'sat, sun', not {_cut(text)}")
    return frozenset(days)


def _day(word: str) -> int:
    """The number of a day, Monday is 0."""
    if word not in _DAY_OF:
        raise Unfit(f"must be days such as 'mon-fri' or 'sat, sun', not {_cut(word)}{near(word, DAY_WORDS)}")
    return _DAY_OF[word]


def spell_days(days: frozenset[int]) -> str:
    """What comes after "every": `day`, `weekday`, `Monday and Thursday`, `Monday, Tuesday and Sunday`."""
    if len(days) == 7:
        return "day"
    groups = {WEEKDAYS: "weekday", WEEKEND: "Saturday and Sunday"}
    return groups.get(days) or listed([DAYS[day] for day in sorted(days)])


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def time_of_day(text: str, *, last: bool = False) -> int:
    """Seconds after midnight of "08:30", "8:30:15", "6 pm"; with `last` also "24:00". Raises Unfit."""
    found = _TIME.fullmatch(text.strip().lower())
    if not found or not (found[2] or found[4]):
        plain = text.strip()
        hint = f"; did you mean '{int(plain):02}:00'?" if _TIME.fullmatch(plain) and int(plain) < 24 else ""
        raise Unfit(f"must be a time such as 08:30, not {_cut(text)}{hint}")
    hour, minute, second = (int(part or 0) for part in found.groups()[:3])
    if found[4]:
        if not 1 <= hour <= 12:
            raise Unfit(f"must be a time such as 08:30, not {_cut(text)}: {found[4]} goes with 1 to 12")
        hour = hour % 12 + (12 if found[4] == "pm" else 0)
    seconds = hour * 3600 + minute * 60 + second
    if minute > 59 or second > 59 or seconds > 86400 or (seconds == 86400 and not last):
        latest = "24:00" if last else "23:59:59"
        raise Unfit(f"must be a time from 00:00 to {latest}, not {_cut(text)}")
    return seconds


def spell_time(seconds: int) -> str:
    """`08:30`, `08:30:15`, `24:00`."""
    hour, minute, second = seconds // 3600, seconds // 60 % 60, seconds % 60
    return f"{hour:02}:{minute:02}:{second:02}" if second else f"{hour:02}:{minute:02}"


def _cut(value: object) -> str:
    """A value for an error message, cut where it is long."""
    text = repr(value[:61] if isinstance(value, str) else value)
    return text if len(text) <= 63 else f"{text[:60]}…"
