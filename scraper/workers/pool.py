"""The worker processes of a crawl, seen from the crawl: they send what has a permit, and read what comes.

To the line they are a transport and a reader. What a server may be sent, and when, is the gate's to say: a host
with a delay is asked about at each departure; for one without, a permit holds as it is until the gate has called
anything off, which a worker sees in memory it shares with the crawl before it sends.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from ..blackbox import BlackBox
from ..errors import FetchError, OutputError, ScraperError, UsageError
from ..frontier.host import Permit
from ..outcome import Outcome
from ..request import Request
from ..response import Response
from ..ticket import Ticket
from .messages import Begin, Broken, Close, Ready, Seed
from .start import Child, start
from .worker import ERRAND, Line, Means, Told, Worker

log = logging.getLogger("scraper.workers")
MOST_DEATHS = 20  # of workers, with no page ended between them
CLOSING = 10.0  # seconds for the spider's `closed` in a worker
CROWDED = 4  # jobs more than another worker has, and a host's next request goes there


class Pool:
    """The workers, each replaced when it dies. `begin` is told first, `box` knows what one died of."""

    def __init__(self, begin: Begin, box: BlackBox, means: Means) -> None:
        self.numbers = range(1, begin.settings["processes"] + 1)
        self._begin = begin
        self._box = box
        self._means = means
        self._line: Line | None = None
        self._workers: list[Worker] = []  # those that are ready
        self._children: dict[int, Child] = {}
        self._seeds: dict[str, str] = {}
        self._some = asyncio.Event()  # at least one is
        self._sent = 0
        self._ended = 0
        self._deaths: list[int] = []  # how many pages had ended at each

    def join(self, line: Line, doomed: Callable[[Request], FetchError | None]) -> None:
        """Work for this crawl; `doomed` says whether a request whose worker died is not sent again."""
        self._line = line
        self._doomed = doomed
        line.gate.called_off = self._box.call_off

    # -- the line's side ----------------------------------------------------------------------------

    def takes(self, permit: Permit) -> bool:
        """Whether a permit is used by a worker: pages, and what their callbacks fetch; not robots.txt."""
        return permit.waiter is None or ERRAND.get() is not None

    async def exchange(self, ticket: Ticket) -> Response:
        """Use a permit. Raises FetchError, NotNow."""
        self._sent += 1
        if (asked := ERRAND.get()) is not None:
            worker, errand = asked
            response: Response = await worker.exchange(self._sent, ticket, errand=errand)
            return response
        while not self._workers:
            await self._some.wait()
        worker = self._for(ticket.permit)
        return await worker.exchange(self._sent, ticket)

    def _for(self, permit: Permit) -> Worker:
        """The worker with the least to do; a host with a delay stays with one, and its connection with it."""
        least = min(self._workers, key=_load)
        if permit.host.delay:
            own = self._workers[hash(permit.host.name) % len(self._workers)]
            if len(own.jobs) <= len(least.jobs) + CROWDED:
                return own
        return least

    async def read(self, response: Response) -> Outcome:
        """What the spider makes of an answer that a worker has. Raises NotNow, FetchError when that dies."""
        assert isinstance(response, Told)
        outcome = await response.job.worker.read(response)
        self._ended += 1
        return outcome

    def seed(self, origin: str, host: str) -> None:
        """The spider named this origin itself: all workers are to know."""
        self._seeds[origin] = host
        for child in self._children.values():
            child.wire.send(Seed(origin, host))

    # -- the processes ------------------------------------------------------------------------------

    async def keep(self, number: int) -> None:
        """Have a worker of this number, and another when it dies. Raises ScraperError when none can live."""
        assert self._line is not None
        while True:
            gone = asyncio.Event()
            worker = Worker(number, self._line, self._means)
            begin = msgspec.structs.replace(self._begin, number=number)
            child = await start(begin, self._box.file, partial(self._hear, worker), gone.set)
            worker.wire, worker.gone = child.wire, gone.set
            self._children[number] = child
            for origin, host in self._seeds.items():
                worker.say(Seed(origin, host))
            await gone.wait()
            if worker.error is not None:
                raise worker.error
            code = await child.process.wait()
            self._died(worker, code)

    def _hear(self, worker: Worker, message: Any) -> None:
        if isinstance(message, Ready):
            self._workers.append(worker)
            self._some.set()
        elif isinstance(message, Broken) and message.kind != "spider":
            worker.error = UsageError(message.text) if message.kind == "usage" else OutputError(message.text)
            worker.gone()
        else:
            worker.told(message)

    def _died(self, worker: Worker, code: int) -> None:
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if worker not in self._workers:
            if worker.broken:
                return
            raise ScraperError(f"worker process {worker.number} ended ({how}) before it could work")
        self._workers.remove(worker)
        if not self._workers:
            self._some.clear()
        suspects = self._box.took(worker.number)
        urls = [job.request.url for job in worker.jobs.values() if job.request.token in suspects]
        log.error(
            "worker process %d ended (%s)%s; another takes its place, and what it had is done again",
            worker.number, how, f" while it worked on {', '.join(urls)}" if urls else "",
        )  # fmt: skip
        worker.died(suspects, self._doomed)
        self._deaths.append(self._ended)
        if len(self._deaths) >= MOST_DEATHS and self._deaths[-MOST_DEATHS] == self._ended:
            raise ScraperError(f"{MOST_DEATHS} worker processes ended one after the other, the last with {how}")

    async def close(self, why: str) -> None:
        """Let every worker run the spider's `closed`, and end."""
        for child in self._children.values():
            child.wire.send(Close(why))
        waiting = [asyncio.ensure_future(child.process.wait()) for child in self._children.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=CLOSING)
        await self.end()

    async def end(self) -> None:
        """End every worker now."""
        children, self._children = self._children, {}
        for child in children.values():
            child.wire.close()
            with suppress(ProcessLookupError):
                child.process.kill()
            await child.process.wait()


def _load(worker: Worker) -> int:
    return len(worker.jobs)
