from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.errors import OutputError, UsageError
from scraper.outputs.follow import CursorFile, Follower
from scraper.outputs.journal import Journal
from scraper.outputs.registry import open_output
from scraper.outputs.sqlite import SqliteFile

from .formats import fill, lines, output, rows, written

NAME = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from(
    ["a", "A", "A_2", "rowid", "oid", "_rowid_", "_ROWID_", "select", "scraper_empty", 'q"', "\0", "é", "É"]
)
VALUE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
)


def encoded(*items: dict[str, Any]) -> list[bytes]:
    return [json.dumps(item, ensure_ascii=False).encode() for item in items]


def shape(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [row[1] for row in db.execute("PRAGMA table_info(items)")]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def progress(path: Path) -> list[tuple[Any, ...]]:
    return [
        tuple(row.values()) for row in rows(path, "SELECT run, position, items FROM scraper_progress ORDER BY run")
    ]


async def test_values_are_what_sqlite_has_and_else_their_json_text(tmp_path: Path) -> None:
    path = tmp_path / "out.sqlite"
    item = {
        "s": "é\0x",
        "i": -(2**63),
        "big": 2**63,
        "huge": 10**30,
        "f": 1.1,
        "t": True,
        "n": None,
        "l": [1, "a"],
        "d": {"k": None},
    }
    await written(path, [encoded(item)])
    kept = {"big": str(2**63), "huge": str(10**30), "t": 1, "l": '[1,"a"]', "d": '{"k":null}'}
    assert rows(path) == [item | kept]


async def test_columns_come_in_the_order_first_seen_and_late_ones_at_the_right(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    await written(path, [encoded({"b": 1, "a": 2}), encoded({"c": 3, "a": 4})], columns=["z"])
    assert shape(path) == ["z", "b", "a", "c"]
    assert [tuple(row.values()) for row in rows(path)] == [(None, 1, 2, None), (None, None, 4, 3)]


async def test_items_without_any_field_are_rows_too(tmp_path: Path) -> None:
    path = tmp_path / "out.sqlite3"
    await written(path, [encoded({}), encoded({}, {})])
    assert len(rows(path)) == 3
    await written(path, [encoded({"a": 1})], "r2", append=True)
    assert rows(path) == [{"a": None}, {"a": None}, {"a": None}, {"a": 1}]


async def test_fields_that_differ_in_case_only_have_columns_of_their_own_for_good(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    item = {"a": 1, "A": 2, "A_2": 3, "rowid": 4, "_rowid_": 5, "group": 6, 'q"; --': 7, "": 8}
    names = ["a", "A_2", "A_2_2", "rowid", "_rowid__2", "group", 'q"; --', ""]
    await written(path, [encoded(item)])
    await written(path, [encoded(item)], "r2", append=True)
    assert shape(path) == names
    assert rows(path, "SELECT * FROM items") == [dict(zip(names, range(1, 9), strict=True))] * 2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.dictionaries(NAME, VALUE, max_size=4), max_size=3), max_size=4))
def test_every_item_reads_back(batches: list[list[dict[str, Any]]]) -> None:
    path = Path(f"/tmp/scraper-sqlite-{os.getpid()}.db")
    try:
        asyncio.run(written(path, [encoded(*batch) for batch in batches]))
        fields = {row["name"]: row["field"] for row in rows(path, "SELECT * FROM scraper_columns")}
        found = [{fields.get(name, name): value for name, value in row.items()} for row in rows(path)]
        items = [item for batch in batches for item in batch]
        assert len(found) == len(items)
        for row, item in zip(found, items, strict=True):
            for name, value in item.items():
                big = type(value) is int and not -(2**63) <= value < 2**63
                assert row[name] == (str(value) if big else value)
            assert {name for name, value in row.items() if value is not None} <= item.keys()
    finally:
        path.unlink(missing_ok=True)


