"""A store of jobs that an independent judge sees every change of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from scraper.jobs.job import Job
from scraper.jobs.record import Attempt, JobRun, Kept
from scraper.jobs.schedule import Schedule
from scraper.jobs.store import Jobs

from .judge import Judge


class Watched(Jobs):
    """A store that shows the judge each change once it is made; quick instead of safe from a loss of power."""

    def __init__(self, home: Path, judge: Judge) -> None:
        super().__init__(home)
        self._base.execute("PRAGMA synchronous = OFF")
        self.judge = judge

    def put(self, job: Job, **options: Any) -> Kept:
        before = self.judge.jobs.get(job.name)
        if before and job.name not in self.judge.paused and _times(before[0]) != _times(job):
            self.judge.left(job.name, options["now"])
        kept = super().put(job, **options)
        self.judge.put(kept)
        return kept

    def remove(self, name: str, now: float, who: str) -> None:
        super().remove(name, now, who)
        self.judge.removed(name, self.open_runs())

    def pause(self, name: str, why: str, now: float, who: str) -> None:
        if name not in self.judge.paused:
            self.judge.left(name, now)
        super().pause(name, why, now, who)
        self.judge.paused.add(name)
        self.judge.upto[name] = self.job(name).upto

    def unpause(self, name: str, now: float, who: str) -> None:
        super().unpause(name, now, who)
        self.judge.paused.discard(name)
        self.judge.upto[name] = self.job(name).upto

    def planned(self, job: str, upto: float, runs: Sequence[JobRun]) -> list[JobRun]:
        made = super().planned(job, upto, runs)
        if job in self.judge.jobs and job not in self.judge.paused:
            self.judge.planned(job, upto, made)
        return made

    def take_back(self, job: str, start: float, times: Schedule) -> list[float]:
        gone = super().take_back(job, start, times)
        self.judge.taken_back(job, start, gone)
        return gone

    def plan(self, run: JobRun) -> JobRun | None:
        made = super().plan(run)
        if made is not None:
            self.judge.added(made)
        return made

    def update(self, run: JobRun, *, attempt: Attempt | None = None) -> JobRun:
        kept = super().update(run, attempt=attempt)
        self.judge.updated(kept)
        return kept

    def ask_stop(self, id: int, how: Literal["cancel", "kill"], who: str, now: float) -> bool:
        done = super().ask_stop(id, how, who, now)
        if id in self.judge.open:
            self.judge.open[id] = self.run(id)
        return done

    def wake(self) -> None:
        """Nobody listens on a socket here."""


def _times(job: Job) -> tuple[object, ...]:
    return job.schedule, job.timezone, job.start, job.end, job.blackout
