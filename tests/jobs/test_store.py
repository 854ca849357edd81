from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest
from msgspec.structs import replace

from scraper.errors import StoreError, UsageError
from scraper.jobs.difference import Declared
from scraper.jobs.job import Alerts, Channel, Job, Server
from scraper.jobs.record import Cause, State
from scraper.jobs.store import Conflict, Jobs
from scraper.jobs.waking import listen
from tests.outputs.disks import frozen, small_disk

from .world import SHOP, planned


def test_a_job_comes_back_as_it_was_put(jobs: Jobs, home: Path) -> None:
    job = replace(SHOP, args={"shelf": "art", "many": [1, 2.5, None, True]}, key=("sku",), schedule="@daily")
    put = jobs.put(job, now=100.0, who="ann")
    with Jobs(home) as other:
        assert other.jobs() == [put]
    assert (put.job, put.source, put.upto, put.version) == (job, "hand", 100.0, 1)


def test_a_job_that_is_not_there_is_named_with_what_is_near(jobs: Jobs) -> None:
    with pytest.raises(UsageError, match="no job 'shop'; there are none"):
        jobs.job("shop")
    jobs.put(SHOP, now=1.0, who="ann")
    with pytest.raises(UsageError, match="no job 'shp'; did you mean 'shop'"):
        jobs.pause("shp", "", 1.0, "ann")


def test_who_changes_a_job_that_somebody_else_has_changed_is_told(jobs: Jobs) -> None:
    first = jobs.put(SHOP, now=1.0, who="ann", version=0)
    jobs.put(replace(SHOP, note="ben's"), now=2.0, who="ben", version=first.version)
    with pytest.raises(UsageError, match="changed meanwhile"):
        jobs.put(replace(SHOP, note="ann's"), now=3.0, who="ann", version=first.version)
    assert jobs.job("shop").job.note == "ben's"


def test_times_of_a_new_schedule_that_have_passed_do_not_count(jobs: Jobs) -> None:
    jobs.put(SHOP, now=100.0, who="ann")
    assert jobs.put(replace(SHOP, note="new"), now=200.0, who="ann").upto == 100.0
    assert jobs.put(replace(SHOP, schedule="@hourly"), now=300.0, who="ann").upto == 300.0


def test_a_paused_job_plans_nothing_and_makes_up_for_nothing(jobs: Jobs) -> None:
    jobs.put(SHOP, now=100.0, who="ann")
    jobs.pause("shop", "moving", 150.0, "ann")
    assert jobs.planned("shop", 200.0, [planned(160.0)]) == []
    assert jobs.job("shop").upto == 150.0
    jobs.unpause("shop", 300.0, "ann")
    assert jobs.planned("shop", 310.0, [planned(200.0), planned(305.0)])[0].planned == 305.0
    assert [act.what for act in jobs.acts()] == ["unpause", "pause", "add"]


def test_a_removed_job_leaves_its_history_and_what_runs(jobs: Jobs) -> None:
    jobs.put(SHOP, now=0.0, who="ann")
    waits, runs = jobs.planned("shop", 20.0, [planned(10.0), planned(20.0)])
    jobs.update(replace(runs, state=State.RUNNING, pid=5))
    jobs.remove("shop", 30.0, "ben")
    assert [run.state for run in jobs.runs(job="shop")] == [State.RUNNING, State.CANCELLED]
    assert (jobs.run(waits.id).why, jobs.run(waits.id).stopped_by) == ("its job was removed", "ben")
    assert jobs.plan(planned(40.0)) is None


def test_a_job_that_is_made_again_has_no_time_twice(jobs: Jobs) -> None:
    jobs.put(SHOP, now=0.0, who="ann")
    jobs.planned("shop", 10.0, [planned(10.0)])
    jobs.remove("shop", 15.0, "ann")
    jobs.put(SHOP, now=15.0, who="ann")
    assert jobs.planned("shop", 20.0, [planned(10.0), planned(12.0)]) == []


