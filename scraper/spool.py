"""A page's items on their way to the journal: in memory while they are few, then in a file without a name.

Nothing here outlives the process: what was not committed when it dies is done again.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import IO

from .errors import OutputError

SPOOL = 16 * 2**20  # bytes kept in memory
CHUNK = 256 * 1024  # bytes given at once


class Spool:
    """Encoded items in the order they were appended; beyond `most` bytes they go to a file in `folder`.

    The file has no name and is gone with the process. Memory stays at about `most` bytes while items are
    appended, and at a chunk while they are read. Raises OutputError when the file cannot be written or read.
    """

    def __init__(self, folder: Path, most: int = SPOOL) -> None:
        self.folder = folder
        self.most = most
        self.size = 0  # bytes of the items, without what separates them
        self._count = 0
        self._lines: list[bytes] = []
        self._held = 0
        self._file: IO[bytes] | None = None

    def append(self, line: bytes) -> None:
        """Take an item, one line without its newline. O(its bytes)."""
        self._lines.append(line)
        self._held += len(line)
        self.size += len(line)
        self._count += 1
        if self._held > (self.most if self._file is None else CHUNK):
            self._spill()

    def __iter__(self) -> Iterator[bytes]:
        return chain.from_iterable(self.chunks())

    def cut(self, number: int) -> None:
        """Keep the first so many items."""
        self._count = min(number, self._count)

    def __len__(self) -> int:
        return self._count

    def chunks(self, limit_items: int | None = None) -> Iterator[list[bytes]]:
        """All items, or the first so many, in lists of about 256 KB; as often as wanted."""
        left = self._count if limit_items is None else min(limit_items, self._count)
        if left <= 0:
            return
        for lines in self._parts():
            yield lines[:left]
            left -= len(lines)
            if left <= 0:
                return

    def close(self) -> None:
        """Let go of everything; the file is gone."""
        file, self._file = self._file, None
        self._lines = []
        self.size = self._count = self._held = 0
        if file is not None:
            with suppress(OSError):  # what a full disk did not take
                file.close()

    def _parts(self) -> Iterator[list[bytes]]:
        if self._file is not None:
            self._spill()
            yield from self._read(self._file)
            return
        lines = self._lines
        start = size = 0
        for index, line in enumerate(lines):
            size += len(line)
            if size >= CHUNK:
                yield lines[start : index + 1]
                start, size = index + 1, 0
        if start < len(lines):
            yield lines[start:]

    def _read(self, file: IO[bytes]) -> Iterator[list[bytes]]:
        """Several may read at once, and items may be appended meanwhile: each chunk is sought anew."""
        at = 0
        while True:
            try:
                file.seek(at)
                lines = file.readlines(CHUNK)
            except OSError as error:
                raise self._told(error) from error
            if not lines:
                return
            at += sum(map(len, lines))
            yield [line[:-1] for line in lines]

    def _spill(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - lives as long as we do
            if self._lines:
                self._file.seek(0, os.SEEK_END)
                self._file.writelines(line + b"\n" for line in self._lines)
                self._file.flush()
        except OSError as error:
            raise self._told(error) from error
        self._lines, self._held = [], 0  # a new list: somebody may be reading the old one

    def _told(self, error: OSError) -> OutputError:
        return OutputError(f"a file for the items of a page, in {self.folder}: {error.strerror or error}")
