"""Which run is crawled: the rule, and what is said of it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from scraper.errors import UsageError
from scraper.folder import FAILED, FINISHED, INTERRUPTED, RUNNING, Place, RunFolder, RunInfo
from scraper.identity import Identity
from scraper.resume import Choice, Words, begin, going_on, joined, named, opened, progress, which
from scraper.settings import resolve
from scraper.spider import Spider

ROOT = Path(__file__).parents[1]
NOW = time.mktime((2026, 1, 31, 12, 0, 0, 0, 0, -1))
HOUR = 3600.0
WORDS = Words()


class Shop(Spider):
    name = "shop"
    start_urls = ["http://books.test/"]
    shelf: str = "poetry"


def identity(shelf: str = "poetry", **settings: Any) -> Identity:
    return Identity.of(Shop(shelf=shelf), resolve([("test", settings)]))


def left(
    root: Path, age: float = HOUR, *, state: str = RUNNING, shelf: str = "poetry", alive: float = 60, **more: Any
) -> RunFolder:
    """A run that began `age` seconds ago, was alive `alive` seconds ago, and has answered 3 of 5 requests."""
    folder = RunFolder.make(root, "shop", NOW - age)
    info = identity(shelf).info(folder.run, NOW - age)
    info.state, info.ended = state, 0.0 if state == RUNNING else NOW - alive
    for name, value in more.items():
        setattr(info, name, value)
    folder.write(info)
    with closing(sqlite3.connect(folder.state)) as base:
        base.execute("CREATE TABLE answer (id)")
        base.execute("CREATE TABLE queue (id)")
        base.executemany("INSERT INTO answer VALUES (?)", [(1,), (2,), (3,)])
        base.executemany("INSERT INTO queue VALUES (?)", [(4,), (5,)])
        base.commit()
    return aged(folder, alive)


def aged(folder: RunFolder, alive: float = 60) -> RunFolder:
    for file in folder.path.iterdir():
        os.utime(file, (NOW - alive, NOW - alive))
    return folder


def chosen(root: Path, shelf: str = "poetry", **settings: Any) -> Choice:
    made = resolve([("test", settings)])
    return which(root / "shop", identity(shelf, **settings), made, NOW, WORDS)


def run(choice: Choice) -> str:
    return choice.folder.run if choice.folder else ""


# -- the rule ---------------------------------------------------------------------------------------


def test_without_an_earlier_run_nothing_is_said(tmp_path: Path) -> None:
    assert chosen(tmp_path) == Choice()


def test_a_run_that_died_is_continued_and_told_in_one_line(tmp_path: Path) -> None:
    died = left(tmp_path, alive=180)
    choice = chosen(tmp_path)
    assert run(choice) == died.run
    assert choice.said == (
        f"continuing run {died.run}, which died 3 min ago: 3 answered, 2 to go (--fresh starts anew)"
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"exit_code": 130}, "was interrupted 1 min ago: 3"),
        ({"exit_code": 1, "why": "the disk is full"}, "broke off 1 min ago (the disk is full): 3"),
    ],
)
def test_how_a_run_ended_is_told(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    left(tmp_path, state=INTERRUPTED, **more)
    assert said in chosen(tmp_path).said


def test_the_newest_of_those_that_match_is_continued(tmp_path: Path) -> None:
    left(tmp_path, 3 * HOUR)
    newest = left(tmp_path, 2 * HOUR, state=INTERRUPTED)
    left(tmp_path, HOUR, shelf="art")
    assert run(chosen(tmp_path)) == newest.run


@pytest.mark.parametrize("state", [FINISHED, FAILED, "rule_broken"])
def test_a_run_that_ended_is_neither_continued_nor_told(tmp_path: Path, state: str) -> None:
    left(tmp_path, state=state)
    assert chosen(tmp_path) == Choice()


def test_another_crawl_is_told_with_what_differs_and_how_to_continue_it(tmp_path: Path) -> None:
    other = left(tmp_path, shelf="art")
    assert chosen(tmp_path) == Choice(
        said=f"starting a new run; {other.run} is unfinished but its arguments differ (shelf); "
        f"to continue it: scraper crawl --resume {other.run}"
    )
    said = chosen(tmp_path, "art", scope="any").said
    assert f"{other.run} is unfinished but its settings differ (scope)" in said


@pytest.mark.parametrize(
    ("age", "alive", "within", "continued"),
    [
        (23 * HOUR, 22 * HOUR, 24 * HOUR, True),
        (25 * HOUR, 20 * HOUR, 24 * HOUR, False),  # yesterday's
        (80 * HOUR, 1 * HOUR, 24 * HOUR, True),  # it has worked for days
        (80 * HOUR, 30 * HOUR, 24 * HOUR, False),
        (60, 50, 30, False),
        (60, 60, 0, False),
    ],
)
def test_only_a_young_run_is_continued(
    tmp_path: Path, age: float, alive: float, within: float, continued: bool
) -> None:
    old = left(tmp_path, age, alive=alive)
    choice = chosen(tmp_path, resume_within=within)
    assert bool(choice.folder) == continued
    assert continued or f"{old.run} is unfinished but it is older than resume_within (" in choice.said


def test_a_run_without_state_is_not_continued(tmp_path: Path) -> None:
    left(tmp_path).state.unlink()
    choice = chosen(tmp_path)
    assert choice.folder is None
    assert choice.said.endswith("is unfinished but it kept no state")


def test_a_run_in_memory_continues_nothing(tmp_path: Path) -> None:
    left(tmp_path)
    choice = chosen(tmp_path, durability="none")
    assert choice.folder is None
    assert "durability = none keeps no state; to continue it: " in choice.said


def test_what_a_newer_run_has_made_up_for_is_not_told(tmp_path: Path) -> None:
    left(tmp_path, 2 * HOUR, shelf="art")
    left(tmp_path, HOUR, state=FINISHED)
    assert chosen(tmp_path).said == ""


def test_a_living_process_keeps_others_out_and_another_crawl_does_not(tmp_path: Path) -> None:
    folder = left(tmp_path, pid=1)
    with folder.hold():
        with pytest.raises(UsageError, match=r"is being crawled by another process \(pid 1\); --fresh starts an"):
            chosen(tmp_path)
        assert chosen(tmp_path, "art") == Choice()


def test_a_process_that_is_gone_is_not_named(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    assert left(tmp_path, pid=gone.pid).busy().endswith("is being crawled by another process")


def test_a_record_that_cannot_be_read_spoils_no_other(tmp_path: Path) -> None:
    good = left(tmp_path, 2 * HOUR)
    (left(tmp_path).path / "run.json").write_text("{")
    assert run(chosen(tmp_path)) == good.run


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_a_state_that_cannot_be_counted_leaves_the_numbers_out(tmp_path: Path, content: bytes) -> None:
    folder = left(tmp_path)
    folder.state.write_bytes(content)
    aged(folder)
    assert progress(folder) is None
    assert "1 min ago (--fresh" in chosen(tmp_path).said


def test_a_state_is_counted_while_it_is_written(tmp_path: Path) -> None:
    folder = left(tmp_path)
    with closing(sqlite3.connect(folder.state, isolation_level=None)) as base:
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("BEGIN IMMEDIATE")
        base.execute("INSERT INTO answer VALUES (9)")
        assert progress(folder) == (3, 2)
        base.execute("COMMIT")
        assert progress(folder) == (4, 2)


# -- a run that was named ---------------------------------------------------------------------------


def test_a_run_is_named_by_id_folder_and_spider(tmp_path: Path) -> None:
    paused = left(tmp_path, 3 * HOUR)
    left(tmp_path, 2 * HOUR).state.unlink()
    done = left(tmp_path, HOUR, state=FINISHED)
    (tmp_path / "shop" / "latest").symlink_to(done.run)
    for word in (paused.run, paused.run[:-1], "shop", f"shop/{paused.run}", str(paused.path)):
        assert named(tmp_path, word, WORDS)[0].run == paused.run


def test_what_cannot_be_continued_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has finished: .* `scraper retry 2026.*--fresh"):
        named(tmp_path, left(tmp_path, state=FINISHED).run, WORDS)
    with pytest.raises(UsageError, match=r"has ended \(rule broken\)"):
        named(tmp_path, left(tmp_path, state="rule_broken").run, WORDS)
    folder = left(tmp_path)
    with folder.hold(), pytest.raises(UsageError, match="is being crawled by another process"):
        named(tmp_path, folder.run, WORDS)
    folder.state.unlink()
    with pytest.raises(UsageError, match=r"cannot be continued: it kept no state .* `scraper export"):
        named(tmp_path, folder.run, WORDS)


def test_a_named_run_goes_on_old_and_changed_and_says_so(tmp_path: Path) -> None:
    folder = left(tmp_path, 999 * HOUR, alive=900 * HOUR)
    made = resolve([("test", {"scope": "any"})])
    choice = going_on(*named(tmp_path, folder.run, WORDS), identity(scope="any"), made, NOW, WORDS)
    assert choice.folder is not None
    assert choice.said == (
        f"continuing run {folder.run}, which died 37 days ago, though its settings differ (scope): "
        "3 answered, 2 to go (--fresh starts anew)"
    )


def test_a_named_run_must_be_of_the_spider_and_on_disk(tmp_path: Path) -> None:
    folder = left(tmp_path)
    info = folder.read()
    with pytest.raises(UsageError, match="keeps its state on disk: it cannot go on with durability = none"):
        going_on(folder, info, identity(), resolve([("test", {"durability": "none"})]), NOW, WORDS)
    info.spider = "art"
    with pytest.raises(UsageError, match="is one of spider 'art', not of 'shop'"):
        going_on(folder, info, identity(), resolve([]), NOW, WORDS)


# -- begun ------------------------------------------------------------------------------------------


def test_a_new_run_is_held_and_recorded_from_its_first_moment(tmp_path: Path) -> None:
    folder = begin(tmp_path, identity(), Choice(), [Place("{run}.csv", True)], NOW, again=Choice)
    info = folder.read()
    assert RunFolder(folder.path).held()
    assert not folder.resumed
    assert (info.identity, info.pid, info.starts) == (identity().whole, os.getpid(), 1)
    assert info.outputs == [Place(f"{Path.cwd()}/{folder.run}.csv", True)]
    folder.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_goes_on_keeps_its_beginning(tmp_path: Path) -> None:
    folder = left(tmp_path, state=INTERRUPTED, exit_code=130, why="interrupted", outputs=[Place("/a.csv")])
    (tmp_path / "shop" / "current").unlink()
    before = folder.read()
    choice = going_on(folder, before, identity("art"), resolve([]), NOW, WORDS)
    again = begin(tmp_path, identity("art"), choice, [Place("/a.csv"), Place("/b.csv")], NOW, again=Choice)
    info = again.read()
    assert again.resumed
    assert (info.state, info.ended, info.why, info.exit_code) == (RUNNING, 0.0, "", None)
    assert (info.started, info.starts, info.pid) == (before.started, 2, os.getpid())
    assert (info.identity, info.arguments) == (identity("art").whole, {"shelf": "art"})
    assert info.outputs == [Place("/a.csv"), Place("/b.csv")]
    assert (tmp_path / "shop" / "current").readlink().name == folder.run
    again.discard()
    assert folder.read() == before
    assert not folder.held()


def test_a_run_that_another_process_took_or_ended_meanwhile_is_refused(tmp_path: Path) -> None:
    folder = left(tmp_path)
    choice = chosen(tmp_path)
    with folder.hold(), pytest.raises(UsageError, match="is being crawled by another process"):
        begin(tmp_path, identity(), choice, [], NOW, again=Choice)
    folder.write(RunInfo(run=folder.run, spider="shop", state=FINISHED))
    with pytest.raises(UsageError, match="has just been ended by another process"):
        begin(tmp_path, identity(), choice, [], NOW, again=Choice)
    assert not folder.held()
    assert folder.read().state == FINISHED


RACE = """
import sys, time
from pathlib import Path
from scraper.errors import UsageError
from scraper.resume import begin
from scraper.settings import resolve
from tests.test_resume import WORDS, identity, which
root, settings = Path(sys.argv[1]), resolve([])
again = lambda: which(root / "shop", identity(), settings, time.time(), WORDS)
choice = again()
print("ready", flush=True)
sys.stdin.readline()
try:
    folder = begin(root, identity(), choice, [], time.time(), again=again)
    print("has", folder.run, flush=True)
