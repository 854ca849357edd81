"""The file that jobs are kept in, as all of its verbs use it: one connection, whole transactions, clear errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from ..errors import StoreError
from . import schema
from .waking import wake

T = TypeVar("T", bound=msgspec.Struct)
Row = tuple[Any, ...]
LARGEST = 2**63 - 1  # number that a row can have


class File:
    """The store in the folder `home`, opened: for all threads, beside other processes. Raises StoreError."""

    def __init__(self, home: Path, *, read_only: bool = False) -> None:
        self.home = home
        self.path = home / schema.NAME
        self.read_only = read_only
        self._base = schema.look(self.path) if read_only else schema.connect(self.path)
        self._which = _which(self.path)
        self._lock = RLock()
        self._changing = False  # within a transaction
        self._wakes = False  # with the end of it, when there is something to be seen

    def close(self) -> None:
        """Close it; nothing is lost when this is not called."""
        with self._lock:
            self._base.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def check_place(self) -> None:
        """See that nobody has removed the file, or put another in its place. Raises StoreError."""
        if _which(self.path) != self._which:
            raise StoreError(f"{self.path} was removed or replaced while it was in use")

    def stamp(self) -> tuple[int, int]:
        """Another one whenever the store has changed, by us or by other processes. Raises StoreError."""
        with self._lock:
            return self.rows("PRAGMA data_version")[0][0], self._base.total_changes

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of what is done in here is kept, or, when it raises, nothing. Raises StoreError."""
        with self._lock:
            outer = self._changing
            try:
                if not outer:
                    self._base.execute("BEGIN IMMEDIATE")
                    self._changing = True
                yield self._base
                if not outer:
                    self._base.execute("COMMIT")
                    if self._wakes:
                        wake(self.home)
            except sqlite3.Error as error:
                raise StoreError(schema.trouble(self.path, error)) from error
            finally:
                if not outer and self._changing:
                    self._changing = self._wakes = False
                    if self._base.in_transaction:
                        self._base.execute("ROLLBACK")

    def rows(self, text: str, *values: Any) -> list[Row]:
        """The rows of one query, all as of one moment. Raises StoreError."""
        with self._lock:
            try:
                return self._base.execute(text, values).fetchall()
            except sqlite3.Error as error:
                raise StoreError(schema.trouble(self.path, error)) from error

    def row(self, text: str, *values: Any) -> Row | None:
        """The first row of a query. Raises StoreError."""
        found = self.rows(text, *values)
        return found[0] if found else None

    def noted(self, key: str) -> dict[str, Any]:
        """What is noted by job under a key; {} when nothing is."""
        found = self.row("SELECT value FROM meta WHERE key = ?", key)
        return msgspec.json.decode(found[0], type=dict[str, Any]) if found else {}

    def note_down(self, key: str, facts: dict[str, Any]) -> None:
        """Replace what is noted by job under a key."""
        with self.change() as base:
            text = msgspec.json.encode(facts).decode()
            base.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, text))

    def wake(self) -> None:
        """Tell the server of this folder, if there is one, to look again."""
        if self._changing:
            self._wakes = True
        else:
            wake(self.home)


def _which(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def columns(kind: type[msgspec.Struct]) -> str:
    """The fields of a value as names of columns; some of them are words of SQL."""
    return ", ".join(f'"{name}"' for name in kind.__struct_fields__)


def marks(number: int) -> str:
    """So many places for values."""
    return ", ".join("?" * number)


def value(kind: type[T], row: Sequence[Any]) -> T:
    """A row of all columns of a value, in their order, as that value. Raises StoreError where it is none."""
    try:
        return msgspec.convert(dict(zip(kind.__struct_fields__, row, strict=True)), kind, strict=False)
    except msgspec.ValidationError as error:
        raise StoreError(f"the store has a {kind.__name__} that cannot be read: {error}") from error