def test_what_is_declared_is_applied_whole_and_the_difference_is_told(jobs: Jobs) -> None:
    jobs.put(Job(name="mine", spider="x"), now=1.0, who="ann")
    first = Declared(Server(parallel=2), {"shop": SHOP, "old": Job(name="old", spider="old")})
    jobs.apply(first, 10.0, "ann")
    changed = replace(SHOP, overlap="queue_one", args={"shelf": "art"})
    second = Declared(Server(parallel=2), {"shop": changed, "new": Job(name="new", spider="new")})
    assert jobs.pending(second) == (changes := jobs.apply(second, 20.0, "ben"))
    assert [(each.what, each.job) for each in changes] == [("add", "new"), ("remove", "old"), ("change", "shop")]
    assert [(key.key, key.old, key.new) for key in changes[2].keys] == [
        ("args.shelf", "(none)", '"art"'),
        ("overlap", '"skip"', '"queue_one"'),
    ]
    assert {each.job.name: each.source for each in jobs.jobs()} == {"mine": "hand", "new": "file", "shop": "file"}
    assert jobs.declared() == second
    assert jobs.apply(second, 30.0, "ben") == []


def test_a_declared_job_takes_the_place_of_one_made_by_hand_and_says_so(jobs: Jobs) -> None:
    jobs.put(SHOP, now=1.0, who="ann")
    (change,) = jobs.apply(Declared(jobs={"shop": SHOP}), 2.0, "ann")
    assert (change.what, change.note) == ("change", "it was made by hand")
    assert jobs.job("shop").source == "file"


