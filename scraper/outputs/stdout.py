"""Standard output: JSON lines, at least once, each with a key.

What a pipe has taken cannot be taken back, so after a kill the items since the last cursor come again: with
the same `_key` as before, "RUN/NUMBER", by which a reader tells them.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Sequence

import msgspec

from ..errors import OutputError

NAME = "standard output"
PIPE_BUF = 4096  # bytes a pipe takes at once when it says that it takes any (POSIX allows 512)

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Stdout:
    """JSON lines on standard output, or on another file descriptor; raises OutputError once nobody reads.

    A pipe or terminal is written when it has room and not before, so a reader that stands still (`| less`)
    holds up this output only, and nothing hangs when the crawl is stopped. Without a `run` there are no keys.
    """

    def __init__(self, descriptor: int = 1, *, run: str = "") -> None:
        self._descriptor = descriptor
        self._run = msgspec.json.encode(run)[:-1] + b"/" if run else b""
        self._copy: int | None = None
        self._waits = False
        self._items = 0

    async def open(self, cursor: bytes | None, committed: int) -> None:
        """Go on after as many items as the cursor says; nothing is cut back."""
        self._items = int(cursor) if cursor and cursor.isdigit() else 0
        try:  # a copy of the descriptor: closing it closes nobody else's
            self._copy = os.dup(self._descriptor)
            mode = os.fstat(self._copy).st_mode
            pipe = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(self._copy)
            self._waits = pipe and os.name == "posix"
        except OSError as error:
            raise OutputError(f"{NAME}: {error.strerror}") from error

    async def write(self, lines: Sequence[bytes]) -> None:
        """One item a line, at once; `_key` is its last member, unless it has one of its own."""
        if not lines:
            return
        if self._copy is None:
            raise OutputError(f"{NAME} is not open")
        if self._run:
            keyed = [_keyed(line, self._run, number) for number, line in enumerate(lines, self._items + 1)]
            view = memoryview(b"\n".join(keyed) + b"\n")
        else:
            view = memoryview(b"\n".join(lines) + b"\n")
        try:
            while view:
                view = view[await self._some(self._copy, view) :]
        except BrokenPipeError as error:
            raise OutputError(f"{NAME} was closed by its reader") from error
        except OSError as error:
            raise OutputError(f"{NAME}: {error.strerror}") from error
        self._items += len(lines)

    async def flush(self, position: int) -> bytes:
        """How many items were written."""
        return str(self._items).encode()

    async def close(self, *, finished: bool) -> None:
        """Let go of the copy; standard output itself stays open."""
        if self._copy is not None:
            os.close(self._copy)
            self._copy = None

    async def _some(self, descriptor: int, data: memoryview) -> int:
        """Write a part; returns its bytes."""
        if not self._waits:
            return await asyncio.to_thread(os.write, descriptor, data)
        await _room(descriptor)
        try:
            return os.write(descriptor, data[:PIPE_BUF])
        except BlockingIOError:  # somebody else was quicker, on a descriptor that does not block
            return 0


def _keyed(line: bytes, run: bytes, number: int) -> bytes:
    """The item with its key, put in without taking it apart."""
    if b'"_key"' in line and "_key" in _object.decode(line):
        return line
    return b'%b%b"_key":%b%d"}' % (line[:-1], b"" if line == b"{}" else b",", run, number)


async def _room(descriptor: int) -> None:
    """Wait until a pipe takes something, or has lost its reader."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(descriptor)
