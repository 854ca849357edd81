"""`scraper jobs apply`: checked as a whole, shown, asked for, applied as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from tests.cli.jobs.conftest import Project

TOML = """
[jobs.shop]
spider = "shop"
schedule = "every day at 08:30"
timezone = "Europe/Berlin"
args = { shelf = "poetry" }

[jobs.news]
spider = "shop"
schedule = "every 30 minutes"
"""
Answers = Callable[[Sequence[str]], None]


def test_the_difference_is_shown_and_nothing_is_applied_without_a_word(project: Project) -> None:
    project.declare(TOML)
    said = project.jobs("apply")
    assert said.code == 2
    assert said.err.endswith("error: nothing was applied: there is nobody to ask; give --yes\n")
    assert said.lines[0] == "+ news"
    assert 'args.shelf: "poetry"' in said.lines
    assert not project.home.exists()


def test_who_says_no_at_a_terminal_changes_nothing(project: Project, answers: Answers) -> None:
    project.declare(TOML)
    answers(["n"])
    said = project.jobs("apply")
    assert (said.code, said.err.endswith("apply 2 changes? [y/N]: nothing was applied\n")) == (1, True)
    assert not project.home.exists()
    answers(["y"])
    assert "applied 2 changes" in project.jobs("apply").err


def test_applied_once_there_is_nothing_more_to_do(project: Project) -> None:
    project.declare(TOML)
    said = project.well("apply", "--yes")
    assert "applied 2 changes" in said.err
    assert "no server runs: jobs run when `scraper serve` runs" in said.err
    assert project.well("apply").lines == ["nothing has changed"]
    with project.store() as store:
        assert [(kept.job.name, kept.source) for kept in store.jobs()] == [("news", "file"), ("shop", "file")]
        assert {act.who for act in store.acts()} != {""}


def test_checking_only_tells_by_its_exit_code(project: Project) -> None:
    project.declare(TOML)
    assert project.jobs("apply", "--check").code == 1
    assert not project.home.exists()
    project.well("apply", "--yes")
    assert project.jobs("apply", "--check").code == 0


def test_a_wrong_argument_stops_all_of_it_and_each_wrong_job_has_its_line(project: Project) -> None:
    project.declare(
        TOML.replace("shelf =", "shelv =").replace('"shop"\nschedule = "every 30', '"shp"\nschedule = "every 30')
    )
    said = project.jobs("apply", "--yes")
    assert said.code == 2
    errors = [line for line in said.err.splitlines() if line != "imported"]
    assert len(errors) == 2
    assert errors[0].startswith("error: jobs.toml:6: [jobs.shop] args.shelv: ")
    assert errors[1].startswith("error: jobs.toml:9: [jobs.news] spider: no spider 'shp' ")
    assert "'shelv'" in errors[0]
    assert "did you mean 'shop'" in errors[1]
    assert not project.home.exists()


def test_all_wrong_keys_are_told_with_their_lines_and_what_spiders_do_not_take_beside_them(
    project: Project,
) -> None:
    project.declare(TOML.replace("shelf =", "shelv =") + 'overlp = "skip"\nkeep = "all"\n')
    said = project.jobs("apply", "--yes")
    assert said.code == 2
    assert [line.partition(" (")[0] for line in said.err.splitlines() if line != "imported"] == [
        "error: jobs.toml:6: [jobs.shop] args.shelv: spider 'shop' has no argument 'shelv'; did you mean 'shelf'?",
        "error: jobs.toml:11: [jobs.news] overlp: unknown key; did you mean 'overlap'?",
        "error: jobs.toml:12: [jobs.news] keep: must be a whole number, not 'all'",
    ]


def test_what_is_declared_no_more_goes_and_what_was_made_by_hand_stays(project: Project) -> None:
    project.declare(TOML)
    project.well("apply", "--yes")
    project.well("add", "mine", "--spider", "shop")
    project.declare(TOML.partition("[jobs.news]")[0])
    changes = json.loads(project.well("apply", "--yes", "--json").out)
    assert [(each["what"], each["job"]) for each in changes] == [("remove", "news")]
    assert [job["name"] for job in json.loads(project.well("--json").out)] == ["mine", "shop"]


def test_another_file_may_be_given_and_a_missing_one_is_told(project: Project) -> None:
    (project.folder / "more.toml").write_text('[jobs.a]\nspider = "shop"\n')
    project.well("apply", "more.toml", "--yes")
    assert project.jobs("apply").err == "error: jobs.toml cannot be read: No such file or directory\n"


def test_what_a_spider_prints_is_no_result(project: Project) -> None:
    project.declare(TOML)
    assert "imported" not in project.jobs("apply", "--check").out


def test_of_many_jobs_of_one_spider_its_file_is_imported_once(project: Project) -> None:
    project.declare(TOML)
    assert project.well("apply", "--yes").err.count("imported") == 1


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("output/.jobs/x.csv", "is in the folder of the server"),
        ("output/shop/../.jobs/jobs.sqlite", "is in the folder of the server"),
        ("link/jobs.sqlite", "is in the folder of the server"),
        ("link.sqlite", "is in the folder of the server"),
        ("output/{spider}/{run}/items.jsonl", "is in the folder of a run"),
        ("output/shop/20260101-000000-1/state.sqlite", "is in the folder of a run"),
        ("output/shop/{date}/items.jsonl", "is in the folder of a run"),
        ("output/shop/latest.csv/../latest/items.jsonl", "is a name that the runs of spider 'shop' need"),
        ("here/x.csv", "leads to a file that job 'first' writes"),
    ],
)
def test_no_job_writes_over_what_the_server_the_runs_or_other_jobs_keep(
    project: Project, output: str, said: str
) -> None:
    project.well("add", "old", "--spider", "shop")
    (project.folder / "link").symlink_to(project.home)
    (project.folder / "link.sqlite").symlink_to(project.home / "jobs.sqlite")
    (project.folder / "here").symlink_to(".")
    project.declare(f"""
[jobs.first]
spider = "shop"
output = ["x.csv", "output/shop/daily/x.csv", "output/x.csv"]

[jobs.bad]
spider = "shop"
key = ["url"]
output = {{ path = "{output}", only = "changes" }}
""")
    told = project.jobs("apply", "--yes")
    assert (told.code, said in told.err) == (2, True), told.err
    assert "jobs.toml:9: [jobs.bad] output: " in told.err
    if "first" not in said:
        for words in (["add", "bad", "--spider", "shop"], ["edit", "old"]):
            assert said in project.jobs(*words, "-o", output).err
    with project.store() as store:
        assert [(kept.job.name, kept.job.output) for kept in store.jobs()] == [("old", ())]
