"""`scraper crawl --run ID --order FILE`: what begins the crawls of planned runs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scraper.cli import main
from scraper.folder import RunFolder
from scraper.live import moments
from scraper.testing.site import Site
from tests.cli.command import Done, begin, ended, scraper

SPIDER = """
from scraper import Spider, arg

class One(Spider):
    name = "one"
    start_urls = ["{url}"]
    shelf: int = 1
    token: str = arg("", secret=True)

    def parse(self, response):
        yield {{"url": response.url, "shelf": self.shelf, "token": self.token}}
        yield response.follow_all(css="a[href]")
"""
RUN = "20260101-000000-7-1"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site() as opened:
        opened.tree(pages=5)
        yield opened


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: Site) -> Path:
    (tmp_path / "spiders").mkdir()
    (tmp_path / "spiders" / "one.py").write_text(SPIDER.format(url=site.url()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def order(**more: Any) -> str:
    given = {"spider": "one", "settings": {"delay": 0, "allow_private": True}, **more}
    return json.dumps(given)


async def crawl(here: Path, *words: str, typed: str = "", run: str = RUN) -> Done:
    return await scraper("crawl", "one", "--run", run, "--order", "-", *words, cwd=here, typed=typed or order())


def folder(here: Path) -> RunFolder:
    return RunFolder(here / "output" / "one" / RUN)


async def test_the_run_has_the_id_and_what_the_order_says(here: Path) -> None:
    words = order(arguments={"shelf": 7, "token": "hunter2"}, outputs=[{"path": "a.jsonl"}])
    done = await crawl(here, typed=words)
    assert done.code == 0, done.err
    items = [json.loads(line) for line in (here / "a.jsonl").read_text().splitlines()]
    assert len(items) == 5
    assert {(item["shelf"], item["token"]) for item in items} == {(7, "hunter2")}
    assert "hunter2" not in (folder(here).path / "run.json").read_text()
    assert folder(here).read().state == "finished"
    assert [*moments(folder(here).path)][-1].pages == 5


async def test_outputs_may_add_to_what_is_there(here: Path) -> None:
    (here / "a.jsonl").write_text("{}\n")
    places = [{"path": "a.jsonl", "append": True}, {"path": "b.jsonl"}]
    assert (await crawl(here, typed=order(outputs=places))).code == 0
    assert (here / "a.jsonl").read_text().count("\n") == 6
    assert (here / "b.jsonl").read_text().count("\n") == 5


async def test_a_second_time_it_says_so_and_ends_with_the_same_exit_code(here: Path, site: Site) -> None:
    words = order(settings={"delay": 0, "allow_private": True, "min_items": 9})
    assert (await crawl(here, typed=words)).code == 3
    number = len(site.hits)
    again = await crawl(here, typed=words)
    assert again.code == 3
    assert again.err == f"run {RUN} has ended already (rule broken): nothing is left to do\n"
    assert len(site.hits) == number


async def test_one_that_was_cut_short_goes_on(here: Path, site: Site) -> None:
    site.tree(pages=20, delay=0.05)
    words = order(settings={"delay": 0, "per_host": 1, "commit_every": 0.05, "allow_private": True})
    process = await begin("crawl", "one", "--run", RUN, "--order", "-", cwd=here)
    asyncio.get_running_loop().create_task(site.until(lambda: len(site.hits) > 8)).add_done_callback(
        lambda _: process.kill()
    )
    assert (await ended(process, words)).code == -9
    assert folder(here).read().state == "running"
    second = await crawl(here, "--quiet", typed=words)
    assert (second.code, second.err) == (0, "")
    assert folder(here).read().starts == 2
    urls = [json.loads(line)["url"] for line in folder(here).items.read_text().splitlines()]
    assert len(set(urls)) == len(urls) == 20


async def test_a_folder_that_came_no_further_than_its_name_is_begun_in(here: Path) -> None:
    folder(here).path.mkdir(parents=True)
    done = await crawl(here)
    assert done.code == 0, done.err
    assert folder(here).read().items == 5


async def test_a_run_that_is_being_crawled_is_left_alone(here: Path) -> None:
    assert (await crawl(here)).code == 0
    info = folder(here).read()
    info.state = "running"
    folder(here).write(info)
    with folder(here).hold():
        done = await crawl(here)
    assert done.code == 2
    assert f"run {RUN} is being crawled by another process" in done.err


@pytest.mark.parametrize("run", ["latest", "../x", "1/../../x", "1 2", "", "1" * 81, "1.", "1\n", "/etc", "-1"])
def test_an_id_is_no_path(here: Path, run: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["crawl", "nobody", f"--run={run}"])
    assert code == 2
    said = capsys.readouterr().err
    assert "cannot be the id of a run" in said or run == ""
    assert not (here / "output").exists()


def test_only_one_way_to_begin_is_taken(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crawl", "one", "--run", RUN, "--fresh"]) == 2
    assert "give one of them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no order has come: nothing is done"),
        ('{"spider": "on', "the order cannot be read: Input data was truncated"),
        ('{"spider": "two"}', "the order is for spider 'two', not for 'one'"),
        ('{"spider": "one", "argument": {}}', "the order cannot be read: Object contains unknown field `argument`"),
        ('{"spider": "one", "settings": {"dely": 1}}', "unknown setting 'dely'"),
        ('{"spider": "one", "arguments": {"shelf": "x"}}', "shelf"),
    ],
)
def test_a_wrong_order_is_told(here: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "order.json").write_text(text)
    assert main(["crawl", "one", "--run", RUN, "--order", "order.json"]) == 2
    assert said in capsys.readouterr().err
    assert not (here / "output").exists()


def test_the_words_for_machines_are_not_in_the_help(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crawl", "--help"]) == 0
    told = capsys.readouterr().out
    assert "--order" not in told
    assert "--run " not in told


async def test_a_run_whose_id_was_given_is_not_deleted_by_a_later_one(here: Path) -> None:
    assert (await crawl(here)).code == 0
    done = await scraper("crawl", "one", "-s", "delay=0", "-s", "allow_private=true", "-s", "keep_runs=1", cwd=here)
    assert done.code == 0, done.err
    assert folder(here).read().planned


async def test_a_command_of_a_person_does_not_go_on_with_it(here: Path) -> None:
    words = order(settings={"delay": 0, "allow_private": True})
    assert (await crawl(here, typed=words)).code == 0
    info = folder(here).read()
    info.state, info.started = "interrupted", time.time()
    folder(here).write(info)
    done = await scraper("crawl", "one", "-s", "delay=0", "-s", "allow_private=true", cwd=here)
    assert done.code == 0
    assert f"starting a new run; {RUN} is unfinished but is one of a job, whose server goes on with it" in done.err
