"""What the store says of many runs: pages of them, numbers, rows for plots; and what is deleted in time.

Every query reads as many rows as it gives, however long the history is, but for the counts, which read one entry of
an index a run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec

from .file import LARGEST, marks
from .job import DAY, Job, Server
from .record import OPEN, JobRun, State, as_told
from .runs import RUN, Runs, as_run

CRAWLED = frozenset({State.FINISHED, State.FAILED, State.RULE_BROKEN, State.CANCELLED})
IDS = 500  # of one statement
RAN = "ran"  # what is noted of a job: the newest planned time of its runs that have been deleted


class History(Runs):
    """The verbs about many runs. All raise StoreError."""

    def runs(
        self, *, job: str = "", states: Collection[State] = (), before: int | None = None, limit: int = 50
    ) -> list[JobRun]:
        """A page of runs, newest first; the next one is `before` the id of the last. No states: all."""
        text, values = _newest(job, states, before, limit)
        return [as_run(row) for row in self.rows(text, *values)]

    def last(self, job: str, states: Collection[State], most: int) -> list[JobRun]:
        """The last runs of a job in these states (none: in any), newest first."""
        return self.runs(job=job, states=states, limit=most)

    def first(self, job: str) -> JobRun | None:
        """The oldest run of a job that is kept, None when it has none."""
        found = self.row(f"SELECT {RUN} FROM run WHERE job = ? ORDER BY id LIMIT 1", job)
        return None if found is None else as_run(found)

    def base(self, job: str, spider: str, key: Sequence[str]) -> JobRun | None:
        """The run of a job and spider whose changes by a key were told last; None where there is none."""
        text = f"SELECT {RUN} FROM run WHERE id = (SELECT run FROM base WHERE job = ? AND spider = ? AND key = ?)"
        found = self.row(text, job, spider, as_told(key))
        return None if found is None else as_run(found)

    def told(self, job: str, spider: str) -> bool:
        """Whether changes of a job and spider were told, by whatever key."""
        return self.row("SELECT 1 FROM base WHERE job = ? AND spider = ? LIMIT 1", job, spider) is not None

    def series(self, job: str, most: int) -> list[JobRun]:
        """The last runs of a job that crawled and are over, oldest first: what is plotted."""
        return self.last(job, CRAWLED, most)[::-1]

    def number(self, job: str = "", states: Collection[State] = ()) -> int:
        """How many runs a job has (no name: all jobs) in these states (none: in any)."""
        counts = self.counts(job)
        return sum(many for state, many in counts.items() if not states or state in states)

    def counts(self, job: str = "") -> dict[State, int]:
        """How many runs a job has (no name: all jobs), by state; those it has none of are left out."""
        which, values = (" WHERE job = ?", [job]) if job else ("", [])
        found = self.rows(f"SELECT state, count(*) FROM run{which} GROUP BY state", *values)
        return {State(state): many for state, many in found}

    def prune(self, now: float, most: int = 10_000) -> list[JobRun]:
        """Delete what is older than `keep_days` or more than a job's `keep`; gives the runs, at most so many.

        Runs that are open stay, a job's last good one, and the one that its next is compared with. What crawled and
        what did not (skipped, missed) is counted apart, so that neither drives out the other. Of alerts and the
        audit log only the age counts.
        """
        with self.change() as base:
            kept = {name: msgspec.json.decode(data, type=Job) for name, data in _jobs(base)}
            found = base.execute("SELECT value FROM meta WHERE key = 'server'").fetchone()
            server = msgspec.json.decode(found[0], type=Server) if found else Server()
            since = now - server.keep_days * DAY if server.keep_days else 0.0
            ids: set[int] = {row[0] for row in base.execute(_OLD, (since, most))}
            for name, job in kept.items():
                if job.keep:
                    ids.update(_surplus(base, name, job.keep, now, most))
            for name, job in kept.items():
                ids.difference_update(id for (id,) in base.execute(_LAST_GOOD, (name,)))
                ids.difference_update(id for (id,) in base.execute(_BASE, (name, job.spider, as_told(job.key))))
            gone = [run for part in _parts(sorted(ids)[:most]) for run in _delete(base, part)]
            self._note_ran(gone)
            _forget(base, since)
        return gone

    def _note_ran(self, gone: list[JobRun]) -> None:
        began = [run for run in gone if run.began]
        if began:
            ran = self.noted(RAN)
            for run in began:
                ran[run.job] = max(run.planned, ran.get(run.job, 0.0))
            self.note_down(RAN, ran)


def _newest(job: str, states: Collection[State], before: int | None, limit: int) -> tuple[str, list[Any]]:
    """The query for a page: of each state a page by the index, and the newest of these."""
    where = (["job = ?"] if job else []) + (["id < ?"] if before is not None else [])
    values: list[Any] = ([job] if job else []) + ([min(before, LARGEST)] if before is not None else [])
    parts, given = [], []
    for state in sorted({str(each) for each in states}) or [""]:
        all_of = [*where, "state = ?"] if state else where
        which = f" WHERE {' AND '.join(all_of)}" if all_of else ""
        parts.append(f"SELECT * FROM (SELECT {RUN} FROM run{which} ORDER BY id DESC LIMIT ?)")
        given += [*values, *([state] if state else []), limit]
    if len(parts) == 1:
        return parts[0], given
    return f"{' UNION ALL '.join(parts)} ORDER BY id DESC LIMIT ?", [*given, limit]


_OVER = "state NOT IN ('{}')".format("', '".join(sorted(state.value for state in OPEN)))
_OLD = f"SELECT id FROM run WHERE planned < ?1 AND ended < ?1 AND {_OVER} ORDER BY planned LIMIT ?2"
_LAST_GOOD = f"SELECT max(id) FROM run WHERE job = ? AND state = '{State.FINISHED.value}'"
_BASE = "SELECT run FROM base WHERE job = ? AND spider = ? AND key = ?"


def _jobs(base: sqlite3.Connection) -> list[tuple[str, str]]:
    return base.execute("SELECT name, data FROM job").fetchall()


def _surplus(base: sqlite3.Connection, job: str, keep: int, now: float, most: int) -> Iterator[int]:
    """The ids of what is more than a job keeps, the oldest of them at last."""
    for crawled in ("began > 0", "began = 0"):
        which = f"job = ? AND {_OVER} AND {crawled} AND planned <= ?"
        text = f"SELECT id FROM run WHERE {which} ORDER BY id DESC LIMIT ? OFFSET ?"
        yield from (id for (id,) in base.execute(text, (job, now, most, keep)))


def _parts(ids: list[int]) -> Iterator[list[int]]:
    return (ids[start : start + IDS] for start in range(0, len(ids), IDS))


def _delete(base: sqlite3.Connection, ids: list[int]) -> list[JobRun]:
    which = f"WHERE id IN ({marks(len(ids))})"
    rows = base.execute(f"SELECT {RUN} FROM run {which} ORDER BY id", ids).fetchall()
    base.execute(f"DELETE FROM attempt {which}", ids)
    base.execute(f"DELETE FROM base WHERE run IN ({marks(len(ids))})", ids)
    base.execute(f"DELETE FROM run {which}", ids)
    return [as_run(row) for row in rows]


def _forget(base: sqlite3.Connection, since: float) -> None:
    base.execute("DELETE FROM act WHERE at < ?", (since,))
    base.execute("DELETE FROM alert WHERE at < ? AND ended > 0", (since,))
    base.execute("DELETE FROM delivery WHERE due < ? AND (sent > 0 OR given_up > 0)", (since,))
