"""The table `items` of a SQLite database, and how far each run has come in it.

    items              one row an item, one column a field, without declared types: values stay as they are
    scraper_progress   run -> the journal's position, how many items that is, and in which rows they are
    scraper_columns    field -> its column, where the field's own name could not be taken

Everything here blocks and belongs in a thread; every verb that writes is called inside a transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

ROWS = 100  # rows a statement: SQLite works without the interpreter's lock, and gets time to (measured)
PLAIN = frozenset({str, float, bool, type(None)})
EMPTY = "scraper_empty"  # the column of a table of items without any field; it becomes the first one
ROWID = "_rowid_"  # SQLite's own name for a row's number; no field gets it
MOST = 2**63

_objects = msgspec.json.Decoder(list[dict[str, Any]])
_ranges = msgspec.json.Decoder(list[tuple[int, int]])


class Table:
    """What one run adds to `items`. `position` and `items` are what the database says of the run."""

    def __init__(self, db: sqlite3.Connection, run: str, columns: Sequence[str] = ()) -> None:
        self.position = 0
        self.items = 0
        self.known = False  # whether the database has heard of the run
        self._db = db
        self._run = run
        self._declared = columns
        self._ranges: list[tuple[int, int]] = []
        self._names: dict[str, str] = {}  # field -> column, in the table's order
        self._bare = False  # whether there is only the column EMPTY
        self._taken: set[bytes] = set()  # columns, as SQLite compares them
        self._version = -1

    def load(self) -> None:
        """Read the columns, and where the run is. Raises ValueError for a table `items` that is not of our kind."""
        self._version = self._db.execute("PRAGMA schema_version").fetchone()[0]
        kinds = dict(self._db.execute("SELECT name, type FROM sqlite_master").fetchall())
        self._names.clear()
        self._taken = {ROWID.encode(), EMPTY.encode()}
        self._bare = False
        if "items" in kinds:
            self._read_columns(kinds["items"], renamed="scraper_columns" in kinds)
        found = None
        if self._run and "scraper_progress" in kinds:
            found = self._db.execute(
                'SELECT position, items, "rows" FROM scraper_progress WHERE run = ?', (self._run,)
            ).fetchone()
        self.known = found is not None and (not found[1] or "items" in kinds)
        self.position, self.items, ranges = found if found and self.known else (0, 0, "[]")
        self._ranges = _ranges.decode(ranges)

    def begin(self) -> None:
        """Make what is not there yet."""
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS scraper_progress"
            ' (run TEXT PRIMARY KEY, position INTEGER, items INTEGER, "rows" TEXT)'
        )
        self._db.execute("CREATE TABLE IF NOT EXISTS scraper_columns (field TEXT PRIMARY KEY, name TEXT)")
        self._widen(self._declared)
        self._keep()

    def add(self, lines: Sequence[bytes], position: int) -> None:
        """Add items, and keep the position with them. O(values)."""
        if self._db.execute("PRAGMA schema_version").fetchone()[0] != self._version:
            self.load()  # somebody else added a column
        items = _objects.decode(b"[" + b",".join(lines) + b"]")
        if items:
            self._widen(name for item in items for name in item)
            if not self._names and not self._bare:
                self._create([EMPTY])
                self._bare = True
            last = self._last()
            self._insert(items)
            self._note(last + 1, self._last())
            self.items += len(items)
        self.position = position
        self._keep()

    def take_back(self) -> None:
        """Delete what the run has added. Raises ValueError when that is no longer what is there."""
        gone = 0
        for first, last in self._ranges:
            gone += self._db.execute(f"DELETE FROM items WHERE {ROWID} BETWEEN ? AND ?", (first, last)).rowcount
        if gone != self.items:
            raise ValueError(
                f"{gone} rows are left of {self.items} that run {self._run} had added and now takes back; "
                "export the run to a file of its own"
            )
        self._ranges = []
        self.position = self.items = 0
        self._keep()

    def _read_columns(self, kind: str, *, renamed: bool) -> None:
        columns = self._db.execute("PRAGMA table_xinfo(items)").fetchall()
        if kind != "table" or any(
            typed or needed or key or hidden for _, _, typed, needed, _, key, hidden in columns
        ):
            raise ValueError("its table items is of another shape: columns without types or constraints are needed")
        fields = dict(self._db.execute("SELECT name, field FROM scraper_columns")) if renamed else {}
        names = [column[1] for column in columns]
        self._bare = names == [EMPTY]
        if not self._bare:
            self._names = {fields.get(name, name): name for name in names}
            self._taken.update(name.encode().lower() for name in names)

    def _widen(self, names: Iterable[str]) -> None:
        """A column for each field that has none; the first ones make the table."""
        new: dict[str, str] = {}
        for name in names:
            if name not in self._names and name not in new:
                new[name] = self._free(name)
                self._taken.add(new[name].encode().lower())
        if not new:
            return
        columns = [quoted(column) for column in new.values()]
        if not self._names and not self._bare:
            self._create(columns)
        else:
            if self._bare:
                self._db.execute(f"ALTER TABLE items RENAME COLUMN {EMPTY} TO {columns.pop(0)}")
            for column in columns:
                self._db.execute(f"ALTER TABLE items ADD COLUMN {column}")
        self._bare = False
        others = [(name, column) for name, column in new.items() if name != column]
        self._db.executemany("INSERT OR REPLACE INTO scraper_columns VALUES (?, ?)", others)
        self._names |= new
        self._version = self._db.execute("PRAGMA schema_version").fetchone()[0]

    def _create(self, columns: Sequence[str]) -> None:
        self._db.execute("DELETE FROM scraper_columns")
        self._db.execute(f"CREATE TABLE items ({', '.join(columns)})")

    def _free(self, name: str) -> str:
        """The field's name, or one near it: SQLite takes `a` and `A` for one, and no NUL."""
        plain = column = name.replace("\0", "\ufffd")
        number = 1
        while column.encode().lower() in self._taken:
            number += 1
            column = f"{plain}_{number}"
        return column

    def _insert(self, items: list[dict[str, Any]]) -> None:
        names = list(self._names or [EMPTY])
        columns = self._names.values() or [EMPTY]
        into = f"INSERT INTO items ({', '.join(map(quoted, columns))}) VALUES "
        row = f"({', '.join('?' * len(names))})"
        most = max(1, min(ROWS, self._db.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // len(names)))
        for start in range(0, len(items), most):
            some = items[start : start + most]
            values = [
                value if type(value := item.get(name)) in PLAIN else _cell(value) for item in some for name in names
            ]
            self._db.execute(into + ", ".join([row] * len(some)), values)

    def _last(self) -> int:
        found: int = self._db.execute(f"SELECT coalesce(max({ROWID}), 0) FROM items").fetchone()[0]
        return found

    def _note(self, first: int, last: int) -> None:
        if self._ranges and self._ranges[-1][1] == first - 1:
            first = self._ranges.pop()[0]
        self._ranges.append((first, last))

    def _keep(self) -> None:
        if self._run:
            self._db.execute(
                "INSERT OR REPLACE INTO scraper_progress VALUES (?, ?, ?, ?)",
                (self._run, self.position, self.items, msgspec.json.encode(self._ranges).decode()),
            )


def quoted(name: str) -> str:
    """A name as SQL has it, whatever it is."""
    return '"' + name.replace('"', '""') + '"'


def _cell(value: Any) -> Any:
    """A number SQLite holds, else the JSON text."""
    if type(value) is int:
        return value if -MOST <= value < MOST else str(value)
    return msgspec.json.encode(value).decode()
