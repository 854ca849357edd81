"""The tables of jobs and their history, their versions, and how a file of an older one is brought up to date.

Times are wall-clock seconds, 0 for none. What no program may do stands in the tables themselves: a job has one run
at one time, and a run that has ended stays as it ended.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from ..database import log, to_version, version_of
from ..errors import StoreError

VERSION = 2
APPLICATION = 0x73637270 + 1  # beside the state of a run: "scrq"
PATIENCE = 5.0  # seconds to wait for a lock
NAME = "jobs.sqlite"

# Version 2: which runs had their changes told, and which of them the next one is compared with.
TOLD = (
    "ALTER TABLE run ADD COLUMN told TEXT",  # NULL in what is older
    """CREATE TABLE base (
  job TEXT NOT NULL, spider TEXT NOT NULL, key TEXT NOT NULL, run INTEGER NOT NULL, PRIMARY KEY (job, spider, key)
) WITHOUT ROWID""",
    """CREATE TRIGGER run_told AFTER UPDATE OF told ON run WHEN NEW.told <> '' AND NEW.told IS NOT OLD.told
BEGIN INSERT OR REPLACE INTO base VALUES (NEW.job, NEW.spider, NEW.told, NEW.id); END""",
)
TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE job (
  name TEXT PRIMARY KEY, data TEXT NOT NULL, source TEXT NOT NULL, paused INTEGER NOT NULL DEFAULT 0,
  paused_why TEXT NOT NULL DEFAULT '', upto REAL NOT NULL, changed REAL NOT NULL, version INTEGER NOT NULL
) WITHOUT ROWID""",
    # AUTOINCREMENT: the id of a run that was deleted names its log, and is never given again
    """CREATE TABLE run (
  id INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, spider TEXT NOT NULL, planned REAL NOT NULL,
  cause TEXT NOT NULL, state TEXT NOT NULL, "by" TEXT NOT NULL, args TEXT NOT NULL, parent INTEGER NOT NULL,
  due REAL NOT NULL, priority INTEGER NOT NULL, attempts INTEGER NOT NULL, failures INTEGER NOT NULL,
  deaths INTEGER NOT NULL, run TEXT NOT NULL,
  pid INTEGER NOT NULL, birth TEXT NOT NULL, began REAL NOT NULL, started REAL NOT NULL, ended REAL NOT NULL,
  exit_code INTEGER, why TEXT NOT NULL, stop TEXT NOT NULL CHECK (stop IN ('', 'cancel', 'kill')),
  stopped_by TEXT NOT NULL, pages INTEGER NOT NULL, items INTEGER NOT NULL, failed INTEGER NOT NULL,
  bytes INTEGER NOT NULL, added INTEGER, changed INTEGER, removed INTEGER, count INTEGER NOT NULL,
  UNIQUE (job, planned)
)""",
    # each of these is in the order of ids too
    "CREATE INDEX run_job ON run (job)",
    "CREATE INDEX run_state ON run (state)",
    "CREATE INDEX run_job_state ON run (job, state)",
    "CREATE INDEX run_planned ON run (planned)",
    """CREATE TRIGGER run_over BEFORE UPDATE ON run
WHEN OLD.state NOT IN ('queued', 'running') AND NEW.state <> OLD.state
BEGIN SELECT RAISE(ABORT, 'a run that has ended never opens again'); END""",
    """CREATE TRIGGER run_place BEFORE UPDATE ON run
WHEN NEW.id <> OLD.id OR NEW.job <> OLD.job OR NEW.planned <> OLD.planned
BEGIN SELECT RAISE(ABORT, 'a run stays with its job and its time'); END""",
    """CREATE TABLE attempt (
  id INTEGER NOT NULL, number INTEGER NOT NULL, run TEXT NOT NULL, pid INTEGER NOT NULL, started REAL NOT NULL,
  ended REAL NOT NULL, exit_code INTEGER, why TEXT NOT NULL, PRIMARY KEY (id, number)
) WITHOUT ROWID""",
    """CREATE TABLE act (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, job TEXT NOT NULL,
  run INTEGER NOT NULL, detail TEXT NOT NULL
)""",
    "CREATE INDEX act_job ON act (job)",
    """CREATE TABLE alert (
  id INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, rule TEXT NOT NULL, run INTEGER NOT NULL,
  last INTEGER NOT NULL, times INTEGER NOT NULL, at REAL NOT NULL, text TEXT NOT NULL, ended REAL NOT NULL,
  ending TEXT NOT NULL, told REAL NOT NULL
)""",
    "CREATE INDEX alert_job ON alert (job)",
    "CREATE INDEX alert_rule ON alert (job, rule)",
    "CREATE INDEX alert_open ON alert (job) WHERE ended = 0",
    "CREATE UNIQUE INDEX alert_once ON alert (job, rule) WHERE ended = 0",
    "CREATE INDEX alert_untold ON alert (told) WHERE told = 0",
    """CREATE TABLE delivery (
  id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, alerts TEXT NOT NULL, recovered TEXT NOT NULL,
  due REAL NOT NULL, began REAL NOT NULL, tries INTEGER NOT NULL, sent REAL NOT NULL, given_up REAL NOT NULL,
  error TEXT NOT NULL, body TEXT NOT NULL
)""",
    "CREATE INDEX delivery_due ON delivery (due) WHERE sent = 0 AND given_up = 0",
    # the runs that have crawled to an end, and whether the rules of their jobs were asked (at > 0) what to tell
    "CREATE TABLE judged (id INTEGER PRIMARY KEY, at REAL NOT NULL, notes TEXT NOT NULL)",
    "CREATE INDEX judged_not ON judged (id) WHERE at = 0",
    """CREATE TRIGGER run_ended AFTER UPDATE OF state ON run
WHEN OLD.state IN ('queued', 'running') AND NEW.state IN ('finished', 'failed', 'rule_broken')
BEGIN INSERT OR IGNORE INTO judged VALUES (NEW.id, 0, '[]'); END""",
    """CREATE TRIGGER run_gone AFTER DELETE ON run
BEGIN DELETE FROM judged WHERE id = OLD.id; END""",
    *TOLD,
)
# Version reached -> what brings the one before it there.
STEPS: dict[int, tuple[str, ...]] = {2: TOLD}


