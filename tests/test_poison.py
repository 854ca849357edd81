"""Pages that kill the process: run alone afterwards, and given up after three kills."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from scraper import Request, Response, Spider
from scraper.quarantine import Quarantine
from scraper.testing.site import Site

from .killed import Lives, die

NUMBER = 30


class Poison(Spider):
    """Every page leaves a line in a file when its callback begins, and one when it ends."""

    name = "poison"
    start_urls = ("http://a.test/",)

    async def parse(self, response: Response) -> Any:
        self.tell("begins", response)
        for link in response.follow_all(css="a[href]"):
            yield link
        yield {"url": response.url}
        for _ in range(5):
            await asyncio.sleep(0.002)
            if "/poison" in response.url:
                self.kill(response)
        self.tell("ends", response)

    def kill(self, response: Response) -> None:
        die()

    def tell(self, what: str, response: Response) -> None:
        line: Any = self._line
        pages = line._pages if hasattr(line, "_pages") else line._line.pages  # in a worker, or the crawl itself
        path = Path(pages._folder) / "told"  # beside the journal
        with path.open("a") as file:
            file.write(f"{os.getpid()} {what} {response.request.kills} {response.url}\n")


def fill(site: Site, *poison: str) -> set[str]:
    paths = {f"/{n}" for n in range(NUMBER)}
    links = sorted(paths)
    for each in poison:
        links.insert(7, each)
    site.page("/", "".join(f'<a href="{path}">x</a>' for path in links))
    for path in (*paths, *poison):
        site.page(path, path)
    return {"/", *paths}


def alone(lives: Lives) -> None:
    """A page that has killed a process was never worked on beside another."""
    running: dict[str, set[tuple[str, bool]]] = {}
    for line in (lives.folder / "told").read_text().splitlines():
        pid, what, kills, url = line.split()
        open_, page = running.setdefault(pid, set()), (url, kills != "0")
        if what == "begins":
            assert not (open_ and page[1]), (url, open_)
            assert not any(suspect for _, suspect in open_), (url, open_)
            open_.add(page)
        else:
            open_.remove(page)


async def test_a_page_that_kills_three_processes_fails_and_all_else_is_answered(site: Site, tmp_path: Path) -> None:
    paths = fill(site, "/poison")
    lives = Lives(site, tmp_path, Poison, concurrency=8, per_host=8)
    stats = await lives.outlives(3)
    assert lives.answers() == {**{(path, "done", "ok"): 1 for path in paths}, ("/poison", "failed", "poison"): 1}
    assert sorted(item["url"] for item in lives.items()) == sorted(f"http://a.test{path}" for path in paths)
    assert stats["pages"] == {"done": NUMBER + 1, "failed": 1}
    assert len(site.hits_of(path="/poison")) in (3, 4)
    assert "3 processes died" in stats["errors"][0]["detail"]
    alone(lives)


class Two(Poison):
    name = "two"


async def test_two_of_them_are_given_up_one_by_one(site: Site, tmp_path: Path) -> None:
    paths = fill(site, "/poison1", "/poison2")
    lives = Lives(site, tmp_path, Two, concurrency=8, per_host=8)
    await lives.outlives(6)
    dead = {(f"/poison{n}", "failed", "poison"): 1 for n in (1, 2)}
    assert lives.answers() == {**{(path, "done", "ok"): 1 for path in paths}, **dead}
    alone(lives)


class Exits(Poison):
    name = "exits"

    def kill(self, response: Response) -> None:
        os._exit(77)


class Swells(Poison):
    name = "swells"

    def kill(self, response: Response) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (1, most))
        while True:
            pass


@pytest.mark.parametrize("spider", [Exits, pytest.param(Swells, marks=pytest.mark.slow)])
async def test_however_the_process_ends(site: Site, tmp_path: Path, spider: type[Poison]) -> None:
    fill(site, "/poison")
    lives = Lives(site, tmp_path, spider)
    await lives.outlives(3)
    assert lives.answers()["/poison", "failed", "poison"] == 1
    assert len(lives.items()) == NUMBER + 1


class Once(Poison):
    name = "once"

    def kill(self, response: Response) -> None:
        if not response.request.kills:
            die()


async def test_a_page_that_was_killed_by_chance_is_answered_as_any_other(site: Site, tmp_path: Path) -> None:
    paths = fill(site, "/poison") | {"/poison"}
    lives = Lives(site, tmp_path, Once, concurrency=8, per_host=8)
    await lives.outlives(1)
    assert lives.answers() == {(path, "done", "ok"): 1 for path in paths}
    assert len(lives.items()) == len(paths)


class Waits(Poison):
    name = "waits"

    async def parse(self, response: Response) -> Any:
        if response.url.endswith("/"):
            yield response.follow_all(css="a[href]")
        await self.fetch(f"http://slow.test/{response.url[-1]}")
        yield {"url": response.url}


async def test_pages_that_are_only_out_or_waiting_are_no_suspects(site: Site, tmp_path: Path) -> None:
    fill(site)
    site.page("*", "slow", host="slow.test", delay=0.5)
    lives = Lives(site, tmp_path, Waits, concurrency=16, per_host=16)
    for number in (1, 3, 5):
        await lives.killed(lives.after(number))
    assert lives.rows("SELECT count(*) FROM queue WHERE kills") == [(0,)]
    site.page("*", "quick", host="slow.test")
    await lives.ends()
    assert len(lives.items()) == NUMBER + 1
    assert lives.answers().total() == NUMBER + 1


class Parser(Poison):
    """Two large pages are on their way to the parser at one time: the first of them is the poison."""

    name = "parser"

    async def parse(self, response: Response) -> Any:
        yield response.follow_all(css="a[href]")
        yield {"url": response.url}

    def opened(self) -> Any:
        reading: Any = sys.modules["scraper.reading"]
        plain = reading.prepare

        def deadly(response: Response) -> None:
            if "/poison" in response.url:
                time.sleep(0.3)  # the others come to wait for it
                die()
            plain(response)

        reading.prepare = deadly


async def test_a_large_page_that_kills_in_the_parser_is_found_among_those_that_wait_for_it(
    site: Site, tmp_path: Path
) -> None:
    paths = fill(site, "/poison")
    for path in (*paths - {"/"}, "/poison"):
        site.page(path, "<p>x</p>" * 60_000)
    lives = Lives(site, tmp_path, Parser, concurrency=16, per_host=16)
    await lives.outlives(3)
    assert lives.answers() == {**{(path, "done", "ok"): 1 for path in paths}, ("/poison", "failed", "poison"): 1}


class Prepares(Poison):
    name = "prepares"

    def prepare(self, request: Request) -> Request:
        if "/poison" in request.url:
            die()
        return request


async def test_a_page_that_cannot_even_be_prepared_is_given_up(site: Site, tmp_path: Path) -> None:
    paths = fill(site, "/poison")
    lives = Lives(site, tmp_path, Prepares)
    await lives.outlives(3)
    assert lives.answers() == {**{(path, "done", "ok"): 1 for path in paths}, ("/poison", "failed", "poison"): 1}
    assert not site.hits_of(path="/poison")


class Begins(Prepares):
    name = "begins"
    start_urls = ("http://slow.test/", "http://a.test/")  # while a page is out, nothing hurries the commit


@pytest.mark.alone(reason="the crawl's own process notes what its workers die of")
async def test_a_page_that_kills_before_it_is_durable_is_made_durable_first_by_the_next_process(
    site: Site, tmp_path: Path
) -> None:
    fill(site, "/poison")
    site.page("/", "slow", host="slow.test", delay=1)
    lives = Lives(site, tmp_path, Begins, commit_every=10)
    await lives.dies()
    assert lives.rows("SELECT count(*) FROM request WHERE url LIKE '%poison'") == [(0,)]
    await lives.outlives(3)
    assert lives.answers()["/poison", "failed", "poison"] == 1
    assert lives.answers().total() == NUMBER + 3


class Signs(Poison):
    """The poison is in the `prepare` of a fetch that a page makes itself."""

    name = "signs"

    async def parse(self, response: Response) -> Any:
        yield response.follow_all(css="a[href]")
        if "/poison" in response.url:
            await self.fetch("http://a.test/own")

    def prepare(self, request: Request) -> Request:
        if request.url.endswith("/own"):
            die()
        return request


async def test_a_page_whose_own_fetch_cannot_be_prepared_is_given_up(site: Site, tmp_path: Path) -> None:
    fill(site, "/poison")
    lives = Lives(site, tmp_path, Signs)
    await lives.outlives(3)
    assert lives.answers()["/poison", "failed", "poison"] == 1
    assert lives.answers().total() == NUMBER + 2


class Mourns(Poison):
    name = "mourns"

    def on_error(self, request: Any, error: Any) -> Any:
        die()


@pytest.mark.alone(reason="`on_error` runs in the crawl's own process, which it kills")
async def test_a_page_whose_on_error_kills_too_ends_all_the_same(site: Site, tmp_path: Path) -> None:
    paths = fill(site, "/poison")
    lives = Lives(site, tmp_path, Mourns)
    await lives.outlives(4)
    assert lives.answers() == {**{(path, "done", "ok"): 1 for path in paths}, ("/poison", "failed", "poison"): 1}


async def test_the_last_to_come_into_quarantine_lets_the_first_begin() -> None:
    open_ = ["first", "last"]
    quarantine = Quarantine(lambda: len(open_))
    order: list[str] = []

    async def page(name: str) -> None:
        async with quarantine.alone():
            order.append(f"{name} begins")
            await asyncio.sleep(0)
            order.append(f"{name} ends")
        open_.remove(name)
        quarantine.tell()

    async with asyncio.timeout(5):
        first = asyncio.create_task(page("first"))
        await asyncio.sleep(0)
        assert order == []
        await page("last")
        await first
    assert order == ["first begins", "first ends", "last begins", "last ends"]
