"""`scraper crawl` where an earlier run was cut short."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scraper.cli import main
from scraper.cli.crawl import Order, Plan, prepared
from scraper.errors import UsageError
from scraper.folder import FINISHED, INTERRUPTED, RUNNING, Place, RunFolder, runs_of
from scraper.testing.site import Site
from tests.cli.command import FAST, begin, ended, scraper

SPIDER = """
from scraper import Spider, arg

class One(Spider):
    name = "one"
    start_urls = ["{url}"]
    shelf: str = "poetry"
    token: str = arg("", secret=True)

    def parse(self, response):
        yield {{"url": response.url, "shelf": self.shelf}}
"""


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site() as opened:
        yield opened


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one spider."""
    monkeypatch.chdir(tmp_path)
    return spider(tmp_path)


def spider(folder: Path, url: str = "http://127.0.0.1:1/") -> Path:
    (folder / "one.py").write_text(SPIDER.format(url=url))
    return folder


def planned(*arguments: str, **order: Any) -> Plan:
    return prepared(Order(**{"word": "one.py", "arguments": arguments, **order}))


def left(*arguments: str, state: str = RUNNING, age: float = 60.0, **more: Any) -> RunFolder:
    """A run that was begun with these arguments and cut short before its first page."""
    plan = planned(*arguments)
    folder = RunFolder.make(plan.root, "one", time.time() - age)
    info = plan.identity.info(folder.run, time.time() - age)
    info.state = state
    for name, value in more.items():
        setattr(info, name, value)
    folder.write(info)
    folder.state.touch()
    return folder


