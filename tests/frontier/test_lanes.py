from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.clock import FastClock
from scraper.frontier.lanes import COUNTED, NOWHERE, Lane, Window, rank
from scraper.frontier.sqlite import SqliteStore
from scraper.frontier.store import Batch, Finished, Lease, Step
from scraper.outcome import End, Outcome, retry
from scraper.reasons import Reason
from scraper.request import Request, raw

SMALL = Window(whole=60, least=3, later=7, chunk=11)
TINY = Window(whole=4, least=1, later=1, chunk=2)


def test_the_order_is_places_then_priority_then_depth() -> None:
    held = raw(url="http://a.example/", counted=True, priority=-5, depth=9)
    urgent = raw(url="http://a.example/", priority=7, depth=9)
    near, far = raw(url="http://a.example/", depth=1), raw(url="http://a.example/", depth=2)
    assert rank(held) < COUNTED <= rank(urgent) < rank(near) < rank(far) < NOWHERE[0]


def test_extreme_priorities_and_depths_keep_the_order() -> None:
    first, last = raw(url="http://a.example/", priority=2**31), raw(url="http://a.example/", priority=-(2**31))
    deep = raw(url="http://a.example/", priority=2**31, depth=2**40)
    assert COUNTED <= rank(first) < rank(deep) < rank(last) < NOWHERE[0]


def test_a_lane_takes_no_request_ahead_of_those_that_are_stored() -> None:
    lane = Lane(1, stored=5, best=10)
    assert lane.takes((9, 99), 4)
    assert not lane.takes((10, 99), 4)


def test_a_full_lane_still_takes_what_comes_before_some_that_it_holds() -> None:
    lane = Lane(1)
    for _ in range(4):
        lane.hold(10)
    assert not lane.takes((10, 99), 4)
    assert lane.takes((9, 99), 4)


def test_a_lane_wants_more_when_half_of_its_room_is_free_or_something_urgent_is_stored() -> None:
    lane = Lane(1, stored=5, best=10)
    assert lane.wants(8) == 8
    for _ in range(5):
        lane.hold(5)
    assert lane.wants(8) == 0
    lane.best = (4, 1)
    assert lane.wants(8) == 11


def test_few_hosts_cannot_take_the_whole_window() -> None:
    window, held = Window(), 0
    for _ in range(500):
        held += window.room(held)
    assert held <= window.whole + 500 * window.least


class Reads:
    """Counts what a store asks of its file."""

    def __init__(self, store: SqliteStore) -> None:
        self.number = 0
        self._read, self._wake = store._records.read, store._records.wake
        setattr(store._records, "read", self.read)  # noqa: B010
        setattr(store._records, "wake", self.wake)  # noqa: B010

    def read(self, *args: Any) -> Any:
        self.number += 1
        return self._read(*args)

    def wake(self, *args: Any) -> Any:
        self.number += 1
        return self._wake(*args)


