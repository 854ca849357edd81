"""Jobs and all that is known of them, in one SQLite file: `<output>/.jobs/jobs.sqlite`.

Every verb is one transaction, forced to the disk. The server and any number of commands may have it open at once;
verbs that somebody asked for (`who`) wake the server and stand in the audit log.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from ..convert import among
from ..errors import StoreError, UsageError
from .copies import backup, restore
from .cron import NoCron
from .difference import Change, Declared, difference
from .file import Row
from .history import History
from .job import Job, Server
from .notices import Notices
from .plan import bulk
from .record import Act, Kept, State
from .runs import insert, note
from .schedule import Schedule
from .sealed import Declares, Sealed, keep
from .secret import Veil
from .unplanned import Unplanned
from .whole import fits

FILE, HAND = "file", "hand"
TIMES = ("schedule", "timezone", "start", "end", "blackout")  # what says when a job runs
_KEPT = "data, source, paused, paused_why, upto, changed, version"


class Conflict(UsageError):
    """A job is not, or not any more, what somebody has before his eyes who adds or changes it."""


class Jobs(History, Notices, Sealed):
    """The store in the folder `home`. Raises StoreError, where it cannot be opened too."""

    def __init__(self, home: Path, *, read_only: bool = False) -> None:
        super().__init__(home, read_only=read_only)
        self._read: dict[str, Job] = {}  # the jobs that were read last, by their text: mostly they stay the same

    def jobs(self) -> list[Kept]:
        """All jobs, by name."""
        rows = self.rows(f"SELECT {_KEPT} FROM job ORDER BY name")
        found = [_kept(row, self._read.get(row[0])) for row in rows]
        self._read = {row[0]: each.job for row, each in zip(rows, found, strict=True)}
        return found

    def job(self, name: str) -> Kept:
        """One job. Raises UsageError, with a name that is near."""
        found = self.row(f"SELECT {_KEPT} FROM job WHERE name = ?", name)
        if found is None:
            names = [row[0] for row in self.rows("SELECT name FROM job ORDER BY name")]
            raise UsageError(f"no job {name!r}{among(name, names)}")
        return _kept(found)

    def put(
        self, job: Job, *, source: str = HAND, now: float, who: str, version: int | None = None,
        declares: Declares | None = None,
    ) -> Kept:  # fmt: skip
        """Add a job, or replace the one of its name; its times before `now` are not made up for.

        `declares` is what its spider says of its arguments, where that was imported.
        With `version` only while the job still is of that version (0: not there). Raises Conflict when it is
        not, and UsageError when the job does not go with the others (see whole.py).
        """
        with self.change() as base:
            before = _find(base, job.name)
            if version is not None and version != (before.version if before else 0):
                raise _conflict(job.name, before, version)
            self._check_together(replacing={job.name: job})
            kept = _put(base, before, job, source, now)
            keep(base, declares or {})
            old = Declared(jobs={job.name: before.job} if before else {})
            for change in difference(old, Declared(jobs={job.name: job})):
                _note_change(base, change, now, who)
        self.wake()
        return kept

    def remove(self, name: str, now: float, who: str) -> None:
        """Take a job away; its history stays. Runs that wait are cancelled, one that runs goes on to its end.

        Raises UsageError when there is none of this name, or another job comes after it.
        """
        self.job(name)
        with self.change() as base:
            for each in self.jobs():
                if name in each.job.after and each.job.name != name:
                    raise UsageError(
                        f"job {name!r} is not removed: job {each.job.name!r} runs after it; change that first"
                    )
            _remove(base, name, now, who)
            _note_change(base, Change("remove", name), now, who)
        self.wake()

    def pause(self, name: str, why: str, now: float, who: str) -> None:
        """Plan no runs of a job until it is unpaused; those that are planned take place.

        Raises UsageError when there is none, NoCron where what it has missed could not be put on record.
        """
        self._pause(name, True, why, now, who)

    def unpause(self, name: str, now: float, who: str) -> None:
        """Plan runs of a job again; times that have passed are not made up for. Raises UsageError."""
        self._pause(name, False, "", now, who)

    def _pause(self, name: str, paused: bool, why: str, now: float, who: str) -> None:
        self.job(name)
        with self.change() as base:
            if paused and not self.job(name).paused:
                _account(base, self.job(name), now, "its job was paused before a server came to it")
            done = base.execute(
                "UPDATE job SET paused = ?, paused_why = ?, upto = max(upto, ?), version = version + 1"
                " WHERE name = ? AND (paused <> ? OR paused_why <> ?)",
                (paused, why, now, name, paused, why),
            )
            if done.rowcount:
                note(base, Act(at=now, who=who, what="pause" if paused else "unpause", job=name, detail=why))
        self.wake()

    def declared(self) -> Declared:
        """What was applied last: what holds for all jobs, and the jobs from the file."""
        return Declared(self.server(), {each.job.name: each.job for each in self.jobs() if each.source == FILE})

    def pending(self, declared: Declared, declares: Declares | None = None) -> list[Change]:
        """What `apply` would change now; `declares` is what is known of spiders besides what is on record."""
        veil = Veil(self.sealed(declares))
        changes = difference(self.declared(), declared, veil)
        by_hand = {each.job.name: each.job for each in self.jobs() if each.source != FILE}
        return [_taken_over(each, by_hand, declared, veil) for each in changes]

    def apply(
        self, declared: Declared, now: float, who: str, declares: Declares | None = None,
        *, expected: list[Change] | None = None,
    ) -> list[Change]:  # fmt: skip
        """Make the jobs from the file what is declared, all of it or, when it raises, nothing; gives the changes.

        Jobs from the file that are not declared any more are removed; those made by hand stay. `declares` is what
        the spiders say of their arguments, where they were imported. Raises UsageError when these do not go with
        what is declared, and Conflict when the changes are not those `expected`.
        """
        with self.change() as base:
            keep(base, declares or {})
            changes = self.pending(declared)
            if expected is not None and changes != expected:
                raise Conflict("nothing was applied: the jobs were changed meanwhile; look at the difference again")
            for change in changes:
                if not change.job:
                    _set_server(base, declared.server)
                elif change.what == "remove":
                    _remove(base, change.job, now, who)
                else:
                    _put(base, _find(base, change.job), declared.jobs[change.job], FILE, now)
                _note_change(base, change, now, who)
            self._check_together()
        if changes:
            self.wake()
        return changes

    def server(self) -> Server:
        """What holds for all jobs."""
        found = self.row("SELECT value FROM meta WHERE key = 'server'")
        return msgspec.json.decode(found[0], type=Server) if found else Server()

    def set_server(self, server: Server, now: float, who: str) -> None:
        """Change what holds for all jobs. Raises UsageError when a job tells a channel that is gone."""
        with self.change() as base:
            for change in difference(Declared(self.server()), Declared(server)):
                _set_server(base, server)
                _note_change(base, change, now, who)
            self._check_together()
        self.wake()

    def _check_together(self, *, replacing: Mapping[str, Job] | None = None) -> None:
        """See that the jobs still fit together when one is another. Raises UsageError."""
        jobs = {each.job.name: each.job for each in self.jobs()}
        fits(self.server().channels, jobs | dict(replacing or {}))

    def log(self, id: int) -> Path:
        """Where the output of a planned run's processes is kept."""
        return self.home / "runs" / f"{id}.log"

    def backup(self, path: Path) -> None:
        """Write all of it to a new file, as of one moment, while others go on. Raises UsageError, StoreError."""
        with self._lock:
            backup(self._base, self.path, path)

    restore = staticmethod(restore)


