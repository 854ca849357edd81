"""What the tests of a hostile web share: a spider that takes every link, and all that became of its requests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from typing import Any, ClassVar

from scraper import Request, Response, Spider
from scraper.crawl import Crawl
from scraper.events import Events, PageEnded
from scraper.program import Result, crawl
from scraper.reasons import Reason
from scraper.testing.resolve import Loopback
from scraper.testing.site import Site
from tests.conftest import QUICK

LASTING = ("redirected", "retry")  # ends after which the request goes on
OWN = f"{os.sep}scraper{os.sep}"


class Walk(Spider):
    """Follows every link of every page, from one URL."""

    name = "walk"
    url: str = "http://a.test/"
    crawl: ClassVar[Crawl]

    async def start(self) -> AsyncIterator[Request | str]:
        yield self.url

    async def opened(self) -> None:
        line: Any = self._line
        Walk.crawl = line._line

    def parse(self, response: Response) -> Any:
        yield {"url": response.url, "title": response.css("title::text").get()}
        yield response.follow_all([link for link in response.links() if link.tag != "img"])


class Web:
    """A crawl that has ended: its result, its crawl, and its events in order."""

    def __init__(self, result: Result, crawl: Crawl, events: list[PageEnded]) -> None:
        self.result = result
        self.crawl = crawl
        self.events = events

    def ends(self) -> dict[str, tuple[str, Reason]]:
        """How each URL ended for good."""
        return {event.url: (event.end, event.reason) for event in self.events if event.end not in LASTING}

    def reasons(self) -> dict[str, Reason]:
        """Why each URL ended as it did; OK for a page that is done."""
        return {url: reason for url, (_, reason) in self.ends().items()}

    def of(self, url: str) -> Reason | None:
        """Why the last request to a URL, or below it, ended."""
        found = [reason for each, reason in self.reasons().items() if each.startswith(url)]
        return found[-1] if found else None


async def hunt(site: Site, spider: Spider, *, resolver: Any = None, **given: Any) -> Web:
    """Crawl as `go` does, hear of everything, and insist that nothing is left over."""
    events = Events()
    heard: list[PageEnded] = []
    events.listen(lambda event: heard.append(event) if isinstance(event, PageEnded) else None)
    options = {name: given.pop(name) for name in ("clock", "folder", "output", "alarm") if name in given}
    settings = {**QUICK, **given}
    result = await crawl(
        spider, settings=settings, events=events, resolver=resolver or Loopback(site.port), **options
    )
    left_alone(Walk.crawl)
    return Web(result, Walk.crawl, heard)


def left_alone(crawl: Crawl) -> None:
    """Nothing of a crawl that has ended is still there: no place taken, no task."""
    gate = crawl.gate
    assert (gate.out, crawl._open_pages, crawl._lent) == (0, 0, 0)
    assert all((host.out, host.boarding, host.waiters) == (0, 0, []) for host in gate.hosts.values())
    assert own_tasks() == []


def own_tasks() -> list[str]:
    """The tasks of the package that still run, those of test servers apart."""
    found = []
    for task in asyncio.all_tasks():
        code: Any = getattr(task.get_coro(), "cr_code", None)
        if code is not None and OWN in code.co_filename and f"{OWN}testing" not in code.co_filename:
            found.append(code.co_qualname if hasattr(code, "co_qualname") else code.co_name)
    return found


def page(links: Iterable[str] = (), title: str = "t") -> str:
    """A page with links."""
    return f"<title>{title}</title>" + "".join(f'<a href="{link}">x</a>\n' for link in links)
