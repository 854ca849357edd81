"""How a crawl is doing while it runs: one line drawn anew on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from ..words import clock, count
from .terminal import Terminal

if TYPE_CHECKING:
    from ..crawl import Crawl

TICK = 0.5  # seconds between two drawings
PLAIN_TICK = 10.0  # seconds between two log lines
WINDOW = 5.0  # seconds that the rate is taken over
log = logging.getLogger("scraper.progress")


class Counts(msgspec.Struct, frozen=True):
    """What the line tells. `rate` is pages a second, `elapsed` seconds."""

    pages: int = 0
    items: int = 0
    errors: int = 0
    queued: int = 0
    hosts: int = 0
    rate: float = 0.0
    elapsed: float = 0.0


# What to leave out first when the line is too narrow.
EXPENDABLE = ("hosts", "queued", "elapsed", "rate", "errors", "items")


def line(counts: Counts, width: int) -> str:
    """The counts in at most `width` columns, the least important left out first."""
    parts = {
        "elapsed": clock(counts.elapsed),
        "pages": count(counts.pages, "page"),
        "rate": f"{counts.rate:,.1f}/s",
        "items": count(counts.items, "item"),
        "errors": count(counts.errors, "error"),
        "queued": f"{counts.queued:,} queued",
        "hosts": count(counts.hosts, "host"),
    }
    for name in EXPENDABLE:
        if len("  ".join(parts.values())) <= width:
            break
        del parts[name]
    return "  ".join(parts.values())[:width]


class Progress:
    """Watches a crawl and only listens. `attach` hands it over, `run` is the coroutine."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._crawl: Crawl | None = None
        self._began = time.monotonic()
        self._marks: deque[tuple[float, int]] = deque([(self._began, 0)])

    def attach(self, crawl: Any) -> None:
        """From now on this crawl is watched."""
        self._crawl = crawl

    async def run(self) -> None:
        """Tell how it goes until cancelled."""
        due = time.monotonic() + PLAIN_TICK
        while True:
            await asyncio.sleep(TICK)
            counts = self.counts(time.monotonic())
            if self._terminal.live:
                self._terminal.draw(line(counts, self._terminal.width - 1))
            elif time.monotonic() >= due:
                due += PLAIN_TICK
                log.info("%s", line(counts, 200))

    def counts(self, now: float) -> Counts:
        """The numbers of this moment (monotonic seconds)."""
        crawl = self._crawl
        if crawl is None:
            return Counts(elapsed=now - self._began)
        pages = crawl.stats.done
        if crawl.recovered.answered and len(self._marks) == 1:  # earlier processes had done those
            self._marks = deque([(now, pages)])
        self._marks.append((now, pages))
        while len(self._marks) > 2 and now - self._marks[1][0] >= WINDOW:
            self._marks.popleft()
        since, before = self._marks[0]
        return Counts(
            pages=pages,
            items=crawl.stats.items,
            errors=crawl.stats.failed,
            queued=crawl.gate.queued,
            hosts=crawl.gate.known.met,
            rate=(pages - before) / (now - since) if now > since else 0.0,
            elapsed=now - self._began,
        )