class Life:
    """A crawl without a network: claims, answers at random, commits when it likes, is killed and begins anew.

    Knows by itself what is queued durably and what is not, and checks that every store lends exactly that.
    """

    def __init__(self, path: Path, seed: int, window: Window, pages: int) -> None:
        self.random = random.Random(seed)
        self.path = path
        self.window = window
        self.left = pages  # links to be found yet
        self.hosts = [f"h{i}.example" for i in range(self.random.choice((1, 3, 40)))]
        self.task: asyncio.Task[list[Lease] | Finished] | None = None
        self.clock = FastClock(10_000.0)
        self.durable: dict[int, int] = {}  # token -> tries, of what is queued
        self.tries: Counter[int] = Counter()  # token -> tries of those that were answered
        self.number = 0
        self.lives = self.lent = self.reads = self.claims = self.commits = 0

    def new(self, number: int) -> list[Request]:
        number = min(number, self.left)
        self.left -= number
        made = []
        for _ in range(number):
            self.number += 1
            host = self.random.choice(self.hosts)
            made.append(raw(
                url=f"http://{host}/{self.number}", priority=self.random.choice((0, 0, 0, 5)),
                depth=self.random.choice((1, 1, 2)), after=self.random.choice((0.0, 0.0, 0.0, 50.0)),
            ))  # fmt: skip
        return made

    async def run(self) -> None:
        while not await self.one():
            self.lives += 1

    async def one(self) -> bool:
        """One process; whether it came to the end."""
        store = SqliteStore(self.path, self.clock, window=self.window)
        reads = Reads(store)
        recovered = await store.open()
        assert recovered.queued == len(self.durable)
        assert recovered.answered == len(self.tries)
        queued = dict(self.durable)  # what this process may be lent, and with how many tries
        out: list[Request] = []
        steps: list[Step] = []
        if not recovered.seeds_done:
            added = store.add(self.new(self.random.choice((1, 50, 400))))
            queued.update((request.token, 0) for request in added)
            await self.commit(store, [Step(None, added)], seeds_done=True)
        ends = self.random.randrange(20, 300) if self.random.random() < 0.8 else 10**9
        claims = 0
        while claims < ends:
            if out and self.random.random() < 0.6:
                self.answer(store, out, steps, queued)
            elif steps and (not out or self.random.random() < 0.3):
                taken, steps = steps, []
                await self.commit(store, taken)
            else:
                claims += 1
                self.claims += 1
                got = await self.claim(store, idle=not out and not steps)
                if isinstance(got, Finished):
                    assert not self.durable
                    assert not queued
                    for lane in (*store._lanes.values(), store._later):
                        assert (lane.held, lane.coming, lane.stored) == (0, 0, 0)
                    await store.close()
                    self.reads += reads.number
                    return True
                for request in got:
                    assert queued.pop(request.token) == request.tries, "lent though it was not queued"
                    assert request.due <= self.clock.wall()
                self.lent += len(got)
                out += got
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait((self.task,))
            self.task = None
        await store.close()
        self.reads += reads.number
        return False

    async def claim(self, store: SqliteStore, *, idle: bool) -> list[Request] | Finished:
        """What a claim gives; while there is something else to do it may go on meanwhile, or be cancelled."""
        task = self.task
        if task is None:
            limit = self.random.choice((1, 5, 1000))
            task = self.task = asyncio.ensure_future(store.claim(limit))
        if not idle:
            for _ in range(self.random.choice((0, 1, 2, 5, 50))):
                if task.done():
                    break
                await asyncio.sleep(0)
            else:
                if self.random.random() < 0.7:
                    return []
                task.cancel()
        self.task = None
        try:
            got = await task
        except asyncio.CancelledError:
            return []
        return got if isinstance(got, Finished) else [request for lease in got for request in lease.requests]

    def answer(self, store: SqliteStore, out: list[Request], steps: list[Step], queued: dict[int, int]) -> None:
        request = out.pop(self.random.randrange(len(out)))
        chance = self.random.random()
        if chance < 0.2 and request.tries < 3:
            due = self.clock.wall() + self.random.choice((0.0, 5.0, 200.0))
            again = request.replace(tries=request.tries + 1, due=due, counted=chance < 0.1)
            added, outcome = store.add((again,)), retry(request, due, Reason.RESET)
        else:
            added = store.add(self.new(self.random.choice((0, 0, 1, 2, 9))))
            outcome = Outcome(request=request, end=End.DONE)
        queued.update((each.token, each.tries) for each in added)
        steps.append(Step(outcome, added))

    async def commit(self, store: SqliteStore, steps: Sequence[Step], *, seeds_done: bool = False) -> None:
        self.commits += 1
        await store.commit(Batch(steps=steps, seeds_done=seeds_done))
        for step in steps:
            self.durable.update((request.token, request.tries) for request in step.added)
            if step.outcome is not None and step.outcome.final:
                token = step.outcome.request.token
                assert token not in self.tries, "answered twice"
                self.tries[token] = self.durable.pop(token)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from((SMALL, TINY, Window())))
def test_everything_is_lent_as_often_as_it_must_be_through_any_number_of_lives(seed: int, window: Window) -> None:
    with tempfile.TemporaryDirectory() as folder:
        life = Life(Path(folder) / "state.sqlite", seed, window, 1500)
        asyncio.run(asyncio.wait_for(life.run(), 60))
        assert life.reads <= life.claims + life.lent + life.commits  # no busy loop
