"""One process of a server, where the system tells all of it and where it tells little."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from scraper.jobs import system
from scraper.jobs.child import MARK, Child
from tests.jobs.place import there

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
SLEEP = "import time; time.sleep(60)"
NESTED = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).wait()"
Begin = Callable[[str], Child]


@pytest.fixture
async def begin(tmp_path: Path) -> AsyncIterator[Begin]:
    made: list[Child] = []

    def begin(code: str) -> Child:
        words = [sys.executable, "-c", code]
        child = Child.begin(
            words, cwd=tmp_path, env=os.environ, mark=str(tmp_path), out=2, stdin=subprocess.DEVNULL
        )
        made.append(child)
        return child

    yield begin
    for child in made:
        if not child.gone:
            child.kill()
            await child.wait()
            await child.reap()


async def end(child: Child) -> int | None:
    async with asyncio.timeout(20):
        await child.wait()
        return await child.reap()


@pytest.fixture(params=["with descriptors of processes", "without"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without":
        monkeypatch.delattr(os, "pidfd_open")


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize(("code", "wanted"), [("", 0), ("raise SystemExit(7)", 7)])
async def test_its_exit_code_is_told(begin: Begin, code: str, wanted: int) -> None:
    child = begin(code)
    assert await end(child) == wanted
    assert child.gone
    child.send(signal.SIGTERM)  # nothing happens


@pytest.mark.usefixtures("either")
async def test_a_signal_is_a_negative_exit_code(begin: Begin) -> None:
    child = begin(SLEEP)
    child.send(signal.SIGTERM)
    assert await end(child) == -signal.SIGTERM


async def test_killed_it_takes_its_own_along(begin: Begin) -> None:
    child = begin(NESTED)
    async with asyncio.timeout(20):
        while len(system.family(child.pid)) < 2:  # noqa: ASYNC110  nobody tells us
            await asyncio.sleep(0.01)
    pids = [each.pid for each in system.family(child.pid)]
    assert child.memory() > 2**20
    child.kill()
    assert await end(child) == -signal.SIGKILL
    assert not any(map(there, pids))
    assert child.memory() == 0


async def test_what_it_has_left_in_its_session_is_ended_with_it(begin: Begin) -> None:
    left = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}], env={{}})"
    child = begin(left)
    await child.wait()
    others = [each.pid for each in system.family(child.pid)]
    assert len(others) == 1
    await child.reap()
    assert not there(others[0])


async def test_it_is_known_by_its_birth(begin: Begin) -> None:
    child = begin(SLEEP)
    assert child.birth == system.birth(child.pid)
    assert child.birth.startswith(system.boot() + "/")
    assert not Child(child.pid, child.birth, child.mark).gone
    assert Child(child.pid, child.birth + "0", child.mark).gone
    assert Child(child.pid, "", child.mark).gone
    assert Child(0, "", child.mark).gone


async def test_where_the_system_does_not_tell_one_process_from_another_somebody_else_has_to(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = begin(SLEEP)
    monkeypatch.setattr(system, "PROC", "/nowhere")
    monkeypatch.delattr(os, "pidfd_open")
    system.boot.cache_clear()
    try:
        assert Child(mine.pid, "", mine.mark).gone
        found = Child(mine.pid, "", mine.mark, held=True)
        released = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wait() -> None:
            asyncio.run_coroutine_threadsafe(released.wait(), loop).result()

        waiting = asyncio.create_task(found.wait(wait))
        found.kill()
        released.set()
        assert await waiting is None
        assert await found.reap() is None
        assert await end(mine) == -signal.SIGKILL
    finally:
        monkeypatch.undo()
        system.boot.cache_clear()


def test_a_name_of_a_process_may_hold_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "7").mkdir()
    rest = " ".join(["S", "3", "7", "7", *["0"] * 15, "4242", "0", "10", "0"])
    (tmp_path / "7" / "stat").write_text(f"7 (a) S 1 (b) R) {rest}")
    monkeypatch.setattr(system, "PROC", str(tmp_path))
    assert system.seen(7) == system.Seen(7, "S", 3, 7, 4242, 10 * system.PAGE)
    assert [each.pid for each in system.everyone()] == [7]
    assert system.seen(8) is None


def test_the_mark_is_the_whole_of_a_line(tmp_path: Path) -> None:
    env = {**os.environ, MARK: f"{tmp_path}:12"}
    words, pipe = [sys.executable, "-c", "print(flush=True); input()"], subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, env=env) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        found = [each.pid for each in system.marked(f"{MARK}={tmp_path}:12".encode())]
        assert found == [process.pid]
        assert system.marked(f"{MARK}={tmp_path}:1".encode()) == []
        process.stdin.write(b"\n")
