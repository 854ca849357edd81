"""One run from beginning to end: the rooms are opened, the line is run, the results are closed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import msgspec

from .clock import Clock
from .crawl import Crawl
from .errors import OutputError
from .events import Events, OutputFailed
from .fetch.cookies import Jars
from .fetch.guard import Guard
from .fetch.http import Http
from .fetch.stack import build
from .folder import BROKE_RULE, FAILED, FINISHED, INTERRUPTED, RunFolder
from .frontier.host import Proof
from .frontier.memory import MemoryStore
from .item import fields
from .outputs import Output
from .outputs.follow import Follower
from .outputs.journal import Journal, MemoryJournal
from .reasons import Reason
from .settings import HostRules, Settings
from .spider import Spider
from .stats import Stats
from .url import netloc

log = logging.getLogger("scraper.run")
EXIT_CODES = {FINISHED: 0, FAILED: 1, BROKE_RULE: 3, INTERRUPTED: 130}


class Report(msgspec.Struct, kw_only=True):
    """How a run ended. `state` is finished, failed, rule_broken or interrupted; `said` tells it in words."""

    state: str
    why: str
    said: list[str]
    stats: Stats
    drops: Mapping[Reason, int]
    proofs: Mapping[str, Proof]
    outputs: Mapping[str, str]  # output -> its error, "" for none
    resumable: bool = False

    @property
    def exit_code(self) -> int:
        """The exit code of a command that ran this."""
        return EXIT_CODES[self.state]

    def as_data(self) -> dict[str, Any]:
        """Everything as plain data for stats.json."""
        return {
            "state": self.state,
            "why": self.why,
            "said": self.said,
            **self.stats.as_data(),
            "dropped": {str(reason): number for reason, number in self.drops.items()},
            "politeness": {host: msgspec.to_builtins(proof) for host, proof in self.proofs.items()},
            "outputs": dict(self.outputs),
        }


class Run:
    """A spider with its settings, about to be crawled.

    `outputs` are (name, output) pairs that follow the journal; `journal` is the run folder's file or one in
    memory. `started` is called with the Crawl when it exists, so that a caller can watch and stop it.
    """

    def __init__(
        self,
        spider: Spider,
        settings: Settings,
        *,
        folder: RunFolder | None = None,
        outputs: Sequence[tuple[str, Output]] = (),
        clock: Clock | None = None,
        events: Events | None = None,
        resolver: aiohttp.abc.AbstractResolver | None = None,
        alarm: bool = False,
    ) -> None:
        self.spider = spider
        self.settings = settings
        self.folder = folder
        self.journal: Journal | MemoryJournal = Journal(folder.items) if folder else MemoryJournal()
        self.events = events or Events()
        self.crawl: Crawl | None = None
        self.started: list[Callable[[Crawl], None]] = []
        self.followers: list[Follower] = []
        self._outputs = outputs
        self._clock = clock or Clock()
        self._resolver = resolver
        self._alarm = alarm

    async def execute(self) -> Report:
        """Crawl to the end. Raises ScraperError or the bug when the engine itself breaks."""
        rules = HostRules(self.settings)
        guard = Guard(allow_private=self.settings.allow_private)
        for proxy in _proxies(self.settings):
            guard.trust(netloc(proxy))
        async with AsyncExitStack() as rooms:
            await self.journal.open(0)
            rooms.push_async_callback(self.journal.close)
            http = await rooms.enter_async_context(Http(rules, guard, self._resolver))
            crawl = self.crawl = Crawl(
                self.spider,
                rules,
                MemoryStore(self._clock, max_wait=self.settings.max_wait),
                self.journal,
                build(http, rules, Jars(), self._clock),
                clock=self._clock,
                events=self.events,
                trust=guard.trust,
                rejected=self._reject if self.folder else None,
                alarm=self._alarm,
            )
            self._follow(crawl)
            for tell in self.started:
                tell(crawl)
            report = None
            try:
                async with _Followers(self.followers) as following:
                    await crawl.run()
                    report = self._report(crawl)
                    following.finished = report.state == FINISHED
            finally:
                if report is not None:
                    report = self._with_outputs(report)
        return report

    def _follow(self, crawl: Crawl) -> None:
        for name, output in self._outputs:
            follower = Follower(self.journal, output, name=name, clock=self._clock)
            self.followers.append(follower)
            crawl.commit.told.append(follower.notify)
        most = self.settings.max_lag
        crawl.behind = lambda: any(follower.behind(most) for follower in self.followers)
