"""When jobs run next, remembered until a job changes or that time has come."""

from __future__ import annotations

import msgspec

from .record import Kept


class Seen(msgspec.Struct, frozen=True):
    """What is known of a job's schedule: in words, the times to come; or what is wrong with it."""

    said: str
    upcoming: tuple[float, ...] = ()
    trouble: str = ""


class Outlook:
    """The times to come of all jobs. Not for several threads at once."""

    def seen(self, kept: Kept, now: float) -> Seen:
        """The next times of a job after `now`, none while it is paused."""
        return Seen(kept.job.schedule or ("after other jobs" if kept.job.after else "by hand"))
