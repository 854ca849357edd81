"""The line, crawled on a real site: every page once, every outcome told, limits exact."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from scraper import FetchError, Reason, Request, Response, Retry, Skip, Spider, StatusError, Stop
from scraper.outcome import End
from scraper.testing.answers import Answer
from scraper.testing.site import Site

from .conftest import Crawl


class Walk(Spider):
    """Follows every link."""

    name = "walk"
    url: str = "http://a.test/"

    async def start(self) -> AsyncIterator[Request | str]:
        yield self.url

    def parse(self, response: Response) -> Any:
        yield {"url": response.url, "depth": response.request.depth}
        yield response.follow_all(css="a[href]")


def paths(site: Site) -> list[str]:
    return [hit.target for hit in site.hits if hit.path != "/robots.txt"]


def page(*links: str) -> str:
    return "<title>t</title>" + "".join(f'<a href="{link}">x</a>' for link in links)


async def test_every_page_is_fetched_once_and_the_crawl_ends_by_itself(site: Site, go: Crawl) -> None:
    truth = site.tree(pages=120, fanout=5)
    result = await go(Walk())
    assert sorted(paths(site)) == sorted(truth)
    assert len(result.items) == len(truth)
    assert (result.report.state, result.report.why) == ("finished", "finished")


async def test_links_off_the_site_bad_schemes_and_fragments_are_dropped_with_a_reason(
    site: Site, go: Crawl
) -> None:
    site.page(
        "/", page("http://elsewhere.test/", "mailto:a@b", "#top", "/#x", "http://[bad", "/two", "http://w.a.test/")
    )
    site.page("/", page(), host="w.a.test")
    site.page("/two", page("/"))
    result = await go(Walk(), allowed_domains=["a.test"])
    drops = result.report.drops
    assert drops[Reason.OUT_OF_SCOPE] == 1
    assert drops[Reason.BAD_SCHEME] == 1
    assert drops[Reason.BAD_URL] == 1
    assert {hit.host for hit in site.hits} == {"a.test", "w.a.test"}


@pytest.mark.parametrize("concurrency", [1, 7, 64, 200])
@pytest.mark.parametrize("limit", [1, 2, 13, 50])
async def test_max_pages_is_exact_at_any_concurrency(site: Site, go: Crawl, concurrency: int, limit: int) -> None:
    site.tree(pages=60, fanout=6)
    site.page("/p/3", times=[Answer(503), Answer(body=page())])
    result = await go(Walk(), max_pages=limit, concurrency=concurrency, per_host=concurrency)
    assert len(set(paths(site))) == limit
    assert result.report.stats.done + result.report.stats.failed == limit
    assert result.report.why == "max_pages"


async def test_retries_under_max_pages_are_made_when_the_gate_is_full_of_other_pages(
    site: Site, go: Crawl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["scraper.crawl"], "WINDOW", 10)
    site.page("/", page(*(f"/{n}" for n in range(50))))
    for n in range(50):
        site.page(f"/{n}", times=[Answer(503), Answer(body=page())])
    result = await go(Walk(), max_pages=3)
    assert (result.report.why, result.report.stats.done) == ("max_pages", 3)


class Endless(Walk):
    numbers = count()

    def start(self) -> Any:
        return (f"http://a.test/{n}" for n in self.numbers)


async def test_a_start_that_awaits_nothing_does_not_fill_the_memory_first(site: Site, go: Crawl) -> None:
    site.page("*", page())
    result = await go(Endless(), max_pages=5)
    assert result.report.why == "max_pages"
    assert next(Endless.numbers) < 20_000


class Three(Walk):
    def parse(self, response: Response) -> Any:
        yield from ({"url": response.url, "n": n} for n in range(3))
        yield response.follow_all(css="a[href]")


@pytest.mark.parametrize("concurrency", [1, 7, 64, 200])
async def test_max_items_is_exact_at_any_concurrency(site: Site, go: Crawl, concurrency: int) -> None:
    site.tree(pages=60, fanout=6)
    result = await go(Three(), max_items=20, concurrency=concurrency, per_host=concurrency)
    assert len(result.items) == 20
    assert result.report.why == "max_items"
    assert result.report.stats.cut >= 1


@pytest.mark.parametrize("concurrency", [1, 64])
async def test_max_pages_per_host_and_max_depth_are_exact(site: Site, go: Crawl, concurrency: int) -> None:
    site.tree(pages=60, fanout=6)
    result = await go(Walk(), max_pages_per_host=9, concurrency=concurrency)
    assert len(paths(site)) == 9
    assert result.report.stats.reasons[End.DROPPED, Reason.HOST_LIMIT] > 0
    site.forget()
    result = await go(Walk(), max_depth=1, concurrency=concurrency)
    assert {item["depth"] for item in result.items} == {0, 1}
    assert result.report.drops[Reason.TOO_DEEP] > 0


async def test_max_seconds_ends_the_crawl_in_good_order(site: Site, go: Crawl) -> None:
    site.endless("/deep")
    result = await go(Walk(url="http://a.test/deep"), max_seconds=0.5, delay=0.02)
    assert result.report.why == "max_seconds"
    assert result.report.state == "finished"
    assert len(result.items) == result.report.stats.done > 0


async def test_max_run_bytes_ends_the_crawl(site: Site, go: Crawl) -> None:
    site.tree(pages=60, fanout=6, size=5_000)
    result = await go(Walk(), max_run_bytes=60_000, concurrency=2)
    assert result.report.why == "max_run_bytes"
    assert 60_000 <= result.report.stats.wire < 90_000


class Forms(Spider):
    name = "forms"
    start_urls = ["http://a.test/"]

    def parse(self, response: Response) -> Any:
        for name in ("value", "items", "nothing", "later", "stream", "nested"):
            yield Request(f"http://a.test/{name}", callback=name)

    def value(self, response: Response) -> dict[str, str]:
        return {"form": "value"}

    def items(self, response: Response) -> list[dict[str, str]]:
        return [{"form": "list"}, {"form": "list"}]

    def nothing(self, response: Response) -> None:
        return None

    async def later(self, response: Response) -> dict[str, str]:
        await asyncio.sleep(0)
        return {"form": "async"}

    async def stream(self, response: Response) -> AsyncIterator[dict[str, str]]:
        yield {"form": "async generator"}

    def nested(self, response: Response) -> Any:
        yield [{"form": "nested"}, ({"form": "nested"},)]


async def test_callbacks_may_have_every_form(site: Site, go: Crawl) -> None:
    site.page("*", "x")
    result = await go(Forms())
    assert sorted(item["form"] for item in result.items) == [
        "async", "async generator", "list", "list", "nested", "nested", "value",
    ]  # fmt: skip


class Keywords(Spider):
    name = "keywords"
    start_urls = ["http://a.test/"]

    def parse(self, response: Response) -> Any:
        yield Request("http://a.test/1", callback=self.book, cb_kwargs={"shelf": "art", "number": "3"})
        yield Request("http://a.test/2", callback=self.book, cb_kwargs={"shelf": "art", "nubmer": 3})

    def book(self, response: Response, shelf: str, number: int = 0) -> Any:
        yield {"shelf": shelf, "number": number}


async def test_keywords_reach_the_callback_converted_to_its_annotations(site: Site, go: Crawl) -> None:
    site.page("*", "x")
    result = await go(Keywords())
    assert result.items == [{"shelf": "art", "number": 3}]
    [cause] = result.report.stats.sorted_causes()
    assert cause.reason is Reason.BAD_YIELD
    assert "did you mean 'number'?" in cause.detail
    assert cause.where.startswith("test_crawl.py:")


class Breaks(Walk):
    def parse(self, response: Response) -> Any:
        yield {"url": response.url}
        yield response.follow_all(css="a[href]")
        if response.url.endswith("/"):
            raise KeyError("price")


async def test_a_callback_that_breaks_costs_its_page_and_keeps_its_links(site: Site, go: Crawl) -> None:
    site.page("/", page("/a", "/b"))
    site.page("*", page())
    result = await go(Breaks())
    assert sorted(item["url"][-2:] for item in result.items) == ["/a", "/b"]
    [cause] = result.report.stats.sorted_causes()
    assert (cause.reason, cause.where.split(":")[0]) == (Reason.CALLBACK_ERROR, "test_crawl.py")
    assert cause.where.endswith("in parse")


RAISED = (asyncio.CancelledError, SystemExit, RecursionError, MemoryError)


class Raises(Walk):
    which: int

    def parse(self, response: Response) -> Any:
        if response.url.endswith("/bad"):
            raise RAISED[self.which]
        return super().parse(response)


@pytest.mark.parametrize("which", range(len(RAISED)), ids=[error.__name__ for error in RAISED])
async def test_whatever_a_callback_raises_costs_only_its_page(site: Site, go: Crawl, which: int) -> None:
    site.page("/", page("/bad", "/good"))
    site.page("*", page())
    result = await go(Raises(which=which))
    assert result.report.stats.done == 2
    assert result.report.stats.failed == 1


JUNK: list[Any] = ["a string", 7, object(), ["x"]]


class Junk(Walk):
    which: int

    def parse(self, response: Response) -> Any:
        yield JUNK[self.which]


@pytest.mark.parametrize("which", range(len(JUNK)))
async def test_junk_that_is_yielded_fails_the_page(site: Site, go: Crawl, which: int) -> None:
    site.page("*", page())
    result = await go(Junk(which=which))
    [cause] = result.report.stats.sorted_causes()
    assert cause.reason is Reason.BAD_YIELD
    assert result.report.exit_code == 1


class Hangs(Walk):
    async def parse(self, response: Response) -> Any:
        if response.url.endswith("/hang"):
            await asyncio.sleep(60)
        for link in response.follow_all(css="a[href]"):
            yield link


async def test_a_callback_that_hangs_is_given_up(site: Site, go: Crawl) -> None:
    site.page("/", page("/hang", "/good"))
    site.page("*", page())
    result = await go(Hangs(), callback_timeout=0.2)
    [cause] = result.report.stats.sorted_causes()
    assert cause.reason is Reason.CALLBACK_TIMEOUT
    assert result.report.stats.done == 2


class Odd(Walk):
    def parse(self, response: Response) -> Any:
        yield {"good": 1}
        yield {"price": object()}


async def test_an_item_that_cannot_be_written_costs_only_itself(site: Site, go: Crawl) -> None:
    site.page("*", page())
    result = await go(Odd())
    assert result.items == [{"good": 1}]
    assert result.report.stats.rejected == 1


class Signals(Walk):
    def parse(self, response: Response) -> Any:
        path = response.url.removeprefix("http://a.test")
        if path == "/skip":
            raise Skip("not today")
        if path == "/retry" and response.request.tries < 2:
            raise Retry("not yet", after=0.01)
        if path == "/stop":
            raise Stop("seen enough")
        yield {"path": path}
        yield response.follow_all(css="a[href]")


async def test_skip_retry_and_stop_do_what_they_say(site: Site, go: Crawl) -> None:
    site.page("/", page("/skip", "/retry"))
    site.page("/retry", page("/stop"))
    site.page("/stop", page("/never"))
    site.page("*", page("/never"))
    result = await go(Signals(), concurrency=1)
    assert [item["path"] for item in result.items] == ["/", "/retry"]
    assert paths(site).count("/retry") == 3
    assert result.report.stats.reasons[End.DROPPED, Reason.SKIPPED] == 1
    assert result.report.why == "seen enough"
    assert "/never" not in paths(site)


async def test_transient_failures_are_retried_and_others_are_not(site: Site, go: Crawl) -> None:
    site.page("/", page("/flaky", "/gone", "/down"))
    site.page("/flaky", times=[Answer(500), Answer(502), Answer(body=page("/end"))])
    site.page("/down", "", status=500)
    site.page("/end", page())
    result = await go(Walk(), retries=2)
    assert paths(site).count("/flaky") == 3
    assert paths(site).count("/down") == 3
    assert paths(site).count("/gone") == 1
    assert "/end" in paths(site)
    assert {cause.detail: cause.count for cause in result.report.stats.sorted_causes()} == {"404": 1, "500": 1}


class Told(Walk):
    def on_error(self, request: Request, error: FetchError) -> Any:
        yield {"failed": request.url, "status": error.status if isinstance(error, StatusError) else 0}
        yield Request("http://a.test/instead")


async def test_on_error_hears_once_after_the_last_try_and_may_yield(site: Site, go: Crawl) -> None:
    site.page("/", "", status=500)
    site.page("/instead", page())
    result = await go(Told(), retries=1)
    assert result.items == [
        {"failed": "http://a.test/", "status": 500},
        {"url": "http://a.test/instead", "depth": 1},
    ]


class Accepts(Walk):
    async def start(self) -> AsyncIterator[Request | str]:
        yield Request("http://a.test/a", accept_status=[404])
        yield Request("http://a.test/b")

    def parse(self, response: Response) -> Any:
        yield {"status": response.status}


async def test_other_statuses_reach_a_callback_only_when_accepted(site: Site, go: Crawl) -> None:
    result = await go(Accepts())
    assert result.items == [{"status": 404}]
    assert result.report.stats.failed == 1


async def test_redirects_are_outcomes_followed_within_scope(site: Site, go: Crawl) -> None:
    site.page("/", page("/moved", "/away", "/loop"))
    site.redirect("/moved", "/here")
    site.redirect("/away", "http://elsewhere.test/")
    site.redirect("/loop", "/loop")
    site.page("/here", page())
    result = await go(Walk(), robots=False)
    assert "http://a.test/here" in [item["url"] for item in result.items]
    reasons = result.report.stats.reasons
    assert reasons[End.DROPPED, Reason.OUT_OF_SCOPE] == 1
    assert reasons[End.FAILED, Reason.TOO_MANY_REDIRECTS] == 1
    assert {hit.host for hit in site.hits} == {"a.test"}


async def test_the_redirect_of_a_seed_takes_the_scope_along(site: Site, go: Crawl) -> None:
    site.redirect("/", "http://b.test/home", host="a.test")
    site.page("/home", page("/more", "http://a.test/old"), host="b.test")
    site.page("/more", page(), host="b.test")
    result = await go(Walk())
    assert [item["url"] for item in result.items] == ["http://b.test/home", "http://b.test/more"]


async def test_a_cookie_wall_is_passed(site: Site, go: Crawl) -> None:
    site.wall("/", page())
    result = await go(Walk())
    assert result.report.stats.done == 1
    assert paths(site) == ["/", "/"]


class Signs(Walk):
    signed = 0

    def prepare(self, request: Request) -> Request:
        Signs.signed += 1
        return request.replace(headers=(("X-Signed", str(Signs.signed)),))


async def test_prepare_is_called_before_each_try(site: Site, go: Crawl) -> None:
    site.page("/", times=[Answer(500), Answer(body=page())])
    await go(Signs())
    assert [hit.headers["X-Signed"] for hit in site.hits_of(path="/")] == ["1", "2"]


BUGS: dict[str, Callable[[Request], Any]] = {
    "returned NoneType, not a Request": lambda request: None,
    "BadURL: ": lambda request: request.replace(url="junk"),
    "header X: value": lambda request: request.replace(headers={"X": "a\r\nY: b"}),
    "timeout of a Request must be": lambda request: request.replace(timeout="long"),  # type: ignore[arg-type]
    "moved the request to http://b.test;": lambda request: request.replace(url="http://b.test/"),
    "ZeroDivisionError": lambda request: 1 / 0,
}


class Buggy(Walk):
    bug: str

    def prepare(self, request: Request) -> Any:
        return BUGS[self.bug](request)


@pytest.mark.parametrize("said", BUGS)
async def test_a_bug_in_prepare_costs_the_request_and_sends_nothing(site: Site, go: Crawl, said: str) -> None:
    result = await go(Buggy(bug=said), robots=False)
    [cause] = result.report.stats.sorted_causes()
    assert cause.reason is Reason.CALLBACK_ERROR
    assert said in cause.detail
    assert site.hits == []


@pytest.mark.alone(reason="its hooks write into a list of the test")
async def test_login_opened_and_closed_frame_the_crawl(site: Site, go: Crawl) -> None:
    told: list[str] = []

    class Framed(Walk):
        async def opened(self) -> None:
            told.append("opened")

        async def login(self) -> None:
            response = await self.fetch(Request("http://a.test/login", form={"user": "me", "password": "secret"}))
            told.append(f"login {response.status}")

        async def closed(self, reason: str) -> None:
            told.append(f"closed {reason}")

    site.page("*", page())
    await go(Framed())
    assert told == ["opened", "login 200", "closed finished"]
    assert site.hits_of(path="/login")[0].body == b"user=me&password=secret"


class Broken(Walk):
    async def start(self) -> AsyncIterator[Request | str]:
        yield self.url
        raise ValueError("no list of shops")


async def test_a_spider_that_breaks_at_its_start_fails_the_run(site: Site, go: Crawl) -> None:
    site.page("*", page())
    result = await go(Broken())
    assert result.report.exit_code == 1
    assert "no list of shops" in result.report.said[0]


@pytest.mark.alone(reason="its callback reaches for the crawl itself")
async def test_stop_finishes_what_is_out_and_abandon_ends_at_once(site: Site, go: Crawl) -> None:
    site.page("/", page(*(f"/{n}" for n in range(50))))
    site.page("*", page(), delay=0.1)
    for end in ("stop", "abandon"):
        site.forget()

        class Ends(Walk):
            ending = end

            def parse(self, response: Response) -> Any:
                line: Any = self._line
                crawl = line._line
                if response.url != "http://a.test/":
                    crawl.stop("interrupted", resumable=True) if self.ending == "stop" else crawl.abandon()
                return super().parse(response)

        result = await go(Ends(), concurrency=8, per_host=8)
        assert result.report.exit_code == 130
        assert len(paths(site)) < 20
        assert all(task.get_name() != "worker" for task in asyncio.all_tasks())


class Stubborn(Walk):
    async def parse(self, response: Response) -> Any:
        line: Any = self._line
        line._line.stop("interrupted", resumable=True, grace=0.1)
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


@pytest.mark.alone(reason="its callback reaches for the crawl itself")
async def test_a_callback_that_swallows_its_cancellation_does_not_keep_the_crawl_from_ending(
    site: Site, go: Crawl
) -> None:
    site.page("*", page())
    result = await asyncio.wait_for(go(Stubborn()), 30)
    assert result.report.exit_code == 130


class Gives(Walk):
    async def start(self) -> AsyncIterator[Request | str]:
        for n in range(40):
            yield f"http://a.test/{n}"

    def on_error(self, request: Request, error: FetchError) -> Any:
        yield {"gone": request.url}
        raise Stop("nothing is left of it")


async def test_on_error_may_stop_the_crawl(site: Site, go: Crawl) -> None:
    result = await go(Gives(), concurrency=1)
    assert result.report.why == "nothing is left of it"
    assert len(result.items) == result.report.stats.failed == 1


async def test_bodies_that_are_too_large_count_for_max_run_bytes(site: Site, go: Crawl) -> None:
    site.page("/", page(*(f"/{n}" for n in range(30))))
    site.page("*", b"x" * 300_000)
    result = await go(Walk(), concurrency=1, max_body=100_000, max_run_bytes=500_000)
    assert result.report.why == "max_run_bytes"


@pytest.mark.alone(reason="its hooks write into a list of the test")
async def test_hooks_of_the_spider_need_not_be_async(site: Site, go: Crawl) -> None:
    told: list[str] = []

    class Plain(Walk):
        def opened(self) -> None:  # type: ignore[override]
            told.append("opened")

        def closed(self, reason: str) -> None:  # type: ignore[override]
            told.append(reason)
            raise ValueError("in closed")

    site.page("*", page())
    result = await go(Plain())
    assert told == ["opened", "finished"]
    assert result.report.said == ["the spider broke: ValueError: in closed"]


class Links(Walk):
    def parse(self, response: Response) -> Any:
        yield {"url": response.url}
        yield response.follow_all(response.links())


async def test_links_that_ask_not_to_be_followed_are_left_out_of_links(site: Site, go: Crawl) -> None:
    site.page("/", '<a href="/yes">x</a><a href="/no" rel="nofollow">x</a>')
    site.page("*", "")
    result = await go(Links())
    assert sorted(paths(site)) == ["/", "/yes"]
    assert result.report.drops[Reason.NOFOLLOW] == 1
    site.forget()
    await go(Links(), nofollow=False)
    assert sorted(paths(site)) == ["/", "/no", "/yes"]
