"""Moments and runs as the commands of jobs show them: in the zone of the job."""

from __future__ import annotations

import time
from datetime import datetime
from zoneinfo import ZoneInfo

from ...jobs.job import Job
from ...jobs.record import JobRun, State
from ...jobs.zones import zone_or_utc
from ...logs import clean
from ...words import duration

UTC = ZoneInfo("UTC")


def zone_of(job: Job | None) -> ZoneInfo:
    """The zone of a job; UTC when it is gone, or its zone is not known here any more."""
    return zone_or_utc(job.timezone) if job is not None else UTC


def at(moment: float, zone: ZoneInfo) -> str:
    """`11-22 08:30 CET`, with the year when it is another one; "-" for none."""
    if not moment:
        return "-"
    when = datetime.fromtimestamp(moment, zone)
    year = "" if when.year == time.localtime().tm_year else f"{when.year}-"
    return f"{year}{when:%m-%d %H:%M %Z}"


def exactly(moment: float, zone: ZoneInfo) -> str:
    """`2026-11-22 08:30:00 CET`."""
    return f"{datetime.fromtimestamp(moment, zone):%Y-%m-%d %H:%M:%S %Z}"


def short(moment: float, zone: ZoneInfo) -> str:
    """`08:30 CET` of the last day, else `11-22 08:30 CET`, else `2025-11-22`."""
    when, now = datetime.fromtimestamp(moment, zone), datetime.now(zone)
    if (now - when).total_seconds() < 20 * 3600:
        return f"{when:%H:%M %Z}"
    return f"{when:%m-%d %H:%M %Z}" if when.year == now.year else f"{when:%Y-%m-%d}"


def state_of(run: JobRun) -> str:
    """Its state in words."""
    if run.open and run.stop:
        return "stopping"
    return run.state.value.replace("_", " ")


def took(run: JobRun) -> str:
    """How long it worked, or has by now."""
    if not run.began:
        return ""
    end = run.ended or (time.time() if run.state is State.RUNNING else 0.0)
    return duration(end - run.began) if end else ""


def changes(run: JobRun) -> str:
    """`+2 ~1 -0`: items added, changed and removed; "" when it was compared with no run."""
    if run.added is None:
        return ""
    return f"+{run.added:,} ~{run.changed or 0:,} -{run.removed or 0:,}"


def why(run: JobRun) -> str:
    """What there is to say of a run in a line."""
    parts = [f"{run.count:,} times from then on" if run.count > 1 else "", changes(run), clean(run.why)]
    return ", ".join(filter(None, parts))
