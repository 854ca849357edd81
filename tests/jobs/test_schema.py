from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from scraper.errors import StoreError
from scraper.frontier import schema as crawl
from scraper.jobs import schema
from scraper.jobs.record import Act, Alert, Delivery, JobRun
from scraper.jobs.store import Jobs

from .world import SHOP


@pytest.fixture
def path(home: Path) -> Path:
    return home / schema.NAME


def pragma(base: sqlite3.Connection, name: str) -> object:
    return base.execute(f"PRAGMA {name}").fetchone()[0]


def test_every_change_is_forced_to_the_disk(path: Path) -> None:
    for _ in range(2):
        with closing(schema.connect(path)) as base:
            assert pragma(base, "journal_mode") == "wal"
            assert pragma(base, "synchronous") == 2  # FULL
            assert pragma(base, "application_id") == schema.APPLICATION
            assert pragma(base, "user_version") == schema.VERSION
    assert sorted(file.name for file in path.parent.iterdir()) == [schema.NAME]


def newer(path: Path) -> None:
    schema.connect(path).close()
    with closing(sqlite3.connect(path)) as base:
        base.execute("PRAGMA user_version = 99")


def other(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as base:
        base.execute("CREATE TABLE mine (x)")


def of_a_crawl(path: Path) -> None:
    path.parent.mkdir(parents=True)
    crawl.connect(path).close()


def broken(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database at all" * 100)


def folder(path: Path) -> None:
    path.mkdir(parents=True)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (newer, "is of version 99, this program knows versions up to"),
        (other, "not one of jobs"),
        (of_a_crawl, "not one of jobs"),
        (broken, "is damaged"),
        (folder, "cannot be read or written"),
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_not_ours_is_left_alone(
    path: Path, make: Callable[[Path], None], said: str, read_only: bool
) -> None:
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    if make is folder and read_only:
        said = "is not there"
    with pytest.raises(StoreError, match=said):
        Jobs(path.parent, read_only=read_only)
    assert not path.is_file() or path.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="Not a directory"):
        Jobs(tmp_path / "file" / ".jobs")


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_of_an_older_version_is_brought_up_to_date(
    home: Path, monkeypatch: pytest.MonkeyPatch, read_only: bool
) -> None:
    with Jobs(home) as jobs:
        jobs.put(SHOP, now=1.0, who="ann")
    step = {schema.VERSION + 1: ("CREATE TABLE new (x)", "INSERT INTO new VALUES (1)")}
    monkeypatch.setattr(schema, "STEPS", step)
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    for _ in range(2):
        with Jobs(home, read_only=read_only) as jobs:
            assert jobs.rows("SELECT x FROM new") == [(1,)]
            assert jobs.job("shop").job == SHOP


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Jobs(home).close()
    with monkeypatch.context() as patch:
        patch.setattr(schema, "STEPS", {schema.VERSION + 1: ("CREATE TABLE new (x)", "NONSENSE")})
        patch.setattr(schema, "VERSION", schema.VERSION + 1)
        with pytest.raises(StoreError):
            Jobs(home)
    with Jobs(home) as jobs:
        assert jobs.rows("SELECT name FROM sqlite_master WHERE name = 'new'") == []


def test_a_closed_store_says_so(jobs: Jobs) -> None:
    jobs.close()
    with pytest.raises(StoreError, match="closed"):
        jobs.jobs()
    with pytest.raises(StoreError, match="closed"):
        jobs.put(SHOP, now=1.0, who="ann")


@pytest.mark.parametrize(
    ("table", "kind"), [("run", JobRun), ("act", Act), ("alert", Alert), ("delivery", Delivery)]
)
def test_a_table_has_what_its_value_has(jobs: Jobs, table: str, kind: type[msgspec.Struct]) -> None:
    assert [row[1] for row in jobs.rows(f"PRAGMA table_info({table})")] == [*kind.__struct_fields__]
