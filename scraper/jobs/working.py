"""A process that works on a planned run: which limit of its job it is beyond, and how it is asked to end."""

from __future__ import annotations

import logging
import math

from . import ends
from .job import Job
from .record import JobRun
from .runner import Ask, Ended, Process

GRACE = 30.0  # seconds that a crawl has to end, beyond its own `grace`
SAMPLE = 5.0  # seconds between two looks at the memory of a run that has a limit
CLOSE = 1.0  # the same of one that has come to HALF of it
HALF = 0.5
# Of its limit: a run may come to so much while it ends in good order, what is beyond is killed. To write what is
# left takes little more memory than it had; what grows by half meanwhile does not heed, or takes all there is.
FAR = 1.5

log = logging.getLogger("scraper.jobs")


class Working:
    """A process and the run it works on. Seconds are monotonic."""

    def __init__(self, run: JobRun, process: Process, since: float) -> None:
        self.run = run
        self.process = process
        self.since = since  # from here its timeout counts
        self.ended: Ended | None = None
        self._used = 0.0  # of its memory limit
        self._asked: Ask | None = None
        self._asked_at = 0.0
        self._doubted = False

    def doubt(self) -> None:
        """Say once that its row was changed by another: it is said to wait, while the process is there."""
        if not self._doubted:
            log.error("run %d of job %r is said to wait, but its process is there", self.run.id, self.run.job)
        self._doubted = True

    def beyond(self, job: Job | None, now: float) -> str:
        """Which limit of its job it is beyond, "" for none; looks at its memory. The wall clock ends no run."""
        self._used = 0.0
        if job is None or self.ended is not None:
            return ""
        if job.memory is not None:
            self._used = self.process.memory() / max(1, job.memory)
        if job.timeout is not None and now - self.since >= job.timeout:
            return ends.TIMEOUT
        return ends.MEMORY if self._used > 1 else ""

    def ask(self, run: JobRun, job: Job | None, now: float, stopping: Ask | None) -> None:
        """Ask it to end as strongly as is wanted by now: of its `run` as it stands, and by a server that stops."""
        wanted = stopping
        if wanted is None and (run.stop or run.why):
            wanted = Ask.CANCEL
        late = self._asked is Ask.CANCEL and now - self._asked_at >= _grace(job)
        if run.stop == Ask.KILL or late or self._used > FAR:
            wanted = Ask.KILL
        if wanted is not None and self._asked not in (wanted, Ask.KILL) and self.ended is None:
            self._asked, self._asked_at = wanted, now
            self.process.ask(wanted)

    def again(self, job: Job | None, now: float) -> float:
        """In how many seconds it must be looked at again; infinite when nothing is to be seen before its end."""
        waits = [math.inf]
        if job is not None and job.timeout is not None and not self.run.why:
            waits.append(self.since + job.timeout - now)
        if job is not None and job.memory is not None and self._asked is not Ask.KILL:
            waits.append(CLOSE if self._used >= HALF else SAMPLE)
        if self._asked is Ask.CANCEL:
            waits.append(self._asked_at + _grace(job) - now)
        return min(waits)


def _grace(job: Job | None) -> float:
    own = job.settings.get("grace") if job is not None else None
    return GRACE + (float(own) if isinstance(own, int | float) else 10.0)
