"""The tables of a run's state, its versions, and how a file of an older one is brought up to date.

`request` is only appended to. `queue` has what is still to be answered, `answer` what became of the others:
a request is in exactly one of them. Times are wall-clock seconds.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from ..database import log, to_version, version_of
from ..errors import StoreError

VERSION = 3
CANONICAL = 1  # of the form of URLs that fingerprints are made of
APPLICATION = 0x73637270  # "scrp", so that `file` and we know the file for what it is

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE host (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
-- id: the token; via: the request that was redirected to it; data: what else the request says, as JSON
-- (a referer "^" is the URL of its parent)
CREATE TABLE request (
  id INTEGER PRIMARY KEY, fp INTEGER NOT NULL, host INTEGER NOT NULL, url TEXT NOT NULL,
  parent INTEGER NOT NULL, via INTEGER NOT NULL, at REAL NOT NULL, data TEXT NOT NULL
);
-- lane: the host, or 0 for what waits for its time; rank: its order within its host, lowest first
-- held: in the memory of the process that has the file, so that nobody looks for it in the order
CREATE TABLE queue (
  id INTEGER PRIMARY KEY, lane INTEGER NOT NULL, rank INTEGER NOT NULL, due REAL NOT NULL, tries INTEGER NOT NULL,
  counted INTEGER NOT NULL, started INTEGER NOT NULL DEFAULT 0, kills INTEGER NOT NULL DEFAULT 0,
  held INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX queue_order ON queue (lane, rank) WHERE held = 0;
CREATE INDEX queue_due ON queue (due) WHERE lane = 0;
CREATE TABLE answer (
  id INTEGER PRIMARY KEY, end TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, status INTEGER NOT NULL,
  at REAL NOT NULL, tries INTEGER NOT NULL, took REAL NOT NULL, wire INTEGER NOT NULL, size INTEGER NOT NULL,
  items INTEGER NOT NULL, cut INTEGER NOT NULL, target INTEGER NOT NULL, place TEXT NOT NULL
);
-- tries that were followed by another one
CREATE TABLE attempt (id INTEGER NOT NULL, at REAL NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
  status INTEGER NOT NULL);
CREATE TABLE fact (kind TEXT, key TEXT, data BLOB NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE TABLE position (segment TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
-- from which byte of the journal of items on they are those of a request
CREATE TABLE source (start INTEGER PRIMARY KEY, id INTEGER NOT NULL);
"""
PATIENCE = 5.0  # seconds to wait for a lock
# Version reached -> what brings the one before it there.
STEPS: dict[int, str] = {
    2: """
ALTER TABLE queue ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
DROP INDEX queue_order;
CREATE INDEX queue_order ON queue (lane, rank) WHERE held = 0;
""",
    3: "CREATE TABLE source (start INTEGER PRIMARY KEY, id INTEGER NOT NULL);",
}


def connect(path: Path, *, power: bool = False) -> sqlite3.Connection:
    """Open a run's state for its one writer, making or upgrading it. Raises StoreError."""
    try:
        if not path.exists():  # it will hold cookies, which are nobody else's to read
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        base = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, cached_statements=256)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(trouble(path, error)) from error
    try:
        _ready(base, path, power)
        if power:
            _keep_name(path)
    except (sqlite3.Error, OSError) as error:
        base.close()
        raise StoreError(trouble(path, error)) from error
    except StoreError:
        base.close()
        raise
    return base


def _keep_name(path: Path) -> None:
    """Force the folder to the disk, so that a new file's name survives a power cut too."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def look(path: Path) -> sqlite3.Connection:
    """Open a run's state to read it, beside its writer if there is one. Raises StoreError."""
    if not path.is_file():
        raise StoreError(f"{path} is not there: this run kept no state (durability = none)")
    try:
        base = _checked(path, "ro")
    except sqlite3.OperationalError as error:
        if not str(getattr(error, "sqlite_errorname", "")).startswith("SQLITE_READONLY"):
            raise StoreError(trouble(path, error)) from error
        # A process died as it ended, in a transaction beside the log: who takes that back must be able to write.
        try:
            _checked(path, "rw").close()
            base = _checked(path, "ro")
        except sqlite3.Error as again:
            raise StoreError(trouble(path, again)) from again
    except sqlite3.Error as error:
        raise StoreError(trouble(path, error)) from error
    return base


def _checked(path: Path, mode: str) -> sqlite3.Connection:
    address = f"{path.resolve().as_uri()}?mode={mode}"
    base = sqlite3.connect(address, uri=True, timeout=PATIENCE, isolation_level=None)
    try:
        _check(base, path)
    except (sqlite3.Error, StoreError):
        base.close()
        raise
    return base


def _ready(base: sqlite3.Connection, path: Path, power: bool) -> None:
    new = not base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    version = VERSION if new else _check(base, path)
    base.execute("PRAGMA page_size = 4096")
    log(base)
    base.execute(f"PRAGMA synchronous = {'FULL' if power else 'NORMAL'}")
    base.execute("PRAGMA cache_size = -32768")  # KiB
    base.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: 16 MB
    base.execute("PRAGMA temp_store = MEMORY")
    base.execute("PRAGMA secure_delete = OFF")  # some builds overwrite what is deleted
    if new:
        _make(base, TABLES, VERSION)
        return
    for step in range(version + 1, VERSION + 1):
        _make(base, STEPS[step], step)


def _make(base: sqlite3.Connection, script: str, version: int) -> None:
    statements = _statements(script)
    if version == VERSION:
        statements.append(f"INSERT OR IGNORE INTO meta VALUES ('canonical', {CANONICAL})")
    to_version(base, statements, APPLICATION, version)


def _statements(script: str) -> list[str]:
    found, rest = [], ""
    for line in script.splitlines():
        rest += line + "\n"
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found


def _check(base: sqlite3.Connection, path: Path) -> int:
    """The version of a file that is ours. Raises StoreError for any other file."""
    version = version_of(
        base, path, APPLICATION, VERSION, other="the state of a run; move it away, or start with --fresh",
        newer="go on with the program that made it, or start with --fresh",
    )  # fmt: skip
    canonical = base.execute("SELECT value FROM meta WHERE key = 'canonical'").fetchone()
    if canonical is None or canonical[0] != CANONICAL:
        raise StoreError(f"{path} has URLs in another form than this program makes; start with --fresh")
    return version


def trouble(path: Path, error: Exception) -> str:
    """What an error of SQLite's, or of the system, means for a run, and what to do."""
    code = str(getattr(error, "sqlite_errorname", ""))
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return f"{path} is damaged ({error}); the items so far can still be exported, start anew with --fresh"
    if code.startswith("SQLITE_FULL"):
        return f"{path} cannot be written ({error}): make room on the disk and run the same command again"
    if code.startswith("SQLITE_BUSY"):
        return f"{path} is locked by another program ({error}): close it and run the same command again"
    if code.startswith("SQLITE_CONSTRAINT"):
        return f"{path} was written by another program meanwhile ({error}): let only one crawl use it"
    return (
        f"{path} cannot be read or written ({error}): see that its folder is there, writable and not full; "
        "the same command then goes on from the last commit"
    )
