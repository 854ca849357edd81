"""What people hear when a server ends by itself, though nothing can be written."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from scraper.errors import StoreError
from scraper.jobs.job import Channel, Server
from scraper.jobs.parting import AGAIN, prepare, tell

from .hook import Hand, Hook

START = 1_772_366_400.0


@pytest.fixture
def server(hook: Hook) -> Server:
    return Server(channels={"ops": Channel(webhook=hook.url, allow_private=True)})


async def test_people_are_told_once_however_often_it_is_started_again(
    tmp_path: Path, hook: Hook, server: Server
) -> None:
    clock = Hand(START)
    for _ in range(3):
        prepare(tmp_path)
        await tell(server, StoreError("the disk is full"), home=tmp_path, project=tmp_path, clock=clock)
        clock.now += AGAIN / 4
    assert hook.texts == ["server: ended"]
    text = "the server has ended: the disk is full; crawls go on, and the next server finds them"
    assert [(each["job"], each["rule"], each["text"]) for each in hook.told[0]["alerts"]] == [("", "ended", text)]
    clock.now += AGAIN / 4
    await tell(server, StoreError("the disk is full"), home=tmp_path, project=tmp_path, clock=clock)
    assert len(hook.told) == 2


async def test_who_was_not_reached_is_told_at_the_next_end(tmp_path: Path, hook: Hook, server: Server) -> None:
    prepare(tmp_path)
    hook.answers.append(web.Response(status=500))
    for _ in range(2):
        await tell(server, StoreError("full"), home=tmp_path, project=tmp_path, clock=Hand(START))
    assert len(hook.told) == 2


async def test_of_an_error_that_is_not_ours_only_the_name_is_told(
    tmp_path: Path, hook: Hook, server: Server
) -> None:
    await tell(server, KeyError("s3cret"), home=tmp_path, project=tmp_path, clock=Hand(START))
    assert "KeyError" in hook.told[0]["text"]
    assert b"s3cret" not in hook.requests[0][1]
