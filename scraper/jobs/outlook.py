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
    """What is known of a job's schedule: in words, the next time; or what is wrong with it."""

    said: str
    next: float | None = None
    trouble: str = ""


class Outlook:
    """When all jobs run next, looked up once each. Safe between threads."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, Seen]] = {}
        self._lock = Lock()

    def seen(self, kept: Kept, now: float) -> Seen:
        """The next time of a job after `now`; also while it is paused, when it does not take place."""
        name = kept.job.name
        with self._lock:
            version, seen = self._known.get(name, (0, None))
            if seen is None or version != kept.version or (seen.next is not None and seen.next <= now):
                seen = _looked(kept, now)
                self._known[name] = kept.version, seen
        return seen


def upcoming(kept: Kept, now: float) -> list[float]:
    """The next times of a job after `now`, as many as are shown of one; none where its schedule cannot be read."""
    try:
        return [*Schedule.parse(kept.job).between(now, FOREVER, AHEAD)]
    except UsageError:
        return []


def _looked(kept: Kept, now: float) -> Seen:
    job = kept.job
    try:
        schedule = Schedule.parse(job)
        return Seen(schedule.said(), schedule.after(now))
    except UsageError as error:  # a job that an earlier version of scraper took
        return Seen(job.schedule, trouble=str(error))
