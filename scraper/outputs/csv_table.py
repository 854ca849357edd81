"""Comma or tab separated values (RFC 4180): one row an item.

The columns are those declared, else those of the first 1,000 items (or of what came before the first flush),
in the order they were seen. A column that turns up later is added at the right: rows from there on are
longer, and the file is written anew with its wider header when it is closed, so nothing is lost or moves.
Strings are themselves, null is empty, everything else is its JSON text.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import BinaryIO

import msgspec

from .form import Rewrite

FIRST = 1_000  # items looked at before the header is written
# What makes a spreadsheet run a cell; some take the wide forms of Unicode for the narrow ones.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
NUMBER = re.compile(r"[+-]?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?")

_text = msgspec.json.Decoder(str)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _State(msgspec.Struct, array_like=True):
    """`widths` are (byte of the uncompressed file, columns that rows have from there on)."""

    columns: list[str]
    widths: list[tuple[int, int]]
    size: int


class CsvTable:
    """A table with a header (.csv, .tsv).

    `columns` come first and in this order. `safe` puts an apostrophe before text that a spreadsheet would run
    as a formula; numbers such as -5 stay.
    """

    def __init__(
        self,
        state: bytes | None = None,
        *,
        columns: Sequence[str] = (),
        delimiter: str = ",",
        safe: bool = False,
    ) -> None:
        self._delimiter = delimiter
        self._safe = safe
        kept = msgspec.msgpack.decode(state, type=_State) if state else _State(list(columns), [], 0)
        self._columns = dict.fromkeys(kept.columns)
        self._widths = kept.widths
        self._size = kept.size
        self._held: list[dict[str, msgspec.Raw]] = []

    def render(self, lines: Sequence[bytes]) -> bytes:
        """The rows; kept back until the columns are known."""
        rows = [_object.decode(line) for line in lines]
        if self._widths or (self._columns and rows):
            return self._rows(rows)
        self._held += rows
        return self.settle() if len(self._held) >= FIRST else b""

    def settle(self) -> bytes:
        """The rows kept back, which fixes the header."""
        held, self._held = self._held, []
        return self._rows(held) if held else b""

    def tail(self) -> bytes:
        """The header alone when there was no item, and nothing when not even columns are known."""
        return b"" if self._widths or not self._columns else self._line(list(self._columns))

    def state(self) -> bytes:
        """The columns, and where rows grew."""
        return msgspec.msgpack.encode(_State(list(self._columns), self._widths, self._size))

    def adopt(self, first: bytes, last: bytes, size: int) -> tuple[int, bytes]:
        """Go on with an existing table: its header names the first columns."""
        text = first.decode("utf-8-sig", "replace")
        header = next(csv.reader(io.StringIO(text, newline=""), delimiter=self._delimiter), [])
        if len(set(header)) != len(header):
            raise ValueError("its header names a column twice")
        names = [self._bare(name) for name in header]
        extra = b"" if last.endswith(b"\n") else b"\r\n"
        self._columns = dict.fromkeys([*names, *self._columns])
        self._size = size + len(extra)
        self._widths = [(0, len(names))]
        return 0, extra

    def rewrite(self) -> Rewrite | None:
        """With the wider header, when columns turned up after it was written."""
        return self._widen if self._widths and self._widths[0][1] < len(self._columns) else None

    def _rows(self, rows: list[dict[str, msgspec.Raw]]) -> bytes:
        columns = self._columns
        for row in rows:
            if not row.keys() <= columns.keys():
                columns.update(dict.fromkeys(row))
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=self._delimiter)
        begun = bool(self._widths)
        if not begun:
            writer.writerow([self._guarded(name) for name in columns])
        if not begun or self._widths[-1][1] < len(columns):
            self._widths.append((self._size, len(columns)))
        for row in rows:
            writer.writerow([self._cell(row.get(name)) for name in columns])
        data = text.getvalue().encode()
        self._size += len(data)
        return data

    def _cell(self, raw: msgspec.Raw | None) -> str:
        if raw is None:
            return ""
        data = bytes(raw)
        if data[:1] == b'"':
            return self._guarded(_text.decode(data))
        return "" if data == b"null" else data.decode()

    def _guarded(self, text: str) -> str:
        if self._safe and text.startswith(FORMULA) and not NUMBER.fullmatch(text):
            return "'" + text
        return text

    def _bare(self, name: str) -> str:
        return name[1:] if self._safe and name[:1] == "'" and self._guarded(name[1:]) == name else name

    def _line(self, cells: list[str]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=self._delimiter).writerow([self._guarded(cell) for cell in cells])
        return text.getvalue().encode()

    def _widen(self, old: BinaryIO, new: BinaryIO) -> None:
        """Copy record by record with empty cells added; a record ends where its quotes are even. O(bytes)."""
        size = new.write(self._line(list(self._columns)))
        widths = [*self._widths, (self._size + 1, 0)]
        start = position = at = quotes = 0
        record: list[bytes] = []
        for line in old:
            record.append(line)
            quotes += line.count(b'"')
            position += len(line)
            if quotes % 2:
                continue
            while widths[at + 1][0] <= start:
                at += 1
            if start:  # the record at 0 is the old header
                size += new.write(self._padded(b"".join(record), widths[at][1]))
            start, quotes = position, 0
            record.clear()
        self._widths, self._size = [(0, len(self._columns))], size

    def _padded(self, record: bytes, width: int) -> bytes:
        end = b"\r\n" if record.endswith(b"\r\n") else b"\n"
        missing = len(self._columns) - width
        empty = self._delimiter.encode() * missing if width else b'""' + self._delimiter.encode() * (missing - 1)
        return record.removesuffix(end) + empty + end
