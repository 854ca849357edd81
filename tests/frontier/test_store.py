"""What every store promises. A new store is one line of STORES."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.clock import Clock, FastClock
from scraper.frontier.memory import MemoryStore
from scraper.frontier.sqlite import SqliteStore
from scraper.frontier.store import Batch, Finished, Lease, Recovered, Step, Store
from scraper.outcome import End, Outcome, retry
from scraper.reasons import Reason
from scraper.request import Request, raw

MAX_WAIT = 600.0  # seconds
FAST = 1000.0  # a minute in 60 ms
STORES: dict[str, Callable[[Clock, Path], Store]] = {
    "memory": lambda clock, folder: MemoryStore(clock, max_wait=MAX_WAIT),
    "sqlite": lambda clock, folder: SqliteStore(folder / "state.sqlite", clock, max_wait=MAX_WAIT),
    "sqlite, power": lambda clock, folder: SqliteStore(folder / "p.sqlite", clock, max_wait=MAX_WAIT, power=True),
}


def batch(outcomes: Iterable[Outcome] = (), added: Sequence[Request] = (), *, seeds_done: bool = False) -> Batch:
    """Outcomes, and requests that were added with them."""
    steps = [*(Step(outcome) for outcome in outcomes), Step(None, tuple(added))]
    return Batch(steps=steps, seeds_done=seeds_done)


@pytest.fixture(params=STORES)
async def made(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Store, Clock]]:
    clock = FastClock(FAST)
    store = STORES[request.param](clock, tmp_path)
    await store.open()
    async with asyncio.timeout(5):
        yield store, clock
    await store.close()


@pytest.fixture
def store(made: tuple[Store, Clock]) -> Store:
    return made[0]


@pytest.fixture
def clock(made: tuple[Store, Clock]) -> Clock:
    return made[1]


def pages(number: int, host: str = "h.example", **fields: float) -> list[Request]:
    return [raw(url=f"http://{host}/{i}", **fields) for i in range(number)]


def done(requests: Sequence[Request], end: End = End.DONE) -> list[Outcome]:
    return [Outcome(request=request, end=end) for request in requests]


async def claimed(store: Store, limit: int = 100) -> list[Request]:
    lent = await store.claim(limit)
    assert isinstance(lent, list)
    return [request for lease in lent for request in lease.requests]


async def seeded(store: Store, *requests: Request) -> list[Request]:
    added = store.add(requests)
    await store.commit(batch(added=added, seeds_done=True))
    return added


def plain(requests: Iterable[Request]) -> list[Request]:
    """Requests as they were before a store gave them their tokens."""
    return [request.replace(token=0) for request in requests]


def marks(requests: Sequence[Request]) -> Counter[tuple[str, int]]:
    return Counter((request.url, request.tries) for request in requests)


def waits(task: asyncio.Task[list[Lease] | Finished]) -> bool:
    return not task.done()


async def settled(clock: Clock, seconds: float = 20.0) -> None:
    """Let whatever can happen happen."""
    await clock.sleep(seconds)


@pytest.mark.parametrize("name", STORES)
async def test_a_new_store_has_nothing_to_tell(name: str, tmp_path: Path) -> None:
    store = STORES[name](Clock(), tmp_path)
    assert await store.open() == Recovered()
    await store.close()


async def test_what_is_added_is_seen_and_can_be_claimed_once(store: Store) -> None:
    store.add(pages(3))
    assert all(request.fingerprint in store.seen for request in pages(3))
    assert raw(url="http://h.example/9").fingerprint not in store.seen
    assert plain(await claimed(store)) == pages(3)
    store.add(pages(1, "other.example"))
    assert plain(await claimed(store)) == pages(1, "other.example")


async def test_a_lease_holds_requests_of_one_host_in_their_order(store: Store) -> None:
    for a, b in zip(pages(5, "a.example"), pages(5, "b.example"), strict=True):
        store.add((a, b))
    lent = await store.claim(100)
    assert isinstance(lent, list)
    assert {lease.host: plain(lease.requests) for lease in lent} == {
        "a.example": pages(5, "a.example"),
        "b.example": pages(5, "b.example"),
    }
    assert len({lease.host for lease in lent}) == len(lent)


async def test_no_more_is_lent_than_was_asked_for(store: Store) -> None:
    store.add(pages(7, "a.example") + pages(4, "b.example"))
    parts = [await claimed(store, 3) for _ in range(4)]
    assert [len(part) for part in parts] == [3, 3, 3, 2]
    everything = [request for part in parts for request in part]
    assert plain(r for r in everything if r.host == "a.example") == pages(7, "a.example")
    assert plain(r for r in everything if r.host == "b.example") == pages(4, "b.example")


async def test_a_claim_waits_for_work_and_wakes_when_there_is_some(store: Store, clock: Clock) -> None:
    claim = asyncio.ensure_future(store.claim(10))
    await settled(clock)
    assert waits(claim)
    store.add(pages(1))
    lent = await claim
    assert isinstance(lent, list)
    assert plain(lent[0].requests) == pages(1)


async def test_a_cancelled_claim_takes_nothing_along(store: Store, clock: Clock) -> None:
    claim = asyncio.ensure_future(store.claim(10))
    await settled(clock)
    claim.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claim
    store.add(pages(1))
    assert plain(await claimed(store)) == pages(1)


async def test_what_is_due_later_comes_at_its_time_and_in_its_order(store: Store, clock: Clock) -> None:
    start = clock.wall()
    late, later = raw(url="http://h.example/1", due=start + 30), raw(url="http://h.example/2", due=start + 60)
    await seeded(store, later, late)
    assert plain(await claimed(store)) == [late]
    assert start + 30 <= clock.wall()
    assert plain(await claimed(store)) == [later]
    assert start + 60 <= clock.wall()


async def test_what_is_due_sooner_wakes_a_claim_that_waits_for_what_is_due_later(
    store: Store, clock: Clock
) -> None:
    start = clock.wall()
    await seeded(store, raw(url="http://h.example/1", due=start + 500))
    claim = asyncio.ensure_future(store.claim(10))
    await settled(clock)
    soon = raw(url="http://h.example/2", due=clock.wall() + 30)
    store.add((soon,))
    lent = await claim
    assert isinstance(lent, list)
    assert plain(lent[0].requests) == [soon]
    assert clock.wall() < start + 400


async def test_what_waits_does_not_hold_up_what_is_due(store: Store, clock: Clock) -> None:
    await seeded(store, raw(url="http://h.example/later", due=clock.wall() + 500), *pages(2))
    assert plain(await claimed(store)) == pages(2)


async def test_an_empty_crawl_is_finished_when_its_seeds_are(store: Store, clock: Clock) -> None:
    claim = asyncio.ensure_future(store.claim(10))
    await settled(clock)
    assert waits(claim)
    await store.commit(batch(seeds_done=True))
    assert await claim == Finished()
    assert await store.claim(10) == Finished()


async def test_it_is_finished_only_when_everything_is_committed(store: Store, clock: Clock) -> None:
    await seeded(store, *pages(2))
    first, second = await claimed(store)
    claim = asyncio.ensure_future(store.claim(10))
    for request in (first, second):
        await settled(clock)
        assert waits(claim)
        await store.commit(batch(outcomes=done([request])))
    assert await claim == Finished()


async def test_it_is_not_finished_while_seeds_may_come(store: Store, clock: Clock) -> None:
    await store.commit(batch(added=store.add(pages(1))))
    await store.commit(batch(outcomes=done(await claimed(store))))
    claim = asyncio.ensure_future(store.claim(10))
    await settled(clock)
    assert waits(claim)
    await store.commit(batch(seeds_done=True))
    assert await claim == Finished()


async def test_seeds_stay_done(store: Store) -> None:
    await seeded(store, *pages(1))
    await store.commit(batch(outcomes=done(await claimed(store)), seeds_done=False))
    assert await store.claim(10) == Finished()


async def test_links_are_work_before_their_page_is_committed(store: Store) -> None:
    await seeded(store, *pages(1))
    page = await claimed(store)
    (link,) = store.add([raw(url="http://h.example/link")])
    assert await claimed(store) == [link]
    await store.commit(batch(outcomes=done(page), added=(link,)))
    await store.commit(batch(outcomes=done([link])))
    assert await store.claim(10) == Finished()


async def test_a_retry_is_the_same_request_once_more(store: Store, clock: Clock) -> None:
    await seeded(store, *pages(1))
    (request,) = await claimed(store)
    (again,) = store.add([request.replace(tries=1, due=clock.wall() + 60)])
    assert again.token == request.token
    await store.commit(Batch(steps=[Step(retry(request, again.due, Reason.RESET), (again,))]))
    assert await claimed(store) == [again]
    assert clock.wall() >= again.due
    await store.commit(batch(outcomes=done([again], End.FAILED)))
    assert await store.claim(10) == Finished()


async def test_a_redirect_is_answered_when_its_target_is(store: Store, clock: Clock) -> None:
    await seeded(store, *pages(1))
    (request,) = await claimed(store)
    (target,) = store.add([raw(url="http://h.example/target", counted=True)])
    await store.commit(
        batch(outcomes=[Outcome(request=request, end=End.REDIRECTED, target=target)], added=(target,))
    )
    assert target.fingerprint in store.seen
    assert await claimed(store) == [target]
    claim = asyncio.ensure_future(store.claim(10))
    await settled(clock)
    assert waits(claim)
    await store.commit(batch(outcomes=done([target], End.DROPPED)))
    assert await claim == Finished()


async def test_a_redirect_to_itself_is_another_visit(store: Store) -> None:
    await seeded(store, *pages(1))
    (request,) = await claimed(store)
    (again,) = store.add([request.replace(token=0)])
    assert again.token != request.token
    await store.commit(batch(outcomes=[Outcome(request=request, end=End.REDIRECTED, target=again)], added=(again,)))
    await store.commit(batch(outcomes=done(await claimed(store))))
    assert await store.claim(10) == Finished()


async def test_it_ends_resumable_when_only_work_of_another_day_is_left(store: Store, clock: Clock) -> None:
    due = clock.wall() + 2 * MAX_WAIT
    await seeded(store, raw(url="http://h.example/later", due=due), *pages(1))
    now = await claimed(store)
    claim = asyncio.ensure_future(store.claim(10))
    await settled(clock)
    assert waits(claim)
    await store.commit(batch(outcomes=done(now)))
    assert await claim == Finished(resumable=True, due=due)


async def test_it_waits_for_work_within_max_wait(store: Store, clock: Clock) -> None:
    soon = raw(url="http://h.example/soon", due=clock.wall() + MAX_WAIT / 4)
    await seeded(store, soon)
    assert plain(await claimed(store)) == [soon]


async def test_a_process_that_keeps_up_loses_no_lease(store: Store) -> None:
    await seeded(store, *pages(2))
    lent = await store.claim(10)
    assert isinstance(lent, list)
    assert not await store.renew([lease.token for lease in lent])
    assert not await store.commit(batch(outcomes=done([r for lease in lent for r in lease.requests])))


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(tuple(STORES.values())),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(("done", "link", "retry", "moved"))), max_size=30),
    st.integers(1, 7),
)
async def test_every_request_is_lent_as_often_as_it_was_added(
    make: Callable[[Clock, Path], Store], work: list[tuple[int, str]], limit: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        await _works_through(make(FastClock(1e6), Path(folder)), work, limit)


async def _works_through(store: Store, work: list[tuple[int, str]], limit: int) -> None:
    await store.open()
    await seeded(store, *pages(5))
    added, lent, plan = marks(pages(5)), Counter[tuple[str, int]](), list(work)
    async with asyncio.timeout(5):
        while not isinstance(got := await store.claim(limit), Finished):
            requests = [request for lease in got for request in lease.requests]
            assert len(requests) <= limit
            lent += marks(requests)
            outcomes, new = [], list[Request]()
            for request in requests:
                number, end = plan.pop() if plan else (0, "done")
                if end == "retry":
                    new.append(request.replace(tries=request.tries + 1))
                    outcomes.append(retry(request, 0.0, Reason.RESET))
                elif end == "moved":
                    new.append(request.replace(url=f"{request.url}-", token=0, tries=0))
                    outcomes.append(Outcome(request=request, end=End.REDIRECTED, target=new[-1]))
                else:
                    new.extend(
                        request.replace(url=f"{request.url}/{i}", token=0, tries=0)
                        for i in range(number if end == "link" else 0)
                    )
                    outcomes.append(Outcome(request=request, end=End.DONE))
            added += marks(new)
            new = store.add(new)
            steps = []
            for outcome in outcomes:  # each with what it led to: the retry of a request belongs to its own outcome
                tokens = {outcome.request.token} if outcome.end is End.RETRY else set[int]()
                steps.append(Step(outcome, [r for r in new if r.token in tokens]))
            rest = [r for r in new if r.token not in {o.request.token for o in outcomes if o.end is End.RETRY}]
            await store.commit(Batch(steps=[Step(None, rest), *steps]))
    assert lent == added
    await store.close()
