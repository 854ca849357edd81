"""What an output does when its disk lets it down: a clear error, no half result, and all of it the next time."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from scraper.outputs import Followed
from scraper.outputs.follow import CursorFile, Follower
from scraper.outputs.journal import Journal

from .disks import small_disk
from .formats import output, read

ENDINGS = [".jsonl", ".csv", ".json", ".xml", ".jsonl.gz", ".csv.gz", ".sqlite"]
COUNT = 2400
pytestmark = pytest.mark.parametrize("ending", ENDINGS)


def numbers(path: Path, ending: str) -> list[int]:
    return [int(str(item["n"]).strip("</n>")) for item in read(path, ending)]


async def journal_of(folder: Path, noise: int = 40) -> Journal:
    """Items that gzip cannot make much smaller; a column comes late."""
    journal = Journal(folder / "items.jsonl", chunk=20_000)
    await journal.open(0)
    items: list[dict[str, Any]] = [{"n": number, "noise": os.urandom(noise).hex()} for number in range(COUNT)]
    items[COUNT // 2]["late"] = 1
    await journal.append([json.dumps(item).encode() for item in items])
    await journal.close()
    return journal


class Source(Followed, Protocol):
    """A journal, or what stands for one."""

    position: int


class Trial:
    """A follower of two halves, with trouble in between."""

    def __init__(self, journal: Journal, path: Path) -> None:
        self.journal: Source = journal
        self.place = journal.path
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.kept = CursorFile(journal.path.with_name("cursor"))
        self.saved = asyncio.Event()

    def follower(self, committed: int) -> Follower:
        return Follower(
            self.journal, output(self.path), cursor=self.kept.load(), committed=committed, save=self._save
        )

    async def half(self, trouble: Callable[[], object]) -> str:
        """What the follower says after its output was troubled."""
        data = self.place.read_bytes()
        follower = self.follower(data.index(b"\n", len(data) * 2 // 3) + 1)
        async with asyncio.TaskGroup() as group:
            group.create_task(follower.run())
            await self.saved.wait()
            trouble()
            follower.notify(self.journal.position)
            follower.end(finished=True)
        assert not self.path.exists()
        return str(follower.error)

    async def whole(self, *, finished: bool = True) -> str:
        follower = self.follower(self.journal.position)
        follower.end(finished=finished)
        await follower.run()
        return str(follower.error or "")

    async def _save(self, cursor: bytes) -> None:
        await self.kept.save(cursor)
        self.saved.set()


async def test_a_folder_that_vanishes_is_an_error_and_all_is_there_the_next_time(
    tmp_path: Path, ending: str
) -> None:
    trial = Trial(await journal_of(tmp_path), tmp_path / f"folder/out{ending}")
    error = await trial.half(lambda: shutil.rmtree(tmp_path / "folder"))
    assert f"{trial.part}" in error
    assert "removed while it was written; let it be, and run again or export the run" in error
    assert await trial.whole() == ""
    assert numbers(trial.path, ending) == list(range(COUNT))


async def test_a_folder_that_was_moved_away_is_an_error(tmp_path: Path, ending: str) -> None:
    trial = Trial(await journal_of(tmp_path), tmp_path / f"folder/out{ending}")
    error = await trial.half(lambda: (tmp_path / "folder").rename(tmp_path / "moved"))
    assert f"out{ending}" in error
    assert "run again or export the run" in error
    assert not (tmp_path / f"moved/out{ending}").exists()
    assert await trial.whole() == ""
    assert numbers(trial.path, ending) == list(range(COUNT))


async def test_a_part_that_is_removed_is_an_error_and_all_is_there_the_next_time(
    tmp_path: Path, ending: str
) -> None:
    trial = Trial(await journal_of(tmp_path), tmp_path / f"out{ending}")
    assert "removed while it was written" in await trial.half(trial.part.unlink)
    assert await trial.whole() == ""
    assert numbers(trial.path, ending) == list(range(COUNT))


@pytest.mark.parametrize("free", [30, 150, 215, 300])
async def test_a_full_disk_is_an_error_and_with_room_it_goes_on(tmp_path: Path, ending: str, free: int) -> None:
    with small_disk(tmp_path / "disk", 6000) as folder:
        trial = Trial(await journal_of(tmp_path, noise=200), folder / f"out{ending}")
        ballast = folder / "ballast"
        ballast.write_bytes(bytes((6000 - free) * 1024))
        error = await trial.whole()
        assert error.startswith(str(folder / "out"))
        assert "make room there" in error
        assert not trial.path.exists()
        ballast.unlink()
        assert await trial.whole() == ""
        assert numbers(trial.path, ending) == list(range(COUNT))
        assert [path.name for path in trial.path.parent.glob("*")] == [trial.path.name]


async def test_a_disk_that_cannot_be_written_is_an_error_and_nothing_is_made(tmp_path: Path, ending: str) -> None:
    with small_disk(tmp_path / "disk", 2000) as folder:
        trial = Trial(await journal_of(tmp_path), folder / f"out{ending}")
        remount(folder, "ro")
        error = await trial.whole()
        assert "Read-only file system; allow writing there or give another path" in error
        remount(folder, "rw")
        assert await trial.whole() == ""
        assert numbers(trial.path, ending) == list(range(COUNT))


async def test_an_interrupted_run_whose_disk_is_read_only_the_next_time(tmp_path: Path, ending: str) -> None:
    with small_disk(tmp_path / "disk", 2000) as folder:
        trial = Trial(await journal_of(tmp_path), folder / f"out{ending}")
        assert await trial.whole(finished=False) == ""
        remount(folder, "ro")
        assert "Read-only file system; allow writing there" in await trial.whole()
        remount(folder, "rw")
        assert await trial.whole() == ""
        assert numbers(trial.path, ending) == list(range(COUNT))


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True, capture_output=True)
