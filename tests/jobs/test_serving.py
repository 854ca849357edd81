"""`scraper serve --no-web`: one server for a folder, woken by commands, ended by signals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from scraper.clock import FastClock
from scraper.errors import StoreError, UsageError
from scraper.folder import RunFolder, RunInfo
from scraper.jobs.job import Channel, Job, Mail, Server
from scraper.jobs.notify import Notify
from scraper.jobs.record import Cause, JobRun, State
from scraper.jobs.serverlog import ServerLog
from scraper.jobs.serving import Parts, prepared, running, secrets, serve
from scraper.jobs.store import Jobs
from scraper.jobs.waking import wake
from scraper.testing.site import Site
from tests.cli.command import begin, ended
from tests.jobs.hook import Hook
from tests.jobs.place import PAGES, Place, marked
from tests.outputs.disks import small_disk

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them"),
    pytest.mark.timeout(60),
]
SHOP = Job(name="shop", spider="shop", settings={"allow_private": True})
Process = asyncio.subprocess.Process


@pytest.fixture
async def place(tmp_path: Path, site: Site) -> AsyncIterator[Place]:
    made = Place(tmp_path, site)
    with Jobs(made.home) as store:
        store.put(SHOP, now=time.time(), who="test")
    yield made
    assert marked(made.home) == []


@asynccontextmanager
async def server(place: Place, **env: str) -> AsyncIterator[Process]:
    """A server that runs; killed at the end if it still does."""
    process = await begin("serve", "--no-web", cwd=place.folder, env=env)
    try:
        assert process.stderr is not None
        async with asyncio.timeout(20):
            while not (line := await process.stderr.readline()).startswith(
                b"running the jobs in output/.jobs (pid "
            ):
                assert line, "it has ended"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await ended(process)


def wanted(place: Place, **given: Any) -> JobRun:
    """A run by hand, as a command adds it."""
    with Jobs(place.home) as store:
        made = store.plan(JobRun(**{"id": 0, "job": "shop", "spider": "shop", "planned": time.time(), **given}))
        assert made is not None
        store.wake()
    return made


async def until(place: Place, id: int, *states: State) -> JobRun:
    """The run when it stands so."""
    async with asyncio.timeout(30):
        with Jobs(place.home, read_only=True) as store:
            while (run := store.run(id)).state not in states:  # noqa: ASYNC110  another process writes it
                await asyncio.sleep(0.05)
    return run


async def test_a_command_wakes_it_and_the_run_takes_place(place: Place) -> None:
    async with server(place) as process:
        run = await until(place, wanted(place).id, State.FINISHED)
        assert (run.pages, run.items, run.exit_code, run.attempts) == (PAGES, PAGES, 0, 1)
        record = running(place.home)
        assert record is not None
        assert record.pid == process.pid
        process.send_signal(signal.SIGTERM)
        assert (await ended(process)).code == 0
    assert running(place.home) is None
    lines = [json.loads(line) for line in (place.home / "server.log").read_text().splitlines()]
    assert lines[0]["message"].startswith(f"server {record.pid} begins")
    assert lines[-1]["message"] == f"server {record.pid} has ended"
    assert any(line["message"] == f"run {run.id} of job 'shop' is finished" for line in lines)
    assert (place.home / "jobs.sqlite").stat().st_mode & 0o077 == 0
    assert not (place.home / "wake.sock").exists()


async def test_a_second_server_is_refused(place: Place) -> None:
    async with server(place) as first:
        second = await ended(await begin("serve", "--no-web", cwd=place.folder))
        assert second.code == 2
        told = (
            f"error: the server with pid {first.pid} runs the jobs in output/.jobs already: there can be only one"
        )
        assert second.err.replace(str(place.folder) + "/", "").strip() == told
        assert await _hammered(first) == 0


async def _hammered(process: Process) -> int:
    """Its exit code under signals that come until it has ended."""
    waiting = asyncio.create_task(process.wait())
    for number in cycle((signal.SIGTERM, signal.SIGINT, signal.SIGHUP)):
        if waiting.done():
            break
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)
        await asyncio.wait((waiting,), timeout=0.001)
    return await waiting


async def test_of_two_that_begin_at_once_one_remains(place: Place) -> None:
    both = [await begin("serve", "--no-web", cwd=place.folder) for _ in range(2)]
    waiting = {asyncio.create_task(process.wait()): process for process in both}
    done, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=30)
    assert [task.result() for task in done] == [2]
    for task in left:
        waiting[task].send_signal(signal.SIGTERM)
    for process in both:
        await ended(process)


async def test_stopped_in_good_order_a_crawl_goes_on_at_the_next_start(place: Place, site: Site) -> None:
    site.tree(pages=40, delay=0.05)
    async with server(place) as process:
        run = wanted(place)
        await site.until(lambda: len(site.hits) > 8)
        process.send_signal(signal.SIGTERM)
        assert (await ended(process)).code == 0
    with Jobs(place.home) as store:
        waiting = store.run(run.id)
    assert (waiting.state, waiting.why) == (State.QUEUED, "the server was stopped")
    assert marked(place.home) == []
    number = len(site.hits)
    assert number < 40
    async with server(place):
        done = await until(place, run.id, State.FINISHED)
    assert (done.items, done.attempts, done.failures, done.run) == (40, 2, 0, waiting.run)
    urls = [item["url"] for item in place.items(done)]
    assert len(set(urls)) == len(urls) == 40


async def test_signalled_twice_it_leaves_and_the_next_server_finds_the_crawl(place: Place, site: Site) -> None:
    site.tree(pages=40, delay=0.05)
    place.spider(body="time.sleep(0.02)", grace=60)
    async with server(place) as process:
        run = wanted(place)
        await site.until(lambda: len(site.hits) > 4)
        left = await until(place, run.id, State.RUNNING)
        os.kill(left.pid, signal.SIGSTOP)  # so that it is there however slow we are
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        while b"SIGINT: ending" not in await process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        assert (await ended(process)).code == 0
    assert marked(place.home) == [left.pid]
    async with server(place):
        os.kill(left.pid, signal.SIGCONT)
        done = await until(place, run.id, State.FINISHED)
    assert done.items == 40


async def test_a_run_that_takes_too_much_is_ended(place: Place, site: Site) -> None:
    site.tree(pages=200, delay=0.2)
    with Jobs(place.home) as store:
        store.put(replace(SHOP, memory=2**20, retries=0), now=time.time(), who="test")
        store.put(replace(SHOP, name="slow", timeout=2.0), now=time.time(), who="test")
    async with server(place):
        large, slow = wanted(place), wanted(place, job="slow")
        first, second = await until(place, large.id, State.FAILED), await until(place, slow.id, State.FAILED)
    assert (first.why, second.why) == ("memory", "timeout")
    assert first.exit_code == -9  # it has many times its limit
    assert marked(place.home) == []


async def test_a_run_is_cancelled_and_another_killed(place: Place, site: Site) -> None:
    site.tree(pages=200, delay=0.2)
    async with server(place):
        one, other = wanted(place), wanted(place, planned=time.time() + 1, due=0.0)
        await site.until(lambda: len(site.hits) > 6)
        with Jobs(place.home) as store:
            assert store.ask_stop(one.id, "cancel", "ann", time.time())
        ended_one = await until(place, one.id, State.CANCELLED)
        seen = len(site.hits)
        await site.until(lambda: len(site.hits) > seen + 3)
        with Jobs(place.home) as store:
            assert store.ask_stop(other.id, "kill", "bob", time.time())
        ended_other = await until(place, other.id, State.CANCELLED)
    assert (ended_one.exit_code, ended_other.exit_code) == (130, -9)
    assert ended_one.stopped_by == "ann"
    assert 0 < ended_one.items == len(place.items(ended_one)) < 200


async def test_others_run_beside_it_and_one_that_breaks_ends_it(place: Place) -> None:
    async def broken(parts: Parts) -> None:
        assert parts.home == place.home
        raise UsageError("no such address")

    with pytest.raises(UsageError, match="no such address"):
        await serve(place.root, place.folder, beside=[broken])
    assert running(place.home) is None


async def test_history_that_need_not_be_kept_goes_with_its_output(place: Place) -> None:
    stuck = wanted(place, planned=4.0, state=State.SKIPPED, ended=9.0)
    (place.home / "runs" / f"{stuck.id}.log").mkdir(parents=True)  # it cannot be deleted, which ends no server
    old = wanted(place, planned=5.0, state=State.FINISHED, ended=9.0, began=5.0)
    wanted(place, planned=time.time(), state=State.FINISHED, ended=time.time())
    log = place.home / "runs" / f"{old.id}.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("long ago")
    folders = [RunFolder.make(place.root, "shop", 5.0, f"19700101-00000{n}-{old.id}-{n}") for n in range(1, 5)]
    for folder, started, planned in zip(folders, (5.0, 7.0, 500.0, 6.0), (True, True, True, False), strict=True):
        folder.write(RunInfo(run=folder.run, spider="shop", state="finished", started=started, planned=planned))
    async with server(place), asyncio.timeout(20):
        while log.exists() or any(folder.path.exists() for folder in folders[:2]):  # noqa: ASYNC110  another process deletes it
            await asyncio.sleep(0.05)
    assert all(folder.path.exists() for folder in folders[2:])  # another store's, and a person's


async def test_however_long_the_history_has_become_it_is_cut_at_once(place: Place) -> None:
    with Jobs(place.home) as store:
        store.put(replace(SHOP, keep=1), now=0.0, who="test")
        run = JobRun(id=0, job="shop", spider="shop", planned=0.0, state=State.SKIPPED, ended=1.0, cause=Cause.HAND)
        store.planned("shop", 1.0, [replace(run, planned=number / 1e5) for number in range(20_002)])
        assert store.number() == 20_002
    async with server(place), asyncio.timeout(20):
        with Jobs(place.home, read_only=True) as store:
            while store.number() > 1:  # noqa: ASYNC110  another process deletes them
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("anew", [True, False])
async def test_a_server_whose_store_was_taken_away_says_so_and_ends(place: Place, anew: bool) -> None:
    async with server(place) as process:
        for path in place.home.glob("jobs.sqlite*"):
            path.unlink()
        if anew:
            with Jobs(place.home) as store:
                store.put(SHOP, now=time.time(), who="test")
        else:
            wake(place.home)
        done = await ended(process)
    assert (done.code, done.err.splitlines()[-1]) == (
        1, f"error: {place.home / 'jobs.sqlite'} was removed or replaced while it was in use",
    )  # fmt: skip
    assert (place.home / "jobs.sqlite").exists() == anew


async def test_a_service_manager_hears_how_it_stands(place: Place) -> None:
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with heard:
        heard.bind(str(place.folder / "notify"))
        heard.settimeout(20)
        async with server(place, NOTIFY_SOCKET=str(place.folder / "notify"), WATCHDOG_USEC="200000") as process:
            told = [await asyncio.to_thread(heard.recv, 1000) for _ in range(3)]
            assert sorted(told[:2]) == [f"READY=1\nMAINPID={process.pid}".encode(), b"WATCHDOG=1"]
            assert told[2] == b"WATCHDOG=1"
            process.send_signal(signal.SIGTERM)
            while await asyncio.to_thread(heard.recv, 1000) != b"STOPPING=1":
                pass


def test_nobody_is_told_where_nobody_has_asked() -> None:
    Notify({}).tell("READY=1")
    Notify({"NOTIFY_SOCKET": "/nowhere/notify"}).tell("READY=1")
    assert Notify({"WATCHDOG_USEC": "1000000"}).every == 0.0
    given = {"NOTIFY_SOCKET": "@scraper", "WATCHDOG_USEC": "1000000"}
    assert Notify(given).every == 0.5
    assert Notify({**given, "WATCHDOG_PID": "1"}).every == 0.0


def test_the_secrets_of_a_server_are_known_by_name() -> None:
    shop = Channel(webhook="https://a.test/", secret="env:HOOK", headers={"Authorization": "env:TOKEN", "X": "y"})
    mail = Mail(host="mail.test", sender="a@a.test", password="env:MAIL")
    assert secrets(Server(channels={"shop": shop}, mail=mail)) == ["HOOK", "TOKEN", "MAIL"]
    assert secrets(Server()) == []


def test_the_log_of_a_server_makes_room(tmp_path: Path) -> None:
    import logging

    log = ServerLog(tmp_path / "server.log", most=2_000)
    for number in range(40):
        log.emit(logging.LogRecord("scraper.jobs", logging.INFO, "", 0, "line %d", (number,), None))
    log.close()
    now, before = (tmp_path / "server.log").read_text(), (tmp_path / "server.log.1").read_text()
    assert len(before) < 2_200
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("server.log*")} == {0o600}
    assert json.loads((before + now).splitlines()[-1])["message"] == "line 39"


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "output").write_text("a file")
    with pytest.raises(UsageError, match="cannot make the folder"):
        prepared(tmp_path / "output")


async def test_a_server_tells_of_a_run_that_failed(place: Place) -> None:
    place.spider(body="raise ValueError('no shelf')")
    copy = "import shutil, sys; shutil.copyfileobj(sys.stdin, open('told.json.new', 'w'))"
    rename = "import os; os.rename('told.json.new', 'told.json')"
    words = (sys.executable, "-c", f"{copy}; {rename}")
    with Jobs(place.home) as store:
        store.set_server(Server(channels={"ops": Channel(command=words)}), time.time(), "test")
    wanted(place)

    async def watch(parts: Parts) -> None:
        async with asyncio.timeout(30):
            while not (place.folder / "told.json").exists():  # noqa: ASYNC110  another process writes it
                await asyncio.sleep(0.05)
        parts.scheduler.stop()

    await serve(place.root, place.folder, beside=[watch], clock=FastClock(20))
    told = json.loads((place.folder / "told.json").read_text())
    assert told["title"] == "shop: failed"
    assert "ValueError" in told["text"]


async def test_a_server_whose_disk_is_full_tells_before_it_ends_and_the_next_one_goes_on(
    tmp_path: Path, site: Site, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is a small one of its own; the command's message needs no room there either."""
    copy = f"import shutil, sys; shutil.copyfileobj(sys.stdin, open({str(tmp_path / 'told.json')!r}, 'w'))"
    channels = {
        "ops": Channel(webhook=hook.url, allow_private=True), "log": Channel(command=(sys.executable, "-c", copy)),
    }  # fmt: skip
    often = replace(SHOP, schedule="every 1 second", overlap="queue_all")
    with small_disk(tmp_path / "disk", 2000) as disk:
        place = Place(disk, site)
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        with Jobs(place.home) as store:
            store.set_server(Server(parallel=0, channels=channels, free_space=()), time.time(), "test")
            store.put(often, now=time.time(), who="test")

        async def fill(parts: Parts) -> None:
            with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
                while filler.write(bytes(4096)):
                    pass

        with pytest.raises(StoreError, match="make room on the disk"):
            await serve(place.root, place.folder, beside=[fill], clock=FastClock(20))
        assert hook.texts == ["server: ended"]
        assert "make room on the disk" in hook.told[0]["text"]
        assert json.loads((tmp_path / "told.json").read_text()) == hook.told[0]
        log = [json.loads(line) for line in (place.home / "server.log").read_text().splitlines()]
        assert log
        (disk / "filler").unlink()
        with Jobs(place.home) as store:
            before = [run.planned for run in store.runs()]

        async def leave(parts: Parts) -> None:
            while len(parts.store.runs()) == len(before):  # noqa: ASYNC110  another task adds to it
                await asyncio.sleep(0.05)
            parts.scheduler.stop()

        await serve(place.root, place.folder, beside=[leave], clock=FastClock(20))
        assert len(hook.told) == 1
