"""Standard output: JSON lines, at least once.

What a pipe has taken cannot be taken back, so after a kill the items since the last cursor come again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import aiofiles
from aiofiles.threadpool.binary import AsyncFileIO

from ..errors import OutputError
from .file import whole

NAME = "standard output"


class Stdout:
    """JSON lines on standard output, or on another file descriptor; raises OutputError once nobody reads."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._file: AsyncFileIO | None = None
        self._items = 0

    async def open(self, cursor: bytes | None) -> None:
        """Go on after as many items as the cursor says; nothing is cut back."""
        self._items = int(cursor) if cursor and cursor.isdigit() else 0
        try:  # a copy of the descriptor: closing it closes nobody else's
            self._file = await aiofiles.open(os.dup(self._descriptor), "wb", buffering=0)
        except OSError as error:
            raise OutputError(f"{NAME}: {error.strerror}") from error

    async def write(self, lines: Sequence[bytes]) -> None:
        """One item a line, at once."""
        if not lines:
            return
        if self._file is None:
            raise OutputError(f"{NAME} is not open")
        view = memoryview(b"\n".join(lines) + b"\n")
        try:
            while view:
                view = view[await whole(self._file.write(view)) :]
        except BrokenPipeError as error:
            raise OutputError(f"{NAME} was closed by its reader") from error
        except OSError as error:
            raise OutputError(f"{NAME}: {error.strerror}") from error
        self._items += len(lines)

    async def flush(self) -> bytes:
        """How many items were written."""
        return str(self._items).encode()

    async def close(self, *, finished: bool) -> None:
        """Let go of the copy; standard output itself stays open."""
        if self._file is not None:
            await self._file.close()
            self._file = None
