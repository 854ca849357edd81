"""Local time: zones by name, the moment of a local time, and the moments at which a zone moves its clocks.

A moment is seconds since 1970. Local times are datetimes without a zone.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from itertools import takewhile
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from ..convert import Unfit

FIRST = 0.0  # nothing is planned before 1970,
LAST = 221_845_392_000.0  # nor after the year 8999: what is beyond 9999 has no datetime
SECOND = timedelta(seconds=1)
Naive = Callable[[datetime], Iterator[datetime]]  # the local times after a local time, in order
_DAY = 86400
_BLOCK = 365 * _DAY
_LOCALTIME = Path("/etc/localtime")
_SHORT_HOUR = re.compile(r"(?<=[ T])(\d):", re.ASCII)


def zone_named(name: str) -> ZoneInfo:
    """The zone of an IANA name, or the machine's for "local". Raises Unfit with the names that are near."""
    if name == "local":
        return _machine()
    if zone := _zone(name):
        return zone
    known = _known()
    if not known:
        raise Unfit("cannot be looked up: this machine has no time zone data; pip install tzdata")
    close = _near(name, known)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "write a name such as 'Europe/Berlin'"
    raise Unfit(f"must be the name of a time zone, not {name[:60]!r}; {hint}")


def zone_or_utc(name: str) -> ZoneInfo:
    """The same to tell times in: UTC where the system has lost the zone."""
    try:
        return zone_named(name)
    except Unfit:
        return ZoneInfo("UTC")


def _zone(name: str) -> ZoneInfo | None:
    """A zone by its name, None when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder's name, or one that is too long
        return None


@cache
def _known() -> frozenset[str]:
    """The names of all zones: reading them takes 5 ms, and thousands of jobs may have a wrong one."""
    return frozenset(available_timezones() - {"localtime", "posixrules", "Factory"})


@lru_cache(maxsize=64)
def _near(name: str, known: frozenset[str]) -> list[str]:
    """Up to three names of zones that were probably meant: by city, by case, by spelling."""
    wanted = name.strip().replace(" ", "_").lower()
    lower = {each.lower(): each for each in sorted(known)}
    if wanted in lower:
        return [lower[wanted]]
    cities = {each.rpartition("/")[2]: each for each in lower if not each.startswith(("etc/", "posix", "right"))}
    if city := cities.get(wanted.rpartition("/")[2]):
        return [lower[city]]
    if len(wanted) < 5:
        return []  # an abbreviation: what looks like it is another zone
    close = difflib.get_close_matches(wanted[:60], lower, 3, 0.75)
    close += [cities[each] for each in difflib.get_close_matches(wanted[:60], cities, 3, 0.75)]
    return [lower[each] for each in dict.fromkeys(close)][:3]


def _machine() -> ZoneInfo:
    """The machine's zone: TZ, else /etc/localtime, else UTC, as the C library does."""
    if named := os.environ.get("TZ", "").removeprefix(":"):
        if zone := _zone(named.rpartition("zoneinfo/")[2]):
            return zone
        raise Unfit(f"is 'local', but TZ={named[:60]!r} is not the name of a time zone; write a name")
    if os.name == "nt":
        raise Unfit("cannot be 'local' on Windows; write a name such as 'Europe/Berlin'")
    if not _LOCALTIME.exists():
        return ZoneInfo("UTC")
    _, found, named = str(_LOCALTIME.resolve()).rpartition("zoneinfo/")
    if found and (zone := _zone(named)):
        return zone
    with _LOCALTIME.open("rb") as file:
        return ZoneInfo.from_file(file, key="local")


def local(moment: float, zone: ZoneInfo) -> datetime:
    """What the zone's clocks show at a moment, whole seconds."""
    return datetime.fromtimestamp(math.floor(moment), zone).replace(tzinfo=None, fold=0)


def offset(moment: float, zone: ZoneInfo) -> float:
    """How far the zone's clocks are before UTC at a moment, seconds."""
    shift = datetime.fromtimestamp(moment, zone).utcoffset()
    return shift.total_seconds() if shift is not None else 0.0