async def test_more_values_than_a_statement_takes_are_written(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    wide = {f"field {number}": number for number in range(1900)}
    await written(path, [encoded(*[wide] * 50)])
    assert rows(path) == [wide] * 50
    out = output(tmp_path / "wider.db")
    await out.open(None, 0)
    with pytest.raises(OutputError, match=r"wider\.db\.part: too many columns"):
        await fill(out, encoded({f"field {number}": number for number in range(2100)}))
    await out.close(finished=False)


async def follow(folder: Path, path: Path, end: int, *, cursor: bytes | None, **options: Any) -> Follower:
    follower = Follower(Journal(folder / "items.jsonl"), output(path, **options), cursor=cursor, committed=end)
    follower.end(finished=False)
    await follower.run()
    assert follower.error is None
    return follower


@pytest.mark.parametrize("append", [False, True])
@pytest.mark.parametrize("cursor", ["gone", "older"])
async def test_the_database_is_believed_and_not_the_cursor(tmp_path: Path, append: bool, cursor: str) -> None:
    data = lines(300)
    (tmp_path / "items.jsonl").write_bytes(b"\n".join(data) + b"\n")
    ends = [sum(len(line) + 1 for line in data[:count]) for count in (100, 200, 300)]
    path = tmp_path / "out.sqlite"
    place = path if append else tmp_path / "out.sqlite.part"
    kept = CursorFile(tmp_path / "cursor")
    first = Follower(
        Journal(tmp_path / "items.jsonl"), output(path, append=append), committed=ends[0], save=kept.save
    )
    first.end(finished=False)
    await first.run()
    older = kept.load() if cursor == "older" else None
    await follow(tmp_path, path, ends[1], cursor=older, append=append)
    assert [row["n"] for row in rows(place)] == list(range(200))
    assert progress(place) == [("r1", ends[1], 200)]
    await follow(tmp_path, path, ends[2], cursor=older, append=append)
    assert [row["n"] for row in rows(place)] == list(range(300))


@pytest.mark.parametrize("append", [False, True])
async def test_rows_beyond_the_committed_journal_are_taken_back(tmp_path: Path, append: bool) -> None:
    data = lines(90)
    end = sum(len(line) + 1 for line in data[:60])
    (tmp_path / "items.jsonl").write_bytes(b"\n".join(data) + b"\n")
    path = tmp_path / "out.sqlite"
    place = path if append else tmp_path / "out.sqlite.part"
    if append:
        await written(path, [encoded({"n": "mine"})])
    out = output(path, append=append)
    await out.open(None, 0)
    await fill(out, data[:30], 1)
    if append:
        await written(path, [encoded({"n": "theirs"})], "r2", append=True)
    await fill(out, data[30:], 10**9)
    await out.close(finished=False)
    assert len(rows(place)) == (92 if append else 90)
    await follow(tmp_path, path, end, cursor=None, append=append)
    found = [row["n"] for row in rows(place)]
    assert found == [*(["mine", "theirs"] if append else []), *range(60)]


async def test_rows_that_somebody_deleted_cannot_be_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    await written(path, [lines(10)], "r1", append=True)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM items WHERE n = 3")
    out = output(path, append=True)
    with pytest.raises(OutputError, match=r"cannot add to .*out\.db: 9 rows are left of 10 that run r1 had added"):
        await out.open(None, 0)
    assert len(rows(path)) == 9


async def test_a_run_that_is_added_twice_is_there_once_and_one_in_memory_twice(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    (tmp_path / "items.jsonl").write_bytes(b"\n".join(lines(10)) + b"\n")
    end = (tmp_path / "items.jsonl").stat().st_size
    for _ in range(2):
        await follow(tmp_path, path, end, cursor=None, append=True)
    assert len(rows(path)) == 10
    for _ in range(2):
        await follow(tmp_path, path, end, cursor=None, append=True, run="memory")
    assert len(rows(path)) == 30
    assert progress(path) == [("r1", end, 10)]


async def test_two_runs_add_to_one_database_at_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    one, two = output(path, "r1", append=True), output(path, "r2", append=True)
    await one.open(None, 0)
    await two.open(None, 0)
    for number in range(5):
        await fill(one, encoded({"n": number, f"one {number}": 1}), number)
        await fill(two, encoded({"n": number, f"two {number}": 2}), number)
    await one.close(finished=True)
    await two.close(finished=True)
    assert len(shape(path)) == 11
    assert sorted(row["n"] for row in rows(path)) == sorted([*range(5)] * 2)
    assert names(tmp_path) == ["out.db"]


LOCKING = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


async def test_a_database_that_another_process_locks_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    out = SqliteFile(path, run="r1", append=True, patience=0.05)
    await out.open(None, 0)
    await fill(out, lines(2))
    command = [sys.executable, "-c", LOCKING, str(path)]
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    with pytest.raises(OutputError, match=r"out\.db is locked by another process"):
        await fill(out, lines(2, 2), 2)
    await out.close(finished=False)
    with pytest.raises(OutputError, match=r"out\.db is locked by another process"):
        await SqliteFile(path, run="r1", append=True, patience=0.05).open(None, 9)
    await process.communicate(b"")
    assert len(rows(path)) == 2
    again = output(path, append=True)
    assert await again.open(None, 9) == 1
    await fill(again, lines(2, 2), 2)
    await again.close(finished=True)
    assert len(rows(path)) == 4


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("CREATE TABLE items (n INTEGER PRIMARY KEY)", "of another shape"),
        ("CREATE TABLE items (n TEXT)", "of another shape"),
        ("CREATE TABLE items (n NOT NULL)", "of another shape"),
        ("CREATE VIEW items AS SELECT 1 AS n", "of another shape"),
        ("CREATE TABLE scraper_progress (x)", "no such column"),
    ],
)
async def test_what_somebody_else_made_is_not_added_to(tmp_path: Path, made: str, message: str) -> None:
    path = tmp_path / "out.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(made)
    before = path.read_bytes()
    out = output(path, append=True)
    with pytest.raises(OutputError, match=rf"out\.db.*{message}"):
        await out.open(None, 0)
    await out.close(finished=False)
    assert path.read_bytes() == before


