"""One worker process, as the crawl sees it: what it has been given, and what becomes of that."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from socket import AddressFamily
from typing import Any, NamedTuple, Protocol

import msgspec
from aiohttp.abc import AbstractResolver

from ..clock import Clock
from ..commit import Commit
from ..errand import Errands
from ..errors import FetchError, NotNow, Retry, StatusError
from ..fetch.cookies import Jars
from ..frontier.gate import Gate
from ..outcome import Outcome
from ..page import OPEN_PAGE, OpenPage
from ..reasons import Reason
from ..request import Request
from ..response import Headers, Response
from ..seeds import Seeds
from ..spool import Spool
from ..stats import Stats
from ..ticket import PREPARING, Ticket
from .messages import (
    Answer,
    Ask,
    Done,
    Drop,
    Fault,
    Fetch,
    Fetched,
    Head,
    Items,
    Job,
    Log,
    Print,
    Refused,
    Sent,
)  # fmt: skip
from .wire import Wire

log = logging.getLogger("scraper.workers")


class Line(Protocol):
    """What the workers need of the crawl."""

    gate: Gate
    commit: Commit
    errands: Errands
    seeds: Seeds
    stats: Stats
    go: Callable[..., asyncio.Task[None]]

    def drop(self, task: asyncio.Task[None]) -> None:
        """Cancel a task of the crawl."""

    def stop(self, why: str) -> None:
        """Take nothing new, and end."""


class Means(NamedTuple):
    """What a worker shares with the crawl: `jars` is None without cookies, `called_off` the board's count."""

    jars: Jars | None
    clock: Clock
    folder: Path
    called_off: Callable[[], int]
    resolver: AbstractResolver | None


ERRAND: ContextVar[tuple[Any, int] | None] = ContextVar("errand", default=None)  # a worker, for whom a task fetches


class Sending:
    """A job that a worker has: its ticket, and the future head and outcome of it."""

    __slots__ = ("done", "errand", "head", "items", "number", "page", "parallel", "request", "ticket", "worker")

    def __init__(
        self, worker: Worker, number: int, request: Request, ticket: Ticket, errand: int, page: OpenPage
    ) -> None:
        self.worker = worker
        loop = asyncio.get_running_loop()
        self.number = number
        self.request = request
        self.ticket = ticket
        self.errand = errand
        self.parallel = ticket.permit.host.out
        self.head: asyncio.Future[Head] = loop.create_future()
        self.done: asyncio.Future[Done] = loop.create_future()
        self.items: list[bytes] | Spool = []
        self.page = page  # stands for the one in the worker


class Told(Response):
    """An answer whose body is with a worker."""

    __slots__ = ("job", "size")

    job: Sending
    size: int


