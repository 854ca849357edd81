"""What a process that was killed has left to the next: facts, limits, seeds, counts, by the site's own record."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scraper import Request, Response, Spider, Stop
from scraper.testing.answers import Answer, Visit
from scraper.testing.hits import during, spacing
from scraper.testing.site import Site

from .killed import Lives, gone

JITTER = 0.05  # seconds by which a busy test may stamp one arrival later than another


class Walk(Spider):
    """Follows every link."""

    name = "walk"
    start_urls = ("http://a.test/",)

    def parse(self, response: Response) -> Any:
        yield {"url": response.url, "depth": response.request.depth}
        yield response.follow_all(css="a[href]")


def page(*links: str) -> str:
    return "".join(f'<a href="{link}">x</a>' for link in links)


# -- facts about servers ----------------------------------------------------------------------------


async def test_a_rest_that_a_host_asked_for_holds_across_kills(site: Site, tmp_path: Path) -> None:
    asked: list[float] = []

    def overloaded(visit: Visit) -> Answer:
        if not visit.number:
            asked.append(time.monotonic())
            return Answer(429, headers={"Retry-After": "3"})
        return Answer(200, page())

    site.page("/", page(*(f"/{n}" for n in range(9))))
    site.page("*", page())
    site.answer("/3", overloaded)
    lives = Lives(site, tmp_path, Walk, per_host=1, concurrency=1, commit_every=5)
    async with lives.life() as process:
        await site.until(lambda: any(hit.status == 429 for hit in site.hits))
        async with asyncio.timeout(4):  # less than `commit_every`: a rest is committed at once
            await lives.rest_recorded("a.test")
        process.kill()
    async with lives.life() as process:
        await asyncio.sleep(0.8)
        process.kill()
    stats = await lives.ends()
    assert during(site.hits, asked[0] + 0.02, asked[0] + 3 - JITTER) == []
    assert lives.answers().total() == 10
    assert stats["politeness"]["a.test"]["rests"] == 1


async def test_a_rest_that_began_with_robots_txt_holds_too(site: Site, tmp_path: Path) -> None:
    site.page("/robots.txt", times=[Answer(503, headers={"Retry-After": "2"})])
    site.page("/", "x")
    lives = Lives(site, tmp_path, Walk, commit_every=5)
    async with lives.life() as process:
        await site.until(lambda: any(hit.end < time.monotonic() for hit in site.hits))
        async with asyncio.timeout(4):  # less than `commit_every`
            await lives.rest_recorded("a.test")
        process.kill()
    await lives.ends()
    asked = site.hits[0].end
    assert during(site.hits, asked + 0.02, asked + 2 - JITTER) == []
    assert len(lives.items()) == 1


@pytest.mark.timed
async def test_robots_txt_is_asked_for_once_and_its_delay_holds_from_the_first_request(
    site: Site, tmp_path: Path
) -> None:
    site.robots("User-agent: *\nDisallow: /no\nCrawl-delay: 0.4")
    site.page("/", page("/1", "/2", "/3", "/4", "/no"))
    site.page("*", page())
    lives = Lives(site, tmp_path, Walk)
    for _ in range(2):
        await lives.killed(lives.after(2))
    await lives.ends()
    assert len(site.hits_of(path="/robots.txt")) == 1
    assert not site.hits_of(path="/no")
    assert min(spacing(site.hits)) >= 0.4 - JITTER
    for began in lives.began[1:]:
        assert not during(site.hits, began, began + 0.4)


@pytest.mark.timed
async def test_no_host_is_contacted_before_opening_time_plus_its_delay(site: Site, tmp_path: Path) -> None:
    site.page("/", page(*(f"http://{host}.test/{n}" for host in "ab" for n in range(4))))
    site.page("*", page())
    lives = Lives(site, tmp_path, Walk, delay=0.4, scope="any")
    for _ in range(2):
        await lives.killed(lives.after(3))
    await lives.ends()
    assert lives.answers().total() == 9
    for host in ("a.test", "b.test"):
        assert min(spacing(site.hits_of(host))) >= 0.4 - JITTER
    for began in lives.began[1:]:
        assert not during(site.hits, began, began + 0.4)


class Cookies(Walk):
    name = "cookies"

    async def start(self) -> AsyncIterator[Request | str]:
        for session in ("one", "two"):
            yield Request(f"http://a.test/set/{session}", session=session)

    def parse(self, response: Response) -> Any:
        session = response.request.session
        for n in range(5):
            yield Request(f"http://a.test/members/{session}/{n}", session=session, callback=self.member)

    def member(self, response: Response) -> Any:
        yield {"url": response.url}


async def test_the_cookies_of_sessions_survive(site: Site, tmp_path: Path) -> None:
    for session in ("one", "two"):
        site.page(f"/set/{session}", "hello", headers={"Set-Cookie": f"who={session}; Path=/"})
    site.answer(
        "/members/*", lambda visit: Answer(200 if visit.cookie("who") == visit.path.split("/")[2] else 403, "x")
    )
    lives = Lives(site, tmp_path, Cookies, delay=0.05, robots=False)
    await lives.killed(lives.after(5))
    await lives.ends()
    assert len(lives.items()) == 10
    assert len(site.hits_of(path="/set/one")) == 1


class Seeded(Spider):
    """Its one seed is a private address and wants credentials; `start` is exhausted in the first process."""

    name = "seeded"
    start_urls = ("http://in.test/",)

    def parse(self, response: Response) -> Any:
        yield {"url": response.url}
        yield response.follow_all(css="a[href]")


async def test_seeds_stay_trusted_and_keep_their_credentials(site: Site, tmp_path: Path) -> None:
    site.basic("/", "me", "secret", page(*(f"/{n}" for n in range(6)), "http://other.test/"))
    for n in range(6):
        site.basic(f"/{n}", "me", "secret", "x")
    site.page("/", "x", host="other.test")
    lives = Lives(
        site, tmp_path, Seeded, auth="me:secret", allow_private=False, scope="any", delay=0.05, robots=False
    )
    await lives.killed(lives.after(3))
    await lives.ends()
    assert len(lives.items()) == 7
    assert lives.answers()["/", "failed", "private_address"] == 1


async def test_a_host_that_is_down_stays_down(site: Site, tmp_path: Path) -> None:
    site.page("/", page(*(f"http://nx.test/{n}" for n in range(30)), *(f"/{n}" for n in range(8))))
    site.page("*", page())
    lives = Lives(
        site, tmp_path, Walk, scope="any", delay=0.1, hosts={"nx.test": {"delay": 0}}, robots=False, retries=0,
        breaker=2, breaker_rest=0.05, breaker_trips=1,
    )  # fmt: skip
    down = "SELECT count(*) FROM answer WHERE reason = 'host_down'"
    await lives.killed(lambda: len(lives.pages()) > 5 and lives.rows(down) > [(0,)])
    before = lives.rows("SELECT count(*) FROM answer WHERE reason = 'dns'")
    await lives.ends()
    assert lives.rows("SELECT count(*) FROM answer WHERE reason = 'dns'") == before
    assert lives.answers().total() == 39


# -- counts -----------------------------------------------------------------------------------------


async def test_the_counts_of_many_processes_are_those_of_one(site: Site, tmp_path: Path) -> None:
    def declare() -> None:
        numbers = range(60)
        site.page("/", page(*(f"/{n}" for n in numbers), "/0", "http://else.test/", "mailto:x"))
        for n in numbers:
            site.page(f"/{n}", page(f"/{(n * 7) % 60}", f"/low/{n}"), delay=0.01)
        site.redirect("/5", "/target")
        site.page("/6", "no", status=404)
        site.page("/7", "", times=[Answer(500)])
        site.page("/low/*", page())
        site.page("/target", page())

    declare()
    once = Lives(site, tmp_path / "once", Broken)
    expected = await once.ends()
    site.forget()
    declare()
    lives = Lives(site, tmp_path / "often", Broken, concurrency=4)
    for number in (5, 30, 1, 40):
        await lives.killed(lives.after(number))
    stats = await lives.ends()
    for name in ("pages", "reasons", "statuses", "items", "rejected", "bytes", "dropped"):
        for each in (stats, expected):  # a kill may take the 500 along, which comes once
            if isinstance(each[name], dict):
                for key in ("retry", "retry:status", "500"):
                    each[name].pop(key, None)
        assert stats[name] == expected[name], name
    assert [(e["reason"], e["count"], e["where"]) for e in stats["errors"]] == [
        (e["reason"], e["count"], e["where"]) for e in expected["errors"]
    ]
    assert lives.answers() == once.answers()
    key = json.dumps
    assert Counter(map(key, lives.items())) == Counter(map(key, once.items()))
    assert len((lives.folder / "rejected.jsonl").read_text().splitlines()) == expected["rejected"]
    assert stats["ended"] - stats["started"] >= stats["seconds"] > 0
    assert stats["started"] < time.time() - (time.monotonic() - lives.began[1])
    departures = stats["politeness"]["a.test"]["departures"]
    # Of what a process had sent since its last commit, nothing is known; what has an answer was counted.
    answered = sum(number for end, number in stats["pages"].items() if end in ("done", "failed", "redirected"))
    assert len(site.hits_of("a.test")) >= departures >= answered
    run = json.loads((lives.folder / "run.json").read_text())
    assert (run["starts"], run["items"], run["pages"]) == (5, stats["items"], stats["pages"]["done"])


class Broken(Walk):
    """Some pages break the callback, some have items that cannot be written."""

    name = "broken"

    def parse(self, response: Response) -> Any:
        yield response.follow_all(css="a[href]")
        yield {"url": response.url}
        if response.url.endswith("3"):
            raise ValueError("three")
        if response.url.endswith("4"):
            yield {"odd": object()}


# -- limits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 8, 32])
async def test_the_limits_are_exact_over_several_kills(site: Site, tmp_path: Path, concurrency: int) -> None:
    truth = site.tree(pages=120, fanout=6)
    site.redirect("/p/2", "/p/77")
    site.page("/p/3", page("/p/19"), times=[Answer(503), Answer(503)])
    site.page("/p/5", page("/p/31"), times=[Answer(500)])
    lives = Lives(site, tmp_path, Walk, concurrency=concurrency, per_host=concurrency, max_pages=40, max_items=37)
    for number in (4, 14, 12):
        await lives.killed(lives.after(number), delay=0.01)
    stats = await lives.ends()
    pages = stats["pages"]
    assert len(lives.items()) == len({item["url"] for item in lives.items()}) <= 37
    assert {item["url"].removeprefix("http://a.test") for item in lives.items()} <= truth
    answered = lives.answers()
    ended = sum(number for (_, end, _), number in answered.items() if end != "redirected")
    if stats["why"] == "max_pages":
        assert (ended, pages["done"]) == (40, len(lives.items()))
    else:
        assert (stats["why"], len(lives.items())) == ("max_items", 37)
        assert ended <= 40
    assert max(answered.values()) == 1


@pytest.mark.parametrize("concurrency", [1, 32])
async def test_pages_of_a_host_and_depth_are_exact_over_several_kills(
    site: Site, tmp_path: Path, concurrency: int
) -> None:
    site.tree(pages=120, fanout=4, delay=0.02)
    lives = Lives(
        site, tmp_path, Walk, concurrency=concurrency, per_host=concurrency, max_pages_per_host=20, max_depth=2
    )
    for number in (3, 6, 5):
        await lives.killed(lives.after(number))
    stats = await lives.ends()
    assert stats["pages"]["done"] == len(lives.items()) == 20
    assert max(item["depth"] for item in lives.items()) == 2
    assert stats["pages"]["dropped"] == stats["reasons"]["dropped:host_limit"] > 0


async def test_a_killed_run_goes_on_with_a_larger_limit_and_an_ended_one_does_not(
    site: Site, tmp_path: Path
) -> None:
    site.tree(pages=60, fanout=6)
    lives = Lives(site, tmp_path, Walk, concurrency=1, delay=0.02)
    await lives.killed(lives.after(10), max_pages=15)
    await lives.ends(max_pages=30)
    assert len(lives.items()) == 30
    first = lives.folder
    async with lives.life(max_pages=45) as process:
        assert await gone(process) == 0
    runs = [path for path in first.parent.iterdir() if not path.is_symlink()]
    assert len(runs) == 2  # a limit is a good end: the next command is another run


class Stops(Walk):
    """The page /stop wants the crawl to end, while a slow page is out."""

    name = "stops"

    def parse(self, response: Response) -> Any:
        yield {"url": response.url}
        if response.url.endswith("/stop"):
            raise Stop("seen enough")
        yield response.follow_all(css="a[href]")


@pytest.mark.parametrize(("spider", "limit", "why"), [(Stops, 0, "seen enough"), (Walk, 3, "max_items")])
async def test_a_crawl_that_was_to_end_when_it_was_killed_fetches_nothing_more(
    site: Site, tmp_path: Path, spider: type[Spider], limit: int, why: str
) -> None:
    site.page("/", page("/slow", "/stop", *(f"/{n}" for n in range(30))))
    site.page("/slow", "slow", delay=60)
    site.page("/stop", "stop", delay=0.2)
    site.page("*", "x", delay=0.3)
    lives = Lives(site, tmp_path, spider, concurrency=3, per_host=3, max_items=limit)
    async with lives.life() as process:
        await site.until(lambda: any(hit.end < time.monotonic() for hit in site.hits_of(path="/0")))
        await asyncio.sleep(1)  # nothing new is begun, and /slow is still out
        process.kill()
    asked, had = len(site.hits), len(lives.items())
    stats = await lives.ends()
    assert (len(site.hits), len(lives.items()), stats["why"]) == (asked, had, why)


# -- seeds ------------------------------------------------------------------------------------------

SEEDS = 300


class Many(Spider):
    """Some seeds are duplicates, some are asked for again with other keywords."""

    name = "many"

    async def start(self) -> AsyncIterator[Request | str]:
        self.note("start")
        for n in range(SEEDS):
            if n % 20 == 0:
                await asyncio.sleep(0.02)
            if n % 10 == 7:
                yield Request("http://a.test/same", again=True, cb_kwargs={"number": n})
            elif n % 10 == 8:
                yield f"http://a.test/{n - 1 - n % 3}"
            elif n % 10 == 9:
                yield "http://else.test/"
            else:
                yield Request(f"http://a.test/{n}", cb_kwargs={"number": n})

    def opened(self) -> Any:
        self.note("opened")

    async def login(self) -> None:
        await asyncio.sleep(0.05)
        self.note("login")

    def parse(self, response: Response, number: int = -1) -> Any:
        yield {"number": number, "url": response.url}

    def note(self, what: str) -> None:
        line: Any = self._line
        if not hasattr(line, "_line"):
            return  # `opened` in a worker
        with (line._line.pages._folder / "told").open("a") as file:
            file.write(what + "\n")


async def test_every_seed_is_accepted_once_whenever_start_is_killed(site: Site, tmp_path: Path) -> None:
    site.page("*", "x")
    settings = {"allowed_domains": ["a.test"], "concurrency": 8, "per_host": 8}
    once = Lives(site, tmp_path / "once", Many, **settings)
    expected = await once.ends()
    lives = Lives(site, tmp_path / "often", Many, **settings)
    for number in (1, 30, 60, 40):
        await lives.killed(lives.after(number))
    stats = await lives.ends()
    assert sorted(map(str, lives.items())) == sorted(map(str, once.items()))
    assert [item["number"] for item in lives.items() if item["url"].endswith("/same")].count(7) == 1
    assert stats["dropped"] == expected["dropped"]
    assert stats["pages"] == expected["pages"]
    told = (lives.folder / "told").read_text().split()
    assert told[:3] == ["opened", "login", "start"]
    assert told.count("opened") == told.count("login") == 5


async def test_start_is_not_run_again_once_it_was_exhausted(site: Site, tmp_path: Path) -> None:
    site.page("*", "x", delay=0.1)
    lives = Lives(site, tmp_path, Few, per_host=1)
    await lives.killed(lives.after(3))
    await lives.ends()
    assert (lives.folder / "told").read_text().split() == ["opened", "login", "start", "opened", "login"]
    assert len(lives.items()) == 10


class Few(Many):
    name = "few"

    async def start(self) -> AsyncIterator[Request | str]:
        self.note("start")
        for n in range(10):
            yield f"http://a.test/{n}"


class Fails(Few):
    name = "fails"

    async def start(self) -> AsyncIterator[Request | str]:
        yield "http://a.test/"
        await asyncio.sleep(0.1)
        yield "http://a.test/2"
        raise ValueError("no more")


async def test_a_start_that_broke_is_not_taken_for_one_that_was_exhausted(site: Site, tmp_path: Path) -> None:
    site.page("/", "x", times=[Answer(delay=60)])
    lives = Lives(site, tmp_path, Fails)
    async with lives.life() as process:
        await site.until(lives.after(1))
        await asyncio.sleep(1)  # `start` has raised, the page is still out
        process.kill()
    assert lives.rows("SELECT value FROM meta WHERE key = 'seeds_done'") == []
    stats = await lives.ends(1)
    assert (stats["state"], stats["why"]) == ("interrupted", "broken")  # what was done is not lost
    assert lives.answers()["/", "done", "ok"] == 1


# -- what is queued ---------------------------------------------------------------------------------


class Ordered(Spider):
    name = "ordered"

    async def start(self) -> AsyncIterator[Request | str]:
        for n in range(30):
            yield Request(f"http://a.test/{n}", priority=n % 3, again=n > 20, cb_kwargs={"number": n})

    def parse(self, response: Response, number: int = -1) -> Any:
        yield {"number": number}
        if number < 3:
            yield [Request("http://a.test/again", again=True, cb_kwargs={"number": 100 + i}) for i in range(2)]


async def test_the_order_holds_and_equal_requests_stay_two(site: Site, tmp_path: Path) -> None:
    site.page("*", "x")
    lives = Lives(site, tmp_path, Ordered, concurrency=1, per_host=1, delay=0.05, commit_every=0.02)
    await lives.killed(lives.after(8))
    await lives.ends()
    numbers = [item["number"] for item in lives.items()]
    seeds = [n for n in numbers if n < 100]
    assert sorted(seeds) == list(range(30))
    later = seeds[seeds.index(seeds[8]) :]
    assert [n % 3 for n in later] == sorted((n % 3 for n in later), reverse=True)
    assert Counter(n for n in numbers if n >= 100) == {100: 3, 101: 3}


class Fetches(Walk):
    name = "fetches"

    async def parse(self, response: Response) -> Any:
        yield {"url": response.url, "at": "first"}
        got = await self.fetch(response.url + "own")
        yield {"url": response.url, "at": got.text}
        yield response.follow_all(css="a[href]")


async def test_a_page_whose_own_fetch_waits_at_the_kill_is_done_again_whole(site: Site, tmp_path: Path) -> None:
    site.page("/", page("/1/", "/2/"))
    site.page("/1/", "x")
    site.page("/2/", "x")
    for path in ("/own", "/1/own", "/2/own"):
        site.page(path, "own", times=[Answer(200, "late", delay=60)])
    lives = Lives(site, tmp_path, Fetches)
    await lives.killed(lambda: len(site.hits_of(path="/own")) == 1)
    await lives.killed(lambda: len(site.hits_of(path="/1/own") + site.hits_of(path="/2/own")) == 2)
    stats = await lives.ends()
    assert Counter(item["url"] for item in lives.items()) == {f"http://a.test{p}": 2 for p in ("/", "/1/", "/2/")}
    assert {item["at"] for item in lives.items()} == {"first", "own"}
    assert stats["own_fetches"] == 3


# -- what is too late -------------------------------------------------------------------------------


async def test_a_crawl_that_only_waits_ends_and_goes_on_when_it_is_due(site: Site, tmp_path: Path) -> None:
    site.page("/", page(*(f"/{n}" for n in range(5)), "http://b.test/"), host="a.test")
    site.page("/0", "x", times=[Answer(429, headers={"Retry-After": "5"})])
    site.page("*", "x")
    lives = Lives(site, tmp_path, Walk, scope="any", concurrency=1, max_wait=0.5)
    stats = await lives.ends(130)
    assert (stats["why"], stats["state"]) == ("waiting", "interrupted")
    [asked] = [hit for hit in site.hits if hit.status == 429]
    stats = await lives.ends(130)
    assert stats["why"] == "waiting"
    assert time.monotonic() < asked.end + 4.4
    await asyncio.sleep(asked.end + 5 - time.monotonic())
    stats = await lives.ends()
    assert during(site.hits_of("a.test"), asked.end + 0.02, asked.end + 5 - JITTER) == []
    assert lives.answers() == {
        **{(f"/{n}", "done", "ok"): 1 for n in range(5)},
        ("/", "done", "ok"): 2,
    }


async def test_a_robots_txt_that_may_be_asked_for_too_late_ends_it_too(site: Site, tmp_path: Path) -> None:
    site.page("/robots.txt", "", host="b.test", status=503, headers={"Retry-After": "60"})
    site.page("/", page("http://b.test/", "/1"))
    site.page("*", "x", delay=0.1)
    lives = Lives(site, tmp_path, Walk, scope="any", max_wait=2.0)
    async with asyncio.timeout(20):
        stats = await lives.ends(130)
    assert (stats["why"], stats["pages"]["done"]) == ("waiting", 2)


class Late(Walk):
    """Its seeds come slowly, while the host of the first rests."""

    name = "late"

    async def start(self) -> AsyncIterator[Request | str]:
        yield "http://a.test/"
        await asyncio.sleep(1)
        yield "http://b.test/"


async def test_it_does_not_end_while_seeds_come_or_robots_txt_is_on_its_way(site: Site, tmp_path: Path) -> None:
    site.page("/", "", host="a.test", status=429, headers={"Retry-After": "60"})
    site.robots("User-agent: *\nDisallow:", host="b.test", delay=1.0)
    site.page("/", "x", host="b.test")
    lives = Lives(site, tmp_path, Late, max_wait=0.3)
    await lives.ends(130)
    assert lives.items() == [{"url": "http://b.test/", "depth": 0}]


# -- the beginning ----------------------------------------------------------------------------------


class Dawn(Walk):
    name = "dawn"


async def test_a_crawl_may_be_killed_at_any_moment_of_its_beginning(site: Site, tmp_path: Path) -> None:
    truth = site.tree(pages=30, fanout=3, delay=0.02)
    lives = Lives(site, tmp_path, Dawn)
    for step in range(16):
        async with lives.life():
            await asyncio.sleep(0.02 * step)
    async with lives.life() as process:
        assert await gone(process) == 0
    found = (tmp_path / "dawn" / "latest").resolve()
    items = [json.loads(line)["url"] for line in (found / "items.jsonl").read_text().splitlines()]
    assert sorted(items) == sorted(f"http://a.test{path}" for path in truth)
    stats = json.loads((found / "stats.json").read_text())
    assert (stats["pages"], stats["items"]) == ({"done": 30}, 30)
    others = [path for path in found.parent.iterdir() if path.is_dir() and path != found and not path.is_symlink()]
    kept = [path for path in others if (path / "state.sqlite").exists()]
    # A quick one may have ended before it was to be killed; none was left unfinished.
    assert {json.loads((path / "run.json").read_text())["state"] for path in kept} <= {"finished"}
    assert not (found / "inflight").exists()