def test_an_apply_that_fails_changes_nothing(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = Job(name="zoo", spider="zoo", args={"odd": {1, 2}, "bad": object()})
    with pytest.raises(TypeError):
        jobs.apply(Declared(Server(parallel=9), {"shop": SHOP, "zoo": bad}), 1.0, "ann")
    assert (jobs.jobs(), jobs.server(), jobs.acts()) == ([], Server(), [])


def test_an_apply_of_another_difference_than_the_one_that_was_shown_changes_nothing(jobs: Jobs) -> None:
    declared = Declared(jobs={"shop": SHOP})
    seen = jobs.pending(declared)
    jobs.put(replace(SHOP, note="by somebody else"), now=1.0, who="bob")
    with pytest.raises(Conflict, match="the jobs were changed meanwhile"):
        jobs.apply(declared, 2.0, "ann", expected=seen)
    assert [(kept.job.note, kept.source) for kept in jobs.jobs()] == [("by somebody else", "hand")]


def test_secrets_are_in_no_difference_and_in_no_log(jobs: Jobs) -> None:
    server = Server(channels={"ops": Channel(webhook="https://hooks.test/s3cret", secret="s3cret")})
    job = replace(SHOP, args={"password": "s3cret"}, settings={"auth": "me:s3cret", "headers": {"X-Key": "s3cret"}})
    changes = jobs.apply(Declared(server, {"shop": job}), 1.0, "ann")
    assert "s3cret" not in repr(changes) + repr(jobs.acts())
    assert jobs.server() == server


def test_the_file_is_nobody_elses_to_read(jobs: Jobs, home: Path) -> None:
    jobs.put(SHOP, now=1.0, who="ann")
    assert {stat.S_IMODE(file.stat().st_mode) for file in home.glob("jobs.sqlite*")} == {0o600}
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_a_reader_sees_what_others_write_and_writes_nothing(jobs: Jobs, home: Path) -> None:
    with Jobs(home, read_only=True) as reader:
        jobs.put(SHOP, now=1.0, who="ann")
        assert reader.job("shop").job == SHOP
        with pytest.raises(StoreError, match="to be read"):
            reader.put(SHOP, now=1.0, who="ann")


def test_what_a_killed_writer_left_is_read_where_nobody_can_write(jobs: Jobs, home: Path, tmp_path: Path) -> None:
    jobs.put(SHOP, now=1.0, who="ann")
    with small_disk(tmp_path / "disk", 1000) as disk:
        whole, cut = shutil.copytree(home, disk / "whole"), shutil.copytree(home, disk / "cut")
        (cut / "jobs.sqlite-shm").unlink()
        frozen(disk)
        with Jobs(whole, read_only=True) as reader:
            assert [kept.job for kept in reader.jobs()] == [SHOP]
        with pytest.raises(StoreError, match="must be put in order before it can be read"):
            Jobs(cut, read_only=True)
        with pytest.raises(StoreError, match="can only be looked at here: its folder cannot be written"):
            Jobs(whole)


def test_a_reader_of_nothing_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there are no jobs here yet"):
        Jobs(tmp_path / "none", read_only=True)
    assert not (tmp_path / "none").exists()


def test_whoever_changes_something_wakes_the_server(jobs: Jobs, home: Path) -> None:
    jobs.put(SHOP, now=1.0, who="ann")  # nobody listens
    with listen(home) as server:
        for change in (
            lambda: jobs.put(replace(SHOP, note="new"), now=2.0, who="ann"),
            lambda: jobs.pause("shop", "", 2.0, "ann"),
            lambda: jobs.unpause("shop", 2.0, "ann"),
            lambda: jobs.ask_stop(jobs.plan(planned(3.0)).id, "kill", "ann", 4.0),  # type: ignore[union-attr]
            lambda: jobs.apply(Declared(Server(parallel=2)), 5.0, "ann"),
            lambda: jobs.remove("shop", 6.0, "ann"),
        ):
            change()
            assert server.recv(9) == b"\n"
        with pytest.raises(BlockingIOError):
            server.recv(9)


def test_the_server_is_woken_when_there_is_something_to_be_seen(jobs: Jobs, home: Path) -> None:
    jobs.put(SHOP, now=1.0, who="ann")
    with listen(home) as server:
        with jobs.change():
            jobs.pause("shop", "", 2.0, "ann")
            with pytest.raises(BlockingIOError):
                server.recv(9)
        assert server.recv(9) == b"\n"
        with pytest.raises(ValueError, match="no"), jobs.change():
            jobs.unpause("shop", 3.0, "ann")
            raise ValueError("no")
        with pytest.raises(BlockingIOError):
            server.recv(9)


def test_to_wake_never_waits_and_works_in_a_folder_of_a_very_long_name(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    with Jobs(deep) as jobs, listen(deep) as server:
        for _ in range(5000):  # more than a socket holds
            jobs.wake()
        assert server.recv(9) == b"\n"


def test_a_run_that_was_asked_for_is_in_the_audit_log(jobs: Jobs) -> None:
    jobs.put(SHOP, now=1.0, who="ann")
    run = jobs.plan(planned(2.0, cause=Cause.HAND, by="ben"))
    assert run is not None
    act = jobs.acts(job="shop")[0]
    assert (act.who, act.what, act.run, act.at) == ("ben", "run", run.id, 2.0)


def test_times_that_nobody_came_to_are_on_record_when_the_schedule_changes_or_rests(jobs: Jobs) -> None:
    hourly = replace(SHOP, schedule="@hourly")
    jobs.put(hourly, now=10.0, who="ann")
    jobs.put(replace(hourly, note="the same times"), now=8000.0, who="ann")
    assert jobs.runs() == []
    jobs.put(replace(hourly, schedule="@daily"), now=8000.0, who="ann")
    jobs.put(hourly, now=9000.0, who="ann")
    jobs.pause("shop", "", 18_001.0, "ann")
    jobs.pause("shop", "for long", 40_000.0, "ann")  # in a pause there are no times
    jobs.unpause("shop", 99_999.0, "ann")
    assert [(run.planned, run.due, run.count, run.state) for run in jobs.runs()] == [
        (10_800.0, 18_000.0, 3, State.MISSED),
        (3600.0, 7200.0, 2, State.MISSED),
    ]
    assert "got other times" in jobs.run(1).why
    assert "was paused" in jobs.run(2).why


def test_jobs_that_do_not_go_together_are_not_kept(jobs: Jobs) -> None:
    jobs.put(SHOP, now=1.0, who="ann")
    jobs.put(Job(name="next", spider="next", after=("shop",)), now=1.0, who="ann")
    before = jobs.jobs()
    for wrong, said in (
        (lambda: jobs.remove("shop", 2.0, "ann"), "'shop' is not removed: job 'next' runs after it"),
        (lambda: jobs.put(replace(SHOP, after=("next",)), now=2.0, who="ann"), "in a circle"),
        (
            lambda: jobs.put(replace(SHOP, alerts=Alerts(to=("ops",))), now=2.0, who="ann"),
            "there is no channel 'ops'",
        ),
    ):
        with pytest.raises(UsageError, match=said):
            wrong()
    assert jobs.jobs() == before


def test_what_is_declared_must_go_with_what_was_made_by_hand(jobs: Jobs) -> None:
    declared = Declared(Server(channels={"ops": Channel(command=("x",))}), {"shop": SHOP})
    jobs.apply(declared, 1.0, "ann")
    jobs.put(Job(name="mine", spider="x", after=("shop",), alerts=Alerts(to=("ops",))), now=2.0, who="ann")
    for changed in (Declared(declared.server), Declared(jobs={"shop": SHOP})):
        with pytest.raises(UsageError, match=r"\[jobs.mine\]"):
            jobs.apply(changed, 3.0, "ann")
    with pytest.raises(UsageError, match="no channel 'ops'"):
        jobs.set_server(Server(), 3.0, "ann")
    assert jobs.declared() == declared
