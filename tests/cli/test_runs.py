"""`scraper runs` and `scraper export`."""

from __future__ import annotations

import csv
import signal
from pathlib import Path

import pytest

from scraper.cli import main
from scraper.folder import FAILED, RunFolder, RunInfo, find
from scraper.testing.site import Site
from tests.cli.command import FAST, begin, ended, scraper
from tests.cli.test_crawl import spider

BODY = "yield {'url': response.url}; yield response.follow_all(css='a[href]')"


async def test_a_run_that_was_killed_is_told_and_its_items_can_be_exported(tmp_path: Path) -> None:
    async with Site() as site:
        site.tree(pages=500, fanout=3, delay=0.1)
        process = await begin("crawl", spider(tmp_path, site.url(), BODY), *FAST, cwd=tmp_path)
        await site.until(lambda: len(site.hits) > 40)
        running = await scraper("export", "one/current", "-o", "a.csv", cwd=tmp_path)
        assert running.code == 2
        assert "still running" in running.err
        assert "running" in (await scraper("runs", cwd=tmp_path)).out
        process.send_signal(signal.SIGKILL)
        await ended(process)
    assert "died" in (await scraper("runs", cwd=tmp_path)).out
    journal = tmp_path / "output/one/current/items.jsonl"
    whole = len(journal.read_text().splitlines())
    with journal.open("a") as file:
        file.write('{"url": "half a li')
    assert f"{whole} items can be exported" in (await scraper("runs", "one/current", cwd=tmp_path)).out
    done = await scraper("export", "one/current", "-o", "a.csv", "-o", "-", cwd=tmp_path)
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == whole > 0
    with (tmp_path / "a.csv").open(newline="") as found:
        assert len(list(csv.DictReader(found))) == whole


async def test_a_run_is_told_with_its_politeness_and_errors(tmp_path: Path) -> None:
    async with Site() as site:
        site.page("/", '<a href="/gone">')
        assert (await scraper("crawl", spider(tmp_path, site.url(), BODY), *FAST, cwd=tmp_path)).code == 0
    done = await scraper("runs", "one", cwd=tmp_path)
    assert done.code == 0
    assert "status: 404" in done.out
    assert "kept" in done.out
    assert f"127.0.0.1:{site.port}" in done.out


def test_no_runs_are_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["runs"]) == 0


def test_a_misspelt_run_gets_a_suggestion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    made = RunFolder.make(tmp_path / "output", "shop", 0.0)
    made.write(RunInfo(run=made.run, spider="shop", state=FAILED))
    assert find(tmp_path / "output", "shop").run == made.run
    assert main(["export", "shpo", "-o", "a.csv"]) == 2
    assert "did you mean 'shop'?" in capsys.readouterr().err


def test_a_folder_is_held_as_long_as_its_run(tmp_path: Path) -> None:
    folder = RunFolder.make(tmp_path, "shop", 0.0)
    assert not folder.held()
    with folder.hold():
        assert RunFolder(folder.path).held()
    assert not folder.held()


def test_a_state_that_cannot_be_read_leaves_the_rest_to_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    made = RunFolder.make(tmp_path / "output", "shop", 0.0)
    made.write(RunInfo(run=made.run, spider="shop", state=FAILED, starts=3))
    made.items.write_text('{"a": 1}\n')
    made.state.write_text("no database" * 100)
    assert main(["runs", made.run]) == 0
    told = capsys.readouterr().out
    assert "processes  3 have worked on it" in told
    assert "state.sqlite" in told
