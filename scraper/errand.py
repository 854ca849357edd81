"""Fetches that run ahead of the queue, in their own task: a callback's `self.fetch`, and robots.txt.

Each send still asks the gate for a permit of its own; only the order is different.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from .clock import Clock
from .errors import FetchError, NotNow, Retry
from .frontier import robots
from .frontier.gate import Gate
from .frontier.host import Permit, Waiter
from .frontier.robots import Robots
from .judge import Judge
from .page import OPEN_PAGE
from .reasons import Reason
from .request import Request, raw
from .response import Response
from .settings import Settings
from .stats import Stats
from .ticket import PREPARING
from .url import netloc, origin

MOST_KEPT = 1000  # reasons why a robots.txt could not be had


class Sender(Protocol):
    """What an errand needs of the line."""

    def feed(self) -> None:
        """Serve whoever may go now."""

    def wake(self) -> None:
        """Feed soon, and look whether anything is left to wait for."""

    async def send(self, permit: Permit) -> Response:
        """Use a permit."""

    def lend(self) -> bool:
        """A worker's page waits: let the worker serve others meanwhile."""

    def regain(self, lent: bool) -> None:
        """The page goes on."""


class Errands:
    """Fetches with a permit of their own. `read` makes a response readable for a spider."""

    def __init__(
        self, line: Sender, gate: Gate, judge: Judge, stats: Stats, settings: Settings, clock: Clock,
        read: Callable[[Response], Awaitable[Response]], seeded: Callable[[Request], None],
    ) -> None:  # fmt: skip
        self._line = line
        self._gate = gate
        self._judge = judge
        self._stats = stats
        self._settings = settings
        self._clock = clock
        self._read = read
        self._seeded = seeded
        self._asking: dict[str, float] = {}  # origins whose robots.txt is on its way, and when that goes on
        self._unreachable: dict[str, str] = {}  # origins whose robots.txt could not be had, and why
        self.product = robots.product_token(settings.user_agent)

    async def fetch(self, request: Request, *, here: bool = True) -> Response:
        """A callback's own fetch, with redirects and retries. Raises FetchError; redone with its page.

        With `here` false it is for a page in a worker process, which has the body.
        """
        if (page := OPEN_PAGE.get()) is not None:
            page.fetches += 1
        else:  # `opened` or `login`: the spider's author names the place, as with a seed
            self._stats.own_fetches += 1
            self._seeded(request)
        boarding = PREPARING.get()
        if boarding is not None and not boarding.departed:  # it would wait for the place that its own page holds
            self._gate.release(boarding, self._clock.monotonic())
        with self._waiting():
            while True:
                self._hold(request)
                try:
                    response = await self._permitted(request)
                    onward = self._judge.redirect(request, response)
                    if onward is not None:
                        request = onward
                        continue
                    error = self._judge.status(request, response)
                    if error is None:
                        return await self._read(response) if here else response
                    raise error
                except NotNow:
                    continue
                except FetchError as error:
                    if error.reason is Reason.STALE and request.safe:
                        request = request.replace(tries=request.tries + 1)
                        continue
                    at = self._judge.again(request, error)
                    if at is None:
                        raise
                    request = request.replace(tries=request.tries + 1)
                    if not self._gate.resting(request.host, self._clock.monotonic()):
                        await self._clock.sleep(at - self._clock.wall())

    def _hold(self, request: Request) -> None:
        """A host that rests longer than a callback may take turns the page into a retry."""
        rest = self._gate.resting(request.host, self._clock.monotonic())
        limit = self._settings.callback_timeout
        if limit and rest > limit and OPEN_PAGE.get() is not None:
            raise Retry(f"{request.host} rests for {rest:.0f} s", after=rest)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        page = OPEN_PAGE.get()
        lent = self._line.lend() if page is not None and page.pause() else False
        try:
            yield
        finally:
            self._line.regain(lent)
            if page is not None:
                page.resume()

    async def _permitted(self, request: Request, *, exempt: bool = False) -> Response:
        return await self._line.send(await self.permit(request, exempt=exempt))

    async def permit(self, request: Request, *, exempt: bool = False) -> Permit:
        """Wait for a permit, ahead of the queue. Raises FetchError when the gate refuses it."""
        told: asyncio.Future[Permit | None] = asyncio.get_running_loop().create_future()

        def tell(permit: Permit | None) -> None:
            if not told.done():
                told.set_result(permit)
            elif permit is not None:
                self._gate.release(permit, self._clock.monotonic())

        waiter = Waiter(request, tell, exempt=exempt)
        self._gate.ask(waiter, self._clock.monotonic())
        self._line.feed()
        try:
            permit = await told
        except asyncio.CancelledError:
            self._gate.forget(waiter, self._clock.monotonic())
            if told.done() and not told.cancelled() and (granted := told.result()) is not None:
                self._gate.release(granted, self._clock.monotonic())
            self._line.feed()
            raise
        if permit is None:
            raise FetchError(waiter.refused)
        return permit

    def why(self, url: str) -> str:
        """Why the robots.txt for a URL could not be had, "" when it could."""
        return self._unreachable.get(origin(url), "")

    # -- robots.txt (RFC 9309) ----------------------------------------------------------------------

    def wakes_at(self) -> float | None:
        """When the first robots.txt that is on its way goes on, in monotonic seconds; None when there is none."""
        rests = ((self._gate.host(netloc(place)).rest_until, at) for place, at in self._asking.items())
        return min(map(max, rests), default=None)

    def robots(self, place: str) -> Coroutine[Any, Any, None]:
        """Fetch the rules of an origin and let the gate know them: once, whoever waits for them."""
        self._asking[place] = 0.0
        return self._robots(place)

    async def _robots(self, place: str) -> None:
        rules, why = None, ""
        request = raw(url=f"{place}/robots.txt", callback="", max_body=robots.MAX_BYTES + 1)
        for tries in range(self._settings.retries + 1):
            request = request.replace(tries=tries)
            try:
                rules = await self._rules(request)
            except FetchError as error:
                why = str(error)
                if error.reason is Reason.HOST_DOWN:
                    break
                at = self._judge.again(request, error)
                if at is None:
                    break
                wait = at - self._clock.wall()
                self._asking[place] = self._clock.monotonic() + wait
                self._line.wake()  # that may be too late for this process
                await self._clock.sleep(wait)
                self._asking[place] = 0.0
                continue
            break
        now = self._clock.monotonic()
        life = robots.LIFETIME if rules is not None else robots.RETRY_AFTER
        del self._asking[place]
        self._gate.learn(place, rules, now + life, now)
        if rules is None:
            if len(self._unreachable) > MOST_KEPT:
                self._unreachable.clear()
            self._unreachable[place] = why
        self._line.feed()

    async def _rules(self, request: Request) -> Robots | None:
        """The rules at the end of at most five redirects. Raises FetchError when the server cannot be asked."""
        while True:
            try:
                response = await self._permitted(request, exempt=True)
            except NotNow:
                continue
            except FetchError as error:
                if error.reason is Reason.STALE:
                    continue
                if error.partial is None:
                    raise
                response = error.partial  # its first 500 KiB count (RFC 9309 2.5)
            try:
                onward = self._judge.redirect(request, response)
            except FetchError:
                return Robots.allow_all()  # a redirect that leads nowhere: unavailable, 2.3.1.3
            if onward is not None:
                if len(onward.hops) > robots.MAX_REDIRECTS:
                    return Robots.allow_all()  # RFC 9309 2.3.1.2: may be treated as unavailable
                request = onward
                continue
            rules = robots.verdict(response.status, response.body, self.product)
            if rules is None:
                raise self._judge.status(request, response) or FetchError(Reason.ROBOTS_UNREACHABLE)
            return rules
