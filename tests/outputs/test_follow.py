from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from scraper.clock import Clock, FastClock
from scraper.errors import OutputError, StoreError
from scraper.outputs.follow import CursorFile, Follower
from scraper.outputs.journal import Journal, MemoryJournal

from .formats import ENDINGS, lines, output, read


class Recorder:
    """An output in memory, that can be held up and can fail."""

    def __init__(self, fail_at: int = -1) -> None:
        self.lines: list[bytes] = []
        self.flushed: list[int] = []
        self.ends: list[bool] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fail_at = fail_at

    async def open(self, cursor: bytes | None, committed: int) -> None:
        del self.lines[int(cursor or b"0") :]

    async def write(self, lines: Sequence[bytes]) -> None:
        await self.gate.wait()
        self.lines += lines
        if 0 <= self.fail_at <= len(self.lines):
            raise OutputError("the database is gone")

    async def flush(self, position: int) -> bytes:
        self.flushed.append(len(self.lines))
        return b"%d" % len(self.lines)

    async def close(self, *, finished: bool) -> None:
        self.ends.append(finished)


async def test_it_writes_what_is_committed_and_no_more() -> None:
    journal, out = MemoryJournal(), Recorder()
    follower = Follower(journal, out)
    async with asyncio.TaskGroup() as group:
        group.create_task(follower.run())
        await journal.append(lines(30))
        follower.notify(10)
        await follower.caught_up()
        assert len(out.lines) == 10
        follower.notify(30)
        follower.end(finished=True)
    assert out.lines == lines(30)
    assert out.ends == [True]
    assert out.flushed[-1] == 30


async def test_it_flushes_after_a_second_without_news_and_then_rests() -> None:
    journal, out = MemoryJournal(), Recorder()
    follower = Follower(journal, out, clock=FastClock(4))
    async with asyncio.TaskGroup() as group:
        group.create_task(follower.run())
        follower.notify(await journal.append(lines(3)))
        await follower.caught_up()
        assert out.flushed == []
        await asyncio.sleep(0.4)
        assert out.flushed == [3]
        follower.end(finished=False)
    assert out.ends == [False]


async def test_a_thousand_items_are_flushed_at_once() -> None:
    journal, out = MemoryJournal(chunk=1), Recorder()
    follower = Follower(journal, out)
    await journal.append([b"{}"] * 2500)
    follower.notify(2500)
    follower.end(finished=True)
    await follower.run()
    assert out.flushed == [1000, 2000, 2500]


async def test_it_says_how_far_behind_it_is_and_when_it_has_caught_up() -> None:
    journal, out = MemoryJournal(chunk=1), Recorder()
    follower = Follower(journal, out)
    out.gate.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(follower.run())
        follower.notify(await journal.append(lines(100)))
        assert follower.lag == 100
        assert follower.behind(99)
        assert not follower.behind(100)
        waiter = group.create_task(follower.caught_up(40))
        await asyncio.sleep(0.01)
        assert not waiter.done()
        out.gate.set()
        await waiter
        assert follower.lag <= 40
        follower.end(finished=True)


async def test_an_output_that_fails_stops_alone_and_holds_up_nobody() -> None:
    journal, bad, good = MemoryJournal(chunk=1), Recorder(fail_at=5), Recorder()
    followers = [Follower(journal, bad), Follower(journal, good)]
    async with asyncio.TaskGroup() as group:
        for follower in followers:
            group.create_task(follower.run())
        end = await journal.append(lines(20))
        for follower in followers:
            follower.notify(end)
            await follower.caught_up()
            follower.end(finished=True)
    assert str(followers[0].error) == "the database is gone"
    assert not followers[0].behind(0)
    assert bad.ends == [False]
    assert followers[1].error is None
    assert good.lines == lines(20)


async def test_a_journal_that_cannot_be_read_ends_the_crawl(tmp_path: Path) -> None:
    out = Recorder()
    follower = Follower(Journal(tmp_path / "none.jsonl"), out, committed=10)
    with pytest.raises(StoreError):
        await follower.run()
    assert out.ends == [False]


async def journal_of(folder: Path, count: int) -> Journal:
    journal = Journal(folder / "items.jsonl")
    await journal.open(0)
    await journal.append(lines(count))
    await journal.close()
    return journal


