"""A run's state on the disk, written by the store as a crawl does it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scraper.clock import Clock
from scraper.frontier.sqlite import SqliteStore
from scraper.frontier.store import Batch, Facts, Step
from scraper.outcome import End, Outcome
from scraper.request import Request, raw

HOST = "h.example"


def page(path: str, host: str = HOST, **fields: Any) -> Request:
    return raw(url=f"https://{host}{path}", **fields)


class State:
    """A context: the store is open within, and closed like that of a run that ended behind it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = SqliteStore(path, Clock())

    async def __aenter__(self) -> State:
        await self.store.open()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.store.close()

    async def seed(self, *requests: Request) -> list[Request]:
        """Accept seeds; gives them with their tokens."""
        added = self.store.add([each.replace(seed=True, scope=HOST) for each in requests])
        await self.commit(Step(None, tuple(added)))
        return added

    async def end(self, request: Request, end: End = End.DONE, *links: Request, **fields: Any) -> list[Request]:
        """Answer a request that leads to others; gives those."""
        new = [link.replace(parent=request.token, depth=request.depth + 1, scope=HOST) for link in links]
        return await self._end(Outcome(request=request, end=end, **fields), new)

    async def move(self, request: Request, target: Request) -> Request:
        """Redirect a request."""
        onward = target.replace(
            hops=(*request.hops, request.url), parent=request.parent, depth=request.depth, seed=request.seed,
            counted=True,
        )  # fmt: skip
        return (await self._end(Outcome(request=request, end=End.REDIRECTED, status=301), [onward]))[0]

    async def retry(self, request: Request, **fields: Any) -> Request:
        """Let a try fail, and another one follow."""
        again = request.replace(tries=request.tries + 1, due=fields.pop("due", 0.0))
        return (await self._end(Outcome(request=request, end=End.RETRY, **fields), [again]))[0]

    async def _end(self, outcome: Outcome, new: Sequence[Request]) -> list[Request]:
        added = self.store.add(new)
        await self.commit(Step(outcome, tuple(added)))
        return added

    async def commit(self, *steps: Step, facts: Facts | None = None, **fields: Any) -> None:
        """One batch."""
        await self.store.commit(Batch(steps=steps, facts=facts or {}, **fields))
