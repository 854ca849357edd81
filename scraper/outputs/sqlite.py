"""A SQLite database with one table of items, exactly-once by itself: the journal's position is kept in the
same transaction as the rows.

PATH.part is written (with a write-ahead log, and locked) and becomes PATH at the end, a single file. With
`append` the rows are added to PATH itself, a transaction a flush; others may read it and write to it meanwhile.
"""

from __future__ import annotations

import io
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from ..errors import OutputError
from . import CursorLost
from .disk import AGAIN, CLOSED, FULL, named, owned, put_in_place, removed, threaded
from .sqlite_table import Table

PATIENCE = 5.0  # seconds that another process may hold the lock
BESIDE = ("-wal", "-shm", "-journal")
CURSOR = b"the database knows"
ADVICE = {
    "SQLITE_FULL": FULL,
    "SQLITE_READONLY": CLOSED,
    "SQLITE_CANTOPEN": CLOSED,
    "SQLITE_IOERR": f"look after the disk, and {AGAIN}",
}


class SqliteFile:
    """An output of one database; see `Output` for the verbs. `run` names the rows of this run.

    Without a run ("", a crawl in memory) there is nothing to go on with, and no position is kept.
    `patience` is how long another process may lock PATH, in seconds.
    """

    def __init__(
        self,
        path: Path,
        *,
        run: str = "",
        append: bool = False,
        columns: Sequence[str] = (),
        patience: float = PATIENCE,
    ) -> None:
        self.path = Path(os.path.realpath(path))
        self.append = append
        self.place = self.path if append else self.path.with_name(self.path.name + ".part")
        self._run = run
        self._columns = columns
        self._patience = patience
        self._held: list[bytes] = []
        self._db: sqlite3.Connection | None = None
        self._table: Table | None = None
        self._lock: io.FileIO | None = None  # PATH.part-lock, one writer from the first look to the final name
        self._opened: os.stat_result | None = None

    async def open(self, cursor: bytes | None, committed: int) -> int | None:
        """Go on where the database says the run is; with no word of the run in it, begin, or CursorLost.

        A PATH that has the run already is copied, and gone on with, when there is a cursor.
        """
        self._held = []
        return await threaded(self._begin, cursor is not None, committed)

    async def write(self, lines: Sequence[bytes]) -> None:
        """Keep the items for the transaction of the next flush."""
        self._held += lines

    async def flush(self, position: int) -> bytes:
        """One transaction: columns, rows and the position."""
        await threaded(self._commit, position)
        return CURSOR

    async def close(self, *, finished: bool) -> None:
        """Close the database, a single file then; PATH.part becomes PATH when `finished`."""
        await threaded(self._end, finished)

    def _begin(self, again: bool, committed: int) -> int | None:
        try:
            with _named(self.place):
                if self.path.is_dir():
                    raise OutputError(f"{self.path} is a folder; give the name of a file in it")
                if self.append:
                    self._add_to(committed)
                else:
                    self._go_on(again, committed)
                self._opened = self.place.stat()
        except OutputError:
            self._leave(tidy=True)
            raise
        return self._handles()[1].position if self._run else None

    def _add_to(self, committed: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._connect()
        with self._transaction() as table:
            table.load()
            if table.position > committed:  # a loss of power took the journal back
                table.take_back()
            table.begin()

    def _go_on(self, again: bool, committed: int) -> None:
        self._lock = owned(self._lock_path, self.place)
        with suppress(sqlite3.Error, ValueError):  # whatever it is, it is ours, and the journal has all
            if self._run and self.place.exists():
                self._connect()
                if self._loaded(committed):
                    return
            elif self._run and again and self.path.is_file():
                self._connect(self.path)
                if self._loaded(committed):
                    return
        self._disconnect()
        if again:
            raise CursorLost(f"{self.place} is not as it was left")
        self._wipe()
        self._connect()
        with self._transaction() as table:
            table.load()
            table.begin()

    def _loaded(self, committed: int) -> bool:
        table = self._handles()[1]
        table.load()
        return table.known and table.position <= committed

    def _connect(self, source: Path | None = None) -> None:
        """Nobody reads PATH.part while it is written: a reader that leaves would take the log for its own."""
        self._db = db = sqlite3.connect(
            self.place, timeout=self._patience, isolation_level=None, check_same_thread=False
        )
        self._table = Table(db, self._run, self._columns)
        if source is not None:
            with closing(sqlite3.connect(source.as_uri() + "?mode=ro", uri=True)) as old:
                old.backup(db)
        if not self.append:  # a log needs no wait for the disk at each commit, and survives a loss of power
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
                db.execute(f"PRAGMA {pragma}")

    def _wipe(self) -> None:
        """Logs first: what they left behind would be taken for the new file's own."""
        for ending in (*BESIDE, ""):
            Path(f"{self.place}{ending}").unlink(missing_ok=True)

    def _commit(self, position: int) -> None:
        _, table = self._handles()
        with _named(self.place):
            if not self._is_there():
                raise removed(self.place)
            if self._held or position != table.position:
                with self._transaction():
                    table.add(self._held, position)
        self._held = []

    def _end(self, finished: bool) -> None:
        db, table = self._db, self._table
        try:
            if finished and self._held and table is not None:
                self._commit(table.position)
            with _named(self.place):
                if db is not None and not self.append:
                    mode = db.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
                    if mode != "delete":
                        raise OutputError(f"{self.place}: its log could not be taken in; {AGAIN}")
                self._disconnect()
                if finished and not self.append:
                    with io.FileIO(self.place, "r+") as raw:
                        for ending in BESIDE:  # of what PATH was
                            Path(f"{self.path}{ending}").unlink(missing_ok=True)
                        put_in_place(raw, self.place, self.path)
        finally:
            self._leave()

    @contextmanager
    def _transaction(self) -> Iterator[Table]:
        db, table = self._handles()
        db.execute("BEGIN IMMEDIATE")
        try:
            yield table
            db.execute("COMMIT")
        except (sqlite3.Error, ValueError):
            with suppress(sqlite3.Error, ValueError):
                if db.in_transaction:
                    db.execute("ROLLBACK")
                table.load()
            raise

    def _is_there(self) -> bool:
        with suppress(OSError):
            return self._opened is None or os.path.samestat(self._opened, self.place.stat())
        return False

    def _handles(self) -> tuple[sqlite3.Connection, Table]:
        if self._db is None or self._table is None:
            raise OutputError(f"{self.place} is not open")
        return self._db, self._table

    def _disconnect(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _leave(self, *, tidy: bool = False) -> None:
        """Let go of everything; with `tidy` leave no empty file behind."""
        with suppress(sqlite3.Error):
            self._disconnect()
        self._held = []
        lock, self._lock = self._lock, None
        if lock is not None:
            with suppress(OSError):
                if tidy and self.place.stat().st_size == 0:
                    self.place.unlink()
            with suppress(OSError), lock:
                self._lock_path.unlink()

    @property
    def _lock_path(self) -> Path:
        return self.place.with_name(self.place.name + "-lock")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and of the system into OutputError, with the path and the reason."""
    try:
        with named(path):
            yield
    except sqlite3.Error as error:
        kind = getattr(error, "sqlite_errorname", "")
        if kind.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise OutputError(f"{path} is locked by another process; end that one, and {AGAIN}") from error
        if kind == "SQLITE_NOTADB":
            raise OutputError(f"{path} is not a SQLite database; give another path") from error
        advice = next((text for beginning, text in ADVICE.items() if kind.startswith(beginning)), "")
        raise OutputError(f"{path}: {error}{advice and '; '}{advice}") from error
    except ValueError as error:
        raise OutputError(f"cannot add to {path}: {error}") from error
