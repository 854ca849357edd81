"""What a spider or a server says is kept and told to other processes, or costs its page; never the crawl."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path
from typing import Any

import pytest

from scraper import Request, Response, Retry, Skip, Spider, SpiderError, Stop
from scraper.program import crawl
from scraper.testing.raw import RawServer
from scraper.testing.site import Site

from .conftest import QUICK, Crawl
from .fetch.test_wire import answers

HALF = "\ud800"  # of a surrogate pair, as JSON may have it


class Says(Spider):
    """Does on /N what the N-th of `how` says."""

    name = "says"
    how: str  # several with commas

    async def start(self) -> Any:
        for number, _ in enumerate(self.how.split(",")):
            yield f"http://a.test/{number}"
        yield "http://a.test/well"

    def parse(self, response: Response) -> Any:
        yield {"url": response.url}
        number = response.url.rpartition("/")[2]
        match self.how.split(",")[int(number)] if number != "well" else "":
            case "raise":
                raise ValueError(HALF)
            case "skip":
                raise Skip(HALF)
            case "skip with a number":
                raise Skip(404)  # type: ignore[arg-type]
            case "retry":
                raise Retry(HALF)
            case "retry at a wrong time":
                raise Retry(after="5")  # type: ignore[arg-type]
            case "stop":
                raise Stop(HALF)
            case "keyword":
                yield Request("http://a.test/well", callback=self.more, cb_kwargs={"title": HALF})
            case "number":
                yield Request("http://a.test/well", callback=self.more, cb_kwargs={"title": 2**70})
            case "session":
                yield Request("http://a.test/well", session=HALF)
            case "print":
                print(HALF)
            case "log":
                try:
                    raise ValueError(HALF)
                except ValueError:
                    self.logger.exception("text %s", HALF)

    def more(self, response: Response, title: Any) -> None:
        """Never called."""


SKIPS = ("skip", "skip with a number")
FAILS = ("raise", "retry", "retry at a wrong time", "keyword", "number", "session")


@pytest.mark.parametrize(
    ("how", "processes"),
    [*((how, 1) for how in (*SKIPS, *FAILS, "stop")), (",".join((*SKIPS, *FAILS)), 2), ("stop", 2)],
)
async def test_what_a_spider_says_costs_at_most_its_page(
    site: Site, go: Crawl, tmp_path: Path, how: str, processes: int
) -> None:
    site.page("*", "")
    result = await go(Says(how=how), options={"folder": tmp_path}, retries=0, processes=processes)
    stats = result.report.stats
    assert result.report.state == "finished"
    assert stats.done == (2 if how == "stop" else 1)
    assert stats.failed == len(set(how.split(",")).intersection(FAILS))


@pytest.mark.parametrize("how", ["log", "print"])
async def test_a_worker_may_log_and_print_it(site: Site, go: Crawl, how: str) -> None:
    site.page("*", "")
    assert (await go(Says(how=how), processes=2)).report.stats.done == 2


@pytest.mark.parametrize("after", ["5", float("inf"), 1e300, datetime.timedelta(seconds=5)])
def test_a_retry_that_is_never_due_is_refused(after: Any) -> None:
    with pytest.raises(SpiderError):
        Retry("later", after=after)


class Odd(Spider):
    """Asks for one page."""

    name = "odd"
    url: str

    async def start(self) -> Any:
        yield self.url

    def parse(self, response: Response) -> Any:
        return {"url": response.url}


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("answer", [b"200 OK\r\nSet-Cookie: a=\xe9", b"404 N\xe9\r\nX-A: \xe9"])
async def test_headers_that_are_not_utf_8_are_told_as_they_came(answer: bytes, processes: int) -> None:
    async with RawServer(answers(b"HTTP/1.1 " + answer + b"\r\nContent-Length: 2\r\n\r\nok")) as server:
        settings = {**QUICK, "robots": False, "processes": processes}
        result = await asyncio.wait_for(crawl(Odd(url=server.url()), settings=settings), 10)
    assert result.report.stats.statuses == {int(answer[:3]): 1}
