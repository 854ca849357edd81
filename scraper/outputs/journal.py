"""The item journal: items.jsonl of a run, the one file in the transaction.

The commit appends the items of its outcomes here, then records the new position with them. After a kill the
file may be longer than the recorded position: it is cut back, and the pages behind the cut are done again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from io import FileIO
from pathlib import Path

from ..errors import StoreError
from .disk import threaded

CHUNK = 256 * 1024  # bytes read at once


class Journal:
    """The journal of a run with a folder; positions are bytes, and the commit alone opens and appends.

    All verbs raise StoreError, which names the file and says what to do. What a thread does for them is awaited
    to its end, cancelled or not: nobody closes a file that is written to.
    """

    def __init__(self, path: Path, chunk: int = CHUNK) -> None:
        self.path = path
        self.chunk = chunk
        self.position = 0
        self._file: FileIO | None = None

    async def open(self, position: int) -> None:
        """Cut the file back to the committed position; a file shorter than that has lost results."""
        await threaded(self._open, position)

    def _open(self, position: int) -> None:
        try:
            self._file = self.path.open("r+b" if self.path.exists() else "x+b", buffering=0)
            size = self._file.seek(0, os.SEEK_END)
            if size > position:
                self._file.truncate(position)
                self._file.seek(position)
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror or error}") from error
        if size < position:
            self._file.close()
            self._file = None
            raise StoreError(
                f"{self.path} has {size} bytes where {position} were committed: it was cut or replaced from "
                "outside. Put the file back, or start anew with --fresh."
            )
        self.position = position

    async def append(self, lines: Sequence[bytes]) -> int:
        """Write items, one a line, in one go; returns the new position, which is committed by the caller."""
        if lines:
            self.position += await threaded(self._write, self._handle, b"\n".join(lines) + b"\n")
        return self.position

    def _write(self, file: FileIO, data: bytes) -> int:
        view = memoryview(data)
        try:
            while view:
                view = view[file.write(view) :]
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror or error}") from error
        return len(data)

    async def sync(self) -> None:
        """Force what was appended to the disk, for `durability = "power"`."""
        try:
            await threaded(getattr(os, "fdatasync", os.fsync), self._handle.fileno())
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror or error}") from error

    async def read(self, position: int, end: int) -> tuple[list[bytes], int]:
        """Items from a position up to about a chunk, never past `end`; many may read, and without `open`."""
        return await asyncio.to_thread(_read, self.path, position, end, self.chunk)

    async def close(self) -> None:
        """Let go of the file."""
        file, self._file = self._file, None
        if file is not None:
            await threaded(file.close)

    @property
    def _handle(self) -> FileIO:
        if self._file is None:
            raise StoreError(f"{self.path} is not open")
        return self._file


class MemoryJournal:
    """The journal of a run without a folder. Positions count items; what all followers have read can go."""

    def __init__(self, chunk: int = CHUNK) -> None:
        self.chunk = chunk
        self.position = 0
        self._dropped = 0
        self._lines: list[bytes] = []

    async def open(self, position: int) -> None:
        """Begin; there is nothing to go on with, so the position can only be 0."""
        if position != self.position:
            raise StoreError(f"a journal in memory cannot begin at item {position}")

    async def append(self, lines: Sequence[bytes]) -> int:
        """Take items; returns the new position."""
        self._lines.extend(lines)
        self.position += len(lines)
        return self.position

    async def sync(self) -> None:
        """Memory outlives no process: nothing to do."""

    async def read(self, position: int, end: int) -> tuple[list[bytes], int]:
        """Items from a position up to about a chunk of bytes, never past `end`."""
        if position < self._dropped:
            raise StoreError(f"item {position} was let go of: items are kept from {self._dropped} on")
        first = position - self._dropped
        last, size = first, 0
        while last < min(end - self._dropped, len(self._lines)) and size < self.chunk:
            size += len(self._lines[last])
            last += 1
        return self._lines[first:last], self._dropped + last

    def drop(self, position: int) -> None:
        """Let go of the items before a position, once they are half of all: O(1) an item over time."""
        due = min(position, self.position) - self._dropped
        if due * 2 >= len(self._lines) and due > 0:
            del self._lines[:due]
            self._dropped += due

    async def close(self) -> None:
        """The items stay readable as long as somebody holds the journal."""


async def read(path: Path, start: int, end: int, chunk: int = CHUNK) -> AsyncIterator[list[bytes]]:
    """The items between two committed positions, in batches of about `chunk` bytes; bounded memory."""
    position = start
    while position < end:
        lines, position = await asyncio.to_thread(_read, path, position, end, chunk)
        yield lines


def _read(path: Path, position: int, end: int, chunk: int) -> tuple[list[bytes], int]:
    """Whole lines only: at least one, however long it is; opens the file anew, so that readers never meet."""
    if position >= end:
        return [], position
    try:
        with path.open("rb") as file:
            file.seek(position)
            parts = [file.read(min(chunk, end - position))]
            while b"\n" not in parts[-1]:
                size = sum(map(len, parts))
                more = file.read(min(size, end - position - size)) if parts[-1] else b""
                if not more:
                    raise StoreError(f"{path} ends before byte {end}, which was committed")
                parts.append(more)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
    data = b"".join(parts)
    whole = data.rindex(b"\n")
    return data[:whole].split(b"\n"), position + whole + 1
