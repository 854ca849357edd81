"""Makes outcomes and items durable in one step, many at a time.

Items go to the end of the journal first, then one store transaction records the outcomes, what they led to
and the journal's new length. A kill before the transaction leaves bytes behind the recorded length, which
the next start cuts off; a kill after it leaves both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from .clock import Clock
from .events import Committed, Events
from .frontier.store import Batch, Facts, Step, Store
from .outcome import Outcome
from .request import Request
from .spool import Spool

MOST_OUTCOMES = 1000
MOST_BYTES = 8 * 2**20


class Journal(Protocol):
    """The journal of a run, as the commit sees it: of its items, and of those that could not be written."""

    async def append(self, lines: Sequence[bytes]) -> int:
        """Write lines at the end; gives the new length in bytes."""

    async def sync(self) -> None:
        """Force what was written to the disk."""

    @property
    def position(self) -> int:
        """Its length in bytes."""


class Commit:
    """Gathers outcomes in the order they were accepted. `every` is in seconds.

    `facts` gives what else has changed; with `power` the journals are on the disk before the outcomes are.
    `durable` is the last token that the store has for good.
    """

    def __init__(
        self, store: Store, journal: Journal, rejected: Journal, facts: Callable[[], Facts], clock: Clock,
        events: Events, *, every: float, power: bool = False, durable: int = 0,
    ) -> None:  # fmt: skip
        self.position = journal.position
        self._facts = facts
        self._power = power
        self._rejected = rejected
        self._bad_lines: list[bytes] = []
        self._store = store
        self._journal = journal
        self._clock = clock
        self._events = events
        self._every = every
        self._steps: list[Step] = []
        self._items: list[list[bytes] | Spool] = []
        self._bytes = 0
        self._sources: list[tuple[int, int]] = []
        self._end = journal.position  # in bytes, with everything that was taken
        self.seeds_done = False
        self._started: dict[int, bool] = {}
        self._awaited: list[asyncio.Future[None]] = []
        self._durable = durable
        self._first = asyncio.Event()  # something waits to be committed
        self._now = asyncio.Event()  # and should not wait longer
        self._finishing = False
        self.told: list[Callable[[int], None]] = []  # called with the journal's committed length

    def add(self, outcome: Outcome, added: Sequence[Request]) -> None:
        """Take an outcome and what it led to into the next batch."""
        self._steps.append(Step(outcome, added))
        self._started.pop(outcome.request.token, None)
        if outcome.rejected:
            self._bad_lines.extend(outcome.rejected)
        if outcome.items:
            self._sources.append((self._end, outcome.request.token))
            self._take(outcome.items)
        self._first.set()
        if len(self._steps) >= MOST_OUTCOMES or self._bytes >= MOST_BYTES:
            self._now.set()

    def _take(self, items: list[bytes] | Spool) -> None:
        if isinstance(items, Spool):
            self._items.append(items)
            self._bytes += items.size
            # More than are written where `max_items` has cut it, and then nothing comes after it.
            self._end += items.size + len(items)
            return
        last = self._items[-1] if self._items else None
        if isinstance(last, list):
            last.extend(items)
        else:
            self._items.append([*items])
        size = sum(map(len, items))
        self._bytes += size
        self._end += size + len(items)

    def add_seeds(self, added: Sequence[Request], *, done: bool = False) -> None:
        """Take seeds into the next batch; `done` when there are no more."""
        if added:
            self._steps.append(Step(None, added))
        self.seeds_done = self.seeds_done or done
        self._first.set()

    async def start(self, token: int) -> None:
        """An unsafe request is about to be sent: wait until that is durable."""
        self._started[token] = True
        await self._next()

    async def known(self, token: int) -> None:
        """A request is about to be worked on: wait until it is durable, so that a death of it is counted."""
        if token > self._durable:
            await self._next()

    async def _next(self) -> None:
        done = asyncio.get_running_loop().create_future()
        self._awaited.append(done)
        self._first.set()
        self._now.set()
        await done

    def unstart(self, token: int) -> None:
        """It was not sent after all."""
        self._started[token] = False
        self._first.set()

    def hurry(self, *, facts: bool = False) -> None:
        """Commit what there is without waiting for more; with `facts` also when there is nothing but those."""
        if facts:
            self._first.set()
        self._now.set()

    def finish(self) -> None:
        """Let `run` end after a last batch with everything accepted before."""
        self._finishing = True
        self._first.set()
        self._now.set()

    async def run(self) -> None:
        """Commit batch after batch, until `finish`. Raises StoreError, OutputError: the process must end."""
        try:
            while not self._finishing:
                await self._first.wait()
                await self._clock.wait(self._now, self._clock.monotonic() + self._every)
                await self._step()
            await self._step()
        finally:
            _let_go(self._items)

    async def _step(self) -> None:
        steps, self._steps = self._steps, []
        items, self._items = self._items, []
        sources, self._sources = self._sources, []
        bad, self._bad_lines = self._bad_lines, []
        started, self._started = self._started, {}
        awaited, self._awaited = self._awaited, []
        done = self.seeds_done
        facts = self._facts()
        self._bytes = 0
        self._first.clear()
        self._now.clear()
        try:
            for part in items:
                await self._append(part)
        finally:
            _let_go(items)
        if bad:
            await self._rejected.append(bad)
        if self._power:
            for journal in (self._journal,) * bool(items) + (self._rejected,) * bool(bad):
                await journal.sync()
        self.position = self._journal.position
        positions = {"items": self.position, "rejected": self._rejected.position}
        batch = Batch(
            steps=steps, started=started, positions=positions, sources=sources, facts=facts, seeds_done=done
        )  # fmt: skip
        await self._store.commit(batch)
        self._durable = max((self._durable, *(added.token for step in steps for added in step.added)))
        for future in awaited:
            if not future.done():
                future.set_result(None)
        if items:
            for tell in self.told:
                tell(self.position)
        if self._events.wanted:
            self._events.tell(Committed(sum(step.outcome is not None for step in steps), self.position))

    async def _append(self, items: list[bytes] | Spool) -> None:
        if not isinstance(items, Spool):
            await self._journal.append(items)
            return
        for lines in items.chunks():
            await self._journal.append(lines)


def _let_go(items: Sequence[list[bytes] | Spool]) -> None:
    """Of their files, written or not."""
    for part in items:
        if isinstance(part, Spool):
            part.close()
