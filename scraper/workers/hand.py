"""Inside a worker process: sends what the crawl says, runs the spider on what comes, and says what it gave."""

from __future__ import annotations

import asyncio
import os
import time
import traceback
from collections.abc import Coroutine, Iterator
from contextvars import Context, ContextVar, copy_context
from typing import Any

from ..blackbox import Shared
from ..errors import FetchError, NotNow, OutputError, Retry, StatusError
from ..fetch.cookies import Jar, Jars
from ..fetch.departure import DEPARTURE
from ..fetch.stack import Fetch
from ..frontier.scope import Scope
from ..frontier.sieve import Sieve
from ..judge import readable
from ..outcome import Outcome
from ..page import OPEN_PAGE, Pages
from ..reading import Reading
from ..reasons import Reason
from ..request import Request
from ..response import Response
from ..settings import Settings
from ..spider import Spider
from ..stats import Stats
from ..url import origin
from . import messages
from .messages import Answer, Ask, Broken, Done, Drop, Fault, Fetched, Head, Items, Job, Refused, Sent
from .wire import Wire

MOST_TOLD = 200_000  # marks; 16 MB
CRASHED = 70  # exit code of a bug (sysexits.h, EX_SOFTWARE)


class Sending:
    """A job in hand: its departure, as the transport sees it. Raises NotNow where the gate calls it off."""

    __slots__ = ("departed", "hand", "job", "lent")

    def __init__(self, hand: Hand, job: Job) -> None:
        self.hand = hand
        self.job = job
        self.departed = 0.0  # when, where nobody was asked
        self.lent = False  # its place, to what `prepare` has fetched

    def depart(self, *, reused: bool = False) -> Coroutine[Any, Any, None] | None:
        """The connection is ready: go, or wait for the gate's word."""
        if self.job.go == self.hand.board.called_off():
            self.departed = time.monotonic()
            return None
        return self._asked(reused)

    async def _asked(self, reused: bool) -> None:
        answer = await self.hand.ask(self.job.job, "depart", flag=reused)
        if not answer.yes:
            raise NotNow("the host is left alone for now")

    def sent(self) -> None:
        """The headers have been written."""
        if not self.departed:
            self.hand.wire.send(Sent(self.job.job))


JOB: ContextVar[Sending | None] = ContextVar("job", default=None)  # what this task sends
PREPARING: ContextVar[Sending | None] = ContextVar("preparing", default=None)  # whose request `prepare` works on


class Given(Jars):
    """The cookies that the crawl has given with a job; what servers set goes back with the answer."""

    def __init__(self) -> None:
        super().__init__()
        self._given = Cookie()

    def jar(self, session: str = "") -> Jar:
        """The cookies of the job at hand."""
        return self._given


class Cookie(Jar):
    """One job's."""

    def __len__(self) -> int:
        """Never none: it is asked for each request."""
        return 1

    def header(self, url: str, now: float, *, same_site: bool = True, safe: bool = True) -> str:
        """What the crawl has said."""
        sending = JOB.get()
        return sending.job.cookie if sending is not None else ""

    def store(self, url: str, lines: Any, now: float) -> bool:
        """Not here."""
        return False


