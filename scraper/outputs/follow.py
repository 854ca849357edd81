"""A follower: one coroutine that brings one output up to what is committed, and keeps it there.

It is told of every commit (`notify`), reads the journal up to there and no further, and flushes now and then.
It saves a cursor after each flush: where it is in the journal and what the output said. An output that fails
ends its follower with `error`; the crawl goes on, and a later run or an export can go on from the cursor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from ..clock import Clock
from ..errors import OutputError
from . import CursorLost, Followed, Output
from .disk import named, threaded

EVERY = 1.0  # seconds, at most, until what was written is flushed
ITEMS = 1_000
BYTES = 256 * 1024

Save = Callable[[bytes], Awaitable[None]]


class _Cursor(msgspec.Struct, array_like=True, frozen=True):
    position: int
    output: bytes
    version: int = 1


class Follower:
    """One output following a journal.

    `cursor` is what `save` was last given (None: from the beginning), `committed` the journal's position at
    the start. `run` is the coroutine; it ends after `end` was called and everything committed is written.
    `error` is set when the output failed.
    """

    def __init__(
        self,
        journal: Followed,
        output: Output,
        *,
        name: str = "",
        cursor: bytes | None = None,
        committed: int = 0,
        save: Save | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.error: OutputError | None = None
        self.position = 0  # read and given to the output
        self.committed = committed
        self.done = False
        self.through = False  # everything is written and closed; or it has failed
        self._journal = journal
        self._output = output
        self._cursor = cursor
        self._save = save
        self._clock = clock or Clock()
        self._ending: bool | None = None  # then: finished or not
        self._news = asyncio.Event()
        self._moved = asyncio.Event()
        self.moved: list[Callable[[], None]] = []  # called when less of the journal is ahead of it
        self._items = self._bytes = 0  # since the last flush
        self._due = 0.0

    def notify(self, position: int) -> None:
        """Tell of a commit: everything before this position may be written."""
        if position > self.committed:
            self.committed = position
            self._news.set()

    def end(self, *, finished: bool) -> None:
        """Ask it to write what is committed and to close; `finished` gives a file its final name."""
        self._ending = finished
        self._news.set()

    @property
    def lag(self) -> int:
        """How far behind the output is, in the journal's unit (bytes; items in memory); 0 once it ended."""
        return 0 if self.done else self.committed - self.position

    def behind(self, limit: int) -> bool:
        """Whether the output is so far behind that nobody should make more."""
        return self.lag > limit

    async def caught_up(self, limit: int = 0) -> None:
        """Wait until the output is at most so far behind, or has ended."""
        while self.lag > limit:
            self._moved.clear()
            await self._moved.wait()

    async def run(self) -> None:
        """Open, follow, close; raises StoreError when the journal cannot be read, and no OutputError."""
        closed = False
        try:
            await self._open()
            while self._ending is None or self.position < self.committed:
                await self._step()
            await self._flush()
            closed = True
            moved = await self._output.close(finished=self._ending)
            if moved is not None:
                await self._keep(moved)
            self.through = True
        except OutputError as error:
            self.error, self.through = error, True
        finally:
            self._over()
            if not closed:
                with suppress(OutputError):  # the first error is the one to tell
                    await self._output.close(finished=False)

    def fail(self, error: OutputError) -> None:
        """It was ended from outside before its end."""
        self.error, self.through = self.error or error, True
        self._over()

    def _over(self) -> None:
        self.done = True
        self._tell()

    async def _open(self) -> None:
        """Where the output says it is, else at the cursor, else at the journal's beginning, which has all."""
        with suppress(CursorLost, msgspec.MsgspecError):
            if self._cursor is not None:
                kept = msgspec.msgpack.decode(self._cursor, type=_Cursor)
                if kept.position <= self.committed:  # else a loss of power took the journal back further
                    own = await self._output.open(kept.output, self.committed)
                    self.position = kept.position if own is None else own
                    return
        self.position = await self._output.open(None, self.committed) or 0

    async def _step(self) -> None:
        """Write one batch; or wait for news, or for the time to flush."""
        now = self._clock.monotonic()
        if self._items and (now >= self._due or self._items >= ITEMS or self._bytes >= BYTES):
            await self._flush()
        elif self.position < self.committed:
            lines, position = await self._journal.read(self.position, self.committed)
            await self._output.write(lines)
            if not self._items:
                self._due = self._clock.monotonic() + EVERY
            self._items += len(lines)
            self._bytes += sum(map(len, lines))
            self.position = position
            self._tell()
        else:
            self._news.clear()
            await self._clock.wait(self._news, self._due if self._items else None)

    def _tell(self) -> None:
        self._moved.set()
        for moved in self.moved:
            moved()

    async def _flush(self) -> None:
        self._items = self._bytes = 0
        await self._keep(await self._output.flush(self.position))

    async def _keep(self, output: bytes) -> None:
        if self._save is not None:
            await self._save(msgspec.msgpack.encode(_Cursor(self.position, output)))


class CursorFile:
    """Where a follower's cursor is kept: a small file that is replaced whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> bytes | None:
        """The cursor, None when there is none yet; raises OutputError."""
        with named(self.path):
            return self.path.read_bytes() if self.path.exists() else None

    async def save(self, cursor: bytes) -> None:
        """Keep a cursor; raises OutputError."""
        with named(self.path):
            await threaded(self._write, cursor)

    def _write(self, cursor: bytes) -> None:
        beside = self.path.with_name(self.path.name + ".new")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(cursor)
        beside.replace(self.path)