def connect(path: Path) -> sqlite3.Connection:
    """Open the store to change it, making or upgrading it. Raises StoreError."""
    if _held_still(path):
        raise StoreError(f"{path} can only be looked at here: its folder cannot be written")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        _check_kind(path)
        base = _open(path)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(trouble(path, error)) from error
    try:
        if check(base, path) < VERSION:
            _upgrade(base, path)
    except sqlite3.Error as error:
        base.close()
        raise StoreError(trouble(path, error)) from error
    except StoreError:
        base.close()
        raise
    return base


def look(path: Path) -> sqlite3.Connection:
    """Open the store to read it only, also where nobody can write: a copy, another disk. Raises StoreError."""
    if not there(path):
        raise StoreError(f"{path} is not there: there are no jobs here yet")
    still = _held_still(path)
    try:
        # Where no program has it open there is no index of the log, which SQLite could not make beside it
        base = _reader(path, "immutable=1" if still and not _in_use(path) else "mode=ro")
        if base is None and not still:
            connect(path).close()
            base = _reader(path)
    except sqlite3.Error as error:
        if still and str(getattr(error, "sqlite_errorname", "")).startswith("SQLITE_CANTOPEN"):
            base = None
        else:
            raise StoreError(trouble(path, error)) from error
    if base is None and still:
        raise StoreError(
            f"{path} must be put in order before it can be read (it is of an older version, or its last writer was "
            "cut off), and its folder cannot be written: copy the folder, and look at the copy"
        )
    if base is None:
        raise StoreError(f"{path} cannot be read beside the program that changes it; try again")
    return base


def there(path: Path) -> bool:
    """Whether there is a store. Raises StoreError where one may not even see that."""
    try:
        return path.is_file()
    except PermissionError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error


