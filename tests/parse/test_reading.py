"""Large pages: read in a thread, and few at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from scraper import reading
from scraper.page import OPEN_PAGE, OpenPage
from scraper.reading import TREE, Reading, Trees
from scraper.response import Response
from scraper.settings import Settings

HTML = [("Content-Type", "text/html; charset=utf-8")]
LARGE = b"<p>x</p>" * 50_000
ALONE = reading.TOGETHER // TREE


def page(body: bytes = LARGE) -> Response:
    return Response("http://a.test/", headers=HTML, body=body)


@pytest.fixture
async def room() -> AsyncIterator[Reading]:
    made = Reading(Settings(), lambda token: None)
    yield made
    made.close()


async def settled() -> None:
    """Let what was called from a destructor happen."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_large_page_comes_parsed_and_with_its_base(room: Reading) -> None:
    response = await room.open(page(b"<base href=/b/>" + LARGE))
    assert {"document", "base", "room"} <= response._cache.keys()
    assert response.base_url == "http://a.test/b/"
    small = await room.open(page(b"<p>x"))
    assert not small._cache


async def test_a_tree_waits_until_another_is_gone(room: Reading) -> None:
    first = await room.open(page(LARGE + b" " * ALONE))
    second = asyncio.create_task(room.open(page(LARGE + b" " * ALONE)))
    third = asyncio.create_task(room.open(page()))
    await settled()
    assert room._trees._used == TREE * len(first.body)
    del first
    response = await second
    assert room._trees._used == TREE * len(response.body)
    assert not third.done()
    del response, second
    await third


async def test_a_page_that_somebody_keeps_holds_up_nobody_for_long(
    room: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PATIENCE", 0.01)
    kept = [await room.open(page(LARGE + b" " * ALONE)) for _ in range(2)]
    assert len(kept) == 2


async def test_a_callbacks_own_large_page_does_not_wait_for_the_callback(room: Reading) -> None:
    outer = await room.open(page(LARGE + b" " * ALONE))
    token = OPEN_PAGE.set(OpenPage(outer.request))
    try:
        async with asyncio.timeout(5):
            inner = await room.open(page(LARGE + b" " * ALONE))
    finally:
        OPEN_PAGE.reset(token)
    assert inner.css("p").get() == "<p>x</p>"


async def test_room_is_kept_by_none_who_was_cancelled(room: Reading) -> None:
    trees = Trees(room._thread, most=10)
    held = await trees.room(10)
    waiting = [asyncio.create_task(trees.room(10)) for _ in range(3)]
    await settled()
    waiting[0].cancel()
    del held
    await asyncio.sleep(0)  # it is the turn of the second, which has not taken it yet
    assert not waiting[1].done()
    waiting[1].cancel()
    async with asyncio.timeout(reading.PATIENCE / 2):
        assert await waiting[2]
    assert waiting[1].cancelled()
    await asyncio.gather(*waiting[:2], return_exceptions=True)
    waiting.clear()
    await settled()
    assert trees._used == 0
