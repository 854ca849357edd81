"""Servers that ask to be left alone (faults 54 to 56), measured at the server; long rests run on a fast clock."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import Any

import pytest

from scraper import FetchError, Request, Response, Retry
from scraper.clock import FastClock
from scraper.reasons import Reason
from scraper.testing.answers import Answer, Visit
from scraper.testing.hits import during, spacing
from scraper.testing.raw import SCRIPTS, RawServer, Then, says
from scraper.testing.site import Site
from tests.faults.web import Walk, hunt, page

PACE = {"backoff": 10.0, "max_backoff": 40.0, "robots": False}


def http_date(at: float) -> str:
    return formatdate(at, usegmt=True)


def rfc850(at: float) -> str:
    return time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(at))


def asctime(at: float) -> str:
    return time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(at))


async def rests(site: Site, header: Any, *, status: int = 429, factor: float = 400, **settings: Any) -> list[float]:
    """The seconds, of the crawl's clock, between the requests to a host that sends this header at first."""
    clock = FastClock(factor)

    def first(visit: Visit) -> Answer:
        if visit.number:
            return Answer(200, page(["/1", "/2"]))
        value = header(clock.wall()) if callable(header) else header
        return Answer(status, "", {} if value is None else {"Retry-After": value})

    site.answer("/", first)
    site.page("*", page())
    web = await hunt(site, Walk(), clock=clock, **{**PACE, **settings})
    assert web.result.report.stats.done == 3
    [proof] = web.result.report.proofs.values()
    assert (proof.early, proof.rests) == (0, 1)
    return [gap * factor for gap in spacing(site.hits)]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("60", 60, 60), (" 60 ", 60, 60), ("3600", 3600, 3600), ("99999999", 3600, 3600), ("9" * 400, 3600, 3600),
        (lambda now: http_date(now + 100), 98, 100), (lambda now: rfc850(now + 100), 98, 100),
        (lambda now: asctime(now + 100), 98, 100), (lambda now: http_date(now + 10**7), 3600, 3600),
        # No time to be understood: the usual step.
        (None, 10, 10), ("", 10, 10), ("0", 10, 10), ("-1", 10, 10), ("1.0", 10, 10), ("soon", 10, 10),
        ("1e3", 10, 10), ("\N{ARABIC-INDIC DIGIT SIX}0", 10, 10), (lambda now: http_date(now - 1000), 10, 10),
        ("Thu, 32 Foo 2020 25:61:61 GMT", 10, 10),
    ],
)  # fmt: skip
async def test_a_host_rests_as_long_as_it_asked_for(
    site: Site, header: Any, least: float, most: float, status: int
) -> None:
    factor = 20_000 if least > 1000 else 300 if least > 50 else 100
    gaps = await rests(site, header, status=status, factor=factor)
    late = factor * 0.4
    assert least <= gaps[0] <= most + late
    assert max(gaps[1:]) < late


async def test_the_longest_rest_is_a_setting(site: Site) -> None:
    [gap, *_] = await rests(site, "999999", max_rest=30.0)
    assert 30 <= gap < 120


async def test_the_whole_host_rests_and_others_go_on_at_once(site: Site) -> None:
    links = [f"http://{host}.test/{n}" for n in range(30) for host in ("a", "b", "c")]
    site.page("/", page(links), host="a.test")
    site.page("/3", page(), host="a.test", times=[Answer(429, "", {"Retry-After": "2"})])
    site.page("*", page())
    web = await hunt(site, Walk(), scope="any", concurrency=4, robots=False)
    assert web.result.report.stats.done == 91
    [asked] = [hit for hit in site.hits_of("a.test", "/3") if hit.status == 429]
    out = [hit for hit in site.hits_of("a.test") if hit.start < asked.end + 0.05]
    rested = during(site.hits_of("a.test"), asked.end + 0.05, asked.end + 1.98)
    assert rested == []
    assert len(out) < 40
    others = [hit for hit in site.hits if hit.host != "a.test"]
    assert max(hit.start for hit in others) < asked.end + 1.9
    assert web.result.report.proofs["a.test"].rests == 1


async def test_what_was_out_when_the_rest_began_lengthens_it_no_further(site: Site) -> None:
    clock = FastClock(100)
    site.page("/", page(f"/{n}" for n in range(8)))
    times = [Answer(429, "", {"Retry-After": "30"}, delay=0.05)]
    for number in range(8):
        site.page(f"/{number}", page(), times=times)
    web = await hunt(site, Walk(), clock=clock, per_host=8, concurrency=8, **PACE)
    assert web.result.report.stats.done == 9
    [proof] = web.result.report.proofs.values()
    assert (proof.rests, proof.early) == (1, 0)
    assert 30 <= proof.rested < 60


