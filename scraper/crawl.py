"""THE LINE: seeds -> frontier -> gate -> queue -> worker: fetch -> parse -> callback -> outcome -> commit.

This file tells it and nothing else; every step is a room of its own. One event loop, so what does not await
is one step: `feed` and `accept` find and leave the frontier whole.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from .clock import Clock
from .commit import Commit, Journal
from .crew import Crew
from .errand import Errands
from .errors import FetchError, NotNow, UsageError
from .events import Events
from .fetch.cookies import Jars
from .frontier.gate import Gate
from .frontier.host import Permit
from .frontier.intake import Intake
from .frontier.limits import Limits
from .frontier.scope import Scope
from .frontier.sieve import many
from .frontier.store import Finished, Recovered, Store
from .handover import Handover
from .judge import Judge
from .outcome import End, Outcome, refused
from .page import Pages
from .quarantine import MOST_KILLS, Quarantine
from .reading import Reading
from .request import Request
from .response import Response
from .seeds import Seeds
from .send import Fetch, Send, Workers
from .settings import HostRules
from .spider import Spider
from .stats import Stats, ended

log = logging.getLogger("scraper.crawl")
WINDOW = 100_000  # requests held by the gate; the others stay with the store


class Crawl:
    """One run of one spider. `fetch` is the whole stack, `trust` hears of the seeds' hosts. Times are seconds.

    `store` is open, `recovered` is what it told; `note` hears which request is worked on (token, slot),
    `folder` takes what is too much for memory; `workers` are other processes that send and read.
    After `run`: `why` says how it ended ("finished", a limit's name, "interrupted", ...), `resumable` whether
    work is left, `seeds.broken` what the spider's own code outside of pages raised.
    """

    def __init__(
        self, spider: Spider, rules: HostRules, store: Store, recovered: Recovered, journal: Journal,
        rejected: Journal, fetch: Fetch, jars: Jars, *, clock: Clock, events: Events,
        trust: Callable[[str, str], None], note: Callable[[int, int], None], folder: Path, alarm: bool = False,
        workers: Workers | None = None,
    ) -> None:  # fmt: skip
        settings = rules.settings
        self.spider = spider
        self.settings = settings
        self.events = events
        self.stats = Stats(clock.wall())
        self.why = ""
        self.resumable = False
        self.behind: Callable[[], bool] = lambda: False  # whether an output is too far behind
        self.limits = Limits(settings, clock.monotonic())
        self.gate = Gate(rules, self.limits)
        self.intake = Intake(Scope.of(settings, spider.allowed_domains), settings, store.seen)
        self.judge = Judge(settings, self.gate, self.intake, clock, events, random.random)
        self.handover = Handover(self.gate, self.limits, self.stats, self.intake, jars, rules, clock, trust)
        self.commit = Commit(
            store, journal, rejected, self.handover.facts, clock, events,
            every=settings.commit_every, power=settings.durability == "power", durable=recovered.last,
        )  # fmt: skip
        self.pages = Pages(
            spider, settings, self.stats, note=lambda token: note(token, 0), folder=folder, alarm=alarm
        )  # fmt: skip
        self.reading = Reading(settings, lambda token: note(token, 1))
        self.seeds = Seeds(spider, self.pages.check, lambda: not self.stats.ends and not self.gate.known.met)
        self.errands = Errands(
            self, self.gate, self.judge, self.stats, settings, clock, self.reading.open, self.handover.seeded
        )
        self.send = Send(
            fetch, spider, self.pages, self.gate, self.judge, self.limits, self.commit, clock, self.relieved,
            self.errands.permit, workers, careful=recovered.blind,
        )  # fmt: skip
        self._workers = workers
        self.recovered = recovered
        self._store = store
        self._clock = clock
        self._queue: asyncio.Queue[Permit] = asyncio.Queue(settings.concurrency)
        self._crew = Crew(self._lost)
        self._go = self.go = self._crew.go
        self.drop = self._crew.drop
        self._wake = asyncio.Event()  # the feeder has something to look at
        self._room = asyncio.Event()  # the gate can hold more
        self._ended = asyncio.Event()
        self._sleeps_until: float | None = None
        self._taking = True  # new pages are admitted
        self._hands = 0  # tasks that take from the queue
        self._open_pages = 0  # permits in the hands of workers, not answered yet
        self.quarantine = Quarantine(lambda: self._open_pages)
        self._lent = 0  # workers whose page waits for a fetch of its own

    # -- begin and end ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Crawl until nothing is left, a limit is reached or `stop` is called. Raises what broke the engine."""
        if self.spider._line is not None:
            raise UsageError(f"this spider {self.spider.name!r} is being crawled already; make another one")
        self.spider._line = self.errands
        if self.recovered.resumed:
            self.handover.restore(self.recovered)
        try:
            async with self._crew:
                for step in (self._seed, self._claimer, self._feeder, self._timekeeper):
                    self._go(step())
                for keeper in self._workers.keepers() if self._workers is not None else ():
                    self._go(keeper)
                committing = self._go(self.commit.run())
                try:
                    await self._ended.wait()
                finally:
                    self._ended.set()  # what the tasks give back as they end is not handed out again
                self._crew.end(but=committing)
                self.commit.finish()
        finally:
            self.spider._line = None
            while not self._queue.empty():
                self.gate.release(self._queue.get_nowait(), self._clock.monotonic())
            self.reading.close()
            self.pages.close()
            self.stats.ended = self._clock.wall()
        await self.seeds.hook(self.spider.closed, self.why)
        if self._workers is not None:
            await self._workers.close(self.why)

    def stop(self, why: str, *, resumable: bool = False, grace: float | None = None) -> None:
        """Take nothing new, finish what is out (within `grace` seconds), and end."""
        if not self.why:
            self.why, self.resumable = why, resumable
        self._taking = False
        self._end_if_idle()
        if grace is not None and not self._ended.is_set():
            self._go(self._abandon_after(grace))

    def abandon(self) -> None:
        """End now; what is out stays unanswered."""
        self._taking = False
        self.why = self.why or "interrupted"
        self._ended.set()

    def _lost(self, task: asyncio.Task[None]) -> None:
        log.error("the crawl ends here, and can be continued: something has cancelled its %s", task.get_name())
        self.why, self.resumable = "interrupted", True
        self.abandon()

    async def _abandon_after(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self.abandon()

    async def _timekeeper(self) -> None:
        deadline = self.limits.deadline()
        if deadline is not None:
            await self._clock.sleep(deadline - self._clock.monotonic())
            self.stop("max_seconds", grace=self.settings.grace)

    def _end_if_idle(self) -> None:
        if self._open_pages:
            return
        if not self._taking or self.limits.spent():
            self.why = self.why or "max_pages"
            self._ended.set()
        elif not self.gate.queued:
            self.commit.hurry()  # the end, or the next requests, may wait for it
        elif self._only_later():
            self.stop("waiting", resumable=True)

    def _only_later(self) -> bool:
        """Whether all that is left is for hosts that rest longer than `max_wait`, or due later than that."""
        latest = self._clock.monotonic() + self.settings.max_wait
        times = [at for at in (self.gate.wake_at(), self.errands.wakes_at()) if at is not None]
        if not times or min(times) <= latest or not self.commit.seeds_done:
            return False
        stored = self._store.next_due()
        return stored is None or stored > self._clock.wall() + self.settings.max_wait

    # -- 1: seeds -> frontier -----------------------------------------------------------------------

    async def _seed(self) -> None:
        if ending := self.limits.reached(self._clock.monotonic()):  # in an earlier process
            self.stop(ending)
        self._end_if_idle()
        begun, done = self.handover.begun, self.recovered.seeds_done
        async with aclosing(self.seeds.requests(begun=begun, done=done)) as seeds:
            async for request in seeds:
                if self._ended.is_set() or self.limits.pages_left == 0:
                    return  # not one more could be admitted
                self.commit.add_seeds(self._store.add(self.handover.seed(request)))
                await self._gate_has_room()
        if self.seeds.broken:
            self.stop("broken")
        else:
            self.commit.add_seeds((), done=True)
        self._end_if_idle()

    # -- 2: frontier -> gate -> queue ---------------------------------------------------------------

    async def _claimer(self) -> None:
        """Moves what the store lends into the gate, until the store says that nothing is left."""
        await self.seeds.opened.wait()
        while True:
            await self._gate_has_room()
            lent = await self._store.claim(WINDOW - self.gate.queued)
            if isinstance(lent, Finished):
                self.stop("waiting" if lent.resumable else "finished", resumable=lent.resumable)
                return
            for lease in lent:
                requests = [request for request in lease.requests if not await self._doomed(request)]
                self.gate.hold(lease.host, requests, self._clock.monotonic())
            self.feed()
            self._end_if_idle()

    async def _doomed(self, request: Request) -> bool:
        """Whether an earlier process has left a request in a state in which it is not sent again."""
        if not (request.kills or request.started) or (error := self.judge.doomed(request)) is None:
            return False
        self.accept(await self._failed(request, error))
        return True

    async def _gate_has_room(self) -> None:
        while self.gate.queued >= WINDOW:
            self._room.clear()
            await self._room.wait()

    async def _feeder(self) -> None:
        """Feeds when a host becomes due; whatever else makes room calls `feed` itself."""
        while True:
            self.feed()
            self._end_if_idle()
            await self._clock.wait(self._wake, self._sleeps_until)
            self._wake.clear()

    def wake(self) -> None:
        """Something outside has made room: feed again."""
        self._wake.set()

    def feed(self) -> None:
        """Put what may go now into the queue: only as much as there are free workers."""
        if self._ended.is_set():
            return
        now = self._clock.monotonic()
        while True:
            pages = self._free() and not self.behind()
            decided = self.gate.next(now, pages=pages)
            while self.gate.needs:
                self._go(self.errands.robots(self.gate.needs.pop()))
            if decided is None:
                break
            if not isinstance(decided, Permit):
                request, reason = decided
                self._settle(refused(request, reason, self.errands.why(request.url)))
                self._end_if_idle()
            elif decided.waiter is not None:
                decided.waiter.told(decided)
            else:
                self._hand_out(decided)
        if self.gate.queued < WINDOW:
            self._room.set()
        due = self.gate.wake_at(pages=pages)
        if due is not None and (self._sleeps_until is None or due < self._sleeps_until):
            self._wake.set()
        self._sleeps_until = due

    def _free(self) -> bool:
        """Whether a page may be begun."""
        return self._taking and self._busy < self.settings.concurrency and not self.quarantine.wanted

    def relieved(self) -> None:
        """A host has a free place again, while the page that had it is still open."""
        if self.gate.waited_for or self._free():
            self.feed()

    @property
    def _busy(self) -> int:
        return self._open_pages - self._lent

    def _hand_out(self, permit: Permit) -> None:
        self._open_pages += 1
        if self._hands - self._lent < self._busy:
            self._hands += 1
            self._go(self._worker())
        self._queue.put_nowait(permit)

    # -- 3: queue -> worker: fetch -> parse -> callback -> outcome ----------------------------------

    async def _worker(self) -> None:
        while self._hands - self._lent <= self.settings.concurrency:
            permit = await self._queue.get()
            outcome = await self._answer(permit)
            if self._ended.is_set():  # a callback that does not let itself be cancelled
                return
            self._open_pages -= 1
            self.accept(outcome)
        self._hands -= 1

    async def _answer(self, permit: Permit) -> Outcome:
        """The whole way of one request, from its permit to its outcome."""
        request = permit.request
        try:
            response = await self.send(permit)
            onward = self.judge.redirect(request, response)
            error = None if onward else self.judge.status(request, response)
            if onward is not None:
                outcome = self.judge.redirected(request, onward, response.status)
            elif error is not None:
                outcome = await self._failed(request, error)
            elif request.kills:
                async with self.quarantine.alone():
                    outcome = await self._read(response)
            else:
                outcome = await self._read(response)
        except NotNow as later:
            return Outcome(request=later.request or request, end=End.BACK)
        except FetchError as error:
            return await self._failed(request, error)
        if many(outcome.links):
            outcome.sifted = await self.intake.sieve.slowly(request, outcome.links)
        return self.judge.read(outcome, response)

    async def _read(self, response: Response) -> Outcome:
        if self._workers is not None:
            return await self._workers.read(response)
        return await self.pages.read(await self.reading.open(response))

    async def _failed(self, request: Request, error: FetchError) -> Outcome:
        """Another try, or the end of this request, of which the spider's `on_error` hears."""
        outcome = self.judge.failure(request, error)
        if outcome.end is End.FAILED and request.kills <= MOST_KILLS:  # else `on_error` itself may be the poison
            got = await self.pages.failed(request, error)
            outcome.links, outcome.items, outcome.rejected = got.links, got.items, got.rejected
            outcome.stop = got.stop
        return outcome

    def lend(self) -> bool:
        """A worker's page waits for a fetch of its own: the worker's place serves others meanwhile."""
        if self._lent >= self.settings.max_open_pages:
            return False
        self._lent += 1
        return True

    def regain(self, lent: bool) -> None:
        """The page goes on."""
        self._lent -= lent

    # -- 4: outcome -> frontier and commit ----------------------------------------------------------

    def accept(self, outcome: Outcome) -> None:
        """Let an outcome take effect: on limits, queue and seen at once, durably with the next commit."""
        self._settle(outcome)
        self.quarantine.tell()
        self.feed()
        self._end_if_idle()

    def _settle(self, outcome: Outcome) -> None:
        request = outcome.request
        if outcome.end is End.BACK:
            self.gate.back(request, self._clock.monotonic())
            return
        if request.counted and not request.tries and not request.hops:
            self.limits.begun += 1
            self.gate.answered(request.host)
        kept = self.limits.take_items(len(outcome.items))
        if kept < len(outcome.items):
            outcome.cut_to(kept)
        added: list[Request] = []
        marks: list[int] = []
        if outcome.links or outcome.sifted:
            sifted = outcome.sifted or self.intake.sieve.sift(request, outcome.links)
            added, marks = self.intake.take(request, sifted)
        if outcome.target is not None:
            added.append(outcome.target)
        elif outcome.end is End.RETRY:
            added.append(request.replace(tries=request.tries + 1, due=outcome.at, started=False))
        elif request.counted:
            self.limits.settle()
        outcome.links, outcome.sifted = (), None  # they are requests now
        added = self._store.add(added, marks)
        self.stats.count(outcome)
        self.commit.add(outcome, added)
        if self.events.wants_done or (self.events.wanted and outcome.end is not End.DONE):
            self.events.tell(ended(outcome))
        self.limits.over = self.limits.over or outcome.stop
        if ending := self.limits.reached(self._clock.monotonic()):
            self.stop(ending)
