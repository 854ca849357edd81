"""The folder of a run: made, found, locked, ended and cleared away."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scraper import Response, ScraperError, Spider
from scraper.errors import UsageError
from scraper.folder import (
    BROKE_RULE,
    FAILED,
    FINISHED,
    INTERRUPTED,
    RUNNING,
    Place,
    RunFolder,
    RunInfo,
    all_runs,
    find,
    runs_of,
)
from scraper.testing.site import Site
from tests.conftest import Crawl

START = time.mktime((2026, 1, 31, 12, 0, 0, 0, 0, -1))


def begun(root: Path, at: float = START, spider: str = "shop") -> RunFolder:
    """A run that has begun at `at`, a wall-clock second."""
    folder = RunFolder.make(root, spider, at)
    folder.write(RunInfo(run=folder.run, spider=spider, started=at))
    return folder


def ended(root: Path, state: str, at: float = START, keep: int = 0) -> RunFolder:
    folder = begun(root, at)
    folder.close(RunInfo(run=folder.run, spider="shop", started=at, state=state), keep=keep)
    return folder


def pointed(root: Path, link: str) -> str:
    place = root / "shop" / link
    return place.readlink().name if place.is_symlink() else ""


def names(root: Path) -> list[str]:
    return [folder.run for folder in runs_of(root / "shop")]


def test_a_new_folder_is_named_by_its_time_and_current_points_at_it(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    assert folder.path.parent == tmp_path / "shop"
    assert folder.run.startswith("20260131-120000-")
    assert pointed(tmp_path, "current") == folder.run
    assert pointed(tmp_path, "latest") == ""
    assert folder.read().state == RUNNING


def test_two_runs_of_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    assert len({begun(tmp_path).run for _ in range(5)}) == 5


def test_a_place_where_no_folder_can_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot make the run folder .*Not a directory"):
        RunFolder.make(tmp_path / "file", "shop", START)


@pytest.mark.parametrize(
    ("state", "current", "latest"),
    [(FINISHED, False, True), (FAILED, False, False), (BROKE_RULE, False, False), (INTERRUPTED, True, False)],
)
def test_where_the_pointers_stand_after_each_end(tmp_path: Path, state: str, current: bool, latest: bool) -> None:
    run = ended(tmp_path, state).run
    assert (pointed(tmp_path, "current") == run, pointed(tmp_path, "latest") == run) == (current, latest)


def test_current_stays_with_the_newer_of_two_runs_at_once(tmp_path: Path) -> None:
    older, newer = begun(tmp_path), begun(tmp_path, START + 1)
    older.close(RunInfo(run=older.run, spider="shop", state=FINISHED), keep=0)
    assert (pointed(tmp_path, "current"), pointed(tmp_path, "latest")) == (newer.run, older.run)


def test_the_oldest_ended_runs_beyond_keep_are_deleted(tmp_path: Path) -> None:
    runs = [ended(tmp_path, FINISHED, START + n, keep=3).run for n in range(6)]
    assert names(tmp_path) == runs[-3:]


def test_keep_zero_deletes_nothing(tmp_path: Path) -> None:
    for n in range(5):
        ended(tmp_path, FINISHED, START + n)
    assert len(names(tmp_path)) == 5


def test_the_latest_good_run_and_those_not_ended_are_never_deleted(tmp_path: Path) -> None:
    good = ended(tmp_path, FINISHED)
    paused, runs = ended(tmp_path, INTERRUPTED, START + 1), begun(tmp_path, START + 2)
    for n in range(3, 7):
        last = ended(tmp_path, FAILED, START + n, keep=1)
    assert names(tmp_path) == [good.run, paused.run, runs.run, last.run]


def test_a_run_whose_record_cannot_be_read_spoils_no_other(tmp_path: Path) -> None:
    broken = ended(tmp_path, FINISHED)
    (broken.path / "run.json").write_text("{")
    for n in range(1, 4):
        last = ended(tmp_path, FINISHED, START + n, keep=1)
    assert names(tmp_path) == [broken.run, last.run]


def test_a_run_in_which_nothing_happened_is_taken_back(tmp_path: Path) -> None:
    root = tmp_path / "output"
    begun(root).discard()
    assert list(tmp_path.iterdir()) == []
    kept = ended(root, FINISHED)
    begun(root, START + 1).discard()
    assert names(root) == [kept.run]
    assert (pointed(root, "latest"), pointed(root, "current")) == (kept.run, "")


def test_a_folder_is_held_as_long_as_its_process_lives(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    assert not folder.held()
    code = (
        "import sys; from pathlib import Path; from scraper.folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).hold(): print('held', flush=True); sys.stdin.read()"
    )
    words, here = [sys.executable, "-c", code, str(folder.path)], Path(__file__).parents[1]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=here) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert folder.held()
        process.kill()
    assert not folder.held()


def test_a_folder_is_free_after_its_run(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    with folder.hold():
        assert folder.held()
    assert not folder.held()


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    info = RunInfo(
        run=folder.run, spider="shop", arguments={"shelf": "art"}, items=3, outputs=[Place("/x.jsonl", True)]
    )
    folder.write(info)
    folder.write_stats({"items": 3})
    assert folder.read() == info
    assert folder.read_stats() == {"items": 3}
    assert sorted(path.name for path in folder.path.iterdir()) == ["run.json", "stats.json"]
    assert b"\n  " in msgspec.json.format((folder.path / "run.json").read_bytes())


def test_what_is_no_run_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not the folder of a run: No such file"):
        RunFolder(tmp_path).read()
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(UsageError, match=r"run\.json cannot be read"):
        RunFolder(tmp_path).read()
    assert RunFolder(tmp_path).read_stats() == {}
    (tmp_path / "stats.json").write_text("[]")
    assert RunFolder(tmp_path).read_stats() == {}


def test_a_record_of_the_first_version_is_read(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    old = {"run": folder.run, "spider": "shop", "outputs": ["a.csv", "-"], "items": 3, "schema": 1}
    (folder.path / "run.json").write_bytes(msgspec.json.encode(old))
    info = folder.read()
    assert (info.items, info.outputs, info.identity) == (3, [Place("a.csv"), Place("-")], "")


def test_a_record_of_a_newer_version_is_told_as_such_and_never_deleted(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    newer = {"run": folder.run, "spider": "shop", "state": FINISHED, "schema": 99, "outputs": 3}
    (folder.path / "run.json").write_bytes(msgspec.json.encode(newer))
    with pytest.raises(UsageError, match=r"made by a newer version of scraper \(its record has schema 99"):
        folder.read()
    ended(tmp_path, FINISHED, START + 1, keep=1)
    assert folder.run in names(tmp_path)


def test_an_ended_run_that_is_held_is_not_deleted(tmp_path: Path) -> None:
    old = ended(tmp_path, FINISHED)
    with old.hold():
        for n in range(1, 4):
            ended(tmp_path, FINISHED, START + n, keep=1)
    assert old.run in names(tmp_path)


def test_a_place_has_one_cursor_however_its_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    folder = begun(tmp_path)
    cursors = {folder.cursor(name) for name in ("a.csv", "./a.csv", "link/a.csv", f"{tmp_path}/a.csv")}
    assert len(cursors) == 1
    assert cursors.isdisjoint({folder.cursor("b.csv"), folder.cursor("-")})
    assert {path.parent for path in cursors} == {folder.path / "outputs"}


def test_a_run_that_was_only_looked_at_is_not_taken_back(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    RunFolder(folder.path).discard()
    assert folder.read().state == RUNNING


def test_a_run_is_found_by_id_beginning_spider_pointer_and_path(tmp_path: Path) -> None:
    first, second = ended(tmp_path, FINISHED), ended(tmp_path, FAILED, START + 60)
    for word in (first.run, "20260131-1200", "shop/latest", f"shop/{first.run}", str(first.path)):
        assert find(tmp_path, word).run == first.run
    for word in ("20260131-1201", "shop"):  # what ran last, well or not
        assert find(tmp_path, word).run == second.run
    begun(tmp_path, START + 90)
    assert find(tmp_path, "shop").run == second.run
    assert find(tmp_path, str(tmp_path / "shop" / "latest")).run == first.run


def test_a_spider_without_a_finished_run_means_its_newest(tmp_path: Path) -> None:
    begun(tmp_path)
    newest = begun(tmp_path, START + 1)
    assert find(tmp_path, "shop").run == newest.run
    assert find(tmp_path, "shop/current").run == newest.run


def test_what_names_no_run_or_several_is_told(tmp_path: Path) -> None:
    for n in range(2):
        ended(tmp_path, FINISHED, START + n)
    with pytest.raises(UsageError, match="is the beginning of 2 runs"):
        find(tmp_path, "2026")
    with pytest.raises(UsageError, match=r"no run 'shpo' in .*; did you mean 'shop'"):
        find(tmp_path, "shpo")
    with pytest.raises(UsageError, match="no run 'x'"):
        find(tmp_path / "nowhere", "x")


def test_all_runs_are_listed_spider_by_spider_oldest_first(tmp_path: Path) -> None:
    late, early = begun(tmp_path, START + 9), begun(tmp_path, START)
    other = begun(tmp_path, START + 5, spider="art")
    (tmp_path / "shop" / "notes").mkdir()
    (tmp_path / "README.md").touch()
    assert [folder.run for folder in all_runs(tmp_path)] == [other.run, early.run, late.run]
    assert list(all_runs(tmp_path / "nowhere")) == []


def test_runs_are_in_the_order_in_which_they_began_whatever_their_ids(tmp_path: Path) -> None:
    for number, run in enumerate(("1-e", "1-a", "1-d", "1-b", "1-c")):  # of one second
        folder = RunFolder.make(tmp_path, "shop", START, run)
        folder.write(RunInfo(run=run, spider="shop", started=START + number / 10, state=FAILED))
    assert names(tmp_path) == ["1-e", "1-a", "1-d", "1-b", "1-c"]
    assert find(tmp_path, "shop").run == "1-c"
    folder.close(RunInfo(run=run, spider="shop", started=START + 1, state=FAILED), keep=2)
    assert names(tmp_path) == ["1-b", "1-c"]


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="mounting a small disk takes root")
async def test_a_full_disk_is_one_clear_error(site: Site, go: Crawl, tmp_path: Path) -> None:
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tiny)]
    if subprocess.run(mounted, check=False).returncode:  # noqa: ASYNC221  at once done
        pytest.skip("this machine does not let root mount a disk")
    try:
        site.page("*", "x")

        class Full(Spider):
            name = "full"
            start_urls = ["http://a.test/"]

            def parse(self, response: Response) -> Any:
                yield from ({"text": "x" * 1000} for _ in range(200))

        with pytest.raises(ScraperError, match=r"No space left|disk is full"):
            await go(Full(), options={"folder": tiny})
        assert not list(tiny.rglob("*.new"))
    finally:
        subprocess.run(["umount", tiny], check=True)  # noqa: ASYNC221  the same
