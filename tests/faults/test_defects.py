"""Defects that were found once: each had this failing test first."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from scraper import FetchError, Request, Response, Spider
from scraper.events import Committed, Events
from scraper.program import crawl, settings_for, stream
from scraper.reasons import Reason
from scraper.run import MEMORY_LAG, Run
from scraper.testing.resolve import Loopback
from scraper.testing.site import Site
from tests.cli.command import scraper
from tests.conftest import QUICK
from tests.faults.web import Walk, hunt, left_alone, own_tasks, page

pytestmark = pytest.mark.timeout(60)


class Slow:
    """An output that takes its time, and notes how far behind it is."""

    def __init__(self, pause: float) -> None:
        self.pause = pause
        self.lines = 0
        self.most_behind = 0
        self.journal: Any = None

    async def open(self, cursor: bytes | None, committed: int) -> None:
        """Begin."""

    async def write(self, lines: Sequence[bytes]) -> None:
        """Take items, slowly."""
        self.most_behind = max(self.most_behind, self.journal.position - self.lines)
        await asyncio.sleep(self.pause)
        self.lines += len(lines)

    async def flush(self, position: int) -> bytes:
        """Nothing is kept back."""
        return b""

    async def close(self, *, finished: bool) -> None:
        """End."""


class Many(Walk):
    """A hundred items of every page."""

    def parse(self, response: Response) -> Any:
        yield from ({"n": n, "text": "x" * 500} for n in range(200))
        yield response.follow_all(css="a[href]")


async def test_a_slow_output_holds_the_crawl_back_and_gets_everything(site: Site) -> None:
    site.page("/", page(f"/{n}" for n in range(299)))
    site.page("*", page())
    slow = Slow(0.004)
    settings = settings_for(Many, ("test", {**QUICK, "concurrency": 8, "commit_every": 0.01}))
    run = Run(Many(), settings, outputs=[("slow", slow)], resolver=Loopback(site.port))
    slow.journal = run.journal
    report = await asyncio.wait_for(run.execute(), 10)
    left_alone(Walk.crawl)
    assert report.stats.done == 300
    assert slow.lines == report.stats.items == 60_000
    assert MEMORY_LAG / 2 < slow.most_behind < MEMORY_LAG + 10_000


async def test_a_slow_reader_of_a_stream_holds_the_crawl_back(site: Site) -> None:
    site.page("/", page(f"/{n}" for n in range(299)))
    site.page("*", page())
    settings = {**QUICK, "concurrency": 8, "commit_every": 0.01}
    number, most = 0, 0
    async for _ in stream(Many(), settings=settings, resolver=Loopback(site.port)):
        number += 1
        if number % 500 == 0:
            await asyncio.sleep(0.005)
            most = max(most, len(site.hits) * 200 - number)
    assert number == 60_000
    assert most < MEMORY_LAG + 20_000


async def test_leaving_a_stream_early_leaves_nothing_behind(site: Site) -> None:
    site.page("*", page(f"/{n}" for n in range(50)), delay=0.02)
    async with aclosing(stream(Walk(), settings=QUICK, resolver=Loopback(site.port))) as items:
        async for _ in items:
            break
    assert own_tasks() == []
    assert len(site.hits) <= 52


async def test_a_cancelled_crawl_raises_cancelled_error(site: Site) -> None:
    site.page("*", page(f"/{n}" for n in range(50)), delay=0.02)
    task = asyncio.create_task(crawl(Walk(), settings=QUICK, resolver=Loopback(site.port)))
    await site.until(lambda: len(site.hits) > 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert own_tasks() == []


async def test_pages_that_are_slow_to_parse_hold_up_neither_commits_nor_other_hosts(
    site: Site, tmp_path: Path
) -> None:
    class Both(Spider):
        name = "both"
        start_urls = [*(f"http://bomb.test/{n}" for n in range(8)), "http://a.test/"]

        def parse(self, response: Response) -> Any:
            yield {"url": response.url}
            if "a.test" in response.url:
                yield response.follow_all(css="a[href]")

    site.page("*", "<div>" * 40_000, host="bomb.test")  # 200 kB
    site.tree(pages=100, host="a.test")
    began, committed = time.monotonic(), [0.0]
    events = Events()
    events.listen(
        lambda event: committed.append(time.monotonic() - began) if isinstance(event, Committed) else None
    )
    task = asyncio.create_task(
        crawl(
            Both(),
            settings={**QUICK, "robots": False},
            resolver=Loopback(site.port),
            folder=tmp_path,
            events=events,
        )
    )
    await asyncio.wait((task,), timeout=60)
    assert task.done()
    assert max(b - a for a, b in pairwise(committed)) < 2  # measured: 31 s without a commit
    assert committed[-1] < 10  # measured: 36 s


@pytest.mark.parametrize("kind", ["application/pdf", "image/png", "application/json"])
async def test_a_large_body_that_is_no_page_reaches_its_callback(site: Site, kind: str) -> None:
    class Reads(Walk):
        def parse(self, response: Response) -> Any:
            yield {"size": len(response.body)}

    bodies = {
        "application/pdf": b"%PDF-1.7\n" + bytes(range(256)) * 2_000,
        "image/png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2_000,
        "application/json": b'["' + b"<div>" * 150_000 + b'"]',
    }
    site.page("/", bodies[kind], headers={"Content-Type": kind})
    web = await hunt(site, Reads())
    assert web.result.items == [{"size": len(bodies[kind])}]


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class Own(BaseException):
    pass


@pytest.mark.parametrize("error", [Unspeakable(), Own(), GeneratorExit()], ids=lambda e: type(e).__name__)
async def test_whatever_else_a_callback_raises_costs_its_page_only(site: Site, error: BaseException) -> None:
    class Raises(Walk):
        def parse(self, response: Response) -> Any:
            if response.url.endswith("/bad"):
                raise error
            return super().parse(response)

    site.page("/", page(["/bad", "/good"]))
    site.page("*", page())
    web = await hunt(site, Raises())
    assert len(web.result.items) == 2


@pytest.mark.parametrize(
    "error",
    [SystemExit(1), asyncio.CancelledError(), Unspeakable(), ValueError(), None, "junk"],
    ids=lambda e: type(e).__name__,
)
async def test_a_prepare_that_breaks_costs_its_page_only(site: Site, error: Any) -> None:
    class Prepares(Walk):
        def prepare(self, request: Request) -> Any:
            if not request.url.endswith("/bad"):
                return request
            if isinstance(error, BaseException):
                raise error
            return error

    site.page("/", page(["/bad", "/good"]))
    site.page("*", page())
    async with asyncio.timeout(5):
        web = await hunt(site, Prepares())
    assert len(web.result.items) == 2
    assert web.of("http://a.test/bad") is Reason.CALLBACK_ERROR


async def test_prepare_cannot_send_a_request_past_gate_and_robots(site: Site) -> None:
    class Prepares(Walk):
        def prepare(self, request: Request) -> Any:
            return request.replace(url="http://b.test/private")

    site.robots("User-agent: *\nDisallow: /", host="b.test")
    site.page("*", page())
    await hunt(site, Prepares())
    assert site.hits_of("b.test", "/private") == []


@pytest.mark.parametrize("error", [asyncio.CancelledError(), Unspeakable(), Own()], ids=lambda e: type(e).__name__)
async def test_an_on_error_that_breaks_oddly_costs_nothing_more(site: Site, error: BaseException) -> None:
    class Breaks(Walk):
        def on_error(self, request: Request, _: FetchError) -> Any:
            raise error

    site.page("/", page(["/gone", "/good"]))
    site.page("/good", page())
    async with asyncio.timeout(5):
        web = await hunt(site, Breaks())
    assert len(web.result.items) == 2


@pytest.mark.parametrize("form", ["coroutine", "async generator"])
async def test_an_async_callback_that_blocks_the_loop_is_named(
    site: Site, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    class Blocks(Walk):
        def parse(self, response: Response) -> Any:
            return self.coroutine() if form == "coroutine" else self.stream()

        async def coroutine(self) -> Any:
            time.sleep(1.1)  # noqa: ASYNC251  that is the fault

        async def stream(self) -> AsyncIterator[Any]:
            time.sleep(1.1)  # noqa: ASYNC251  that is the fault
            yield {"n": 1}

    site.page("*", page())
    with caplog.at_level(logging.WARNING):
        await hunt(site, Blocks())
    assert any("held the event loop" in record.getMessage() for record in caplog.records)


HANGS = """
import time
from scraper import Spider