except UsageError as error:
    print("refused", error, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks")
@pytest.mark.parametrize("unfinished", [True, False])
def test_of_commands_started_at_one_instant_one_has_the_run(tmp_path: Path, unfinished: bool) -> None:
    if unfinished:
        folder = RunFolder.make(tmp_path, "shop", time.time())
        folder.write(identity().info(folder.run, time.time()))
        folder.state.touch()
    pipe = subprocess.PIPE
    all_ = [
        subprocess.Popen([sys.executable, "-c", RACE, str(tmp_path)], stdin=pipe, stdout=pipe, cwd=ROOT, text=True)
        for _ in range(4)
    ]
    told = []
    try:
        assert [each.stdout.readline() for each in all_ if each.stdout] == ["ready\n"] * 4
        for each in all_:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        told = [each.stdout.readline() for each in all_ if each.stdout]
    finally:
        for each in all_:
            each.kill()
            each.communicate()
    assert sorted(line.split()[0] for line in told) == ["has", "refused", "refused", "refused"]
    assert all("is being crawled by another process" in line for line in told if line.startswith("refused"))
    assert len([path for path in (tmp_path / "shop").iterdir() if not path.is_symlink()]) == 1


# -- outputs ----------------------------------------------------------------------------------------


def test_outputs_of_a_run_that_goes_on_are_its_own_and_those_given_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    info = RunInfo(run="20260131-120000-abcd", spider="shop", started=NOW)
    info.outputs = [Place(f"{tmp_path}/a.csv", True), Place("-")]
    given = [Place("link/a.csv"), Place("{date}-{run}.csv"), Place("new.jsonl", True), Place("-")]
    found = joined(info, given)
    assert found == [
        Place(f"{tmp_path}/a.csv", True),
        Place(f"{tmp_path}/2026-01-31-20260131-120000-abcd.csv"),
        Place(f"{tmp_path}/new.jsonl", True),
        Place("-"),
    ]
    assert joined(info, []) == [Place(f"{tmp_path}/a.csv", True)]
    info.outputs = found
    names = [name for name, _ in opened(info, ["new.jsonl"], csv_safe=False)]
    assert names == [*(place.path for place in found[:2]), "new.jsonl", "-"]


def test_adding_to_what_a_run_replaces_is_refused() -> None:
    info = RunInfo(run="r", spider="shop", outputs=[Place("/a.csv")])
    with pytest.raises(UsageError, match=r"run r replaces /a\.csv: leave --append out, or start with --fresh"):
        joined(info, [Place("/a.csv", True)])


def test_a_path_that_is_filled_in_is_not_filled_in_again(tmp_path: Path) -> None:
    info = RunInfo(run="r", spider="shop", outputs=[Place(f"{tmp_path}/{{odd}}/a.csv")])
    assert [name for name, _ in opened(info, [], csv_safe=False)] == [f"{tmp_path}/{{odd}}/a.csv"]