def _kept(row: Row, job: Job | None = None) -> Kept:
    """A row of the columns _KEPT; `job` is its first, where that was read before."""
    try:
        job = job or msgspec.json.decode(row[0], type=Job)
    except msgspec.MsgspecError as error:
        raise StoreError(f"the store has a job that cannot be read: {error}") from error
    source, paused, paused_why, upto, changed, version = row[1:]
    return Kept(
        job=job,
        source=source,
        paused=bool(paused),
        paused_why=paused_why,
        upto=upto,
        changed=changed,
        version=version,
    )


def _conflict(name: str, before: Kept | None, version: int) -> Conflict:
    if before is None:
        return Conflict(f"job {name!r} was removed meanwhile")
    said = "was changed meanwhile: look at it again"
    return Conflict(f"job {name!r} {said}" if version else taken(name))


def taken(name: str) -> str:
    """What is wrong with the name of a new job that another one has."""
    return f"there is a job {name!r} already"


def _find(base: sqlite3.Connection, name: str) -> Kept | None:
    found = base.execute(f"SELECT {_KEPT} FROM job WHERE name = ?", (name,)).fetchone()
    return None if found is None else _kept(found)


def _put(base: sqlite3.Connection, before: Kept | None, job: Job, source: str, now: float) -> Kept:
    kept = Kept(job=job, source=source, upto=now, changed=now)
    if before is not None:
        same = all(getattr(before.job, name) == getattr(job, name) for name in TIMES)
        if not same and not before.paused:
            _account(base, before, now, "its job got other times before a server came to it")
        upto = before.upto if same else max(before.upto, now)
        kept = replace(before, job=job, source=source, upto=upto, changed=now, version=before.version + 1)
    base.execute(
        f"INSERT OR REPLACE INTO job (name, {_KEPT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            job.name,
            msgspec.json.encode(job).decode(),
            source,
            kept.paused,
            kept.paused_why,
            kept.upto,
            now,
            kept.version,
        ),
    )
    return kept


