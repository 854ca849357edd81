"""A server that kills itself at a step of its first run: `python -m tests.jobs.dying_server STEP`, in a project."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scraper.jobs import ending, process
from scraper.jobs.examination import Examination
from scraper.jobs.scheduler import Scheduler
from scraper.jobs.serving import serve


def die(*given: Any) -> Any:
    """Now."""
    os.kill(os.getpid(), signal.SIGKILL)


def later(*given: Any) -> None:
    """In a moment, when what was begun is under way."""
    time.sleep(0.1)
    die()


def dying(place: Any, name: str, *, before: Callable[..., Any] | None, after: Callable[..., Any] | None) -> None:
    """Let a step be the last."""
    whole = getattr(place, name)

    async def slow(*given: Any, **more: Any) -> Any:
        if before is not None:
            before()
        made = await whole(*given, **more)
        return after() if after is not None else made

    def step(*given: Any, **more: Any) -> Any:
        if before is not None:
            before()
        made = whole(*given, **more)
        return after() if after is not None else made

    setattr(place, name, slow if asyncio.iscoroutinefunction(whole) else step)


STEPS: dict[str, tuple[Any, str, Any, Any]] = {
    "begun is on record": (process.Processes, "start", die, None),
    "the process is there": (process.Processes, "start", None, die),
    "the process is on record": (process.CrawlProcess, "go", die, None),
    "the order is on its way": (process.CrawlProcess, "go", None, die),
    "the order has come": (process.CrawlProcess, "go", None, later),
    "the crawl has ended": (ending, "ended", die, None),
    "its end is known": (ending, "ended", None, die),
    "the comparison begins": (Examination, "watch", die, None),
    "the comparison has ended": (Examination, "watch", None, die),
    "the end is on record": (Scheduler, "_settle", None, None),
    "an earlier one is taken over": (process.Processes, "adopt", None, die),
}


def main() -> None:
    """Serve, and die."""
    place, name, before, after = STEPS[sys.argv[1]]
    if name == "_settle":
        settle = Scheduler._settle

        async def settled(self: Scheduler) -> None:
            if any(each.ended is not None for each in self.working.values()):
                await settle(self)
                die()

        Scheduler._settle = settled  # type: ignore[method-assign]
    else:
        dying(place, name, before=before, after=after)
    asyncio.run(serve(Path("output").absolute(), Path.cwd()))


if __name__ == "__main__":
    main()
