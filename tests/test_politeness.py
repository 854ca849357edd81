"""Politeness as a server sees it: a site in a process of its own stamps every hit, and its record is the judge."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from scraper import Request, Response, Spider
from scraper.program import crawl
from scraper.testing.answers import Answer
from scraper.testing.hits import Hit, parallel, spacing
from scraper.testing.process import SiteProcess
from scraper.testing.resolve import Loopback

from .conftest import QUICK

pytestmark = pytest.mark.timed
HOSTS = 10
PAGES = 10
JITTER = 0.010  # seconds by which a server that shares two cores may take one request up later than another
REST = 1.0


def delay_of(number: int) -> float:
    return 0.05 + 0.03 * number


def limit_of(number: int) -> int:
    return 1 + number % 4


class Visitor(Spider):
    """Reads every page of every host, and more in between."""

    name = "visitor"

    async def start(self) -> AsyncIterator[Request | str]:
        for number in range(HOSTS):
            for page in range(PAGES):
                yield f"http://h{number}.test/p/{page}"

    async def parse(self, response: Response) -> Any:
        if response.url.endswith("/5"):
            await self.fetch(Request(response.join("/own"), again=True))
        return {"url": response.url}


@pytest.fixture
def polite_site() -> Any:
    with SiteProcess() as site:
        for number in range(HOSTS):
            host = f"h{number}.test"
            site.robots("User-agent: *\nDisallow: /never", host=host)
            busy = Answer(429 if number % 2 else 503, headers={"Retry-After": str(int(REST))})
            site.page("/p/2", host=host, times=[busy, Answer(body="ok")])
            site.page("/p/3", host=host, times=[Answer(500), Answer(body="ok")])
            site.redirect("/p/4", f"http://h{(number + 1) % HOSTS}.test/moved/{number}", host=host)
            site.page("/p/6", "slow", host=host, delay=0.3)
            site.page("*", "ok", host=host)
        yield site


async def test_no_hit_is_too_early_none_too_many_and_none_during_a_rest(polite_site: Any) -> None:
    settings = {
        "processes": QUICK["processes"],
        "concurrency": 32,
        "allow_private": True,
        "scope": "any",
        "backoff": 0.05,
        "hosts": {f"h{n}.test": {"delay": delay_of(n), "per_host": limit_of(n)} for n in range(HOSTS)},
    }
    result = await crawl(Visitor(), settings=settings, resolver=Loopback(polite_site.port))
    assert len(result.items) == HOSTS * PAGES
    for number in range(HOSTS):
        host = f"h{number}.test"
        hits = polite_site.hits_of(host)
        assert len(hits) >= PAGES + 3
        assert len([hit for hit in hits if hit.path == "/robots.txt"]) == 1
        assert min(spacing(hits)) >= delay_of(number) - JITTER, host
        assert parallel(hits) <= limit_of(number), host
        assert not [hit.path for hit in during_rest(hits)], host
        proof = result.report.proofs[host]
        assert proof.departures == len(hits)
        assert proof.early == 0
        assert proof.rests >= 1


def during_rest(hits: list[Hit]) -> list[Hit]:
    """Hits that left for a host after it had asked to be left alone, and came before that was over."""
    asked = next(hit for hit in hits if hit.path == "/p/2")
    return [hit for hit in hits if asked.end + 0.02 < hit.start < asked.end + REST - JITTER]


class Trees(Visitor):
    """Follows every link."""

    hosts: list[str]

    async def start(self) -> AsyncIterator[Request | str]:
        for host in self.hosts:
            yield f"http://{host}/"

    def parse(self, response: Response) -> Any:
        yield response.follow_all(css="a[href]")


async def test_at_random_settings_nothing_is_too_early_or_too_many() -> None:
    seed = random.randrange(10**6)
    dice = random.Random(seed)
    hosts = {
        f"r{n}.test": {"delay": round(dice.uniform(0.02, 0.2), 3), "per_host": dice.randint(1, 4)} for n in range(8)
    }
    with SiteProcess() as site:
        truth = {host: site.tree(pages=dice.randint(5, 25), fanout=3, host=host) for host in hosts}

        settings = {"concurrency": dice.choice([1, 7, 64]), "allow_private": True, "hosts": hosts}
        settings["processes"] = QUICK["processes"]
        await crawl(Trees(hosts=[*hosts]), settings=settings, resolver=Loopback(site.port))
        for host, rule in hosts.items():
            hits = site.hits_of(host)
            assert {hit.target for hit in hits} == truth[host] | {"/robots.txt"}, f"seed {seed}"
            assert min(spacing(hits)) >= rule["delay"] - JITTER, f"seed {seed}, {host}"
            assert parallel(hits) <= rule["per_host"], f"seed {seed}, {host}"