async def test_no_database_and_no_file_are_errors_that_say_so(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("title,price\n" * 100)
    with pytest.raises(OutputError, match=r"text\.db is not a SQLite database"):
        await output(tmp_path / "text.db", append=True).open(None, 0)
    (tmp_path / "folder.db").mkdir()
    for append in (False, True):
        with pytest.raises(OutputError, match=r"folder\.db is a folder"):
            await output(tmp_path / "folder.db", append=append).open(None, 0)
    with pytest.raises(UsageError, match=r"a database is not compressed"):
        open_output("out.sqlite.gz", variables={})
    assert names(tmp_path) == ["folder.db", "text.db"]


async def test_a_table_and_indexes_of_the_same_kind_are_added_to(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE items (n, title)")
        db.execute("CREATE TABLE mine (x)")
        db.execute("CREATE UNIQUE INDEX by_n ON items (n)")
    await written(path, [encoded({"title": "x", "n": 1, "new": 2})], append=True)
    assert rows(path) == [{"n": 1, "title": "x", "new": 2}]
    out = output(path, "r2", append=True)
    await out.open(None, 0)
    with pytest.raises(OutputError, match=r"UNIQUE constraint failed: items\.n"):
        await fill(out, encoded({"n": 5}, {"n": 1}))
    await out.close(finished=False)
    assert len(rows(path)) == 1
    assert ("r2", 0, 0) in progress(path)


async def test_a_part_that_is_being_written_is_nobody_elses(tmp_path: Path) -> None:
    out = output(tmp_path / "out.db")
    await out.open(None, 0)
    await fill(out, lines(3))
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        rows(tmp_path / "out.db.part")
    await fill(out, lines(3, 3), 2)
    await out.close(finished=False)
    assert len(rows(tmp_path / "out.db.part")) == 6
    assert names(tmp_path) == ["out.db.part"]


async def test_a_database_that_is_removed_while_it_is_added_to_gets_everything_the_next_time(
    tmp_path: Path,
) -> None:
    path = tmp_path / "out.db"
    out = output(path, append=True)
    await out.open(None, 0)
    cursor = await fill(out, lines(3), 3)
    path.unlink()
    with pytest.raises(OutputError, match=r"out\.db was removed while it was written"):
        await fill(out, lines(3, 3), 6)
    await out.close(finished=False)
    again = output(path, append=True)
    assert await again.open(cursor, 6) == 0
    await again.close(finished=False)


LEAVING = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("PRAGMA journal_mode=WAL")
db.execute("CREATE TABLE items (old)")
db.commit()
os.kill(os.getpid(), signal.SIGKILL)
"""


def leave_a_log(path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", LEAVING, str(path)]).returncode == -signal.SIGKILL
    assert path.with_name(path.name + "-wal").exists()


async def test_the_log_of_what_was_there_before_does_not_come_into_the_new_database(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    for victim in (path, tmp_path / "out.db.part"):
        leave_a_log(victim)
    await written(path, [lines(3)])
    assert len(rows(path)) == 3
    assert names(tmp_path) == ["out.db"]


async def test_a_finished_database_reads_while_it_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    out = output(path)
    await out.open(None, 0)
    cursor = await fill(out, lines(5), 5)
    await out.close(finished=True)
    again = output(path)
    assert await again.open(cursor, 9) == 5
    assert len(rows(path)) == 5
    await fill(again, lines(2, 5), 7)
    await again.close(finished=True)
    assert len(rows(path)) == 7


ADDING = """
import asyncio, sys
from pathlib import Path
from scraper.outputs.follow import Follower
from scraper.outputs.journal import Journal
from scraper.outputs.registry import open_output

async def main(folder, path):
    journal = Journal(folder / "items.jsonl", chunk=2000)
    out = open_output(path, append=True, variables={"run": "r1"})
    follower = Follower(journal, out, committed=journal.path.stat().st_size)
    follower.end(finished=True)
    print("begun", flush=True)
    await follower.run()
    assert follower.error is None, follower.error

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


def test_killed_while_it_adds_and_without_any_cursor_nothing_is_lost_or_twice(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_bytes(b"\n".join(lines(20_000)) + b"\n")
    path = tmp_path / "out.db"
    killed = []
    for wait in (0.03, 0.1, 0.15, 0.07, None):
        process = subprocess.Popen([sys.executable, "-c", ADDING, str(tmp_path), str(path)], stdout=subprocess.PIPE)
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()  # its locks end with it
                killed.append(len(rows(path)))
    assert any(killed)
    assert [row["n"] for row in rows(path)] == list(range(20_000))
    assert names(tmp_path) == ["items.jsonl", "out.db"]