def _held_still(path: Path) -> bool:
    """Whether there is a store that we cannot change, nor anything beside it."""
    return there(path) and not os.access(path.parent, os.W_OK)


def _in_use(path: Path) -> bool:
    """Whether a program has a store open, or had when it was cut off, and left a log with something in it."""
    index, log_of = (path.with_name(f"{path.name}-{end}") for end in ("shm", "wal"))
    return index.exists() or (log_of.is_file() and log_of.stat().st_size > 0)


def _reader(path: Path, how: str = "mode=ro") -> sqlite3.Connection | None:
    """None for one of an older version, or whose last writer has died: who mends that must be able to write."""
    address = f"{path.resolve().as_uri()}?{how}"
    base = sqlite3.connect(address, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        if check(base, path) == VERSION:
            return base
    except sqlite3.OperationalError as error:
        if not str(getattr(error, "sqlite_errorname", "")).startswith("SQLITE_READONLY"):
            base.close()
            raise
    except (sqlite3.Error, StoreError):
        base.close()
        raise
    base.close()
    return None


def _open(path: Path) -> sqlite3.Connection:
    base = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        log(base)
        base.execute("PRAGMA synchronous = FULL")  # after a loss of power no time of a job may come again
        base.execute("PRAGMA temp_store = MEMORY")
    except sqlite3.Error:
        base.close()
        raise
    return base


def _check_kind(path: Path) -> None:
    """See that a file is ours before anything is written to it, be it only its kind of log."""
    base = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=PATIENCE, isolation_level=None)
    with closing(base):
        check(base, path)


def _make(path: Path) -> None:
    """A new store, under its name only when it is whole: several processes may be at it."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        os.close(os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))  # it will hold secrets
        with closing(_open(beside)) as base:
            to_version(base, TABLES, APPLICATION, VERSION)
        place(beside, path)
    finally:
        for name in ("", "-wal", "-shm", "-journal"):
            with suppress(OSError):
                os.unlink(f"{beside}{name}")


def place(beside: Path, path: Path) -> None:
    """Give a whole file its name, unless there is one of that name. Raises OSError."""
    with suppress(FileExistsError):
        try:
            os.link(beside, path)
        except PermissionError:  # a file system without links
            if not path.exists():
                beside.rename(path)
    keep_name(path)


def keep_name(path: Path) -> None:
    """Force the folder to the disk, so that a file's name survives a loss of power too. Raises OSError."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _upgrade(base: sqlite3.Connection, path: Path) -> None:
    for step in range(check(base, path) + 1, VERSION + 1):
        base.execute("BEGIN IMMEDIATE")
        if check(base, path) < step:  # else another process was quicker
            to_version(base, STEPS[step], APPLICATION, step)
        else:
            base.execute("ROLLBACK")


def check(base: sqlite3.Connection, path: Path) -> int:
    """The version of a file that is ours. Raises StoreError for any other file, sqlite3.Error."""
    return version_of(
        base, path, APPLICATION, VERSION, other="one of jobs; move it away", newer="use the program that made it"
    )


def trouble(path: Path, error: Exception) -> str:
    """What an error of SQLite's, or of the system, means for the jobs, and what to do."""
    code = str(getattr(error, "sqlite_errorname", ""))
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return f"{path} is damaged ({error}): put a backup back with `scraper jobs restore`"
    if code.startswith("SQLITE_FULL"):
        return f"{path} cannot be written ({error}): make room on the disk"
    if code.startswith("SQLITE_BUSY"):
        return f"{path} is locked by another program ({error}) for more than {PATIENCE:g} s: close it and try again"
    if code.startswith("SQLITE_CONSTRAINT"):
        return f"{path} refuses what would not be true ({error})"
    if code.startswith("SQLITE_READONLY"):
        return f"{path} is opened, or may only be opened, to be read ({error})"
    return f"{path} cannot be read or written ({error}): see that its folder is there, writable and not full"
