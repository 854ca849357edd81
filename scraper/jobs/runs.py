"""The planned runs in the store: made once each, followed while they are open, and never opened again."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec.structs import asdict, replace

from ..errors import StoreError, UsageError
from .file import File, Row, columns, marks, value
from .record import OPEN, Act, Attempt, Cause, JobRun, State
from .schedule import Schedule
from .unplanned import Unplanned

RUN = columns(JobRun)
_NEW = columns(JobRun).partition(", ")[2]  # all but the id
_INSERT = f"INSERT INTO run ({_NEW}) VALUES ({marks(_NEW.count(',') + 1)}) ON CONFLICT (job, planned) DO NOTHING"
_FIXED = ("id", "job", "planned", "cause", "by", "args", "parent")
_ARGS = JobRun.__struct_fields__.index("args")
_LATE = ("added", "changed", "removed", "told")  # known only after the end
_OPEN = ", ".join(f"'{state.value}'" for state in sorted(OPEN))
_ON_TIME = (Cause.SCHEDULE, Cause.CATCH_UP)


class Impossible(StoreError):
    """A run does not stand as who writes of it believes: somebody else has changed its row, or deleted it."""


class Runs(File):
    """The verbs about single runs. All raise StoreError."""

    def plan(self, run: JobRun) -> JobRun | None:
        """Add a run, with its id; None when its job has one at that time, or is not there any more.

        One that somebody asked for (`by`) goes into the audit log.
        """
        with self.change() as base:
            if base.execute("SELECT 1 FROM job WHERE name = ?", (run.job,)).fetchone() is None:
                return None
            made = insert(base, run)
            if made is not None and made.by and made.cause is Cause.HAND:
                note(base, Act(at=made.planned, who=made.by, what="run", job=made.job, run=made.id))
        if made is not None and made.by:
            self.wake()
        return made

    def planned(self, job: str, upto: float, runs: Sequence[JobRun]) -> list[JobRun]:
        """Add the runs of a job whose time has come, and account for its times up to `upto`: both or neither.

        Gives those that are new. Times that have been accounted for never come again, however old the caller's
        knowledge is; nothing happens when the job was paused or removed meanwhile.
        """
        with self.change() as base:
            found = base.execute("SELECT upto FROM job WHERE name = ? AND NOT paused", (job,)).fetchone()
            if found is None:
                return []
            fresh = [run for run in runs if run.planned > found[0] or run.cause not in _ON_TIME]
            base.execute("UPDATE job SET upto = max(upto, ?) WHERE name = ?", (upto, job))
            return [made for run in fresh if (made := insert(base, run)) is not None]

    def taken(self, job: str, since: float, now: float) -> list[float]:
        """The planned times in (since, now] that have a run of the job."""
        text = "SELECT planned FROM run WHERE job = ? AND planned > ? AND planned <= ?"
        return [planned for (planned,) in self.rows(text, job, since, now)]

    def take_back(self, job: str, start: float, times: Schedule) -> list[float]:
        """Account for the `times` of a job up to `start` only: those to come are planned when they come.

        What was said of them while the clock was ahead (missed, skipped) was not true, and is deleted; gives the
        planned times of these rows. Runs that began, or wait, or that somebody has cancelled stay, and no time has
        two. A row that stands for times before and after `start` stands for those before.
        """
        ours = f"job = ? AND cause IN ({marks(2)}) AND state IN ({marks(2)})"
        values = (job, *(each.value for each in _ON_TIME), State.MISSED.value, State.SKIPPED.value)
        with self.change() as base:
            text = f"DELETE FROM run WHERE {ours} AND planned > ? RETURNING planned"
            gone = sorted(planned for (planned,) in base.execute(text, (*values, start)))
            text = f"SELECT id, planned, count FROM run WHERE {ours} AND count > 1 AND due > ?"
            for id, planned, count in base.execute(text, (*values, start)).fetchall():
                passed = Unplanned(times, planned, start)
                due, number = [planned, *passed.last(1)][-1], passed.count() + 1
                base.execute("UPDATE run SET due = ?, count = ? WHERE id = ?", (due, min(count, number), id))
            base.execute("UPDATE job SET upto = ? WHERE name = ?", (start, job))
        return gone

    def open_runs(self, job: str = "") -> list[JobRun]:
        """The runs that are not over, in the order in which they are to begin."""
        which, values = (" AND job = ?", [job]) if job else ("", [])
        text = f"SELECT {RUN} FROM run WHERE state IN ({_OPEN}){which} ORDER BY priority DESC, planned, id"
        return [as_run(row) for row in self.rows(text, *values)]

    def run(self, id: int) -> JobRun:
        """One run. Raises UsageError when there is none."""
        found = self.row(f"SELECT {RUN} FROM run WHERE id = ?", id)
        if found is None:
            raise UsageError(f"there is no run {id} of a job; it may have been deleted, as old ones are")
        return as_run(found)

    def by_time(self, job: str, planned: float) -> JobRun | None:
        """The run of a job at a planned time."""
        found = self.row(f"SELECT {RUN} FROM run WHERE job = ? AND planned = ?", job, planned)
        return None if found is None else as_run(found)

    def update(self, run: JobRun, *, attempt: Attempt | None = None) -> JobRun:
        """Write how a run stands now, and one of its attempts; gives it as it is kept.

        What it was asked (`stop`) is never forgotten by a caller who had not heard of it. Of a run that has ended
        only what is found out later may change (`_LATE`). Raises Impossible for anything else.
        """
        with self.change() as base:
            found = base.execute(f"SELECT {RUN} FROM run WHERE id = ?", (run.id,)).fetchone()
            if found is None:
                raise Impossible(f"run {run.id} of job {run.job!r} is not in the store any more")
            before = as_run(found)
            _check_change(before, run)
            if before.stop == "kill" or not run.stop:
                run = replace(run, stop=before.stop, stopped_by=before.stopped_by)
            names = [name for name in JobRun.__struct_fields__ if name not in _FIXED]
            places = ", ".join(f'"{name}" = ?' for name in names)
            base.execute(f"UPDATE run SET {places} WHERE id = ?", [*_values(run, names), run.id])
            if attempt is not None:
                _keep(base, run.id, attempt)
        return run

    def ask_stop(self, id: int, how: Literal["cancel", "kill"], who: str, now: float) -> bool:
        """Ask for the end of a run; false when it is over. "cancel" takes no "kill" back."""
        with self.change() as base:
            found = base.execute("SELECT job, state, stop FROM run WHERE id = ?", (id,)).fetchone()
            if found is None or found[1] not in OPEN:
                return False
            if found[2] != "kill":
                base.execute("UPDATE run SET stop = ?, stopped_by = ? WHERE id = ?", (how, who, id))
                note(base, Act(at=now, who=who, what=how, job=found[0], run=id))
        self.wake()
        return True

    def attempts(self, id: int) -> list[Attempt]:
        """The processes that worked on a run, oldest first."""
        text = f"SELECT {columns(Attempt)} FROM attempt WHERE id = ? ORDER BY number"
        return [value(Attempt, row) for row in self.rows(text, id)]


def note(base: sqlite3.Connection, act: Act) -> int:
    """Write a line of the audit log within a transaction; gives its id."""
    names = columns(Act).partition(", ")[2]
    values = (act.at, act.who, act.what, act.job, act.run, act.detail)
    return base.execute(f"INSERT INTO act ({names}) VALUES ({marks(6)})", values).lastrowid or 0


def as_run(row: Row) -> JobRun:
    """A row of the columns RUN."""
    return value(JobRun, [*row[:_ARGS], msgspec.json.decode(row[_ARGS]), *row[_ARGS + 1 :]])


def _values(run: JobRun, names: Sequence[str]) -> list[object]:
    """As SQLite takes them: an enumeration is its plain text, a table is JSON."""
    args = msgspec.json.encode(run.args).decode()
    fields = asdict(run) | {"state": run.state.value, "cause": run.cause.value, "args": args}
    return [fields[name] for name in names]


def insert(base: sqlite3.Connection, run: JobRun) -> JobRun | None:
    """Add a run within a transaction; None when its job has one at that time."""
    done = base.execute(_INSERT, _values(run, JobRun.__struct_fields__[1:]))
    return replace(run, id=done.lastrowid or 0) if done.rowcount == 1 else None


def _keep(base: sqlite3.Connection, id: int, attempt: Attempt) -> None:
    fields = asdict(attempt)
    text = f"INSERT OR REPLACE INTO attempt (id, {columns(Attempt)}) VALUES ({marks(len(fields) + 1)})"
    base.execute(text, (id, *fields.values()))


def _check_change(before: JobRun, run: JobRun) -> None:
    what = f"run {run.id} of job {before.job!r}"
    for name in _FIXED:
        if getattr(run, name) != getattr(before, name):
            said = "" if name == "args" else f" is {getattr(before, name)!r}, not {getattr(run, name)!r}, and"
            raise Impossible(f"{what}: `{name}`{said} stays so")  # arguments may be secret
    if before.open:
        return
    late = {name: getattr(run, name) for name in (*_LATE, "stop", "stopped_by")}
    if replace(before, **late) != run:
        raise Impossible(f"{what} has ended ({before.state.value}): it never opens again, nor becomes another end")
