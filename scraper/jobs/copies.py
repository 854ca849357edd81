"""Copies of the store: made while it is used, and put back when no server has it."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from ..errors import StoreError, UsageError
from ..lock import Lock
from .record import Act, State
from .runs import note
from .schema import APPLICATION, NAME, check, connect, keep_name, trouble

BESIDE = ("-wal", "-shm", "-journal")
UNKNOWN = "the store was put back from a copy that is older than its end, if it has one"


def backup(base: sqlite3.Connection, source: Path, path: Path) -> None:
    """Copy an open store to a new file, as of one moment. Raises UsageError when it cannot be made, StoreError."""
    if path.exists():
        raise UsageError(f"{path} is there already: give the name of a new file")
    beside = path.with_name(f"{path.name}.part")
    try:
        with suppress(FileNotFoundError):
            beside.unlink()
        _copy(base, beside)
        with closing(sqlite3.connect(beside)) as copy:
            _sound(copy, source, "put a backup back with `scraper jobs restore`")
        beside.replace(path)
        keep_name(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    except sqlite3.Error as error:
        raise StoreError(trouble(source, error)) from error
    finally:
        with suppress(OSError):
            _clear(beside)


def restore(path: Path, home: Path, *, now: float, who: str) -> Path | None:
    """Put a copy in the place of the store; gives where the one before lies now, None when there was none.

    What the copy cannot know is made safe: no time before `now` runs again, runs that are open in it have ended,
    ids that were given since are not given again, nobody is logged in. Raises UsageError while a server has the
    folder, StoreError.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    store, new = home / NAME, home / f"{NAME}.restored"
    lock = Lock(home)
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.take()
        _clear(new)
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as base:
            _sound(base, path, "give another copy")
            _copy(base, new)
        _settle(new, _given(store, home), now, who)
        old = _put_aside(store, now)
        new.replace(store)
        keep_name(store)
    except BlockingIOError as error:
        raise UsageError(f"a server has {home}: stop it first") from error
    except OSError as error:
        raise StoreError(f"{home}: {error.strerror or error}") from error
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be put back ({error})") from error
    finally:
        lock.release()
        with suppress(OSError):
            _clear(new)
    return old


def _copy(base: sqlite3.Connection, path: Path) -> None:
    """A whole copy in one file, on the disk."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(path, isolation_level=None)) as copy:
        base.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sound(base: sqlite3.Connection, path: Path, then: str) -> None:
    check(base, path)
    found = " ".join(base.execute("PRAGMA quick_check(1)").fetchone()[0].split())
    if found != "ok":
        raise StoreError(f"{path} is damaged ({found}): {then}")


def _given(store: Path, home: Path) -> int:
    """The last id that was given to a run, as far as the store before and the logs of runs tell."""
    logs = [int(log.stem) for log in (home / "runs").glob("*.log") if log.stem.isdecimal()]
    last = max(logs, default=0)
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{store.resolve().as_uri()}?mode=ro", uri=True)) as base:
        if base.execute("PRAGMA application_id").fetchone()[0] == APPLICATION:
            found = base.execute("SELECT seq FROM sqlite_sequence WHERE name = 'run'").fetchone()
            last = max(last, found[0] if found else 0)
    return last


def _settle(path: Path, given: int, now: float, who: str) -> None:
    with closing(connect(path)) as base:
        base.execute("BEGIN IMMEDIATE")
        base.execute("UPDATE job SET upto = max(upto, ?)", (now,))
        for state, end in ((State.RUNNING, State.FAILED), (State.QUEUED, State.CANCELLED)):
            base.execute(
                "UPDATE run SET state = ?, ended = ?, why = ? WHERE state = ?",
                (end.value, now, UNKNOWN, state.value),
            )
        last = base.execute("SELECT seq FROM sqlite_sequence WHERE name = 'run'").fetchone()
        if last is None:
            base.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('run', ?)", (given,))
        elif last[0] < given:
            base.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'run'", (given,))
        if base.execute("SELECT 1 FROM sqlite_master WHERE name = 'session'").fetchone():
            base.execute("DELETE FROM session")  # some have been ended since; who is somebody logs in again
        note(base, Act(at=now, who=who, what="restore"))
        base.execute("COMMIT")
        base.execute("PRAGMA journal_mode = DELETE")  # one file; who opens it next takes a log again


def _put_aside(store: Path, now: float) -> Path | None:
    """Move the store before, alone: a log of its own beside another file would be read into that one."""
    if not store.exists():
        return None
    aside = store.with_name(f"{NAME}.before-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}")
    try:
        with closing(sqlite3.connect(store, timeout=0.0, isolation_level=None)) as base:
            base.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as error:
        if str(getattr(error, "sqlite_errorname", "")).startswith("SQLITE_BUSY"):
            raise StoreError(f"{store} is used by another program: close it and try again") from error
        # damaged, which may be why a copy is put back: moved as it is
    for name in BESIDE:
        with suppress(FileNotFoundError):
            os.rename(f"{store}{name}", f"{aside}{name}")
    try:
        os.link(store, aside)  # there is a store at every moment
    except OSError:
        store.rename(aside)
    return aside


def _clear(path: Path) -> None:
    for name in ("", *BESIDE):
        with suppress(FileNotFoundError):
            os.unlink(f"{path}{name}")
