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
from .frontier.store import Batch, Step, Store
from .outcome import Outcome
from .request import Request

MOST_OUTCOMES = 1000
MOST_BYTES = 8 * 2**20


class Journal(Protocol):
    """The journal of a run, as the commit sees it: of its items, and of those that could not be written."""

    async def append(self, lines: Sequence[bytes]) -> int:
        """Write lines at the end; gives the new length in bytes."""


class Commit:
    """Gathers outcomes in the order they were accepted. `every` is in seconds."""

    def __init__(
        self, store: Store, journal: Journal, rejected: Journal, clock: Clock, events: Events, *, every: float
    ) -> None:
        self.position = 0
        self._rejected = rejected
        self._bad_position = 0
        self._bad_lines: list[bytes] = []
        self._store = store
        self._journal = journal
        self._clock = clock
        self._events = events
        self._every = every
        self._steps: list[Step] = []
        self._lines: list[bytes] = []
        self._bytes = 0
        self._seeds_done = False
        self._first = asyncio.Event()  # something waits to be committed
        self._now = asyncio.Event()  # and should not wait longer
        self._finishing = False
        self.told: list[Callable[[int], None]] = []  # called with the journal's committed length

    def add(self, outcome: Outcome, added: Sequence[Request]) -> None:
        """Take an outcome and what it led to into the next batch."""
        self._steps.append(Step(outcome, added))
        if outcome.rejected:
            self._bad_lines.extend(outcome.rejected)
        if outcome.items:
            self._lines.extend(outcome.items)
            self._bytes += sum(map(len, outcome.items))
        self._first.set()
        if len(self._steps) >= MOST_OUTCOMES or self._bytes >= MOST_BYTES:
            self._now.set()

    def add_seeds(self, added: Sequence[Request], *, done: bool = False) -> None:
        """Take seeds into the next batch; `done` when there are no more."""
        if added:
            self._steps.append(Step(None, added))
        self._seeds_done = self._seeds_done or done
        self._first.set()

    def hurry(self) -> None:
        """Commit what there is without waiting for more."""
        self._now.set()

    def finish(self) -> None:
        """Let `run` end after a last batch with everything accepted before."""
        self._finishing = True
        self._first.set()
        self._now.set()

    async def run(self) -> None:
        """Commit batch after batch, until `finish`. Raises StoreError, OutputError: the process must end."""
        while not self._finishing:
            await self._first.wait()
            await self._clock.wait(self._now, self._clock.monotonic() + self._every)
            await self._step()
        await self._step()

    async def _step(self) -> None:
        steps, self._steps = self._steps, []
        lines, self._lines = self._lines, []
        bad, self._bad_lines = self._bad_lines, []
        done = self._seeds_done
        self._bytes = 0
        self._first.clear()
        self._now.clear()
        if lines:
            self.position = await self._journal.append(lines)
        if bad:
            self._bad_position = await self._rejected.append(bad)
        positions = {"items": self.position, "rejected": self._bad_position}
        await self._store.commit(Batch(steps=steps, positions=positions, seeds_done=done))
        if lines:
            for tell in self.told:
                tell(self.position)
        if self._events.wanted:
            self._events.tell(Committed(sum(step.outcome is not None for step in steps), self.position))