class Hand:
    """One worker: a spider of its own, and what it needs to send and read."""

    def __init__(
        self, wire: Wire, board: Shared, spider: Spider, settings: Settings, fetch: Fetch, pages: Pages,
        reading: Reading, stats: Stats, scope: Scope,
    ) -> None:  # fmt: skip
        self.wire = wire
        self.board = board
        self._spider = spider
        self._settings = settings
        self._fetch = fetch
        self._pages = pages
        self._reading = reading
        self._stats = stats
        self._prepares = type(spider).prepare is not Spider.prepare
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._errands: dict[int, tuple[Context, set[asyncio.Task[None]]]] = {}  # whose they are, and their sends
        self._heads: dict[int, Head] = {}  # not said yet: perhaps the outcome follows within this turn
        self._kept: dict[int, Response] = {}  # answers for errands
        self._told: set[int] = set()  # marks of links that the crawl was told of
        self._sieve = Sieve(scope, settings, self._told)
        wire.before.append(self._say_heads)

    # -- what the crawl says ------------------------------------------------------------------------

    def told(self, message: Any) -> None:
        """Hear a message."""
        if isinstance(message, Job):
            self._begin(message)
            return
        key = message.number if isinstance(message, Answer) else message.errand
        future = self._asked.pop(key, None)
        if future is not None and not future.done():
            future.set_result(message)

    def _begin(self, job: Job) -> None:
        context, sends = self._errands.get(job.errand, (None, self._tasks))
        if job.errand and context is None:  # given up meanwhile
            self.wire.send(Fault(job.job, called_off=True))
            return
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._work(job), context=context.copy() if context is not None else None)
        for tasks in (self._tasks, sends):
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, OutputError):
            self.wire.send(Broken(str(error), "output"))
        elif error is not None:  # a bug of ours: told as a crash, which the crawl outlives for a while
            traceback.print_exception(error)
            self.wire.flush()
            os._exit(CRASHED)

    def _future(self, key: int) -> asyncio.Future[Any]:
        future = self._asked[key] = asyncio.get_running_loop().create_future()
        return future

    async def ask(self, job: int, what: str, text: str = "", *, flag: bool = False) -> Answer:
        """Ask the crawl something about a job."""
        self._number += 1
        future = self._future(self._number)
        self.wire.send(Ask(self._number, job, what, text, flag))
        answer: Answer = await future
        return answer

    # -- a job --------------------------------------------------------------------------------------

    async def _work(self, job: Job) -> None:
        sending = Sending(self, job)
        JOB.set(sending)
        DEPARTURE.set(sending)
        request = job.request
        try:
            response = await self._fetch(await self._prepared(sending))
        except NotNow:
            self.wire.send(Fault(job.job, called_off=True))
            return
        except FetchError as error:
            wire = error.partial.wire_bytes if error.partial else 0
            self.wire.send(Fault(job.job, error.reason, error.detail, wire, departed=sending.departed))
            return
        response.request = request
        reads = job.read and readable(request, response, self._settings)
        head = Head(
            job.job, response.status, [*_telling(response, whole=not reads)], response.wire_bytes,
            len(response.body), response.elapsed, sending.departed, reads, [*response.flags],
        )  # fmt: skip
        self._heads[job.job] = head
        self.wire.plan()
        if reads:
            if job.hold:
                await self._future(-job.job)
            await self._done(job, await self._pages.read(await self._reading.open(response)))
        elif job.errand in self._errands:
            self._kept[job.errand] = response

    def _say_heads(self) -> None:
        heads, self._heads = self._heads, {}
        for head in heads.values():
            self.wire.send(head)

    async def _done(self, job: Job, outcome: Outcome) -> None:
        page_items = outcome.items
        if not isinstance(page_items, list):
            for lines in page_items.chunks():
                self.wire.send(Items(job.job, lines))
                await self.wire.drain()
            page_items.close()
            page_items = []
        sifted = await self._sieve.slowly(job.request, outcome.links) if outcome.links else None
        fetches, self._stats.own_fetches = self._stats.own_fetches, 0
        self.wire.send(
            Done(
                job.job, outcome.end, self._heads.pop(job.job, None), outcome.reason, outcome.detail,
                sifted, page_items, [*outcome.rejected], outcome.at, outcome.where, outcome.trace,
                outcome.stop, fetches,
            )
        )  # fmt: skip
        if sifted is not None:
            if len(self._told) > MOST_TOLD:
                self._told.clear()  # the crawl knows them all the same
            self._told.update(sifted.marks)

    async def _prepared(self, sending: Sending) -> Request:
        """The request as the spider's `prepare` wants it sent; the crawl hears of what that changes for it."""
        job = sending.job
        request = job.request
        if not self._prepares or not request.callback:
            return request
        PREPARING.set(sending)
        page = OPEN_PAGE.get()
        prepared = await self._pages.prepared(request, page=page.request if page is not None else None)
        PREPARING.set(None)
        if sending.lent:
            job.go = -1
            if not (await self.ask(job.job, "permit")).yes:
                raise NotNow("its host has no place for it any more")
        if origin(prepared.url) != origin(request.url):  # the permit, and robots.txt, are of this one
            text = f"prepare() moved the request to {origin(prepared.url)}; yield a Request for that instead"
            raise FetchError(Reason.CALLBACK_ERROR, text)
        if prepared.url != request.url:
            job.cookie = (await self.ask(job.job, "cookie", prepared.url)).text
        if request.safe and not prepared.safe and not (await self.ask(job.job, "begin")).yes:
            raise NotNow("nobody waits for it any more")
        return prepared

    # -- a callback's own fetch ---------------------------------------------------------------------

    async def fetch(self, request: Request) -> Response:
        """Fetch within a callback: the crawl gets the permits, this process sends. Raises FetchError."""
        page, boarding, own = OPEN_PAGE.get(), PREPARING.get(), JOB.get()
        if page is not None:
            page.fetches += 1
        job = own.job.job if own is not None else 0
        if boarding is not None:
            boarding.lent = True
        if page is not None:
            page.pause()
        try:
            kept = await self._errand(request, job, opened=page is not None, boarding=boarding is not None)
        finally:
            if page is not None:
                page.resume()
        if isinstance(kept, Refused):
            raise _error(kept)
        return await self._reading.open(kept)

    async def _errand(self, request: Request, job: int, *, opened: bool, boarding: bool) -> Response | Refused:
        """Let the crawl fetch something by this process's hand."""
        self._number += 1
        errand = self._number
        future = self._future(errand)
        sends: set[asyncio.Task[None]] = set()
        self._errands[errand] = copy_context(), sends
        self.wire.send(messages.Fetch(errand, job, request, opened, boarding))
        try:
            answer: Fetched | Refused = await future
            return self._kept[errand] if isinstance(answer, Fetched) else answer
        except asyncio.CancelledError:
            self._asked.pop(errand, None)
            self._drop(errand, sends)
            raise
        finally:
            del self._errands[errand]
            self._kept.pop(errand, None)

    def _drop(self, errand: int, sends: set[asyncio.Task[None]]) -> None:
        """It is not waited for any more: its place is free when its connection is closed."""

        def closed(task: asyncio.Task[None] | None = None) -> None:
            if not sends:
                self.wire.send(Drop(errand))

        closed()
        for task in [*sends]:
            task.add_done_callback(closed)
            task.cancel()


def _error(refused: Refused) -> Exception:
    if refused.rests:
        return Retry(refused.detail, after=refused.after)
    if refused.status:
        return StatusError(refused.status, after=refused.after)
    return FetchError(refused.reason, refused.detail, after=refused.after)


def _telling(response: Response, *, whole: bool) -> Iterator[tuple[bytes, bytes]]:
    """The header fields that the crawl needs: all of an answer that no callback gets, else the cookies."""
    for name, value in response.headers.raw:
        if whole or name.lower() == "set-cookie":
            yield name.encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape")
