from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import suppress
from heapq import heapify, heappop, heappush
from pathlib import Path

import pytest

from scraper.clock import Clock, FastClock
from scraper.frontier import records
from scraper.frontier.lanes import Window, rank
from scraper.frontier.schema import connect
from scraper.frontier.store import Batch, Finished, Step
from scraper.request import Request, raw

from .test_sqlite import opened
from .test_store import batch, claimed, done, pages


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


def test_the_queue_is_read_along_its_indexes(path: Path) -> None:
    base = connect(path)
    for query, values, tables in ((records.READ, 5, 3), (records.DUE, 2, 2)):
        plan = [row[3] for row in base.execute(f"EXPLAIN QUERY PLAN {query}", [1] * values)]
        assert len(plan) == tables  # no sorting
        assert "USING INDEX queue_" in plan[0]
    base.close()


SMALL = Window(whole=40, least=2, later=5, chunk=7)


async def test_what_is_on_the_disk_comes_in_the_order_of_the_gate(path: Path) -> None:
    chance = random.Random(5)
    made = [
        raw(
            url=f"http://h.example/{i}", priority=chance.randrange(3), depth=chance.randrange(4), counted=i % 9 == 0
        )
        for i in range(500)
    ]
    store, _ = await opened(path)
    added = store.add(made)
    await store.commit(batch(added=added))
    await store.close()
    store, _ = await opened(path, window=SMALL)
    got: list[Request] = []
    while len(got) < len(made):
        some = await claimed(store, 3)
        got += some
        await store.commit(batch(outcomes=done(some)))
    assert got == sorted(added, key=lambda request: (rank(request), request.token))
    await store.close()


async def test_links_that_come_first_are_lent_before_what_waits_on_the_disk(path: Path) -> None:
    """A gate's heap over everything, beside the gate's heap over what is lent: the same order of two priorities."""
    store, _ = await opened(path, window=SMALL)
    chance, numbers = random.Random(7), itertools.count()
    everything: list[tuple[int, int]] = []
    lent: list[tuple[int, int, Request]] = []

    def links(number: int) -> list[Request]:
        made = [
            raw(url=f"http://h.example/{next(numbers)}", priority=int(chance.random() < 0.1)) for _ in range(number)
        ]
        added = store.add(made)
        for request in added:
            heappush(everything, (rank(request), request.token))
        return added

    await store.commit(batch(added=links(300), seeds_done=True))
    while everything:
        claim = asyncio.ensure_future(claimed(store))
        if store._ready or store._hungry:
            await asyncio.wait((claim,), timeout=0.02 if lent else None)
        claim.cancel()
        with suppress(asyncio.CancelledError):
            for request in await claim:
                heappush(lent, (rank(request), request.token, request))
        order, _, request = heappop(lent)
        assert order == everything[0][0]
        everything.remove((order, request.token))
        heapify(everything)
        added = links(2) if len(everything) < 400 and next(numbers) < 900 else []
        await store.commit(Batch(steps=[Step(done([request])[0], added)]))
    await store.close()


async def test_a_host_with_many_requests_keeps_no_other_from_being_lent(path: Path) -> None:
    store, _ = await opened(path)
    slow = [f"slow{i}.example" for i in range(10)]
    for host in slow:
        await store.commit(batch(added=store.add(pages(10_000, host))))
    await store.commit(batch(added=store.add([page for _ in range(1000) for page in pages(1, "slow0.example")])))
    got = await claimed(store, 100_000)
    for i in range(500):
        await store.commit(batch(added=store.add(pages(40, f"h{i}.example"))))
        got += await claimed(store, 100_000)
    assert len(got) < 60_000
    lent = {request.host for request in got}
    assert len(lent) == 510
    await store.close()
    store, _ = await opened(path)  # and when all of them are on the disk
    got = []
    while (due := store.next_due()) is not None and due == 0.0:
        got += await claimed(store, 100_000)
    assert {request.host for request in got} == lent
    assert len(got) < 60_000
    await store.close()


async def test_more_waits_for_its_time_than_is_held(path: Path) -> None:
    clock = FastClock(1000.0)
    store, _ = await opened(path, clock=clock, window=SMALL)
    start = clock.wall()
    added = store.add(raw(url=f"http://h{i % 5}.example/{i}", due=start + 30 + i) for i in range(100))
    await store.commit(batch(added=added, seeds_done=True))
    assert len(store._where) == SMALL.later
    got = []
    for _ in range(100):
        (request,) = await claimed(store, 1)
        late = clock.wall() - request.due
        assert 0 <= late < 500  # half a second of the machine's
        got.append(request)
        await store.commit(batch(outcomes=done([request])))
    assert sorted(got, key=lambda request: request.token) == added
    assert await store.claim(1) == Finished()
    await store.close()


async def test_a_claim_that_is_cancelled_anywhere_takes_nothing_along(path: Path) -> None:
    store, _ = await opened(path)
    now = Clock().wall()
    await store.commit(batch(added=store.add(raw(url=f"http://h.example/{i}", due=now + 0.01) for i in range(40))))
    await store.commit(batch(added=store.add(pages(60)), seeds_done=True))
    await store.close()
    store, _ = await opened(path, window=SMALL)
    got: list[Request] = []
    for turn in itertools.count():
        claim = asyncio.ensure_future(store.claim(5))
        for _ in range(turn % 9):
            await asyncio.sleep(0)
        claim.cancel()
        try:
            lent = await claim
        except asyncio.CancelledError:
            continue
        if isinstance(lent, Finished):
            break
        some = [request for lease in lent for request in lease.requests]
        await store.commit(batch(outcomes=done(some)))
        got += some
    assert sorted(request.token for request in got) == list(range(1, 101))
    await store.close()


async def test_a_commit_that_is_cancelled_is_whole(path: Path) -> None:
    store, _ = await opened(path, window=SMALL)
    added = store.add(pages(100))
    commit = asyncio.ensure_future(store.commit(batch(added=added, seeds_done=True)))
    await asyncio.sleep(0)
    commit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await commit
    got: list[Request] = []
    while not isinstance(lent := await store.claim(50), Finished):
        some = [request for lease in lent for request in lease.requests]
        await store.commit(batch(outcomes=done(some)))
        got += some
    assert got == added
    await store.close()