class Worker:
    """`number` from 1 on."""

    def __init__(self, number: int, line: Line, means: Means) -> None:
        self.number = number
        self.broken = False  # the spider's `opened` or `login` raised in it
        self.jobs: dict[int, Sending] = {}
        self.wire: Wire | None = None
        self.error: Exception | None = None  # why the crawl cannot go on
        self.gone = asyncio.Event()  # its wire is
        self._line = line
        self._means = means
        self._errands: dict[int, asyncio.Task[None]] = {}
        self._answers: set[asyncio.Task[None]] = set()
        self._begun: set[int] = set()  # tokens of open pages that sent what must not be sent twice
        self._hear: dict[type, Callable[[Any], None]] = {
            Head: self._head, Done: self._done, Fault: self._fault, Items: self._items, Sent: self._sent,
            Ask: self._ask, Fetch: self._fetch, Drop: self._drop, Log: self._log, Print: self._print,
        }  # fmt: skip

    def told(self, message: Any) -> None:
        """Hear a message."""
        self._hear[type(message)](message)

    def say(self, message: Any) -> None:
        """Send a message."""
        if self.wire is not None:
            self.wire.send(message)

    # -- a permit is used ---------------------------------------------------------------------------

    async def exchange(self, number: int, ticket: Ticket, *, errand: int = 0) -> Response:
        """Send the request of a permit, and begin to read the answer. Raises FetchError, NotNow."""
        permit, jars, clock = ticket.permit, self._means.jars, self._means.clock
        request = permit.request
        page = (OPEN_PAGE.get() if errand else None) or OpenPage(request)
        job = self.jobs[number] = Sending(self, number, request, ticket, errand, page)
        if ticket.begun:
            self._begun.add(ticket.begun)
        jar = jars.jar(request.session) if jars is not None else None
        cookie = jar.header(request.url, clock.wall()) if jar is not None else ""
        go = self._means.called_off() if self._line.gate.granted(permit, clock.monotonic()) else -1
        self.say(Job(number, request, cookie, go, not errand, request.kills > 0, errand))
        try:
            head = await job.head
        except asyncio.CancelledError:
            self.jobs.pop(number, None)
            raise
        response = Told(
            request.url, status=head.status, headers=_headers(head), request=request, elapsed=head.elapsed,
            wire_bytes=head.wire, flags=tuple(head.flags),
        )  # fmt: skip
        response.job, response.size = job, head.size
        if jars is not None and jar is not None and head.headers:
            lines = response.headers.getall("set-cookie")
            if lines and jar.store(request.url, lines, clock.wall()):
                jars.touch(request.session)
        return response

    async def read(self, response: Told) -> Outcome:
        """What the spider made of an answer."""
        job = response.job
        if job.request.kills:
            self.say(Answer(-job.number))
        done = await job.done
        self._line.stats.own_fetches += done.fetches
        items = job.items
        if items:
            _extend(items, done.items)
        return Outcome(
            request=job.request, end=done.end, reason=done.reason, detail=done.detail, sifted=done.links,
            items=items or done.items, rejected=done.rejected, at=done.at, where=done.where, trace=done.trace,
            stop=done.stop, size=response.size,
        )  # fmt: skip

    def _head(self, head: Head) -> None:
        job = self.jobs.get(head.job)
        if job is None:
            return
        if not head.reads:
            self._over(job)
        self._departed(job, head.departed)
        if not job.head.done():
            job.head.set_result(head)

    def _done(self, done: Done) -> None:
        if done.head is not None:
            self._head(done.head)
        job = self.jobs.get(done.job)
        if job is not None:
            self._over(job)
            if not job.done.done():
                job.done.set_result(done)

    def _over(self, job: Sending) -> None:
        del self.jobs[job.number]
        if not job.errand:
            self._begun.discard(job.request.token)

    def _fault(self, fault: Fault) -> None:
        job = self.jobs.get(fault.job)
        if job is None:
            return
        self._over(job)
        self._departed(job, fault.departed)
        error: Exception = NotNow("the host is left alone for now")
        if not fault.called_off:
            error = FetchError(fault.reason, fault.detail)
            error.partial = Response(job.request.url, wire_bytes=fault.wire)
        _fail(job.head, error)

    def _departed(self, job: Sending, at: float) -> None:
        if at:  # by the machine's clock; the crawl's may be another
            clock = self._means.clock
            now = clock.monotonic() - max(0.0, time.monotonic() - at) / clock.real(1.0)
            self._line.gate.departed(job.ticket.permit, now, job.parallel)

    def _items(self, some: Items) -> None:
        job = self.jobs.get(some.job)
        if job is None:
            return
        if not isinstance(job.items, Spool):
            job.items = Spool(self._means.folder)
        _extend(job.items, some.lines)

    # -- questions ----------------------------------------------------------------------------------

    def _ask(self, ask: Ask) -> None:
        job = self.jobs.get(ask.job)
        if ask.what == "depart":
            self.say(Answer(ask.number, job is not None and _may(job.ticket, ask.flag)))
        elif ask.what == "cookie":
            jars = self._means.jars
            if job is None or jars is None:
                self.say(Answer(ask.number))
                return
            cookie = jars.jar(job.request.session).header(ask.text, self._means.clock.wall())
            self.say(Answer(ask.number, True, cookie))
        elif ask.what == "resolve":
            self._later(self._resolved(ask))
        elif job is None:
            self.say(Answer(ask.number, False))
        else:
            self._later(self._begin(ask, job) if ask.what == "begin" else self._permitted(ask, job))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._line.go(work, f"answer to worker {self.number}")
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _resolved(self, ask: Ask) -> None:
        host, port, family = ask.text.rsplit(" ", 2)
        resolver = self._means.resolver
        assert resolver is not None
        try:
            found = await resolver.resolve(host, int(port), AddressFamily(int(family)))
        except OSError as error:
            self.say(Answer(ask.number, False, str(error)))
        else:
            self.say(Answer(ask.number, True, msgspec.json.encode(found).decode()))

    async def _begin(self, ask: Ask, job: Sending) -> None:
        """What `prepare` has made of a request is not safe to be sent twice; as in `Send`."""
        if token := job.request.token or job.page.request.token:
            job.ticket.begun = token
            self._begun.add(token)
            await self._line.commit.start(token)
        self.say(Answer(ask.number))

    async def _permitted(self, ask: Ask, job: Sending) -> None:
        """What `prepare` has fetched itself took the place of its own request."""
        try:
            if job.ticket.permit.released:
                permit = await self._line.errands.permit(job.request)
                if job.head.done():  # nobody waits for it any more
                    self._line.gate.release(permit, self._means.clock.monotonic())
                job.ticket.permit = permit
        except FetchError as error:
            self.jobs.pop(job.number, None)
            _fail(job.head, error)
        self.say(Answer(ask.number, not job.head.done()))

    def _sent(self, sent: Sent) -> None:
        job = self.jobs.get(sent.job)
        if job is not None:
            job.ticket.sent()

    # -- a callback's own fetches -------------------------------------------------------------------

    def _fetch(self, asked: Fetch) -> None:
        job = self.jobs.get(asked.job)
        page = None
        if asked.open:  # a task that a callback left behind may outlive its page
            page = job.page if job is not None else OpenPage(asked.request)
        task = self._line.go(self._errand(asked, job, page), f"fetch of worker {self.number}")
        self._errands[asked.errand] = task
        task.add_done_callback(lambda _: self._errands.pop(asked.errand, None))

    async def _errand(self, asked: Fetch, job: Sending | None, page: OpenPage | None) -> None:
        """Run as part of a page that is open in the worker; each of its sends is a job for the same worker."""
        OPEN_PAGE.set(page)
        if job is not None and asked.boarding:
            PREPARING.set(job.ticket.permit)
        ERRAND.set((self, asked.errand))
        errand = asked.errand
        try:
            await self._line.errands.fetch(asked.request, here=False)
        except Retry as rests:
            self.say(Refused(errand, Reason.ASKED, rests.reason, after=rests.after, rests=True))
        except StatusError as error:
            self.say(Refused(errand, error.reason, error.detail, error.status, error.after))
        except FetchError as error:
            self.say(Refused(errand, error.reason, error.detail, after=error.after))
        else:
            self.say(Fetched(errand))

    def _drop(self, dropped: Drop) -> None:
        task = self._errands.get(dropped.errand)
        if task is not None:
            self._line.drop(task)

    # -- what it says -------------------------------------------------------------------------------

    def _print(self, printed: Print) -> None:
        with suppress(OSError, ValueError):  # closed, or its reader has left
            sys.stdout.write(printed.text)

    def _log(self, line: Log) -> None:
        logger = logging.getLogger(line.name)
        if logger.isEnabledFor(line.level):
            record = logger.makeRecord(line.name, line.level, "", 0, line.text, (), None, extra={"page": line.url})
            record.exc_text = line.trace or None
            logger.handle(record)

    # -- its end ------------------------------------------------------------------------------------

    def died(self, suspects: frozenset[int], doomed: Callable[[Request], FetchError | None]) -> int:
        """What it had goes back: what it died of is marked, what may have been sent and must not be twice fails.

        Gives how many pages have ended with it.
        """
        ended = 0
        for task in [*self._errands.values(), *self._answers]:
            self._line.drop(task)
        jobs, self.jobs = self.jobs, {}
        for job in jobs.values():
            request = job.request
            begun = request.started or request.token in self._begun
            marked = request.replace(kills=request.kills + (request.token in suspects), started=begun)
            error: Exception | None = doomed(marked)
            ended += error is not None
            if error is None:
                error = NotNow(f"worker {self.number} died")
                error.request = marked.replace(started=False)
            _fail(job.head, error)
            _fail(job.done, error)
            if isinstance(job.items, Spool):
                job.items.close()
        return ended


def _headers(head: Head) -> Headers:
    return Headers([(_text(name), _text(value)) for name, value in head.headers])


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _may(ticket: Ticket, reused: bool) -> bool:
    try:
        ticket.depart(reused=reused)
    except NotNow:
        return False
    return True


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # perhaps nobody waits for it any more


def _extend(items: list[bytes] | Spool, lines: list[bytes]) -> None:
    for line in lines:
        items.append(line)
