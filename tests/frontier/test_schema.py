from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from scraper import database
from scraper.clock import Clock
from scraper.errors import StoreError
from scraper.frontier import schema
from scraper.frontier.sqlite import SqliteStore
from scraper.frontier.store import Batch, Step

from .test_store import pages


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


async def commit(path: Path, number: int, *, power: bool = False) -> int:
    """Queue so many requests; gives how many were queued before."""
    store = SqliteStore(path, Clock(), power=power)
    recovered = await store.open()
    try:
        await store.commit(Batch(steps=[Step(None, store.add(pages(number)))]))
    finally:
        await store.close()
    return recovered.queued


def pragma(base: sqlite3.Connection, name: str) -> int | str:
    value: int | str = base.execute(f"PRAGMA {name}").fetchone()[0]
    return value


@pytest.mark.parametrize(("power", "synchronous"), [(False, 1), (True, 2)])
def test_the_log_and_the_level_of_safety_are_in_force(path: Path, power: bool, synchronous: int) -> None:
    for _ in range(2):
        base = schema.connect(path, power=power)
        assert pragma(base, "journal_mode") == "wal"
        assert pragma(base, "synchronous") == synchronous
        assert pragma(base, "application_id") == schema.APPLICATION
        assert pragma(base, "user_version") == schema.VERSION
        base.close()


def test_a_file_system_without_shared_memory_gets_a_rollback_journal(path: Path) -> None:
    base = sqlite3.connect(f"{path.as_uri()}?vfs=unix-dotfile", uri=True, isolation_level=None)
    assert database.log(base) == "truncate"
    base.close()


@pytest.mark.skipif(not os.access("/usr/bin/strace", os.X_OK), reason="strace is not there")
def test_with_power_the_folder_and_every_commit_are_forced_to_the_disk(path: Path) -> None:
    code = "import sys; from pathlib import Path; from scraper.frontier import schema\n"
    code += "base = schema.connect(Path(sys.argv[1]), power=True); print('begin', flush=True)\n"
    code += "base.execute(\"INSERT INTO meta VALUES ('a', 1)\")"
    log = path.with_name("strace")
    command = ["strace", "-f", "-y", "-e", "fsync,fdatasync,write", "-o", str(log)]
    subprocess.run([*command, sys.executable, "-c", code, str(path)], check=True, stdout=subprocess.DEVNULL)
    before, _, after = log.read_text().partition("begin")
    assert f"<{path.parent}>" in before
    assert f"<{path}-wal>" in after


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 : len(content)] = b"\xaa" * (len(content) - 4096)
    path.write_bytes(content)


def changed(*statements: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        base = sqlite3.connect(path, isolation_level=None)
        for statement in statements:
            base.execute(statement)
        base.close()

    return change


def foreign(path: Path) -> None:
    path.unlink()
    changed("CREATE TABLE mine (x)")(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


TROUBLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "damaged": (damaged, "is damaged .*--fresh"),
    "no database": (lambda path: path.write_bytes(b"something else" * 1000), "is damaged .*--fresh"),
    "of another program": (foreign, "not the state of a run.*--fresh"),
    "newer": (changed("PRAGMA user_version = 99"), "version 99.*--fresh"),
    "other URLs": (changed("UPDATE meta SET value = 99 WHERE key = 'canonical'"), "another form.*--fresh"),
    "a folder": (folder, "cannot be read or written"),
    "a request that cannot be read": (changed("UPDATE request SET data = '{'"), "cannot be read.*--fresh"),
}


@pytest.mark.parametrize("name", TROUBLES)
async def test_a_file_that_cannot_be_used_is_named_with_what_to_do(path: Path, name: str) -> None:
    await commit(path, 200)
    spoil, text = TROUBLES[name]
    spoil(path)
    store = SqliteStore(path, Clock())
    with pytest.raises(StoreError, match=text) as caught:
        await store.open()
        await store.claim(10)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    await store.close()


def test_the_state_of_a_run_that_kept_none_cannot_be_looked_at(path: Path) -> None:
    with pytest.raises(StoreError, match="kept no state"):
        schema.look(path)
    path.write_bytes(b"no database" * 500)
    with pytest.raises(StoreError, match="is damaged"):
        schema.look(path)


async def test_what_a_process_left_half_written_as_it_ended_is_taken_back_before_the_state_is_looked_at(
    path: Path,
) -> None:
    await commit(path, 200)
    base = sqlite3.connect(path, isolation_level=None)  # a rollback journal, as `close` leaves it
    base.execute("PRAGMA cache_size = 1")
    base.execute("BEGIN")
    base.execute("UPDATE request SET at = 0")
    copy = path.with_name("copy.sqlite")
    shutil.copy(path, copy)
    shutil.copy(f"{path}-journal", f"{copy}-journal")
    base.close()
    left = schema.look(copy)
    assert left.execute("SELECT count(*) FROM request WHERE at > 0").fetchone() == (200,)
    left.close()


async def test_another_writer_is_told_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "PATIENCE", 0.05)
    await commit(path, 1)
    store = SqliteStore(path, Clock())
    await store.open()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked by another program"):
        await store.commit(Batch(steps=[Step(None, store.add(pages(1)))]))
    other.execute("ROLLBACK")
    other.close()
    await store.close()
    assert await commit(path, 1) == 1


