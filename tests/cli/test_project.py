"""`scraper new`, `list`, `settings`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scraper.cli import main
from scraper.settings import NAMES
from scraper.testing.demo import Demo
from tests.cli.command import FAST, scraper


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_a_new_spider_in_a_new_project_runs_as_it_is(here: Path) -> None:
    assert main(["new", "project", "shop"]) == 0
    async with Demo() as url:
        inside = here / "shop" / "spiders"  # a command may stand anywhere in the project
        done = await scraper("new", "spider", "corner-shelf", url, cwd=inside)
        assert done.code == 0, done.err
        done = await scraper("crawl", "corner-shelf", *FAST, cwd=inside)
    assert done.code == 0, done.err
    titles = (here / "shop/output/corner-shelf/latest/items.jsonl").read_text().splitlines()
    assert "The Corner Shelf" in {json.loads(line)["title"] for line in titles}


def test_new_overwrites_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "spiders").mkdir()
    (here / "spiders" / "a_b.py").write_text("mine")
    assert main(["new", "spider", "a-b", "http://a.example/"]) == 2
    assert main(["new", "project", "spiders"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert (here / "spiders" / "a_b.py").read_text() == "mine"


@pytest.mark.parametrize(("name", "url"), [("../x", "http://a.example/"), ("x", "file:///etc/passwd"), ("x", "a")])
def test_new_spider_refuses_what_cannot_run(here: Path, name: str, url: str) -> None:
    assert main(["new", "spider", name, url]) == 2
    assert not list(here.iterdir())


def test_a_url_cannot_break_out_of_the_template(here: Path) -> None:
    assert main(["new", "spider", "x", 'http://a.example/?q=";import+os;"{y}']) == 0
    compile((here / "spiders" / "x.py").read_text(), "x.py", "exec")


def test_list_reads_files_without_importing_them(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "spiders").mkdir()
    (here / "spiders" / "boom.py").write_text(
        'raise SystemExit\nclass A(Spider):\n    """Reads shops.\n\n    More."""\n    name = "shop"\n'
    )
    assert main(["list"]) == 0
    assert capsys.readouterr().out.split() == ["shop", "spiders/boom.py:2", "Reads", "shops."]


def test_list_works_with_no_spiders(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert capsys.readouterr().out == ""


def test_settings_shows_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings"]) == 0
    shown = [line.split()[0] for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert shown == ["name", *NAMES]


def test_settings_of_a_spider_tell_who_set_them_and_no_secret(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "scraper.toml").write_text(
        'contact = "me"\nauth = "user:geheim"\nproxy = "http://u:geheim@p.example/"\n'
    )
    (here / "a.py").write_text(
        "from scraper import Spider\nclass A(Spider):\n    name = 'a'\n    settings = {'delay': 2}\n"
    )
    monkeypatch.setenv("SCRAPER_TIMEOUT", "9")
    assert main(["settings", "--spider", "a.py", "-s", "retries=1"]) == 0
    out = capsys.readouterr().out
    found = {line.split()[0]: line for line in out.splitlines()}
    assert "settings of spider 'a'" in found["delay"]
    assert "environment" in found["timeout"]
    assert found["retries"].endswith("-s")
    assert found["contact"].endswith(" scraper.toml")
    assert found["concurrency"].endswith("default")
    assert "geheim" not in out


def test_a_misspelt_setting_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "dealy"]) == 2
    assert "did you mean 'delay'?" in capsys.readouterr().err
