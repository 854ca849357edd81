"""The outputs of a run, each a task of its own beside the crawl."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from .crew import Crew
from .errors import OutputError, UsageError
from .events import Events, OutputFailed
from .outputs.follow import Follower


class Followers:
    """The outputs, running beside the crawl from its first item on; at the end they catch up and close."""

    def __init__(self, followers: Sequence[Follower], events: Events) -> None:
        self.finished = False
        self._followers = followers
        self._events = events
        self._crew = Crew(self._lost)
        self._begun = asyncio.Event()
        self._closing = self._abandoned = False

    def abandon(self) -> None:
        """At the end, wait for none."""
        self._abandoned = True
        if self._closing:
            self._crew.end()

    async def __aenter__(self) -> Followers:
        await self._crew.__aenter__()
        for follower in self._followers:
            self._crew.go(self._run(follower), follower.name)
        return self

    def begin(self, position: int) -> None:
        """There is something to write."""
        self._begun.set()

    async def _run(self, follower: Follower) -> None:
        await self._begun.wait()
        await follower.run()
        if follower.error is not None:
            self._events.tell(OutputFailed(follower.name, str(follower.error)))

    def _lost(self, task: asyncio.Task[None]) -> None:
        for follower in self._followers:
            if follower.name == task.get_name():
                follower.fail(OutputError("something has cancelled what writes it; the run can be exported"))

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._closing = True
        if isinstance(error, UsageError) or self._abandoned:  # of the former nothing is written at all
            self._crew.end()
        for follower in self._followers:
            follower.end(finished=self.finished)
        self._begun.set()
        await self._crew.__aexit__(None, None, None)
