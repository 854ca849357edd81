from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from scraper.errors import StoreError, UsageError
from scraper.jobs.access import Access
from scraper.jobs.record import State
from scraper.jobs.store import Jobs
from scraper.lock import Lock

from .world import SHOP, planned


@pytest.fixture
def copy(jobs: Jobs, tmp_path: Path) -> Path:
    """A copy of a store with the shop, a run that has finished, one that runs and one that waits."""
    jobs.put(SHOP, now=0.0, who="ann")
    runs = jobs.planned("shop", 30.0, [planned(10.0), planned(20.0), planned(30.0)])
    jobs.update(replace(runs[0], state=State.FINISHED, ended=15.0))
    jobs.update(replace(runs[1], state=State.RUNNING, pid=5))
    jobs.backup(tmp_path / "copy.sqlite")
    return tmp_path / "copy.sqlite"


def test_a_copy_is_one_whole_file_that_nobody_else_may_read(copy: Path) -> None:
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [file.name for file in copy.parent.glob("copy*")] == ["copy.sqlite"]
    with closing(sqlite3.connect(copy)) as base:
        assert base.execute("SELECT count(*) FROM run").fetchone() == (3,)


def test_a_copy_takes_no_files_place(jobs: Jobs, copy: Path) -> None:
    with pytest.raises(UsageError, match="is there already"):
        jobs.backup(copy)
    with pytest.raises(UsageError, match="cannot be written"):
        jobs.backup(copy.parent / "none" / "copy.sqlite")


def test_a_damaged_store_gives_no_copy(jobs: Jobs, home: Path, tmp_path: Path) -> None:
    jobs.put(replace(SHOP, note="a note of the shop"), now=0.0, who="ann")
    jobs.close()
    data = bytearray((home / "jobs.sqlite").read_bytes())
    page = data.index(b"a note of the shop") // 4096 * 4096
    data[page : page + 64] = b"x" * 64
    (home / "jobs.sqlite").write_bytes(data)
    with Jobs(home) as damaged, pytest.raises(StoreError, match=r"damaged .* put a backup back"):
        damaged.backup(tmp_path / "copy.sqlite")
    assert list(tmp_path.glob("copy*")) == []


def test_what_is_put_back_runs_nothing_again(jobs: Jobs, home: Path, copy: Path) -> None:
    late = jobs.planned("shop", 60.0, [planned(60.0)])[0]
    jobs.update(replace(late, state=State.FINISHED))
    (home / "runs").mkdir()
    (home / "runs" / "9.log").touch()
    jobs.close()
    old = Jobs.restore(copy, home, now=100.0, who="ann")
    with Jobs(home) as put_back:
        states = [(run.planned, run.state) for run in put_back.runs()]
        assert states == [(30.0, State.CANCELLED), (20.0, State.FAILED), (10.0, State.FINISHED)]
        assert "put back" in put_back.run(2).why
        assert put_back.planned("shop", 100.0, [planned(60.0)]) == []
        new = put_back.plan(planned(110.0))
        assert new is not None
        assert new.id == 10  # the log of a run that is unknown here stays that run's
        assert put_back.acts()[0].what == "restore"
    assert old is not None
    with closing(sqlite3.connect(old)) as base:
        assert base.execute("SELECT count(*) FROM run").fetchone() == (4,)
    assert stat.S_IMODE((home / "jobs.sqlite").stat().st_mode) == 0o600


def test_a_copy_makes_a_store_where_there_is_none(tmp_path: Path, copy: Path) -> None:
    assert Jobs.restore(copy, tmp_path / "new", now=100.0, who="ann") is None
    with Jobs(tmp_path / "new") as jobs:
        assert jobs.job("shop").job == SHOP


def test_nothing_is_put_back_below_a_server_or_a_command(jobs: Jobs, home: Path, copy: Path) -> None:
    with pytest.raises(StoreError, match="is used by another program"):
        Jobs.restore(copy, home, now=100.0, who="ann")
    jobs.close()
    lock = Lock(home)
    lock.take()
    with pytest.raises(UsageError, match="a server has"):
        Jobs.restore(copy, home, now=100.0, who="ann")
    lock.release()
    assert sorted(file.name for file in home.iterdir()) == ["jobs.sqlite"]


def test_only_a_sound_copy_of_jobs_is_put_back(jobs: Jobs, home: Path, copy: Path, tmp_path: Path) -> None:
    jobs.close()
    other, bad = tmp_path / "other.sqlite", tmp_path / "bad.sqlite"
    with closing(sqlite3.connect(other)) as base:
        base.execute("CREATE TABLE mine (x)")
    data = bytearray(copy.read_bytes())
    data[4096 : 4096 * 9] = b"\xff" * 4096 * 8
    bad.write_bytes(data)
    for path, said in ((other, "not one of jobs"), (bad, "damaged|malformed"), (tmp_path, "no file")):
        with pytest.raises((StoreError, UsageError), match=said):
            Jobs.restore(path, home, now=100.0, who="ann")
    assert sorted(file.name for file in home.iterdir()) == ["jobs.sqlite"]
    with Jobs(home) as same:
        assert same.number() == 3


def test_a_damaged_store_is_kept_beside_the_copy(jobs: Jobs, home: Path, copy: Path) -> None:
    jobs.close()
    (home / "jobs.sqlite").write_bytes(b"broken" * 1000)
    old = Jobs.restore(copy, home, now=100.0, who="ann")
    assert old is not None
    assert old.read_bytes() == b"broken" * 1000
    with Jobs(home) as put_back:
        assert put_back.number() == 3


def test_nobody_is_logged_in_by_a_copy(jobs: Jobs, home: Path, tmp_path: Path) -> None:
    access = Access(jobs, lambda: 100.0)
    who = access.login("admin", access.first(), "192.0.2.1")
    assert who is not None
    jobs.backup(tmp_path / "copy.sqlite")
    access.logout(who.session)
    jobs.close()
    Jobs.restore(tmp_path / "copy.sqlite", home, now=200.0, who="ann")
    with Jobs(home) as put_back:
        after = Access(put_back, lambda: 200.0)
        assert after.session(who.session) is None
        assert [user.name for user in after.users()] == ["admin"]
