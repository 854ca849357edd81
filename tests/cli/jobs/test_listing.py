"""`scraper jobs list`, `show` and `next`."""

from __future__ import annotations

import json
import sys
import time

import pytest
from msgspec.structs import replace

from scraper.jobs import schedule
from scraper.jobs.record import JobRun, State
from tests.cli.jobs.conftest import Project
from tests.outputs.disks import frozen, small_disk

BERLIN = ("--spider", "shop", "--schedule", "every day at 08:30", "--timezone", "Europe/Berlin")


def test_before_there_are_jobs_it_says_how_to_make_one(project: Project) -> None:
    said = project.well()
    assert (said.out, said.err.startswith("no jobs yet: `scraper jobs add NAME")) == ("", True)
    assert project.well("--json").out == "[]\n"
    assert project.jobs("show", "shop").err.startswith("error: there are no jobs in output/ yet")
    for words in (["edit", "shop"], ["run", "shop"], ["pause", "shop"], ["backup", "x"], ["next"], ["run-due"]):
        assert project.jobs(*words).code == 2, words
    assert project.well("users", "--json").out == project.well("tokens", "--json").out == "[]\n"
    assert not project.home.exists()


def test_each_job_is_a_line_with_times_in_its_zone(project: Project) -> None:
    project.well("add", "berlin", *BERLIN)
    project.well("add", "by-hand", "--spider", "shop")
    said = project.well()
    head, berlin, hand = said.lines[:3]
    assert head == "job next last schedule"
    assert berlin.startswith("berlin ")
    assert " 08:30 CE" in berlin
    assert berlin.endswith("- every day at 08:30 Europe/Berlin")
    assert hand == "by-hand - - by hand"
    assert "no server runs" in said.err
    assert [job["name"] for job in json.loads(project.well("list", "--json").out)] == ["berlin", "by-hand"]


def test_the_next_times_of_all_jobs_are_in_order(project: Project) -> None:
    project.well("add", "berlin", *BERLIN, "--jitter", "1h")
    project.well("add", "often", "--spider", "shop", "--schedule", "every 6 hours")
    said = project.well("next", "--count", "9")
    assert len(said.lines) == 10
    found = json.loads(project.well("next", "--json", "--count", "9").out)
    assert [each["planned"] for each in found] == sorted(each["planned"] for each in found)
    assert {each["job"] for each in found} == {"berlin", "often"}
    late = [each["begins"] - each["planned"] for each in found if each["job"] == "berlin"]
    assert all(0 < seconds < 3600 for seconds in late)
    assert [line.split()[1] for line in project.well("next", "berlin").lines[1:]] == ["08:30:00"] * 10


def test_without_cronsim_what_needs_it_says_so_and_the_rest_goes_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.well("add", "nightly", "--spider", "shop", "--schedule", "17 3 11 * *")
    project.well("add", "often", "--spider", "shop", "--schedule", "every 6 hours")
    schedule._shared.cache_clear()  # as in another process
    monkeypatch.setitem(sys.modules, "cronsim", None)
    for words in (
        ["run-due"],
        ["next"],
        ["next", "nightly"],
        ["pause", "nightly"],
        ["edit", "nightly", "--note", "x"],
    ):
        said = project.jobs(*words)
        assert said.code == 2, words
        assert said.err.count("cronsim: install scraper with its extra `server`") == 1, said.err
    assert len(project.jobs("next").lines) == 11
    assert project.well("list").lines[1].startswith("nightly - - schedule: cron needs the package cronsim")
    with project.store() as store:
        assert not store.job("nightly").paused


def test_a_job_is_shown_with_how_it_stands_and_as_it_is_declared(project: Project) -> None:
    project.well("add", "berlin", *BERLIN, "-a", "token=s3cret", "--note", "for the shelf")
    with project.store() as store:
        run = store.plan(JobRun(id=0, job="berlin", spider="shop", planned=time.time() - 9, began=time.time() - 8))
        assert run is not None
        store.update(replace(run, state=State.FAILED, ended=time.time(), pages=3, why="status: 404\x1b[2J"))
    said = project.well("show", "berlin")
    text = " ".join(said.lines)
    assert "berlin, made by hand, changed " in text
    assert "run 1 failed" in text
    assert "3 pages, 0 items, status: 404\\x1b[2J" in text
    assert 'note = "for the shelf"' in said.out
    assert "s3cret" not in said.out
    assert 'token = "***"' in said.out
    assert 'token = "s3cret"' in project.well("show", "berlin", "--toml", "--secrets").out
    assert json.loads(project.well("show", "berlin", "--json").out)["job"]["args"] == {"token": "***"}
    assert " failed " in project.well().out


def test_a_name_that_is_near_is_suggested(project: Project) -> None:
    project.well("add", "berlin", *BERLIN)
    for word in ("show", "next", "pause", "run", "log", "cancel"):
        said = project.jobs(word, "berln")
        assert (said.code, said.err) == (2, "error: no job 'berln'; did you mean 'berlin'?\n"), word


LOOKS = ["list", "show berlin", "next", "runs", "runs 1", "alerts", "audit", "apply --check", "users", "tokens"]
CHANGES = [
    "add x --spider shop",
    "pause berlin",
    "run berlin",
    "users add ann",
    "run-due",
    "restore copy -y",
]


def test_in_a_folder_that_cannot_be_written_everything_can_be_looked_at(project: Project) -> None:
    project.declare('[jobs.berlin]\nspider = "shop"\n')
    with small_disk(project.folder / "output", 4000) as disk:
        project.well("apply", "--yes")
        project.well("run", "berlin")
        frozen(disk)
        for words in LOOKS:
            assert project.well(*words.split()).code == 0, words
        assert project.well("list").lines[1].startswith("berlin - queued")
        project.well("backup", "copy")
        for words in CHANGES:
            said = project.jobs(*words.split())
            assert said.code in (1, 2), words
            assert "its folder cannot be written" in said.err or "Read-only file system" in said.err, said.err
            assert said.err.count("error: ") == 1