def plain(naive: datetime) -> float:
    """The moment of a local time in UTC."""
    return naive.replace(tzinfo=UTC).timestamp()


def moment_of(naive: datetime, zone: ZoneInfo, fold: int = 0) -> float:
    """The moment of a local time: of two the first (with `fold` 1 the last), for a skipped one the gap's end."""
    moment = naive.replace(tzinfo=zone, fold=fold).timestamp()
    if local(moment, zone) == naive.replace(fold=0):
        return moment
    # PEP 495: with fold 0 a skipped time is read with the offset of before the gap and so lies after it
    early = naive.replace(tzinfo=zone, fold=1).timestamp()
    late = naive.replace(tzinfo=zone, fold=0).timestamp()
    moved = change(early, late, zone)
    return late if moved is None else moved


def dated(text: str, zone: ZoneInfo, *, last: bool = False) -> float:
    """The moment of a date or time: ISO 8601, in the zone unless it names an offset. Raises Unfit.

    A date is its first second, with `last` its last one.
    """
    plain = _SHORT_HOUR.sub(r"0\1:", text.strip())
    try:
        read = datetime.fromisoformat(plain).replace(microsecond=0)
    except ValueError as error:
        wanted = "a date or time such as 2026-12-24 or 2026-12-24 18:00"
        why = "" if "isoformat" in str(error) else f": {error}"
        raise Unfit(f"must be {wanted}, not {text[:60]!r}{why}") from error
    if not 1971 <= read.year < 8999:
        raise Unfit(f"must be between the years 1971 and 8998, not {text[:60]!r}")
    if read.tzinfo is not None:
        return read.timestamp()
    if last and len(plain) <= 10:  # no time has room beside a date
        return moment_of(read.replace(hour=23, minute=59, second=59), zone, fold=1)
    return moment_of(read, zone)


def change(a: float, b: float, zone: ZoneInfo) -> float | None:
    """The first moment in (a, b] from which the zone's clocks show another time; None: there is none."""
    for block in range(int(a // _BLOCK), int(b // _BLOCK) + 1):
        moments = _changes(zone, block)
        if (at := bisect_right(moments, a)) < len(moments):
            return moments[at] if moments[at] <= b else None
    return None


@lru_cache(maxsize=1024)
def _changes(zone: ZoneInfo, block: int) -> tuple[int, ...]:
    """The changes of 365 days: zoneinfo does not tell them, so each day's end is compared with its beginning."""
    found = []
    low = block * _BLOCK
    before = offset(low - 1, zone)
    for end in range(low + _DAY - 1, low + _BLOCK, _DAY):
        after = offset(end, zone)
        if after != before:
            found.append(_halved(end - _DAY, end, after, zone))
        before = after
    return tuple(found)


def _halved(low: int, high: int, after: float, zone: ZoneInfo) -> int:
    """The first moment in (low, high] at which the offset is the one of `high`."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if offset(middle, zone) == after else (middle, high)
    return high


def counted(moments: Iterable[float], last: float) -> int:
    """How many of these moments, which are in order, are not later than `last`."""
    return sum(1 for _ in takewhile(lambda moment: moment <= last, moments))


def settled(times: Iterable[datetime], after: float, zone: ZoneInfo) -> Iterator[float]:
    """Local times, in order, as moments later than `after`: skipped ones once after the gap, repeated ones once.

    That is what Debian's cron does with jobs at fixed times.
    """
    for naive in times:
        moment = moment_of(naive, zone)
        if moment > LAST:
            return
        if moment > after:
            yield moment
            after = moment


def shown(naives: Naive, after: float, zone: ZoneInfo) -> Iterator[float]:
    """Every moment later than `after` at which the zone's clocks show one of the local times.

    So a skipped time does not come, a repeated one comes twice: what Debian's cron does with wildcard jobs.
    """
    begin, shift = local(after, zone), offset(after, zone)
    while True:
        moved = None
        for naive in naives(begin):
            moment = plain(naive) - shift
            if moment > LAST:
                return
            if (moved := change(after, moment, zone)) is not None:
                break
            yield moment
            after = moment
        if moved is None:
            return
        after, begin, shift = moved, local(moved, zone) - SECOND, offset(moved, zone)
