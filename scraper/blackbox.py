"""What the processes of a crawl were working on when they died: a few bytes in a file that outlive them.

A page whose parsing or callback kills the process (memory, a crash in a C library) would kill every next one.
So its token is written into mapped memory before, and cleared after: no system call, and no loss but with the
machine. The crawl's worker processes map the same file; in it they also see whether the gate has called off what
they may send without asking.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from contextlib import suppress
from pathlib import Path

from .errors import StoreError

SLOT = struct.Struct("<q")
SLOTS = 2  # of a process: its event loop, and its thread that parses large pages


class BlackBox:
    """Tokens in a file: those of the crawl's own process, then those of each worker. None: a file without a name.

    Raises StoreError when it cannot be made.
    """

    def __init__(self, path: Path | None, workers: int = 0) -> None:
        self._path = path
        size = SLOT.size * (SLOTS * (workers + 1) + 1)
        try:
            self._file = tempfile.TemporaryFile() if path is None else path.open("a+b")  # noqa: SIM115
            self._file.seek(0)
            before = self._file.read()
            self._file.truncate(size)
            self._map = mmap.mmap(self._file.fileno(), size)
        except (OSError, ValueError) as error:
            raise StoreError(f"{path or tempfile.gettempdir()}: {error}") from error
        whole = before[: len(before) - len(before) % SLOT.size]
        # What an earlier process was working on; the count of what was called off is kept negative.
        self.suspects = sorted({token for (token,) in SLOT.iter_unpack(whole) if token > 0})
        self._last = size - SLOT.size

    @property
    def file(self) -> int:
        """The open file, for a worker to inherit."""
        return self._file.fileno()

    def clear(self) -> None:
        """The suspects are known to the store."""
        self._map[:] = bytes(len(self._map))

    def note(self, token: int, slot: int = 0) -> None:
        """This request is worked on from now on; 0: none is."""
        SLOT.pack_into(self._map, SLOT.size * slot, token)

    def took(self, worker: int) -> frozenset[int]:
        """What a worker that died was working on; forgotten from now on."""
        start = SLOTS * worker
        tokens = {SLOT.unpack_from(self._map, SLOT.size * (start + at))[0] for at in range(SLOTS)}
        for at in range(SLOTS):
            self.note(0, start + at)
        return frozenset(tokens - {0})

    def call_off(self) -> None:
        """What was granted before this is to be asked about again."""
        SLOT.pack_into(self._map, self._last, -(self.called_off() + 1))

    def called_off(self) -> int:
        """How often something was called off."""
        count: int = SLOT.unpack_from(self._map, self._last)[0]
        return -count

    def close(self) -> None:
        """Nothing is worked on any more."""
        self.clear()
        self._map.close()
        self._file.close()
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()


class Shared:
    """The same memory, as worker `number` sees it: by a file it has inherited."""

    def __init__(self, file: int, number: int) -> None:
        size = os.fstat(file).st_size
        self._map = mmap.mmap(file, size)
        os.close(file)
        self._start = SLOT.size * SLOTS * number
        self._last = size - SLOT.size

    def note(self, token: int, slot: int = 0) -> None:
        """This request is worked on from now on; 0: none is."""
        SLOT.pack_into(self._map, self._start + SLOT.size * slot, token)

    def called_off(self) -> int:
        """How often something was called off."""
        count: int = SLOT.unpack_from(self._map, self._last)[0]
        return -count