def _account(base: sqlite3.Connection, kept: Kept, now: float, why: str) -> None:
    """Put on record what of a job's times has passed that nobody will look at any more: one row for all of them."""
    try:
        schedule = Schedule.parse(kept.job)
    except NoCron:
        raise
    except UsageError:  # its time zone, say, is not on this machine any more: nobody knows its times
        return
    taken = base.execute("SELECT planned FROM run WHERE job = ? AND planned > ?", (kept.job.name, kept.upto))
    left = Unplanned(schedule, kept.upto, now, [planned for (planned,) in taken])
    if first := left.first(1):
        insert(base, bulk(kept.job, first[0], left.last(1)[0], left.count(), now, why))


def _remove(base: sqlite3.Connection, name: str, now: float, who: str) -> None:
    base.execute("DELETE FROM job WHERE name = ?", (name,))
    base.execute(
        "UPDATE run SET state = ?, ended = ?, why = 'its job was removed', stopped_by = ?"
        " WHERE job = ? AND state = ?",
        (State.CANCELLED.value, now, who, name, State.QUEUED.value),
    )
    base.execute("UPDATE alert SET ended = ? WHERE job = ? AND ended = 0", (now, name))


def _set_server(base: sqlite3.Connection, server: Server) -> None:
    base.execute("INSERT OR REPLACE INTO meta VALUES ('server', ?)", (msgspec.json.encode(server).decode(),))


def _note_change(base: sqlite3.Connection, change: Change, now: float, who: str) -> None:
    """Only the names of keys: the log is shown to more people than the values are for."""
    detail = ", ".join(key.key for key in change.keys)
    if change.note:
        detail = f"{change.note}: {detail}" if detail else change.note
    what = change.what if change.job else "server"
    note(base, Act(at=now, who=who, what=what, job=change.job, detail=detail))


def _taken_over(change: Change, by_hand: dict[str, Job], declared: Declared, veil: Veil) -> Change:
    """A declared job whose name one made by hand has."""
    before = by_hand.get(change.job)
    if before is None or change.what != "add":
        return change
    name = change.job
    changed = difference(Declared(jobs={name: before}), Declared(jobs={name: declared.jobs[name]}), veil)
    return Change("change", name, changed[0].keys if changed else (), "it was made by hand")
