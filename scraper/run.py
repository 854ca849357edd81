"""One run from beginning to end: the rooms are opened, the line is run, the results are closed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, nullcontext, suppress
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import aiohttp
import msgspec

from .blackbox import BlackBox
from .clock import Clock
from .crawl import Crawl
from .errors import OutputError, StoreError, UsageError
from .events import Events
from .fetch.cookies import Jars
from .fetch.guard import Guard
from .fetch.http import Http
from .fetch.stack import build
from .folder import BROKE_RULE, FAILED, FINISHED, INTERRUPTED, Place, RunFolder, RunInfo
from .followers import Followers
from .frontier import schema
from .frontier.host import Proof
from .frontier.memory import MemoryStore
from .frontier.sqlite import SqliteStore
from .frontier.store import Recovered, Store
from .identity import Identity
from .logs import EventLog, kept_log
from .outputs import Output
from .outputs.follow import CursorFile, Follower
from .outputs.journal import Journal, MemoryJournal
from .outputs.registry import STDOUT
from .reasons import Reason
from .settings import HostRules, Settings, proxies
from .spider import Spider
from .stats import Stats
from .url import netloc
from .workers.pool import Pool
from .workers.start import told
from .workers.worker import Means

MEMORY_LAG = 10_000  # items
BROKEN = "broken"
OUTPUT = "an output failed"
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
    position: int = 0  # where the journal of items ends

    @property
    def exit_code(self) -> int:
        """The exit code of a command that ran this."""
        broke = self.state == INTERRUPTED and self.why in (BROKEN, OUTPUT)
        return EXIT_CODES[FAILED if broke else self.state]

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
        self.rejected: Journal | MemoryJournal = Journal(folder.rejected) if folder else MemoryJournal()
        self.events = events or Events()
        self.started: list[Callable[[Crawl], None]] = []
        self.resumed = Recovered()
        self.followers: list[Follower] = []
        self._outputs = outputs
        self._clock = clock or Clock()
        self._resolver = resolver
        self._alarm = alarm
        self._abandoned = False
        self._abandons: list[Callable[[], None]] = []  # what has to know

    def abandon(self) -> None:
        """End now: what is out stays unanswered, and outputs that are not through are so after the next start."""
        self._abandoned = True
        for tell in self._abandons:
            tell()

    def _abandonable(self, tell: Callable[[], None]) -> None:
        self._abandons.append(tell)
        if self._abandoned:
            tell()

    async def execute(self) -> Report:
        """Crawl to the end, and close the run folder. Raises ScraperError, or the engine's own bug."""
        if self.folder is None:
            return await self._execute()
        with self.folder.hold():
            return await self._kept(self.folder)

    async def _kept(self, folder: RunFolder) -> Report:
        info = self._info(folder)
        folder.write(info)
        self.events.listen(EventLog(), done=False)
        state, report, why = FAILED, None, ""
        try:
            with kept_log(folder.log, folder.run, self.settings.log_level):
                report = await self._execute()
            state = report.state
            return report
        except asyncio.CancelledError:
            state = INTERRUPTED
            raise
        except UsageError:
            state = ""  # nothing was sent
            raise
        except Exception as error:
            why = str(error).partition("\n")[0] or type(error).__name__
            state = INTERRUPTED if folder.state.is_file() else FAILED  # it goes on from its last commit
            raise
        finally:
            if state:
                # Without a report an error is on its way already, and it is the one to tell.
                with suppress(OutputError) if report is None else nullcontext():
                    self._close(folder, info, state, why, report)
            else:
                folder.discard()

    def _info(self, folder: RunFolder) -> RunInfo:
        """run.json as it stands when the run was begun with care (see `resume.begin`), else a new one."""
        if (folder.path / "run.json").is_file():
            return folder.read()
        info = Identity.of(self.spider, self.settings).info(folder.run, self._clock.wall())
        info.pid = os.getpid()
        info.outputs = [Place(name if name == STDOUT else os.path.abspath(name)) for name, _ in self._outputs]
        return info

    def _close(self, folder: RunFolder, info: RunInfo, state: str, why: str, report: Report | None) -> None:
        info.state, info.ended, info.why = state, self._clock.wall(), why
        info.exit_code = EXIT_CODES[FAILED if why else state] if report is None else report.exit_code
        if report is not None:
            info.why, info.items = report.why, report.stats.items
            info.pages, info.failed = report.stats.done, report.stats.failed
            folder.write_stats(report.as_data())
        folder.close(info, keep=self.settings.keep_runs)

    async def _execute(self) -> Report:
        rules = HostRules(self.settings)
        guard = Guard(allow_private=self.settings.allow_private)
        for proxy in proxies(self.settings):
            guard.trust(netloc(proxy))
        async with AsyncExitStack() as rooms:
            self._check()
            box = self._box(rooms)
            store = self._store()
            rooms.push_async_callback(store.close)
            recovered = await store.open(box.suspects if box else ())
            if box:
                box.clear()
            self.resumed = recovered
            for segment, journal in (("items", self.journal), ("rejected", self.rejected)):
                rooms.push_async_callback(journal.close)
                await journal.open(recovered.positions.get(segment, 0))
            http = await rooms.enter_async_context(Http(rules, guard, self._resolver))
            jars = Jars()
            pool = self._pool(rooms, jars, box)

            def trust(origin: str, host: str) -> None:
                guard.trust(host)
                if pool is not None:
                    pool.seed(origin, host)

            crawl = Crawl(
                self.spider,
                rules,
                store,
                recovered,
                self.journal,
                self.rejected,
                build(http, rules, jars, self._clock),
                jars,
                clock=self._clock,
                events=self.events,
                trust=trust,
                note=box.note if box else _nowhere,
                folder=self._folder,
                alarm=self._alarm,
                workers=pool,
            )
            if pool is not None:
                pool.join(crawl, crawl.judge.doomed)
            self._follow(crawl)
            async with Followers(self.followers, self.events) as following:
                crawl.commit.told.append(following.begin)
                if crawl.commit.position:
                    following.begin(crawl.commit.position)
                self._abandonable(following.abandon)
                self._abandonable(crawl.abandon)
                for tell in self.started:
                    tell(crawl)
                await crawl.run()
                report = self._report(crawl)
                following.finished = report.state == FINISHED
        return self._with_outputs(report)

    def _check(self) -> None:
        """A run that goes on has a state that knows of it, or its items would be cut off. Raises StoreError.

        Before the store is opened, which would make a new one of an empty file.
        """
        folder = self.folder
        if folder is None or self.settings.durability == "none" or not folder.items.is_file():
            return
        if not folder.items.stat().st_size:
            return
        try:
            schema.look(folder.state).close()
        except StoreError as error:
            text = f"{folder.items} is kept as it is: `scraper export {folder.run} -o PATH` saves its items"
            raise StoreError(f"{error}. {text}") from error

    @property
    def _folder(self) -> Path:
        """Where files go that do not outlive the process."""
        return self.folder.path if self.folder else Path(gettempdir())

    @property
    def _durable(self) -> bool:
        return self.folder is not None and self.settings.durability != "none"

    def _box(self, rooms: AsyncExitStack) -> BlackBox | None:
        """What tells which page a process died of; without state that outlives it, only workers have one."""
        workers = self.settings.processes if self.settings.processes > 1 else 0
        if not (self._durable or workers):
            return None
        box = BlackBox(self.folder.black_box if self.folder and self._durable else None, workers)
        rooms.callback(box.close)
        return box

    def _store(self) -> Store:
        """Where the crawl's state is kept."""
        wait, level = self.settings.max_wait, self.settings.durability
        if self.folder is None or level == "none":
            return MemoryStore(self._clock, max_wait=wait)
        return SqliteStore(self.folder.state, self._clock, max_wait=wait, power=level == "power")

    def _pool(self, rooms: AsyncExitStack, jars: Jars, box: BlackBox | None) -> Pool | None:
        """The worker processes, where more than one is wanted. Raises UsageError."""
        settings = self.settings
        if settings.processes == 1 or box is None:
            return None
        begin = told(self.spider, settings, folder=str(self._folder), resolves=self._resolver is not None)
        means = Means(jars if settings.cookies else None, self._clock, self._folder, box.called_off, self._resolver)
        pool = Pool(begin, box, means)
        rooms.push_async_callback(pool.end)
        return pool

    def _with_outputs(self, report: Report) -> Report:
        """An output that failed fails the run, though the journal has everything; one not through cuts it."""
        if report.state in (FINISHED, BROKE_RULE) and not all(each.through for each in self.followers):
            report.state, report.why, report.resumable = INTERRUPTED, "interrupted", True
        report.outputs = {each.name: str(each.error or "") for each in self.followers}
        for name, error in report.outputs.items():
            if error:
                report.said.append(f"output {name}: {error}")
                if report.state == FINISHED:  # the next start catches it up, and crawls nothing again
                    kept = self.folder is not None and self.settings.durability != "none"
                    report.state, report.why = (INTERRUPTED, OUTPUT) if kept else (FAILED, report.why)
        return report

    def _follow(self, crawl: Crawl) -> None:
        for name, output in self._outputs:
            kept = CursorFile(self.folder.cursor(name)) if self.folder else None
            follower = Follower(
                self.journal, output, name=name, clock=self._clock, committed=crawl.commit.position,
                cursor=kept.load() if kept and self._trusted(name) else None, save=kept.save if kept else None,
            )  # fmt: skip
            self.followers.append(follower)
            crawl.commit.told.append(follower.notify)
            follower.moved.append(crawl.wake)
        most = self.settings.max_lag if self.folder else MEMORY_LAG
        crawl.behind = lambda: any(follower.behind(most) for follower in self.followers)

    def _trusted(self, name: str) -> bool:
        """Whether an output is as its cursor says.

        What was written to a file and not synced may be lost in its middle with the power; the journal was
        synced, so the file is written anew from it. Not where it adds to what others have added to, too.
        """
        if self.folder is None or self.settings.durability != "power" or name == STDOUT:
            return True
        places = self.folder.read().outputs
        return any(place.append and place.path == os.path.abspath(name) for place in places)

    def _report(self, crawl: Crawl) -> Report:
        said = list(_broken_rules(crawl, self.settings))
        state = FINISHED
        if crawl.resumable or crawl.why == "interrupted":
            state = INTERRUPTED
        elif crawl.seeds.broken:  # what earlier processes have done is not to be lost by a login that failed
            begun = self.folder is not None and self.settings.durability != "none" and crawl.handover.seeds
            state = INTERRUPTED if begun else FAILED
            said.insert(0, f"the spider broke: {crawl.seeds.broken}")
        elif not crawl.stats.done:
            state = FAILED
            said.insert(0, "no page succeeded")
        elif said:
            state = BROKE_RULE
        return Report(
            state=state,
            why=crawl.why,
            said=said,
            stats=crawl.stats,
            drops=dict(crawl.intake.drops),
            proofs=crawl.gate.proofs(),
            outputs={},
            resumable=crawl.resumable,
            position=crawl.commit.position,
        )


def _nowhere(token: int, slot: int) -> None:
    """A crawl whose state dies with it has nobody to tell what it died of."""


def _broken_rules(crawl: Crawl, settings: Settings) -> Iterator[str]:
    items, rate = crawl.limits.items, crawl.stats.error_rate
    if items < settings.min_items:
        yield f"{items:,} items, fewer than min_items = {settings.min_items:,}"
    if rate > settings.max_error_rate:
        yield f"{rate:.1%} of the pages failed, more than max_error_rate = {settings.max_error_rate:.1%}"
