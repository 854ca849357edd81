"""Records of bytes, sorted: in memory while they are few, then in a file without a name (external merge sort)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from heapq import merge
from pathlib import Path
from typing import IO

from ..errors import OutputError

MOST = 100_000  # records in memory
READ = 64 * 1024  # bytes read at once of each sorted part


class Pile:
    """Records of `size` bytes each, to be added in any order and then read in the order of their bytes.

    The file is made in `folder` when there are more than `most`; it is gone with the process, however that ends.
    Raises OutputError when it cannot be written or read. O(n log n), a few MB of memory for each `most` records.
    """

    def __init__(self, size: int, folder: Path, most: int = MOST) -> None:
        self.size = size
        self._folder = folder
        self._most = most
        self._held: list[bytes] = []
        self._parts: list[tuple[int, int]] = []  # where in the file, from and to
        self._file: IO[bytes] | None = None
        self._end = 0
        self._number = 0

    def __len__(self) -> int:
        return self._number

    def add(self, record: bytes) -> None:
        """Take a record."""
        self._held.append(record)
        self._number += 1
        if len(self._held) >= self._most:
            self._spill()

    def __iter__(self) -> Iterator[bytes]:
        """All records, lowest first; as often as wanted, and none added meanwhile."""
        self._held.sort()
        if not self._parts:
            return iter(self._held)
        return merge(self._held, *map(self._read, self._parts))

    def close(self) -> None:
        """Let go of everything."""
        self._held, self._parts = [], []
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _spill(self) -> None:
        self._held.sort()
        data = b"".join(self._held)
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - until `close`
            self._file.seek(self._end)
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise self._told(error) from error
        self._parts.append((self._end, self._end + len(data)))
        self._end += len(data)
        self._held = []

    def _read(self, part: tuple[int, int]) -> Iterator[bytes]:
        assert self._file is not None
        at, end = part
        size = self.size
        step = max(1, READ // size) * size
        while at < end:
            try:
                self._file.seek(at)  # each time: the parts are read in turns
                data = self._file.read(min(step, end - at))
            except OSError as error:
                raise self._told(error) from error
            data = data[: len(data) - len(data) % size]
            if not data:
                raise OutputError(f"a file to sort in, in {self._folder}, was cut from outside")
            for start in range(0, len(data), size):
                yield data[start : start + size]
            at += len(data)

    def _told(self, error: OSError) -> OutputError:
        return OutputError(
            f"a file to sort in, in {self._folder}: {error.strerror or error}; make room there and compare again"
        )
