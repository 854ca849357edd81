"""One timer for the deadlines of all exchanges."""

from __future__ import annotations

import asyncio

import pytest

from scraper.fetch.watch import TICK, Exchange, Watch
from scraper.reasons import Reason


class Waiting:
    """What would be given up."""

    def __init__(self) -> None:
        self.given_up = 0.0

    def give_up(self, error: BaseException) -> None:
        """Note when, the first time."""
        assert isinstance(error, TimeoutError)
        self.given_up = self.given_up or asyncio.get_running_loop().time()


def exchange(timeout: float = 0.0, wait: float = 0.0, rate: int = 0, step: float = 0.0) -> tuple[Exchange, Waiting]:
    made = Exchange(asyncio.get_running_loop(), timeout, wait, rate, step)
    made.wire = waiting = Waiting()
    return made, waiting


async def test_a_deadline_passes_at_its_time_or_a_tick_later_and_the_others_do_not() -> None:
    loop = asyncio.get_running_loop()
    watch = Watch(loop)
    soon, late, endless = exchange(timeout=0.12), exchange(timeout=5), exchange()
    for each, _ in (soon, late, endless):
        watch.add(each)
    then: list[float] = []  # timers of a loop go off in their order, however late
    loop.call_at(soon[0].start + 0.12 + TICK + 0.02, lambda: then.append(soon[1].given_up))
    await asyncio.sleep(0.4)
    assert soon[1].given_up - soon[0].start >= 0.11
    assert then == [soon[1].given_up]
    assert not late[1].given_up
    assert not endless[1].given_up
    watch.close()


async def test_what_was_discarded_is_left_alone_and_an_idle_watch_sets_no_timer() -> None:
    watch = Watch(asyncio.get_running_loop())
    made, waiting = exchange(timeout=0.05)
    watch.add(made)
    watch.discard(made)
    await asyncio.sleep(0.2)
    assert not waiting.given_up
    assert watch._timer is None


async def test_no_phase_has_more_than_is_left_of_the_whole() -> None:
    made, _ = exchange(timeout=10, wait=3)
    assert (made.reason, made.until) == (Reason.TIMEOUT, made.start + 10)
    made.sent()
    assert made.reason is Reason.HEADER_TIMEOUT
    assert made.until == pytest.approx(made.start + 3, abs=0.1)
    made.phase(Reason.CONNECT_TIMEOUT, 20)
    assert (made.reason, made.until) == (Reason.TIMEOUT, made.start + 10)


async def test_a_body_has_a_step_of_time_for_each_step_of_bytes() -> None:
    made, _ = exchange(wait=1, rate=100, step=0.1)
    made.sent()
    made.received(0)
    first = made.until
    assert made.reason is Reason.SLOW_BODY
    await asyncio.sleep(0.02)
    made.received(9)
    assert made.until == first
    made.received(10)
    second = made.until
    assert second > first
    await asyncio.sleep(0.02)
    made.received(19)
    assert made.until == second
    made.received(20)
    assert made.until > second


async def test_a_rate_of_zero_bears_any_body() -> None:
    made, _ = exchange(timeout=10, wait=1)
    made.sent()
    made.received(0)
    assert made.until == made.start + 10