async def test_a_host_that_stays_overloaded_uses_up_the_tries_in_longer_and_longer_rests(site: Site) -> None:
    clock = FastClock(1000)
    site.page("/", page(f"/{n}" for n in range(3)))
    for number in range(3):
        site.page(f"/{number}", "", status=503)
    web = await hunt(site, Walk(), clock=clock, retries=3, per_host=1, **PACE)
    tries = Counter(hit.target for hit in site.hits)
    assert tries == {"/": 1, "/0": 4, "/1": 4, "/2": 4}
    assert [web.of(f"http://a.test/{n}") for n in range(3)] == [Reason.STATUS] * 3
    gaps = [gap * clock.factor for gap in spacing(site.hits)[1:]]
    for number, gap in enumerate(gaps):
        assert gap >= min(10.0 * 2**number, 40.0)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_storm_of_failures_is_bounded(site: Site, status: int) -> None:
    site.page("/", page(f"/{n}" for n in range(60)))
    for number in range(60):
        site.page(f"/{number}", "", status=status)
    web = await hunt(site, Walk(), retries=2, robots=False, concurrency=32, per_host=32)
    assert web.result.report.stats.failed == 60
    assert len(site.hits) == 1 + 60 * 3


async def test_a_dead_host_is_tried_a_few_times_however_many_pages_it_has(site: Site) -> None:
    async with RawServer(SCRIPTS["close at once"]) as dead:
        links = [dead.url(f"/{n}", "dead.test") for n in range(300)]
        site.page("/", page([*links, "/good"]))
        site.page("/good", page())
        web = await hunt(
            site,
            Walk(),
            scope="any",
            robots=False,
            clock=FastClock(300),
            breaker=3,
            breaker_rest=10.0,
            breaker_trips=2,
        )
        assert dead.requests < 20
    assert web.result.report.stats.done == 2
    assert web.result.report.stats.failed == 300
    assert {web.of(link) for link in links} <= {Reason.HOST_DOWN, Reason.EMPTY_REPLY}


async def test_the_spacing_holds_through_retries_redirects_robots_and_own_fetches(site: Site) -> None:
    class Fetches(Walk):
        async def parse(self, response: Response) -> Any:
            if response.url.endswith("/own"):
                yield {"status": (await self.fetch("http://a.test/moved")).status}
            yield response.follow_all(css="a[href]")

    site.robots("User-agent: *\nDisallow: /no\n")
    site.page("/", page(["/own", "/flaky", "/moved", "/1", "/2"]))
    site.page("/flaky", page(), times=[Answer(500), Answer(502)])
    site.redirect("/moved", "/landed")
    site.page("*", page())
    web = await hunt(site, Fetches(), delay=0.05, concurrency=32, per_host=8)
    assert len(site.hits) >= 12
    assert min(spacing(site.hits)) >= 0.049
    assert web.result.report.proofs["a.test"].early == 0


async def posted(site: Site, script: Any, **settings: Any) -> tuple[RawServer, Reason | None]:
    class Posts(Walk):
        async def start(self) -> AsyncIterator[Request | str]:
            yield Request(self.url, json={"order": 1})

    async with RawServer(script) as server:
        given = {"retries": 3, "robots": False, "header_timeout": 0.2, "timeout": 2, "slow_after": 0.2, **settings}
        web = await hunt(site, Posts(url=server.url("/")), **given)
        return server, web.of(server.url("/"))


@pytest.mark.parametrize(
    "script",
    [
        SCRIPTS["close at once"], SCRIPTS["silent"], SCRIPTS["short body"], SCRIPTS["reset in body"],
        SCRIPTS["garbage"], SCRIPTS["stalled body"], SCRIPTS["close in headers"],
        *(says(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\nRetry-After: 0\r\n\r\n" % status, then=Then.CLOSE)
          for status in (408, 429, 500, 502, 503, 504)),
    ],
)  # fmt: skip
async def test_a_post_that_may_have_been_received_is_never_sent_again(site: Site, script: Any) -> None:
    server, reason = await posted(site, script)
    assert server.requests == 1
    assert reason not in (None, Reason.OK)


async def test_a_post_on_a_stale_connection_is_not_sent_again(site: Site) -> None:
    class Twice(Walk):
        async def parse(self, response: Response) -> Any:
            if response.request.method == "GET":
                try:
                    await self.fetch(Request(response.url, json={"order": 2}))
                except FetchError as error:
                    yield {"own": error.reason.value}
                yield Request(response.url, json={"order": 1})

    async with RawServer(SCRIPTS["stale"]) as server:
        web = await hunt(site, Twice(url=server.url("/")), robots=False, concurrency=1, per_host=1)
    posts = [event for event in web.events if event.end == "failed"]
    assert server.requests <= 4
    assert len(posts) <= 1
    assert web.result.items in ([{"own": "stale"}], [{"own": "empty_reply"}])


async def test_a_post_that_was_never_received_is_sent_again(site: Site) -> None:
    class Posts(Walk):
        async def start(self) -> AsyncIterator[Request | str]:
            yield Request("http://nx.test/", json={"order": 1})

    web = await hunt(site, Posts(), robots=False, retries=2)
    assert web.of("http://nx.test/") is Reason.DNS
    assert [event.end for event in web.events] == ["retry", "retry", "failed"]


async def test_a_post_is_sent_again_when_the_callback_asks_for_it(site: Site) -> None:
    class Asks(Walk):
        async def start(self) -> AsyncIterator[Request | str]:
            yield Request(self.url, json={"order": 1})

        def parse(self, response: Response) -> Any:
            if response.request.tries < 1:
                raise Retry("not yet", after=0)
            yield {"tries": response.request.tries}

    site.page("/", page())
    web = await hunt(site, Asks())
    assert web.result.items == [{"tries": 1}]
    assert [hit.body for hit in site.hits_of(path="/")] == [b'{"order":1}'] * 2
