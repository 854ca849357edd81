"""One permit, one send: what a transport must be told before, and the gate after."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Protocol

from .clock import Clock
from .commit import Commit
from .errors import FetchError, NotNow
from .fetch.departure import DEPARTURE
from .frontier.gate import Gate
from .frontier.host import Permit
from .frontier.limits import Limits
from .judge import OVERLOAD, Judge
from .outcome import Outcome
from .page import OPEN_PAGE, Pages
from .reasons import Reason
from .request import Request
from .response import Response
from .spider import Spider
from .ticket import PREPARING, Ticket
from .url import origin

Fetch = Callable[[Request], Awaitable[Response]]


class Workers(Protocol):
    """The worker processes of a crawl, as its line sees them."""

    def takes(self, permit: Permit) -> bool:
        """Whether a permit is for them to use."""

    async def exchange(self, ticket: Ticket) -> Response:
        """Use one. Raises FetchError, NotNow."""

    async def read(self, response: Response) -> Outcome:
        """What the spider makes of an answer that one of them has. Raises FetchError, NotNow."""

    def keepers(self) -> Iterable[Coroutine[Any, Any, None]]:
        """For each of them a task to be, that has one whatever happens."""

    async def close(self, why: str) -> None:
        """Let them end."""


class Send:
    """Uses permits. `fetch` is the whole stack, `relieved` hears that a place at its host is free.

    `permit` gets another permit, where a spider's `prepare` has used the one of its request. `careful`: nothing is
    worked on that is not durable, as an earlier process died of something of which therefore nothing is known.
    """

    def __init__(
        self, fetch: Fetch, spider: Spider, pages: Pages, gate: Gate, judge: Judge, limits: Limits, commit: Commit,
        clock: Clock, relieved: Callable[[], None], permit: Callable[[Request], Awaitable[Permit]],
        workers: Workers | None = None, *, careful: bool = False,
    ) -> None:  # fmt: skip
        self._fetch = fetch
        self._pages = pages
        self._gate = gate
        self._judge = judge
        self._limits = limits
        self._commit = commit
        self._clock = clock
        self._relieved = relieved
        self._permit = permit
        self._prepares = type(spider).prepare is not Spider.prepare
        self._workers = workers
        self._careful = careful

    async def __call__(self, permit: Permit) -> Response:
        """Send, and give the place back with the body. Raises FetchError, NotNow."""
        request = permit.request
        ticket = Ticket(self._gate, permit, self._clock)
        token = DEPARTURE.set(ticket)
        try:
            if self._careful:
                await self._commit.known(request.token)
            if self._workers is not None and self._workers.takes(permit):
                if not request.safe:
                    await self._begun(request, ticket)
                response = await self._workers.exchange(ticket)
            else:
                response = await self._exchange(ticket)
            response.request = request
            self._limits.bytes += response.wire_bytes
            overload = self._judge.status(request, response) if response.status in OVERLOAD else None
            self._judge.health(request, overload)
            if overload is not None:
                self._commit.hurry(facts=True)  # the next process, should this one be killed, is to know of it
            return response
        except NotNow:
            if request.token and ticket.begun == request.token:
                self._commit.unstart(request.token)
            raise
        except FetchError as error:
            self._limits.bytes += error.partial.wire_bytes if error.partial else 0
            self._judge.health(request, error)
            raise
        finally:
            DEPARTURE.reset(token)
            self._gate.release(ticket.permit, self._clock.monotonic())
            self._relieved()

    async def _exchange(self, ticket: Ticket) -> Response:
        """In this process."""
        request = ticket.permit.request
        prepared = await self._prepared(ticket.permit)
        if ticket.permit.released:  # `prepare` has fetched something itself, in its place
            ticket.permit = await self._permit(request)
        if not prepared.safe:
            await self._begun(request, ticket)
        return await self._fetch(prepared)

    async def _begun(self, request: Request, ticket: Ticket) -> None:
        """An unsafe request is durable as begun before it is sent; a callback's own as that of its page."""
        page = OPEN_PAGE.get()
        token = request.token or (page.request.token if page is not None else 0)
        if token:
            ticket.begun = token
            await self._commit.start(token)

    async def _prepared(self, permit: Permit) -> Request:
        request = permit.request
        if not self._prepares or not request.callback:
            return request
        PREPARING.set(permit)  # once it has departed it concerns nobody
        prepared = await self._pages.prepared(request)
        if origin(prepared.url) != origin(request.url):  # the permit, and robots.txt, are of this one
            text = f"prepare() moved the request to {origin(prepared.url)}; yield a Request for that instead"
            raise FetchError(Reason.CALLBACK_ERROR, text)
        return prepared
