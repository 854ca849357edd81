"""The worker processes of a crawl, seen from the crawl: they send what has a permit, and read what comes.

To the line they are a transport and a reader. What a server may be sent, and when, is the gate's to say: a host
with a delay is asked about at each departure; for one without, a permit holds as it is until the gate has called
anything off, which a worker sees in memory it shares with the crawl before it sends.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

import msgspec

from ..blackbox import BlackBox
from ..errors import FetchError, NotNow, OutputError, ScraperError, UsageError
from ..frontier.host import Permit
from ..outcome import Outcome
from ..request import Request
from ..response import Response
from ..ticket import Ticket
from ..url import printable
from .messages import Begin, Broken, Close, Ready, Seed
from .start import Child, start
from .worker import ERRAND, Line, Means, Told, Worker

log = logging.getLogger("scraper.workers")
MOST_DEATHS = 10  # for each worker that a crawl has, with no page ended between them
CLOSING = 10.0  # seconds for the spider's `closed` in a worker
LEAVING = 1.0  # seconds for a worker to end that has closed its wire
CROWDED = 4  # jobs more than another worker has, and a host's next request goes there


class Pool:
    """The workers, each replaced when it dies. `begin` is told first, `box` knows what one died of."""

    def __init__(self, begin: Begin, box: BlackBox, means: Means) -> None:
        self._begin = begin
        self._number: int = begin.settings["processes"]
        self._box = box
        self._means = means
        self._line: Line
        self._doomed: Callable[[Request], FetchError | None]
        self._workers: list[Worker] = []  # those that are ready
        self._children: dict[int, Child] = {}
        self._seeds: dict[str, str] = {}
        self._some = asyncio.Event()  # at least one is, or none will be
        self._broken = False  # the spider's `opened` or `login` raised in one
        self._sent = 0
        self._ended = 0
        self._deaths: list[int] = []  # how many pages had ended at each

    def join(self, line: Line, doomed: Callable[[Request], FetchError | None]) -> None:
        """Work for this crawl; `doomed` says whether a request whose worker died is not sent again."""
        self._line = line
        self._doomed = doomed
        log.info("%d worker processes fetch, parse and run the callbacks", self._number)
        line.gate.called_off = self._box.call_off

    # -- the line's side ----------------------------------------------------------------------------

    def takes(self, permit: Permit) -> bool:
        """Whether a permit is used by a worker: pages, and what their callbacks fetch; not robots.txt."""
        return permit.waiter is None or ERRAND.get() is not None

    async def exchange(self, ticket: Ticket) -> Response:
        """Use a permit. Raises FetchError, NotNow."""
        worker, errand = ERRAND.get() or (None, 0)
        while worker is None and not self._workers:
            if self._broken:
                raise NotNow("no worker can be had")
            await self._some.wait()
        self._sent += 1
        response: Response = await (worker or self._for(ticket.permit)).exchange(self._sent, ticket, errand=errand)
        return response

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

    def keepers(self) -> Iterator[Coroutine[Any, Any, None]]:
        """A task to be for each worker."""
        return map(self._keep, range(1, self._number + 1))

    async def _keep(self, number: int) -> None:
        """Have a worker of this number, and another when it dies. Raises ScraperError when none can live."""
        while True:
            worker = Worker(number, self._line, self._means)
            try:
                child = await start(self._box.file, partial(self._hear, worker), worker.gone.set)
            except OSError as error:
                raise ScraperError(f"cannot begin a worker process: {error}") from error
            self._children[number] = child
            worker.wire = child.wire
            await self._line.seeds.opened.wait()  # what `login` has left is for all
            worker.say(msgspec.structs.replace(self._begin, number=number, left=self._line.seeds.left))
            for origin, host in self._seeds.items():
                worker.say(Seed(origin, host))
            await worker.gone.wait()
            if worker.error is not None:
                raise worker.error
            self._died(worker, await _ended(child))

    def _hear(self, worker: Worker, message: Any) -> None:
        try:
            if isinstance(message, Ready):
                self._workers.append(worker)
                self._some.set()
            elif isinstance(message, Broken):
                self._broke(worker, message)
            else:
                worker.told(message)
        except asyncio.CancelledError:
            pass  # the crawl ends, and begins nothing more
        except Exception as error:  # noqa: BLE001  a bug of ours ends the crawl, not just this connection
            worker.error = error
            worker.gone.set()

    def _broke(self, worker: Worker, broken: Broken) -> None:
        if broken.kind == "spider":  # its hooks have raised: no worker will fare better
            worker.broken = self._broken = True
            self._some.set()
            self._line.seeds.broken = broken.text
            self._line.stop("broken")
            return
        kind = OutputError if broken.kind == "output" else ScraperError if self._sent else UsageError
        worker.error = kind(broken.text)
        worker.gone.set()

    def _died(self, worker: Worker, code: int) -> None:
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        what = f"worker process {worker.number} ended ({how})"
        suspects = self._box.took(worker.number)
        if worker in self._workers:
            self._workers.remove(worker)
            if not self._workers and not self._broken:
                self._some.clear()
        elif code >= 0 and not worker.broken:
            raise ScraperError(f"{what} before it could work")
        urls = [printable(job.request.url) for job in worker.jobs.values() if job.request.token in suspects]
        while_ = f" while it worked on {', '.join(urls)}" if urls else ""
        log.error("%s%s; another takes its place, and what it had is done again", what, while_)
        self._ended += worker.died(suspects, self._doomed)
        self._deaths.append(self._ended)
        most = MOST_DEATHS * self._number
        if len(self._deaths) >= most and self._deaths[-most] == self._ended:
            raise ScraperError(f"{most} worker processes ended one after the other, the last with {how}")

    async def close(self, why: str) -> None:
        """Let every worker run the spider's `closed`, and end."""
        for child in self._children.values():
            child.wire.send(Close(why))
        waiting = [asyncio.ensure_future(child.process.wait()) for child in self._children.values()]
        waiting += [asyncio.ensure_future(child.wire.lost.wait()) for child in self._children.values()]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=CLOSING)
            if late:
                log.warning("a worker process, or the spider's closed() in it, has not ended within %g s", CLOSING)
            for each in late:
                each.cancel()
        await self.end()

    async def end(self) -> None:
        """End every worker now."""
        children, self._children = self._children, {}
        for child in children.values():
            child.wire.close()
            child.kill()
        for child in children.values():
            await child.process.wait()


async def _ended(child: Child) -> int:
    """The exit code of a process whose wire is gone; one that lives on without it is killed."""
    try:
        async with asyncio.timeout(LEAVING):
            return await child.process.wait()
    except TimeoutError:
        child.kill()
        return await child.process.wait()


def _load(worker: Worker) -> int:
    return len(worker.jobs)
