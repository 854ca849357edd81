"""What is due is run once, without a server that stays: for those who have cron already, and no other wish."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from ..clock import Clock
from .record import JobRun
from .scheduler import News
from .serving import Beside, Parts, serve


class Leaving(Clock):
    """The clock of a scheduler that leaves where it would sleep and no run is open."""

    def __init__(self) -> None:
        self.parts: Parts | None = None

    async def wait(self, event: asyncio.Event, until: float | None) -> None:
        """Wait as any clock does, unless there is nothing left to wait for."""
        if self.parts is not None and not await asyncio.to_thread(self.parts.store.open_runs):
            self.parts.scheduler.stop()
        await super().wait(event, until)


async def run_due(
    root: Path, project: Path, *, beside: Sequence[Beside] = (), tell: Callable[[JobRun], None] = lambda run: None
) -> list[JobRun]:
    """Plan and run what is due by now, and what comes due meanwhile, until no run is open; gives the runs as they
    stand then, those that are open (after a signal) too.

    That includes retries, and what waits for the end of blackout hours. `tell` is called with each run that is
    over. Raises UsageError when a server has the folder, StoreError, OutputError.
    """
    clock, runs = Leaving(), dict[int, JobRun]()

    def heard(news: News) -> None:
        if news.run is not None:
            runs[news.run.id] = news.run
            if not news.run.open:
                tell(news.run)

    def ready(parts: Parts) -> None:
        clock.parts = parts
        parts.scheduler.listen(heard)

    await serve(root, project, beside=beside, clock=clock, said_ready=ready)
    return [*runs.values()]
