"""An independent judge of schedules: it looks at the zone's clock minute by minute, as Debian's cron does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")
# A zone, and a day on which its clocks are moved: by half an hour, at midnight, by a whole day, at 00:01
MOVES = [
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Asia/Beirut", "2026-03-29"),
    ("Asia/Beirut", "2026-10-25"),
    ("America/Havana", "2026-11-01"),
    ("Atlantic/Azores", "2026-10-25"),
    ("America/Goose_Bay", "2010-03-14"),
    ("America/Goose_Bay", "2010-11-07"),
    ("Pacific/Apia", "2011-12-30"),
]
Matches = Callable[[datetime], bool]


def around(zone: str, day: str, days: int = 2) -> tuple[float, float]:
    """The moments so many days before and after a day."""
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    return (midnight - timedelta(days=days)).timestamp(), (midnight + timedelta(days=days)).timestamp()


@lru_cache(maxsize=32)
def clock(a: int, b: int, zone: str) -> list[tuple[int, datetime]]:
    """What the zone's clock shows each minute from a to b."""
    where = ZoneInfo(zone)
    return [
        (moment, datetime.fromtimestamp(moment, where).replace(tzinfo=None, fold=0))
        for moment in range(a, b + 1, 60)
    ]


def walked(matches: Matches, wild: bool, a: float, b: float, zone: str) -> list[float]:
    """The minutes in (a, b] in which a job runs."""
    runs = []
    minute = timedelta(minutes=1)
    reached = clock(int(a), int(a), zone)[0][1]
    for moment, shown in clock(int(a) + 60, int(b), zone):
        if wild:
            run = matches(shown)
        else:  # what was skipped runs now, what has been shown before does not run again
            run = False
            while reached < shown:
                reached += minute
                run = run or matches(reached)
        if run:
            runs.append(float(moment))
    return runs
