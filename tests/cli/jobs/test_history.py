"""`scraper jobs runs`, `alerts` and `audit`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from scraper.jobs.job import Channel, Server
from scraper.jobs.record import Alert, Attempt, Delivery, JobRun, State
from tests.cli.jobs.conftest import Project

T = 1_900_000_000.0


def past(project: Project, number: int, state: State, **given: Any) -> JobRun:
    """A run that is over."""
    with project.store() as store:
        planned = T + 60 * number
        run = store.plan(JobRun(id=0, job="shop", spider="shop", planned=planned, **given))
        assert run is not None
        return store.update(
            replace(run, state=state, ended=planned + 5, began=planned if state is not State.SKIPPED else 0),
            attempt=Attempt(number=1, run="20300101-000000-1-1", pid=1, started=planned),
        )


def test_runs_are_listed_from_the_oldest_to_the_newest_a_page_at_a_time(project: Project) -> None:
    project.well("add", "shop", "--spider", "shop", "--timezone", "Asia/Tokyo")
    past(project, 1, State.FINISHED)
    past(project, 2, State.SKIPPED)
    past(project, 3, State.RULE_BROKEN)
    lines = project.well("runs").lines
    assert lines[0] == "run job state planned took pages items"
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3"]
    assert lines[3].startswith("3 shop rule broken 2030-03-18 02:49 JST 5.0 s 0 0")
    said = project.well("runs", "shop", "--limit", "2")
    assert said.err == "there are earlier ones: --before 2\n"
    assert [line.split()[0] for line in said.lines[1:]] == ["2", "3"]
    assert len(project.well("runs", "--before", "2").lines) == 2
    assert [line.split()[0] for line in project.well("runs", "--state", "skipped").lines[1:]] == ["2"]
    assert len(json.loads(project.well("runs", "--json").out)["runs"]) == 3
    assert project.jobs("runs", "--state", "skiped").code == 2


def test_one_run_is_told_whole(project: Project) -> None:
    project.well("add", "shop", "--spider", "shop")
    past(project, 1, State.FAILED, by="ann", args={"shelf": "art"}, why="status: 500")
    said = project.well("runs", "1")
    assert "(schedule, by ann)" in said.out
    assert "arguments shelf=art" in said.lines
    assert "state failed, status: 500" in said.lines
    assert json.loads(project.well("runs", "1", "--json").out)["run"]["state"] == "failed"
    assert project.jobs("runs", "7").code == 2
    assert project.jobs("log", "7").code == 2


def test_with_which_run_one_was_compared_is_told(project: Project) -> None:
    project.well("add", "shop", "--spider", "shop")
    past(project, 1, State.FINISHED, run="20300101-000000-1-1", added=2, changed=1, removed=0)
    with project.store() as store:
        folder = store.home.parent / "shop" / "20300101-000000-1-1"
    folder.mkdir(parents=True)
    (folder / "changes.json").write_text('{"old": "20291231-000000-7-1", "key": ["id"]}')
    told = "changes +2 ~1 -0: items added, changed, removed against run 20291231-000000-7-1"
    assert told in " ".join(project.well("runs", "1").out.split())


def test_what_was_missed_in_bulk_says_how_much(project: Project) -> None:
    project.well("add", "shop", "--spider", "shop")
    past(project, 1, State.MISSED, count=1234, due=T + 600, why="no server was awake at this time")
    assert "1,234 times from then on, no server was awake at this time" in project.well("runs").lines[1]
    assert "stands for 1,234 planned times, the last at 2030-03-17 17:56:40 UTC" in project.well("runs", "1").lines


def test_alerts_say_whether_they_were_told_and_are_over(project: Project) -> None:
    project.well("add", "shop", "--spider", "shop")
    assert project.well("alerts").err == "no alerts\n"
    with project.store() as store:
        first = store.raise_alert(Alert(job="shop", rule="items_below", at=T, text="few items\x07"))
        store.raise_alert(Alert(job="shop", rule="failed", at=T + 60, text="it failed", told=T + 61))
        store.end_alert(first.id, T + 120)
    lines = project.well("alerts").lines
    assert lines[1] == "1 shop items below 2030-03-17 17:46 UTC 2030-03-17 17:48 UTC no few items\\x07"
    assert lines[2] == "2 shop failed 2030-03-17 17:47 UTC now yes it failed"
    assert len(project.well("alerts", "--open").lines) == 2
    assert [each["id"] for each in json.loads(project.well("alerts", "--open", "--json").out)] == [2]


def test_messages_say_where_they_went_and_why_they_were_given_up(project: Project) -> None:
    project.well("add", "shop", "--spider", "shop", "--timezone", "Asia/Kolkata")
    assert project.well("messages").err == "no messages\n"
    assert project.well("messages", "--failed").err == "no message was given up\n"
    with project.store() as store:
        one = store.raise_alert(Alert(job="shop", rule="items_below", at=T, text="few items"))
        two = store.raise_alert(Alert(job="other", rule="failed", at=T, text="it failed"))
        disk = store.raise_alert(Alert(job="", rule="free_space", at=T, text="little is free"))
        store.deliver([
            Delivery(channel="ops", alerts=(one.id,), due=T, tries=1, sent=T + 60),
            Delivery(channel="mail", alerts=(one.id,), due=T, tries=31, given_up=T + 86400, error="no\x07"),
            Delivery(channel="ops", alerts=(two.id, disk.id), recovered=(one.id,), due=T + 120),
        ])  # fmt: skip
    lines = project.well("messages").lines
    assert lines[0] == "id channel state when tries tells of trouble"
    assert lines[1] == "1 ops sent 2030-03-17 23:17 IST 1 shop items below"
    assert lines[2] == "2 mail given up 2030-03-18 23:16 IST 31 shop items below no\\x07"
    assert (
        lines[3] == "3 ops waits 2030-03-17 17:48 UTC 0 other failed, (server) free space, shop items below is over"
    )
    assert project.well("messages", "--failed").lines[1:] == [lines[2]]
    assert [each["id"] for each in json.loads(project.well("messages", "--before", "3", "--json").out)] == [1, 2]


@pytest.mark.parametrize("command", ["alerts", "audit"])
def test_a_job_that_never_was_gets_a_suggestion_and_one_that_is_gone_does_not(
    project: Project, command: str
) -> None:
    project.well("add", "shop", "--spider", "shop")
    project.well("add", "old", "--spider", "shop")
    project.well("remove", "old", "--yes")
    refused = project.jobs(command, "shp")
    assert (refused.code, refused.err) == (2, "error: no job 'shp'; did you mean 'shop'?\n")
    assert project.jobs(command, "old").code == 0


def test_a_channel_is_tested(project: Project) -> None:
    project.well("add", "shop", "--spider", "shop")
    here = str(project.folder / "told")
    with project.store() as store:
        channels = {"ops": Channel(command=("tee", here)), "broken": Channel(command=("false",))}
        store.set_server(Server(channels=channels), T, "test")
    assert project.well("test-alert", "ops").out == "told ops\n"
    assert "test" in (project.folder / "told").read_text()
    assert project.jobs("test-alert", "broken").code == 1
    assert "did you mean 'ops'" in project.jobs("test-alert", "op").err


def test_who_did_what_is_on_record_under_the_name_of_the_user(project: Project) -> None:
    import os
    import pwd

    project.well("add", "shop", "--spider", "shop")
    project.well("pause", "shop", "--why", "closed")
    project.well("users", "add", "ann")
    acts = json.loads(project.well("audit", "--json").out)
    assert [(act["what"], act["job"]) for act in acts] == [("add", "shop"), ("pause", "shop"), ("user", "")]
    assert {act["who"] for act in acts} == {pwd.getpwuid(os.getuid()).pw_name}
    lines = project.well("audit", "shop", "--limit", "1").lines
    assert lines[1].endswith("pause shop closed")
    assert len(project.well("audit", "--before", "2").lines) == 2
