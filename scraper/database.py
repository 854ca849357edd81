"""A file of SQLite in which a run or the jobs are kept: its kind of log, whose it is, and its version."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from .errors import StoreError


def log(base: sqlite3.Connection) -> str:
    """Use a write-ahead log, or, on a file system without shared memory (a network drive), a rollback journal.

    Both survive a kill; with the journal readers and the writer wait for one another. Gives what is in force.
    """
    try:
        (mode,) = base.execute("PRAGMA journal_mode = WAL").fetchone()
    except sqlite3.OperationalError as error:
        if not str(getattr(error, "sqlite_errorname", "")).startswith(("SQLITE_IOERR_SHM", "SQLITE_PROTOCOL")):
            raise
        mode = ""
    if mode != "wal":
        (mode,) = base.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
    return str(mode)


def to_version(base: sqlite3.Connection, statements: Iterable[str], application: int, version: int) -> None:
    """Make a whole version by these statements, or nothing of it; ends the transaction. Raises sqlite3.Error."""
    if not base.in_transaction:
        base.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements:
            base.execute(statement)
        base.execute(f"PRAGMA application_id = {application}")
        base.execute(f"PRAGMA user_version = {version}")
        base.execute("COMMIT")
    except sqlite3.Error:
        if base.in_transaction:
            base.execute("ROLLBACK")
        raise


def version_of(
    base: sqlite3.Connection, path: Path, application: int, newest: int, *, other: str, newer: str
) -> int:
    """The version of a file that is ours. Raises sqlite3.Error, and StoreError for any other file.

    `other` and `newer` say what it is not, and what to do with one that a later program has made.
    """
    ours = base.execute("PRAGMA application_id").fetchone()[0] == application
    version = int(base.execute("PRAGMA user_version").fetchone()[0])
    if not ours:
        raise StoreError(f"{path} is a database, but not {other}")
    if version > newest:
        raise StoreError(f"{path} is of version {version}, this program knows versions up to {newest}: {newer}")
    return version
