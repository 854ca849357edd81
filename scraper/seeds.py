"""What a crawl begins with: the spider's `opened`, `login` and `start`, and what they may do wrong."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from .blame import frame, isolated
from .errors import SpiderError, UsageError
from .request import Request
from .spider import Spider, attributes
from .url import BadURL

log = logging.getLogger("scraper.crawl")
HANDFUL = 64  # seeds taken in one turn of the loop


class Seeds:
    """The requests a spider begins with. `broken` says what its code outside of pages raised, "" when nothing.

    `check` refuses a request that does not fit the spider; `untouched` tells whether nothing was sent yet:
    then a wrong seed is a wrong command, and raises UsageError.
    """

    def __init__(self, spider: Spider, check: Callable[[Request], None], untouched: Callable[[], bool]) -> None:
        self.broken = ""
        self.opened = asyncio.Event()  # `opened` and `login` are through
        self.left: dict[str, Any] | None = {}  # what `login` has set on the spider; None: not all of it is data
        self._spider = spider
        self._check = check
        self._untouched = untouched

    async def requests(self, *, begun: int = 0, done: bool = False) -> AsyncGenerator[Request, None]:
        """Every seed, until `start` is exhausted or something breaks. Raises UsageError, see above.

        An earlier process has taken `begun` of them: those come once more, and are new only if unknown; or
        all, and `start` is `done`.
        """
        if not (await self.hook(self._spider.opened) and await self._log_in()):
            return
        self.opened.set()
        if done:
            return
        try:
            async with aclosing(_each(self._spider.start())) as given:
                number = 0
                async for seed in given:
                    request = self._request(seed)
                    begun -= 1
                    number += 1
                    if not number % HANDFUL:  # one that awaits nothing would fill the store before the first page
                        await asyncio.sleep(0)
                    yield request if begun < 0 else request.replace(again=False)
        except (UsageError, BadURL) as error:
            if self._untouched():
                raise UsageError(f"spider {self._spider.name!r}: start() gave no URL: {error}") from error
            self._tell(error)
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001  a spider may raise anything
            self._tell(error)

    async def _log_in(self) -> bool:
        if type(self._spider).login is Spider.login:
            return True
        before, _ = attributes(self._spider)
        if not await self.hook(self._spider.login):
            return False
        after, whole = attributes(self._spider)
        changed = {name: value for name, value in after.items() if name not in before or before[name] != value}
        self.left = changed if whole else None
        return True

    async def hook(self, work: Callable[..., Any], *given: str) -> bool:
        """Run a piece of the spider outside any page, async or not; false when it broke."""
        try:
            done = work(*given)
            if inspect.isawaitable(done):
                await done
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001  as above
            self._tell(error)
            return False
        return True

    def _request(self, seed: Any) -> Request:
        request = Request(seed) if isinstance(seed, str) else seed
        if not isinstance(request, Request):
            raise SpiderError(f"start() yielded {seed!r}: it must be a URL or a Request")
        self._check(request)
        return request

    def _tell(self, error: BaseException) -> None:
        """Something of the spider's broke; what is not its own doing goes on. Raises that."""
        if not isolated(error):
            raise error
        self.broken = f"{type(error).__name__}: {error}"
        where = frame(error)
        log.error("the spider broke%s: %s", f" at {where}" if where else "", self.broken)


async def _each(begun: Any) -> AsyncGenerator[Any, None]:
    """What `start()` gives, whatever its form."""
    if inspect.iscoroutine(begun):  # asyncio's takes a generator for one on Python 3.11
        begun = await begun
    if hasattr(begun, "__aiter__"):
        try:
            async for seed in begun:
                yield seed
        finally:
            if hasattr(begun, "aclose"):  # a generator closes what it has opened now, in this task
                await begun.aclose()
    else:
        for seed in begun or ():
            yield seed