def error(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(words.split()) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


async def test_the_same_command_goes_on_in_the_same_folder_with_all_outputs(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.page("/", "hello")
    monkeypatch.chdir(spider(tmp_path, site.url()))
    cut = left(outputs=[Place(str(tmp_path / "a.csv")), Place("-")])
    done = await scraper("crawl", "one.py", *FAST, "-o", "{run}.jsonl", cwd=tmp_path)
    assert done.code == 0, done.err
    first = done.err.splitlines()[0]
    assert first.startswith(f"continuing run {cut.run}, which died ")
    assert first.endswith("(--fresh starts anew)")
    assert done.out == ""
    assert [run.run for run in runs_of(tmp_path / "output/one")] == [cut.run]
    info = json.loads((cut.path / "run.json").read_text())
    assert (info["state"], info["starts"], info["exit_code"]) == (FINISHED, 2, 0)
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 2
    assert len((tmp_path / f"{cut.run}.jsonl").read_text().splitlines()) == 1
    again = await scraper("crawl", "one.py", *FAST, cwd=tmp_path)
    assert (again.code, "continuing" in again.err, "starting" in again.err) == (0, False, False)


async def test_a_killed_command_is_answered_by_its_next_start(tmp_path: Path) -> None:
    body = "    def parse(self, response):\n        yield {'url': response.url}\n"
    body += "        yield response.follow_all(css='a[href]')\n"
    async with Site() as site:
        paths = site.tree(pages=80, delay=0.03)
        text = SPIDER.format(url=site.url()).partition("    def parse")[0] + body
        (tmp_path / "one.py").write_text(text)
        words = ("crawl", "one.py", *FAST, "-s", "per_host=1", "-s", "commit_every=0.05", "-o", "a.jsonl")
        process = await begin(*words, cwd=tmp_path)
        await site.until(lambda: len(site.hits) > 30)
        both = await scraper(*words, cwd=tmp_path)
        assert both.code == 2
        assert f"is being crawled by another process (pid {process.pid}); --fresh starts" in both.err
        process.kill()
        await ended(process)
        done = await scraper(*words, cwd=tmp_path)
    assert done.code == 0, done.err
    assert re.match(r"continuing run \S+, which died \d+ s ago: \d+ answered, \d+ to go \(--fresh", done.err)
    urls = [json.loads(line)["url"] for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert sorted(urls) == sorted(site.url(path) for path in paths)


async def test_another_crawl_begins_beside_it_and_says_how_to_continue(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.page("/", "hello")
    monkeypatch.chdir(spider(tmp_path, site.url()))
    cut = left()
    done = await scraper("crawl", "one.py", *FAST, "-a", "shelf=art", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.err.splitlines()[0] == (
        f"starting a new run; {cut.run} is unfinished but its arguments differ (shelf); "
        f"to continue it: scraper crawl one.py --resume {cut.run}"
    )
    on = await scraper("crawl", "--resume", cut.run, *FAST, "-q", cwd=tmp_path)
    assert (on.code, on.err) == (0, "")
    assert json.loads(cut.items.read_text())["shelf"] == "poetry"


def test_fresh_starts_anew_and_deletes_nothing(here: Path) -> None:
    cut = left()
    assert planned().choice.folder is not None
    plan = planned(fresh=True)
    assert (plan.choice.folder, plan.choice.said) == (None, "")
    assert cut.read().state == RUNNING


def test_a_named_run_brings_its_spider_and_its_arguments(here: Path) -> None:
    cut = left("shelf=art", age=1e6)
    plan = planned(word="", resume="one")
    assert plan.choice.folder is not None
    assert plan.choice.folder.run == cut.run
    assert vars(plan.spider)["shelf"] == "art"
    plan = planned("shelf=x", resume=cut.run)
    assert "though its arguments differ (shelf)" in plan.choice.said
    assert vars(plan.spider)["shelf"] == "x"


def test_a_secret_of_a_named_run_has_to_be_given_again(here: Path) -> None:
    cut = left("token=s3cret", "shelf=art")
    assert "s3cret" not in (cut.path / "run.json").read_text()
    with pytest.raises(UsageError, match=r"did not keep what is secret: give -a token=\.\.\. again"):
        planned(resume=cut.run)
    plan = planned("token=s3cret", resume=cut.run)
    assert "though" not in plan.choice.said
    assert vars(plan.spider)["shelf"] == "art"
    assert "though its arguments differ (a secret one)" in planned("token=0ther", resume=cut.run).choice.said


def test_a_named_run_goes_on_though_its_source_has_changed(here: Path) -> None:
    cut = left()
    with (here / "one.py").open("a") as file:
        file.write("    x = 1\n")
    assert f"{cut.run} is unfinished but the spider's source has changed" in planned().choice.said
    assert "though the spider's source has changed" in planned(resume=cut.run).choice.said


def test_runs_elsewhere_are_named_by_their_folder(here: Path) -> None:
    plan = planned(root="kept")
    folder = RunFolder.make(plan.root, "one", time.time())
    folder.write(plan.identity.info(folder.run, time.time()))
    folder.state.touch()
    said = planned("shelf=art", root="kept").choice.said
    assert said.endswith(f"to continue it: scraper crawl one.py --resume kept/one/{folder.run}")
    assert planned(resume=f"kept/one/{folder.run}").choice.folder is not None


def test_what_cannot_go_on_is_one_line_and_exit_code_2(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = left(state=FINISHED)
    assert "there is nothing to continue" in error(f"crawl one.py --resume {done.run}", capsys)
    cut = left()
    assert "durability = none" in error(f"crawl one.py --resume {cut.run} -s durability=none", capsys)
    with cut.hold():
        assert "--fresh starts another one beside it" in error("crawl one.py", capsys)
        assert "is being crawled by" in error(f"crawl one.py --resume {cut.run}", capsys)
    (here / "two.py").write_text(SPIDER.format(url="http://a.test/").replace('"one"', '"two"'))
    assert "is one of spider 'one', not of 'two'" in error(f"crawl two.py --resume {cut.run}", capsys)
    info = cut.read()
    info.outputs = [Place(str(here / "one.py" / "a.csv"))]
    cut.write(info)
    assert "a.csv cannot be written" in error("crawl one.py", capsys)
    assert cut.read() == info


def test_runs_tell_which_can_be_continued(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut, lost = left(), left(state=INTERRUPTED)
    lost.state.unlink()
    assert main(["runs"]) == 0
    told = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert "died, resumable" in told[cut.run]
    assert "resumable" not in told[lost.run]
    assert main(["runs", cut.run]) == 0
    assert f"to continue it: scraper crawl --resume {cut.run}" in capsys.readouterr().out
    assert main(["runs", lost.run]) == 0
    assert "to continue" not in capsys.readouterr().out
    with cut.hold():
        assert main(["runs"]) == 0
        assert "resumable" not in capsys.readouterr().out


def test_a_run_that_a_newer_one_has_made_up_for_is_left_alone(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = left()
    assert planned().choice.folder is not None
    left(state=FINISHED, age=1.0)
    assert planned().choice.folder is None
    assert planned(resume=cut.run).choice.folder is not None
