"""What happens, as it happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer
from msgspec.structs import replace

from scraper.dashboard import events
from scraper.dashboard.app import build
from scraper.dashboard.events import HUB, WAITING, Client, event
from scraper.dashboard.guard import NOBODY, Options
from scraper.folder import RunFolder, RunInfo
from scraper.jobs.access import Access
from scraper.jobs.desk import Desk
from scraper.jobs.record import JobRun, State
from scraper.jobs.store import Jobs
from tests.dashboard.conftest import Browser, Stopped

Told = AsyncIterator[tuple[str, Any]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "TICK", 0.02)
    monkeypatch.setattr(events, "BEAT", 0.05)


async def told(answer: Any) -> Told:
    """The events of a stream."""
    kind = ""
    async for line in answer.content:
        word, _, rest = line.decode().rstrip("\n").partition(": ")
        if word == "event":
            kind = rest
        elif word == "data":
            yield kind, json.loads(rest)


async def first(stream: Told, *kinds: str) -> list[Any]:
    """The first event of each of these kinds, in order."""
    found = []
    async with asyncio.timeout(10):
        for kind in kinds:
            async for each, data in stream:
                if each == kind:
                    found.append(data)
                    break
    return found


async def test_what_changes_is_told_to_all_who_listen(admin: Browser) -> None:
    app = admin.client.app
    assert app is not None
    streams = [await admin.client.get("/events") for _ in range(3)]
    assert streams[0].content_type == "text/event-stream"
    app[HUB].tell("job", {"job": "a\nb"})
    for stream in streams:
        assert await first(told(stream), "job") == [{"job": "a\nb"}]


async def test_a_run_is_followed_to_its_end_and_not_again(
    admin: Browser, desk: Desk, store: Jobs, clock: Stopped
) -> None:
    run = await desk.start("shop", "test")
    stream = told(await admin.client.get(f"/events?run={run.id}"))
    assert (await first(stream, "run"))[0]["state"] == "queued"
    folder = RunFolder.make(desk.root, "shop", clock.wall())
    folder.write(RunInfo(run=folder.run, spider="shop"))
    folder.items.write_bytes(b'{"n":1}\n{"n":2}\n{"n"')
    run = store.update(replace(run, state=State.RUNNING, run=folder.run, pid=1, began=1.0, started=1.0))
    assert await first(stream, "item", "item", "run") == [{"n": 1}, {"n": 2}, _plain(run)]
    with folder.items.open("ab") as file:
        file.write(b":3}\n")
    folder.log.write_bytes(b'{"message":"resting"}\n')
    assert await first(stream, "item", "log") == [{"n": 3}, {"message": "resting"}]
    with folder.items.open("ab") as file:
        file.writelines(b'{"n":%d}\n' % n for n in range(1000))
    (item,) = await first(stream, "item")
    assert item == {"n": 1000 - events.LINES}
    store.update(replace(run, state=State.FINISHED, ended=2.0))
    assert (await first(stream, "end")) == [{"state": "finished"}]
    assert [each async for each in stream] == []
    assert (await admin.client.get(f"/events?run={run.id}")).status == 204
    assert (await admin.client.get("/events?run=77")).status == 404


def _plain(run: JobRun) -> Any:
    from msgspec import to_builtins

    return to_builtins(run)


async def test_a_stream_ends_with_its_session(admin: Browser, access: Access) -> None:
    stream = await admin.client.get("/events")
    await admin.post("/logout")
    async with asyncio.timeout(10):
        assert [each async for each in told(stream)] == []


async def test_a_stream_ends_when_its_token_is_removed(admin: Browser, access: Access) -> None:
    made, word = access.add_token("ci", "viewer", "test")
    stream = await admin.client.get("/events", headers={"Authorization": f"Bearer {word}"})
    assert (await admin.post(f"/api/v1/tokens/{made.id}", method="DELETE")).status == 200
    async with asyncio.timeout(10):
        assert [each async for each in told(stream)] == []


async def test_nobody_takes_all_places(desk: Desk, access: Access) -> None:
    words = [access.add_token(name, "viewer", "test")[1] for name in "abc"]
    async with TestClient(TestServer(build(desk, access, Options(streams=4, own_streams=2)))) as client:
        seen = []
        for word in words:
            fields = {"Authorization": f"Bearer {word}"}
            seen += [(await client.get("/events", headers=fields)).status for _ in range(3)]
    assert seen == [200, 200, 503, 200, 200, 503, 503, 503, 503]


async def test_who_is_slow_loses_the_oldest_and_is_told_so() -> None:
    client = Client(NOBODY)
    for number in range(WAITING + 3):
        client.tell("item", number)
    data = (await client.next(1.0)).decode()
    assert data.startswith('event: lost\ndata: {"events":3}\n\nevent: item\ndata: 3\n')
    assert await client.next(0.01) == b""


async def test_a_server_that_ends_lets_its_listeners_go(desk: Desk, access: Access) -> None:
    word = access.add_token("ci", "viewer", "test")[1]
    async with TestClient(TestServer(build(desk, access, Options()))) as client:
        run = await desk.start("shop", "test")
        for path in ("/events", f"/events?run={run.id}"):
            await client.get(path, headers={"Authorization": f"Bearer {word}"})
        async with asyncio.timeout(5):
            await client.server.close()


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_what_a_file_has_between_values_is_no_event_of_its_own(end: str) -> None:
    line = f'{{"n":{end}1,{end}{end}"event":"end"}}'
    assert event("item", msgspec.Raw(line.encode())).splitlines()[2:] == [b""]
