"""What the process was working on when it died: a few bytes in a file that outlive it.

A page whose parsing or callback kills the process (memory, a crash in a C library) would kill every next one.
So its token is written into mapped memory before, and cleared after: no system call, and no loss but with the
machine.
"""

from __future__ import annotations

import mmap
import struct
from contextlib import suppress
from pathlib import Path

from .errors import StoreError

SLOT = struct.Struct("<q")
SLOTS = 2  # the event loop, and the thread that parses large pages


class BlackBox:
    """Two tokens in a file. Raises StoreError when it cannot be made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        size = SLOT.size * SLOTS
        try:
            with path.open("a+b") as file:
                file.truncate(size)
                self._map = mmap.mmap(file.fileno(), size)
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: {error}") from error
        # What an earlier process was working on.
        self.suspects = sorted({SLOT.unpack_from(self._map, SLOT.size * at)[0] for at in range(SLOTS)} - {0})

    def clear(self) -> None:
        """The suspects are known to the store."""
        self._map[:] = bytes(len(self._map))

    def note(self, token: int, slot: int = 0) -> None:
        """This request is worked on from now on; 0: none is."""
        SLOT.pack_into(self._map, SLOT.size * slot, token)

    def close(self) -> None:
        """Nothing is worked on any more."""
        self.clear()
        self._map.close()
        with suppress(OSError):
            self._path.unlink()
