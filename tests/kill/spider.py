"""The spider of the trial (scraper/testing/trial.py): reads from a page's links how each wants to be followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

from scraper import FetchError, Request, Response, Skip, Spider
from scraper.errors import StatusError
from scraper.testing.trial import AGAIN, HOSTS, LOGIN, MEMBERS, PASSWORD, SEEDS, USER

SPECIAL: dict[str, dict[str, Any]] = {
    "member": {"session": "member"},
    "detailed": {"callback": "detailed"},
    "lost": {"callback": "detailed"},
    "first": {"priority": 9},
    "later": {"after": 0.2},
    "broken": {"retries": 1},
}


class TrialSpider(Spider):
    """Every page of the trial, each in the way it asks for."""

    name = "trial"
    allowed_domains = HOSTS
    settings = {"delay": 0.0, "backoff": 0.02, "max_backoff": 0.05, "commit_every": 0.1, "contact": "trial@a.test"}
    url: str  # of the root

    async def login(self) -> None:
        """Members' pages need a pass, and only the newest is good."""
        there = urlsplit(self.url)._replace(netloc=f"{MEMBERS}:{urlsplit(self.url).port}", path=LOGIN)
        form = {"user": USER, "password": PASSWORD}
        await self.fetch(Request(there.geturl(), form=form, session="member", retries=0))

    async def start(self) -> AsyncIterator[str]:
        """One after the other, each a moment later: a kill may come in between."""
        for seed in SEEDS:
            host, _, path = seed.partition("/")
            yield f"http://{host}:{urlsplit(self.url).port}/{path}"
            await asyncio.sleep(0.01)
        yield self.url

    def parse(self, response: Response, time: int = -1) -> Iterator[Any]:
        """Links first: those of a page that raises are kept."""
        yield self.links(response)
        kind = response.css("body").attrib["class"]
        if kind == "raises":
            raise RuntimeError("as this page wants it")
        if kind == "skips":
            raise Skip("as this page wants it")
        if kind == "rejects":
            yield {"page": object()}
        yield self.items(response, {} if time < 0 else {"time": time})

    async def detailed(self, response: Response) -> Any:
        """Half of the item is on another page."""
        links = list(self.links(response))
        more = await self.fetch(response.follow(response.css("a.detail").attrib["href"]))
        return links, list(self.items(response, {"detail": more.css("h1::text").one()}))

    def on_error(self, request: Request, error: FetchError) -> Iterator[Any]:
        """A page that is gone is an item too."""
        if isinstance(error, StatusError):
            yield {"page": place(request.url), "error": error.status}

    def items(self, response: Response, more: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """What the page lists."""
        title = response.css("h1::text").one()
        for n, each in enumerate(response.css("ul li")):
            text = each.css("::text").get("")
            yield {"page": place(response.url), "title": title, "n": n, "text": text} | more

    def links(self, response: Response) -> Iterator[Request]:
        """Where the page leads."""
        for link in response.css("nav a"):
            kind, href = link.attrib["class"], link.attrib["href"]
            if kind == "search":
                yield response.follow(href, form={"q": link.css("::text").one().removeprefix("Title ")})
            elif kind == "again":
                for time in range(AGAIN):
                    yield response.follow(href, again=True, cb_kwargs={"time": time})
            elif kind != "detail":
                yield response.follow(href, **SPECIAL.get(kind, {}))


def place(url: str) -> str:
    """Host and path."""
    there = urlsplit(url)
    return f"{there.hostname}{there.path}"
