"""The table of commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scraper.cli import main
from scraper.cli.group import COMMANDS
from scraper.cli.jobs import COMMANDS as JOBS
from scraper.jobs.serving import prepared
from scraper.jobs.store import Jobs
from tests.cli.command import environment

HEAVY = ("aiohttp", "jinja2", "prometheus_client", "selectolax", "rich", "publicsuffixlist", "IPython", "uvloop")
LOADED = """
import sys
from scraper.cli import main
code = main(sys.argv[1:])
heavy = [name for name in {heavy} if name in sys.modules]
sys.exit(f"imported {{heavy}}" if heavy else code)
"""


@pytest.mark.parametrize("words", ["--help", "--version", "list", "settings", "version", "jobs --help"])
def test_what_only_tells_imports_nothing_heavy(words: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOADED.format(heavy=HEAVY), *words.split()]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout or words == "list"


@pytest.mark.parametrize("words", [["jobs"], ["jobs", "run", "--help"]])
def test_a_command_of_jobs_does_not_load_what_only_a_server_needs(words: list[str], tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        LOADED.format(heavy=("aiohttp", "jinja2", "prometheus_client", "IPython")),
        *words,
    ]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_command_of_the_table_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        assert main([name, "--help"]) == 0
        assert f"scraper {name}" in capsys.readouterr().out


def test_every_command_of_jobs_shows_its_help_and_a_misspelt_one_gets_a_suggestion(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in JOBS:
        assert main(["jobs", name, "--help"]) == 0
        assert f"scraper jobs {name}" in capsys.readouterr().out
    assert main(["jobs", "aply"]) == 2
    assert capsys.readouterr().err == "error: no command 'aply'; did you mean 'apply'?\n"


def test_a_misspelt_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["craw"]) == 2
    assert capsys.readouterr().err == "error: no command 'craw'; did you mean 'crawl'?\n"
    assert main(["zzz"]) == 2
    assert "there are crawl, list" in capsys.readouterr().err


def test_a_misspelt_option_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "http://a.example/", "--header"]) == 2
    assert "'--headers'" in capsys.readouterr().err
    assert main(["--hepl"]) == 2
    assert capsys.readouterr().err == "error: no option '--hepl'; did you mean '--help'?\n"


def test_a_missing_word_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch"]) == 2
    told = capsys.readouterr().err
    assert told == "error: missing argument 'URL'\n"


@pytest.mark.parametrize("words", [
    ["jobs", "add", "x", "--spider", "shop", "--note", "caf\udce9"], ["crawl", "shop", "-a", "shelf=caf\udce9"],
    ["jobs", "audit", "caf\udce9"],
])  # fmt: skip
def test_a_word_of_another_encoding_is_told(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spiders").mkdir()
    (tmp_path / "spiders" / "shop.py").write_text(
        "from scraper import Spider\nclass Shop(Spider):\n    name = 'shop'\n    start_urls = ['http://127.0.0.1:9/']\n"
        "    shelf: str = ''\n"
    )
    with Jobs(prepared(tmp_path / "output")):
        pass
    assert main(words) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert last.endswith("caf\\udce9' is not UTF-8")