async def test_a_full_disk_keeps_the_last_commit(small: Path) -> None:
    path = small / "state.sqlite"
    filler = small / "filler"
    filler.write_bytes(bytes(200_000))
    store = SqliteStore(path, Clock())
    await store.open()
    committed = 0
    with pytest.raises(StoreError, match="make room on the disk"):
        while True:
            await store.commit(Batch(steps=[Step(None, store.add(pages(100)))]))
            committed += 100
    await store.close()
    filler.unlink()
    assert committed
    assert await commit(path, 1) == committed


def test_a_read_only_disk_is_told_of(small: Path) -> None:
    path = small / "state.sqlite"
    asyncio.run(commit(path, 5))
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    with pytest.raises(StoreError, match=r"cannot be read or written .*folder"):
        asyncio.run(commit(path, 5))
    base = schema.look(path)
    assert base.execute("SELECT count(*) FROM queue").fetchone() == (5,)
    base.close()


LIMITED = """
    import asyncio, resource, sys
    from pathlib import Path
    from scraper.errors import StoreError
    from tests.frontier.test_schema import commit

    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    committed = 0
    try:
        while True:
            assert asyncio.run(commit(Path(sys.argv[1]), 100)) == committed
            committed += 100
    except StoreError as error:
        print(committed, error)
"""


def test_a_file_that_may_not_grow_keeps_the_last_commit(path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(LIMITED), str(path)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    committed, text = told.split(" ", 1)
    assert text.startswith(f"{path} cannot be")
    assert asyncio.run(commit(path, 1)) == int(committed) > 0


def test_an_older_file_is_brought_up_to_date_step_by_step(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema.connect(path).close()
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 2)
    steps = {
        schema.VERSION - 1: "CREATE TABLE one (x);\nINSERT INTO one VALUES (1);",
        schema.VERSION: "ALTER TABLE one ADD y;",
    }
    monkeypatch.setattr(schema, "STEPS", steps)
    for _ in range(2):
        base = schema.connect(path)
        assert pragma(base, "user_version") == schema.VERSION
        assert base.execute("SELECT x, y FROM one").fetchall() == [(1, None)]
        base.close()


FIRST = """
DROP TABLE source;
DROP INDEX queue_order;
ALTER TABLE queue DROP COLUMN held;
CREATE INDEX queue_order ON queue (lane, rank);
PRAGMA user_version = 1;
"""


async def test_a_file_of_version_one_goes_on(path: Path) -> None:
    await commit(path, 3)
    base = sqlite3.connect(path, isolation_level=None)
    base.executescript(FIRST)
    base.close()
    assert await commit(path, 2) == 3
    base = schema.look(path)
    assert base.execute("SELECT sum(held), count(*) FROM queue").fetchall() == [(0, 5)]
    assert pragma(base, "user_version") == schema.VERSION
    base.close()


def test_a_step_that_fails_leaves_the_older_version_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema.connect(path).close()
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    monkeypatch.setattr(schema, "STEPS", {schema.VERSION: "CREATE TABLE one (x);\nDROP TABLE never_there;"})
    with pytest.raises(StoreError, match="no such table"):
        schema.connect(path)
    base = sqlite3.connect(path)
    assert pragma(base, "user_version") == schema.VERSION - 1
    assert not base.execute("SELECT * FROM sqlite_master WHERE name = 'one'").fetchall()
    base.close()
    monkeypatch.undo()
    schema.connect(path).close()


def test_a_kill_while_it_is_made_leaves_an_empty_file_that_is_made_anew(path: Path) -> None:
    path.touch()
    base = schema.connect(path)
    assert pragma(base, "user_version") == schema.VERSION
    base.close()
