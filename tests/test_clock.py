"""Time: the machine's clock, and one that runs faster."""

from __future__ import annotations

import asyncio
import time

import pytest

from scraper.clock import Clock, FastClock


def test_the_clock_is_the_machines() -> None:
    clock = Clock()
    assert clock.wall() == pytest.approx(time.time(), abs=1)
    assert clock.monotonic() == pytest.approx(time.monotonic(), abs=1)
    assert clock.real(3.0) == 3.0


@pytest.mark.parametrize("clock", [Clock(), FastClock(1000)])
async def test_a_wait_ends_with_its_event(clock: Clock) -> None:
    for until in (None, clock.monotonic() + 1e6):
        event = asyncio.Event()
        waiting = asyncio.create_task(clock.wait(event, until))
        await asyncio.sleep(0)
        assert not waiting.done()
        event.set()
        await asyncio.wait_for(waiting, 30)


@pytest.mark.parametrize("clock", [Clock(), FastClock(1000)])
async def test_a_wait_ends_with_its_time(clock: Clock) -> None:
    event = asyncio.Event()
    until = clock.monotonic() + clock.real(1.0) ** -1 * 0.02
    await clock.wait(event, until)
    assert clock.monotonic() >= until
    assert not event.is_set()


async def test_a_time_that_is_past_lets_others_run_once() -> None:
    ran: list[int] = []
    asyncio.get_running_loop().call_soon(ran.append, 1)
    await Clock().wait(asyncio.Event(), 0.0)
    assert ran == [1]


async def test_a_cancelled_wait_is_cancelled() -> None:
    for until in (None, time.monotonic() + 60):
        waiting = asyncio.create_task(Clock().wait(asyncio.Event(), until))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_a_negative_sleep_is_none() -> None:
    began = time.monotonic()
    await asyncio.wait_for(Clock().sleep(-60), 30)
    await asyncio.wait_for(FastClock(2).sleep(-60), 30)
    assert time.monotonic() >= began


async def test_a_fast_clock_sleeps_an_hour_in_a_moment() -> None:
    clock, began = FastClock(100_000), time.monotonic()
    wall, mono = clock.wall(), clock.monotonic()
    await clock.sleep(3600)
    assert time.monotonic() - began < 60
    assert clock.wall() - wall >= 3600
    assert clock.monotonic() - mono >= 3600
    assert clock.real(3600) == 0.036