async def follow(journal: Journal, path: Path, end: int, *, finished: bool) -> Follower:
    kept = CursorFile(path.with_suffix(".cursor"))
    follower = Follower(journal, output(path), cursor=kept.load(), committed=end, save=kept.save, clock=Clock())
    follower.end(finished=finished)
    await follower.run()
    return follower


@pytest.mark.parametrize("ending", ENDINGS)
async def test_it_goes_on_at_its_cursor_and_begins_again_without_its_file(tmp_path: Path, ending: str) -> None:
    journal = await journal_of(tmp_path, 300)
    middle = sum(len(line) + 1 for line in lines(140))
    path = tmp_path / f"out{ending}"
    await follow(journal, path, middle, finished=False)
    await follow(journal, path, journal.position, finished=True)
    first = read(path, ending)
    assert len(first) == 300
    path.unlink()
    await follow(journal, path, journal.position, finished=True)
    assert read(path, ending) == first


async def test_a_cursor_beyond_the_journal_is_not_believed(tmp_path: Path) -> None:
    journal = await journal_of(tmp_path, 100)
    path = tmp_path / "out.jsonl"
    await follow(journal, path, journal.position, finished=False)
    await follow(journal, path, sum(len(line) + 1 for line in lines(60)), finished=True)
    assert path.read_bytes().splitlines() == lines(60)


async def test_a_cursor_that_cannot_be_saved_is_an_error(tmp_path: Path) -> None:
    journal = await journal_of(tmp_path, 5)
    (tmp_path / "out.cursor").mkdir()
    follower = Follower(journal, Recorder(), save=CursorFile(tmp_path / "out.cursor").save)
    follower.end(finished=True)
    await follower.run()
    assert "out.cursor" in str(follower.error)


async def test_cancelled_it_leaves_a_valid_part(tmp_path: Path) -> None:
    journal = await journal_of(tmp_path, 20_000)
    path = tmp_path / "out.json.gz"
    follower = Follower(journal, output(path), committed=journal.position)
    task = asyncio.create_task(follower.run())
    await follower.caught_up(journal.position - 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    found = read(path.with_name("out.json.gz.part"), ".json.gz")
    assert found == [json.loads(line) for line in lines(len(found))]


@pytest.mark.parametrize("ending", [".json.gz", ".csv"])
async def test_a_hundred_thousand_items_take_little_memory(tmp_path: Path, ending: str) -> None:
    journal = Journal(tmp_path / "items.jsonl")
    await journal.open(0)
    line = b'{"title":"A book of some length","price":12.5,"shelf":"poetry","tags":["a","b"]}'
    for _ in range(100):
        await journal.append([line] * 1000)
    await journal.close()
    tracemalloc.start()
    try:
        await follow(journal, tmp_path / f"out{ending}", journal.position, finished=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(read(tmp_path / f"out{ending}", ending)) == 100_000
    assert peak < 10_000_000


PROGRAM = """
import asyncio, sys
from pathlib import Path
from scraper.outputs.follow import CursorFile, Follower
from scraper.outputs.journal import Journal
from scraper.outputs.registry import open_output

async def main(folder, path):
    journal = Journal(folder / "items.jsonl", chunk=2000)
    kept = CursorFile(folder / "cursor")
    end = journal.path.stat().st_size
    out = open_output(path, variables={"run": "r1"})
    follower = Follower(journal, out, cursor=kept.load(), committed=end, save=kept.save)
    follower.end(finished=True)
    print("begun", flush=True)
    await follower.run()
    assert follower.error is None, follower.error

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


@pytest.mark.parametrize("ending", [".json", ".csv.gz", ".sqlite"])
def test_killed_for_real_again_and_again_nothing_is_lost_or_twice(tmp_path: Path, ending: str) -> None:
    (tmp_path / "items.jsonl").write_bytes(b"\n".join(lines(60_000)) + b"\n")
    path = tmp_path / f"out{ending}"
    killed = 0
    for wait in (0.02, 0.1, 0.15, 0.05, 0.2, None):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path), str(path)], stdout=subprocess.PIPE
        )
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                killed += 1
    assert killed
    found = read(path, ending)
    assert [int(item["n"]) for item in found] == list(range(60_000))
