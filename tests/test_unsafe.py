"""Requests that must not be sent twice, in crawls that are killed: what the server's own record says of them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from scraper import Reason, Request, Response, Spider
from scraper.program import crawl
from scraper.testing.answers import Answer, Visit
from scraper.testing.hits import during
from scraper.testing.resolve import Loopback
from scraper.testing.site import Site

from .killed import STEADY, Lives


class Posts(Spider):
    """One POST between two pages; tells in a file how often it has failed."""

    name = "posts"
    start_urls = ()

    async def start(self) -> AsyncIterator[Request | str]:
        yield "http://a.test/1"
        yield Request("http://a.test/order", json={"order": 1})
        yield "http://a.test/2"

    def parse(self, response: Response) -> Any:
        yield {"url": response.url, "method": response.request.method}

    def on_error(self, request: Request, error: Any) -> Any:
        yield {"failed": request.url, "reason": error.reason}


def posts(site: Site) -> list[str]:
    return [hit.path for hit in site.hits if hit.method == "POST"]


async def test_a_post_is_durable_as_begun_before_the_server_sees_it(site: Site, tmp_path: Path) -> None:
    lives = Lives(site, tmp_path, Posts)
    seen: list[Any] = []

    def order(visit: Visit) -> Answer:
        seen.extend(lives.rows("SELECT started FROM queue JOIN request USING (id) WHERE url LIKE '%order'"))
        return Answer(200, "thanks")

    site.page("*", "page")
    site.answer("/order", order)
    await lives.ends()
    assert seen == [(1,)]
    assert lives.rows("SELECT count(*) FROM queue") == [(0,)]


async def test_a_post_that_was_out_at_the_kill_is_unknown_and_never_sent_again(site: Site, tmp_path: Path) -> None:
    site.page("*", "page")
    site.page("/order", "thanks", delay=60)
    lives = Lives(site, tmp_path, Posts)
    await lives.killed(lambda: len(posts(site)) == 1)
    await lives.killed(lives.after(0))
    stats = await lives.ends()
    assert posts(site) == ["/order"]
    assert lives.answers()["/order", "failed", "unknown"] == 1
    assert lives.answers().total() == 3
    assert [item for item in lives.items() if "failed" in item] == [
        {"failed": "http://a.test/order", "reason": "unknown"}
    ]
    assert stats["pages"] == {"done": 2, "failed": 1}
    assert stats["errors"][0]["detail"] == "a POST may have been sent by a process that died; it is not sent again"


async def test_it_is_sent_again_when_that_is_asked_for(site: Site, tmp_path: Path) -> None:
    site.page("*", "page")
    site.page("/order", "thanks", times=[Answer(200, "", delay=60)])
    lives = Lives(site, tmp_path, Posts)
    await lives.killed(lambda: len(posts(site)) == 1)
    await lives.ends(resend_unsafe=True)
    assert posts(site) == ["/order"] * 2
    assert lives.answers()["/order", "done", "ok"] == 1
    assert len(lives.items()) == 3


@pytest.mark.parametrize("resend", [True, False])
async def test_max_pages_counts_a_post_that_was_out_at_the_kill(site: Site, tmp_path: Path, resend: bool) -> None:
    site.page("*", "page")
    site.page("/order", "thanks", times=[Answer(200, "", delay=60)])
    lives = Lives(site, tmp_path, Posts, max_pages=2, max_pages_per_host=2)
    await lives.killed(lambda: len(posts(site)) == 1 and len(lives.pages()) == 2)
    stats = await lives.ends(resend_unsafe=resend)
    assert {hit.path for hit in lives.pages()} == {"/1", "/order"}
    assert stats["pages"]["done"] + stats["pages"].get("failed", 0) == 2
    assert stats["why"] == "max_pages"


class Orders(Posts):
    """The page itself is read; its callback sends the POST."""

    name = "orders"

    async def start(self) -> AsyncIterator[Request | str]:
        yield "http://a.test/1"
        yield "http://a.test/2"

    async def parse(self, response: Response) -> Any:
        yield {"url": response.url}
        if response.url.endswith("1"):
            await self.fetch(Request("http://a.test/order", form={"n": "1"}))
            await asyncio.sleep(60)


async def test_a_page_whose_callback_had_sent_a_post_is_unknown_after_a_kill(site: Site, tmp_path: Path) -> None:
    site.page("*", "page")
    lives = Lives(site, tmp_path, Orders)
    await lives.killed(lambda: len(posts(site)) == 1)
    stats = await lives.ends()
    assert posts(site) == ["/order"]
    assert lives.answers() == {("/1", "failed", "unknown"): 1, ("/2", "done", "ok"): 1}
    assert stats["errors"][0]["detail"].startswith("an unsafe request of its callback may have been sent by")
    assert sorted(lives.items(), key=len) == [
        {"url": "http://a.test/2"},
        {"failed": "http://a.test/1", "reason": "unknown"},
    ]


class LogsIn(Posts):
    name = "logs_in"

    async def login(self) -> None:
        await self.fetch(Request("http://a.test/login", form={"user": "me"}))


async def test_a_login_is_made_in_every_process_before_anything_is_sent(site: Site, tmp_path: Path) -> None:
    site.page("*", "page", delay=0.1)
    site.page("/login", "hello", delay=0.1)
    lives = Lives(site, tmp_path, LogsIn, per_host=1)
    await lives.killed(lambda: "/login" in posts(site))
    await lives.killed(lambda: len(site.hits_of(path="/1")) == 1)
    await lives.ends()
    assert posts(site).count("/login") == 3
    assert lives.answers() == {("/1", "done", "ok"): 1, ("/2", "done", "ok"): 1, ("/order", "done", "ok"): 1}
    logins = site.hits_of(path="/login")
    assert all(hit.start > logins[1].end for hit in lives.pages() if hit.path != "/login")
    assert not during(lives.pages(), logins[2].start + 0.001, logins[2].end)


# -- in one process: what of it is kept -------------------------------------------------------------


def state(root: Path) -> Path:
    [found] = root.glob("*/*-*/state.sqlite")
    return found


class Started:
    """What the state said of the POST each time that the server was asked for something."""

    def __init__(self, site: Site, root: Path) -> None:
        self.said: list[tuple[str, str, list[int]]] = []
        self._root = root

    def __call__(self, visit: Visit, answer: Answer) -> Answer:

        [path] = self._root.glob("*/*-*/state.sqlite")
        with closing(sqlite3.connect(path)) as base:
            rows = base.execute("SELECT started FROM queue JOIN request USING (id) WHERE started").fetchall()
        self.said.append((visit.method, visit.path, [row[0] for row in rows]))
        return answer


class One(Posts):
    url: str

    async def start(self) -> AsyncIterator[Request | str]:
        yield Request(self.url, json={})


async def posted(site: Site, root: Path, url: str, **settings: Any) -> dict[str, Any]:
    given = {**STEADY, "robots": False, **settings}
    result = await crawl(One(url=url), settings=given, folder=root, resolver=Loopback(site.port))
    return result.report.as_data()


@pytest.mark.parametrize(("status", "then"), [(307, "POST"), (308, "POST"), (303, "GET"), (302, "GET")])
async def test_where_a_post_is_redirected_to(site: Site, tmp_path: Path, status: int, then: str) -> None:
    said = Started(site, tmp_path)
    site.answer("/order", lambda visit: said(visit, Answer(status, headers={"Location": "/thanks"})))
    site.answer("/thanks", lambda visit: said(visit, Answer(200, "thanks")))
    data = await posted(site, tmp_path, "http://a.test/order", max_pages=1)
    assert said.said[0] == ("POST", "/order", [1])
    method, path, rows = said.said[1]
    assert (method, path) == (then, "/thanks")
    assert len(rows) >= (then == "POST")
    assert data["pages"] == {"redirected": 1, "done": 1}


class Redirected(Posts):
    name = "redirected"

    async def start(self) -> AsyncIterator[Request | str]:
        yield Request("http://a.test/order", json={"order": 1})


async def test_a_post_that_was_redirected_and_sent_again_is_unknown_as_its_target(
    site: Site, tmp_path: Path
) -> None:
    site.redirect("/order", "/thanks", 307)
    site.page("/thanks", "thanks", delay=60)
    lives = Lives(site, tmp_path, Redirected, max_pages=1)
    await lives.killed(lambda: "/thanks" in posts(site))
    stats = await lives.ends(1)
    assert posts(site) == ["/order", "/thanks"]
    assert lives.answers() == {("/order", "redirected", "ok"): 1, ("/thanks", "failed", "unknown"): 1}
    assert stats["pages"] == {"redirected": 1, "failed": 1}


async def test_a_post_that_was_refused_a_connection_waits_as_one_that_was_not_sent(
    site: Site, tmp_path: Path
) -> None:
    data = await posted(site, tmp_path, "http://nx.test/order", backoff=30.0, max_backoff=30.0, max_wait=0.0)
    with closing(sqlite3.connect(state(tmp_path))) as base:
        rows = base.execute("SELECT started, tries, counted FROM queue").fetchall()
    assert (data["why"], rows) == ("waiting", [(0, 1, 1)])


async def test_a_post_that_got_429_is_not_sent_again(site: Site, tmp_path: Path) -> None:
    site.page("/order", "", status=429, headers={"Retry-After": "1"})
    data = await posted(site, tmp_path, "http://a.test/order")
    assert posts(site) == ["/order"]
    assert data["reasons"] == {f"failed:{Reason.STATUS}": 1}


class Signs(Posts):
    """`prepare` makes a POST of a GET."""

    name = "signs"

    async def start(self) -> AsyncIterator[Request | str]:
        yield "http://a.test/order"

    def prepare(self, request: Request) -> Request:
        return request.replace(method="POST", body=b"signed")


async def test_a_request_that_was_made_unsafe_at_the_last_moment_is_one(site: Site, tmp_path: Path) -> None:
    site.page("/order", "thanks", delay=60)
    lives = Lives(site, tmp_path, Signs)
    await lives.killed(lambda: len(posts(site)) == 1)
    await lives.ends(1)
    assert posts(site) == ["/order"]
    assert lives.answers() == {("/order", "failed", "unknown"): 1}


class Rests(Posts):
    """Many POSTs to a host that asks to be left alone: those that were admitted are given back."""

    name = "rests"

    async def start(self) -> AsyncIterator[Request | str]:
        for number in range(8):
            yield Request(f"http://a.test/order/{number}", json={"order": number})


async def test_posts_that_are_given_back_are_not_begun(site: Site, tmp_path: Path) -> None:
    site.page("/order/*", "thanks")
    site.page("/order/0", "", status=503, headers={"Retry-After": "2"})
    lives = Lives(site, tmp_path, Rests, per_host=1, delay=0.05)
    await lives.killed(lambda: any(hit.status == 503 for hit in site.hits))
    await lives.ends()
    assert sorted(posts(site)) == [f"/order/{n}" for n in range(8)]
    assert lives.answers().total() == 8
    assert {reason for (_, end, reason), _ in lives.answers().items() if end == "failed"} <= {"status", "unknown"}
    assert len(lives.items()) == 8
