"""`scraper jobs add`, `edit`, `remove`, `pause` and `unpause`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from scraper.jobs.declared import declared_from
from scraper.jobs.job import Alerts, CatchUp, Job, Output, Overlap
from tests.cli.jobs.conftest import Project

EVERYTHING = (
    "--spider", "shop", "--schedule", "30 8 * * mon-fri", "--timezone", "Europe/Berlin", "-a",
    "shelf=poetry", "-s", "delay=0.25", "-o", "a.csv", "--changes", "b.jsonl", "--append", "--key", "title",
    "--overlap", "queue_one",
    "--catch-up", "all", "--catch-up-within", "2 days", "--no-resume", "--alert", "items_below=0.5",
    "--alert", "failed=no", "--after", "other", "--jitter", "5m", "--start", "2026-01-01", "--end", "2036-01-01",
    "--blackout", "22:00-06:00", "--blackout", "sun 00:00-24:00", "--timeout", "1h30m", "--memory", "500 MB",
    "--retries", "2", "--retry-delay", "10 minutes", "--priority", "3", "--parallel", "1", "--group", "shops",
    "--keep", "20", "--note", "for people",
)  # fmt: skip
Answers = Callable[[Sequence[str]], None]


def job(project: Project, name: str) -> Job:
    with project.store() as store:
        return store.job(name).job


def test_every_field_of_a_job_has_an_option(project: Project) -> None:
    project.well("add", "other", "--spider", "shop")
    project.well("add", "full", *EVERYTHING)
    made = job(project, "full")
    assert made == Job(
        name="full", spider="shop", schedule="30 8 * * mon-fri", timezone="Europe/Berlin", args={"shelf": "poetry"},
        settings={"delay": 0.25}, output=(Output("a.csv", append=True), Output("b.jsonl", "changes", append=True)),
        key=("title",), overlap=Overlap.QUEUE_ONE, catch_up=CatchUp.ALL, catch_up_within=172800.0, resume=False,
        alerts=Alerts(failed=False, items_below=0.5), after=("other",), jitter=300.0, start="2026-01-01",
        end="2036-01-01", blackout=("22:00-06:00", "sun 00:00-24:00"), timeout=5400.0, memory=500_000_000,
        retries=2, retry_delay=600.0, priority=3, parallel=1, group="shops", keep=20, note="for people",
    )  # fmt: skip
    usual = msgspec.structs.asdict(Job(name="full", spider=""))
    assert [name for name, value in usual.items() if value == getattr(made, name)] == ["name", "parallel"]


def test_an_added_job_is_said_with_its_next_time(project: Project) -> None:
    said = project.well("add", "shop", "--spider", "shop", "--schedule", "every day at 8:30")
    assert said.out.startswith("added job shop: every day at 08:30 UTC; next: ")
    assert said.err.endswith("no server runs: it runs when `scraper serve` runs\n")
    assert "it has no planned times: `scraper jobs run hand`" in project.well("add", "hand", "--spider", "shop").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--spider", "shp"], "[jobs.x] spider: no spider 'shp'"),
        (["--spider", "shop", "-a", "shelv=art"], "[jobs.x] args.shelv: spider 'shop' has no argument 'shelv'"),
        (["--spider", "shop", "-a", "pages=many"], "'pages'"),
        (["--spider", "shop", "-s", "dely=1"], "did you mean 'delay'"),
        (["--spider", "shop", "--schedule", "30 25 * * *"], "schedule: '30 25 * * *'"),
        (["--spider", "shop", "--timezone", "Berlin"], "did you mean 'Europe/Berlin'?"),
        (["--spider", "shop", "--timeout", "soon"], "timeout: must be a duration"),
        (["--spider", "shop", "--alert", "itms_below=0.5"], "did you mean 'items_below'"),
        (["--spider", "shop", "--append"], "--append is for -o and --changes"),
        (["--spider", "shop", "--changes", "a.jsonl"], "needs `key`"),
        (["--spider", "spiders/shop.py"], "must be the name of a spider"),
        ([], "[jobs.x] spider: is missing"),
    ],
)
def test_a_wrong_job_is_told_in_one_line_and_not_added(project: Project, words: list[str], said: str) -> None:
    told = project.jobs("add", "x", *words)
    errors = [line for line in told.err.splitlines() if line != "imported"]
    assert told.code == 2
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    assert said in errors[0]
    assert not project.home.exists()


def test_a_name_is_taken_once(project: Project) -> None:
    project.well("add", "shop", "--spider", "shop")
    said = project.jobs("add", "shop", "--spider", "shop")
    assert (said.code, "there is a job 'shop' already: `scraper jobs edit shop`" in said.err) == (2, True)


def test_editing_adds_pairs_replaces_values_and_takes_away(project: Project) -> None:
    project.well("add", "shop", "--spider", "shop", "-a", "shelf=art", "--timeout", "1h", "--key", "title")
    said = project.well(
        "edit", "shop", "-a", "pages=9", "--key", "url", "--unset", "timeout", "--unset", "args.shelf"
    )
    assert said.lines[0] == "~ shop"
    assert 'key: ["title"] -> ["url"]' in said.lines
    made = job(project, "shop")
    assert (made.args, made.key, made.timeout) == ({"pages": "9"}, ("url",), None)
    assert project.jobs("edit", "shop", "--unset", "timeut").code == 2
    assert "did you mean 'timeout'" in project.jobs("edit", "shop", "--unset", "timeut").err
    assert "args has no 'shelf'" in project.jobs("edit", "shop", "--unset", "args.shelf").err


def test_a_wrong_edit_changes_nothing(project: Project) -> None:
    project.well("add", "shop", "--spider", "shop", "-a", "shelf=art")
    before = job(project, "shop")
    assert project.jobs("edit", "shop", "--schedule", "evry day").code == 2
    assert project.jobs("edit", "shop", "-a", "pages=x").code == 2
    assert project.jobs("edit", "shop").err.startswith("error: what is to be changed?")
    said = project.well("edit", "shop", "-a", "shelf=art", "--note", "")
    assert said.err.splitlines()[-1] == "nothing has changed"
    assert job(project, "shop") == before


def test_a_job_of_the_file_that_is_edited_is_said_to_be_taken_back(project: Project) -> None:
    project.declare('[jobs.shop]\nspider = "shop"\n')
    project.well("apply", "--yes")
    assert "the next `scraper jobs apply` takes it back" in project.well("edit", "shop", "--note", "a").err
    assert "(it was made by hand)" in project.jobs("apply", "--check").out


def test_an_editor_gets_the_job_as_toml(
    project: Project, answers: Answers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project.well("add", "shop", "--spider", "shop", "--schedule", "@daily")
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/@daily/every 2 hours/' \"$1\"\n")
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    answers([])
    project.well("edit", "shop")
    assert job(project, "shop").schedule == "every 2 hours"
    editor.write_text("#!/bin/sh\nsed -i 's/every/evry/' \"$1\"\n")
    answers(["n"])
    said = project.jobs("edit", "shop")
    assert said.code == 2
    assert "did you mean" in said.err
    assert "nothing was changed" in said.err
    assert job(project, "shop").schedule == "every 2 hours"


def test_what_is_shown_as_toml_declares_the_same_job(project: Project) -> None:
    import tomllib

    project.well("add", "other", "--spider", "shop")
    project.well("add", "full", *EVERYTHING)
    declared = declared_from(tomllib.loads(project.well("show", "full", "--toml").out))
    assert declared.jobs["full"] == job(project, "full")


def test_a_paused_job_is_paused_until_it_is_unpaused(project: Project) -> None:
    project.well("add", "shop", "--spider", "shop", "--schedule", "@daily")
    project.well("pause", "shop", "--why", "the shop is closed")
    assert any(line.startswith("shop paused") for line in project.well().lines)
    assert "the shop is closed" in project.well("show", "shop").out
    assert "none of them takes place" in project.well("next", "shop").err
    assert project.well("next").err == "nothing is planned\n"
    assert project.well("unpause", "shop").out.startswith("unpaused job shop: every day at 00:00 UTC; next: ")


def test_a_removed_job_is_gone_and_its_history_is_not(project: Project, answers: Answers) -> None:
    project.well("add", "shop", "--spider", "shop")
    project.well("run", "shop")
    answers(["n"])
    assert project.jobs("remove", "shop").code == 1
    project.well("remove", "shop", "--yes")
    assert project.jobs("remove", "shop").err == "error: no job 'shop'; there are none\n"
    assert project.well("runs", "shop").lines[1].startswith("1 cancelled")


def test_a_job_that_another_comes_after_stays(project: Project) -> None:
    project.well("add", "shop", "--spider", "shop")
    project.well("add", "then", "--spider", "shop", "--after", "shop")
    assert project.jobs("remove", "shop", "--yes").code == 2
    assert "after shop" in project.well().out


def test_all_that_is_wrong_with_a_new_job_is_told_in_a_line_each(project: Project) -> None:
    words = ["--spider", "shop", "-a", "shelv=x", "--schedule", "evry day", "--memory", "5 QB", "--retries", "many"]
    said = project.jobs("add", "new", *words)
    told = [line for line in said.err.splitlines() if line != "imported"]
    assert [line.split(":")[2].removeprefix(" [jobs.new] ") for line in told] == [
        "memory", "retries", "schedule", "args.shelv",
    ]  # fmt: skip
    assert all(line.startswith("error: not added: [jobs.new] ") for line in told)
    assert (said.code, project.home.exists()) == (2, False)