class Hangs(Spider):
    name = "hangs"
    start_urls = ["{url}/hang", "{url}/good"]

    {d} parse(self, response):
        if response.url.endswith("/hang"):
            {how}
        yield {{"url": response.url}}
"""
SWALLOWS = """while True:
                try:
                    time.sleep(0.05)
                except Exception:
                    pass"""


@pytest.mark.parametrize(
    ("d", "how"),
    [("def", SWALLOWS), ("async def", "time.sleep(600)"), ("async def", "while True: pass")],
    ids=["swallowed", "async sleep", "async loop"],
)
async def test_the_command_line_interrupts_these_too(tmp_path: Path, d: str, how: str) -> None:
    async with Site() as site, asyncio.timeout(8):
        site.page("*", page())
        (tmp_path / "hangs.py").write_text(HANGS.format(url=site.url("").rstrip("/"), how=how, d=d))
        done = await scraper("crawl", "hangs.py", "-s", "delay=0", "-s", "callback_timeout=0.5", cwd=tmp_path)
    assert done.code == 0, done.err


async def test_a_password_in_a_url_given_as_argument_is_not_in_run_json(site: Site, tmp_path: Path) -> None:
    site.page("/", page())
    web = await hunt(site, Walk(url="http://me:hunter2@a.test/"), folder=tmp_path)
    assert web.result.folder is not None
    assert "hunter2" not in (web.result.folder / "run.json").read_text()


class Logs(Walk):
    start_urls = ["http://a.test/"]

    async def login(self) -> None:
        await self.fetch("http://a.test/login")


async def test_login_reaches_a_private_host_that_is_seeded(site: Site) -> None:
    site.page("*", page())
    web = await hunt(site, Logs(), allow_private=False)
    assert web.result.report.exit_code == 0, web.result.report.said


async def test_login_sends_the_auth_of_the_seeds(site: Site) -> None:
    site.page("*", page())
    await hunt(site, Logs(), auth="me:hunter2")
    assert all("Authorization" in hit.headers for hit in site.hits)


async def test_auth_of_a_host_is_sent_once_its_origin_is_seeded(site: Site) -> None:
    class Later(Walk):
        async def start(self) -> AsyncIterator[Request | str]:
            yield "http://b.test/"
            await site.until(lambda: bool(site.hits_of("a.test", "/linked")))
            yield "http://a.test/seeded"

    site.page("/", page(["http://a.test/linked"]), host="b.test")
    site.page("*", page())
    await hunt(site, Later(), hosts={"a.test": {"auth": "me:hunter2"}}, scope="any")
    assert "Authorization" in site.hits_of("a.test", "/seeded")[0].headers


async def test_secret_fields_of_a_host_go_to_no_other_port_of_it(site: Site) -> None:
    async with Site() as other:
        other.page("*", page())
        site.page("/", page([other.url("/", "a.test")]))
        secret = {"Authorization": "Bearer t0ken", "Cookie": "own=c00kie"}
        await hunt(site, Walk(), hosts={"a.test": {"headers": secret}}, scope="any")
        assert [hit.headers["Authorization"] for hit in site.hits_of("a.test")]
        assert not any("Authorization" in hit.headers or "Cookie" in hit.headers for hit in other.hits)


@pytest.mark.parametrize("status", [500, 503])
async def test_an_error_with_a_huge_body_is_no_robots_file(site: Site, status: int) -> None:
    site.page("/robots.txt", "x" * 600_000, status=status)
    site.page("/", page())
    web = await hunt(site, Walk(), retries=1)
    assert web.of("http://a.test/") is Reason.ROBOTS_UNREACHABLE


async def test_a_redirect_with_a_huge_body_is_a_redirect_for_robots(site: Site) -> None:
    site.page("/robots.txt", "x" * 600_000, status=302, headers={"Location": "/rules"})
    site.page("/rules", "User-agent: *\nDisallow: /private", headers={"Content-Type": "text/plain"})
    site.page("/", page(["/private"]))
    site.page("/private", page())
    web = await hunt(site, Walk())
    assert web.of("http://a.test/private") is Reason.ROBOTS


async def test_links_beyond_the_most_of_a_page_are_counted(site: Site) -> None:
    class All(Walk):
        def parse(self, response: Response) -> Any:
            yield response.follow_all(css="a[href]")

    site.page("/", page(f"/{n}" for n in range(100)))
    site.page("*", page())
    web = await hunt(site, All(), max_links=10)
    assert len(site.hits) == 12
    assert web.result.report.drops[Reason.TOO_MANY_LINKS] == 90


async def test_a_cookie_bomb_does_not_shut_us_out(site: Site) -> None:
    bomb = [("Set-Cookie", f"c{n}={'x' * 4000}; Path=/") for n in range(100)]
    for number in range(3):
        site.page(f"/bomb{number}", page(), headers=bomb[number * 10 : number * 10 + 10])
    site.page("/", page([f"/bomb{n}" for n in range(3)] + [f"/{n}" for n in range(5)]))
    site.page("*", page())
    await hunt(site, Walk(), concurrency=1)
    assert max(len(hit.headers.get("Cookie", "")) for hit in site.hits) <= 16_384


async def test_why_robots_could_not_be_had_is_told(site: Site) -> None:
    web = await hunt(site, Walk(url="http://nx.test/"))
    [event] = web.events
    assert "dns" in event.detail


async def test_own_fetches_are_counted(site: Site) -> None:
    class Fetches(Walk):
        async def parse(self, response: Response) -> Any:
            await self.fetch("http://a.test/own")

    site.page("*", page())
    web = await hunt(site, Fetches())
    assert web.result.report.stats.own_fetches == 1
