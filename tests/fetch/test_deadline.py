"""A deadline that moves."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from scraper.fetch.deadline import Deadline


async def test_it_passes_at_its_time_and_not_before() -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(TimeoutError):
        async with Deadline() as deadline:
            deadline.move(begun + 10)
            deadline.move(begun + 0.4)  # earlier
            await asyncio.sleep(0.02)
            deadline.move(begun + 0.5)  # later, while the timer stands at the earlier time
            await asyncio.sleep(5)
    assert loop.time() - begun >= 0.5
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_none_is_no_deadline_and_work_that_ends_in_time_is_left_alone() -> None:
    loop = asyncio.get_running_loop()
    async with Deadline() as deadline:
        deadline.move(loop.time() + 0.02)
        deadline.move(None)
        await asyncio.sleep(0.05)
    async with Deadline() as deadline:
        deadline.move(loop.time() + 0.05)
    await asyncio.sleep(0.08)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_somebody_elses_cancellation_stays_one() -> None:
    async def work() -> None:
        async with Deadline() as deadline:
            deadline.move(asyncio.get_running_loop().time() + 5)
            await asyncio.sleep(5)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_body_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        async with Deadline() as deadline:
            deadline.move(asyncio.get_running_loop().time() + 5)
            raise KeyError("x")


async def test_a_task_that_outlived_a_cancellation_gets_its_timeouts_still() -> None:
    async def stubborn() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        with pytest.raises(TimeoutError):
            async with Deadline() as deadline:
                deadline.move(asyncio.get_running_loop().time() + 0.01)
                await asyncio.sleep(60)
        return "timed out"

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "timed out"
