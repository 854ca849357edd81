"""What is due is run once, without a server that stays: for those who have cron already, and no other wish."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from ..clock import Clock
from ..errors import UsageError
from .raising import GROUP
from .record import JobRun, Kept
from .schedule import Schedule
from .scheduler import News
from .serving import Beside, Parts, serve
from .store import Jobs


class Leaving(Clock):
    """The clock of a server that leaves where it would sleep and nothing is left that was due when it began.

    The scheduler and who tells people wait by it, so at each wait one of them has done all it can.
    """

    def __init__(self, clock: Clock) -> None:
        self.parts: Parts | None = None
        self.monotonic = clock.monotonic
        self.wall = clock.wall
        self._clock = clock
        self._began = clock.wall()

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds."""
        await self._clock.sleep(seconds)

    async def wait(self, event: asyncio.Event, until: float | None) -> None:
        """Wait as any clock does, unless there is nothing left to wait for."""
        if self.parts is not None and not await asyncio.to_thread(self._busy, self.parts.store):
            self.parts.scheduler.stop()
        await self._clock.wait(event, until)

    def _busy(self, store: Jobs) -> bool:
        """Whether a run is open or to be planned, or people are to be told of one."""
        if self._open(store) or any(_due(kept, self._began) for kept in store.jobs()):
            return True
        return self._open(store)  # what was due may have become a run just now

    def _open(self, store: Jobs) -> bool:
        if store.open_runs() or store.unjudged(1):
            return True
        soon = self.wall() + GROUP  # a message is on its way, or will be
        return any(not each.error and (each.tries or each.due <= soon) for each in store.owed())


def _due(kept: Kept, now: float) -> bool:
    try:
        planned = Schedule.parse(kept.job).after(kept.upto)
    except UsageError:  # the scheduler has said so, and never plans it
        return False
    return not kept.paused and planned is not None and planned <= now


async def run_due(
    root: Path, project: Path, *, beside: Sequence[Beside] = (), clock: Clock | None = None,
    tell: Callable[[JobRun], None] = lambda run: None, last: bool = False,
) -> list[JobRun]:  # fmt: skip
    """Plan and run what is due by now, and what comes due meanwhile, until no run is open; gives the runs as they
    stand then, those that are open (after a signal) too.

    That includes retries, and what waits for the end of blackout hours; people are told once, what does not arrive
    is left to the next. `tell` is called with each run that is over. `last` is that of `serve`. Raises UsageError
    when a server has the folder, StoreError, OutputError.
    """
    leaving, runs = Leaving(clock or Clock()), dict[int, JobRun]()

    def heard(news: News) -> None:
        if news.run is not None:
            runs[news.run.id] = news.run
            if not news.run.open:
                tell(news.run)

    def ready(parts: Parts) -> None:
        leaving.parts = parts
        parts.scheduler.listen(heard)

    await serve(root, project, beside=beside, clock=leaving, said_ready=ready, last=last)
    return [*runs.values()]
