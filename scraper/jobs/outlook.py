"""When jobs run next, remembered until a job changes or that time has come."""

from __future__ import annotations

from threading import Lock

import msgspec

from ..errors import UsageError
from .record import Kept
from .schedule import Schedule

AHEAD = 5  # times to come that are shown
FOREVER = 1e12  # seconds


class Seen(msgspec.Struct, frozen=True):
    """What is known of a job's schedule: in words, the times to come; or what is wrong with it."""

    said: str
    upcoming: tuple[float, ...] = ()
    trouble: str = ""


class Outlook:
    """The times to come of all jobs, looked up once each. Safe between threads."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, Seen]] = {}
        self._lock = Lock()

    def seen(self, kept: Kept, now: float) -> Seen:
        """The next times of a job after `now`; also while it is paused, when none of them takes place."""
        name = kept.job.name
        with self._lock:
            version, seen = self._known.get(name, (0, None))
            if seen is None or version != kept.version or (seen.upcoming and seen.upcoming[0] <= now):
                seen = _looked(kept, now)
                self._known[name] = kept.version, seen
        return seen


def _looked(kept: Kept, now: float) -> Seen:
    job = kept.job
    try:
        schedule = Schedule.parse(job)
        return Seen(schedule.said(), tuple(schedule.between(now, FOREVER, AHEAD)))
    except UsageError as error:  # a job that an earlier version of scraper took
        return Seen(job.schedule, trouble=str(error))
