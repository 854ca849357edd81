"""What the documentation shows is run: spiders, programs and commands, against the demo shop."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from scraper import crawl
from scraper.discover import find
from scraper.spider import arguments
from scraper.testing.tour import shop
from tests import shown

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHOP = "http://127.0.0.1:8000/"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SPIDER = re.compile(r"# (spiders/\w+\.py)\n")
LINK = re.compile(r"\]\((?!\w+:)([^)#]+)(?:#[^)]*)?\)")
COMMAND = importlib.util.find_spec("scraper.cli") is not None


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, *languages: str) -> list[tuple[str, str]]:
    """The fenced blocks of a page in these languages, in order."""
    return [found for found in BLOCK.findall(page.read_text(encoding="utf-8")) if found[0] in languages]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The demo shop, for all pages."""
    with shop() as url:
        yield url


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty project, where the blocks of one page build on each other."""
    folder = tmp_path / "bookshop"
    (folder / "spiders").mkdir(parents=True)
    return folder


def execute(words: list[str], folder: Path) -> None:
    """Run a program there, without delay; its standard input is empty."""
    path = os.pathsep.join([str(folder), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": path, "SCRAPER_DELAY": "0", "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"


def commands(block: str) -> Iterator[list[str]]:
    """The lines of a shell block that run this project's command."""
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["scraper"]:
            yield words[1:]


async def test_every_spider_shown_crawls_to_its_end(address: str, project: Path) -> None:
    spiders = [text for page in PAGES for _, text in blocks(page, "python") if SPIDER.match(text)]
    assert len(spiders) > 4
    for number, text in enumerate(spiders):
        file = project / f"shown_{number}.py"
        file.write_text(text.replace(SHOP, address), encoding="utf-8")
        kind = find(str(file), project)
        given = {"url": address} if "url" in arguments(kind) else {}
        result = await crawl(kind(**given), settings={"delay": 0, "min_items": 1})
        assert (result.report.state, result.report.stats.failed) == ("finished", 0), f"{text}\n{result.report.said}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python", "sh")], ids=name)
def test_the_programs_and_commands_of_a_page_run_in_order(page: Path, address: str, project: Path) -> None:
    ran = 0
    for language, text in blocks(page, "python", "sh"):
        text = text.replace(SHOP, address)
        if found := SPIDER.match(text):
            (project / found[1]).write_text(text, encoding="utf-8")
        elif language == "python":
            (project / "program.py").write_text(text, encoding="utf-8")
            execute(["program.py"], project)
            ran += 1
        elif COMMAND:
            for words in commands(text):
                execute(["-m", "scraper", *words], project)
                ran += 1
    written = [text for language, text in blocks(page, "python") if SPIDER.match(text)]
    assert ran or written or page.name != "tutorial.md"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "bash")], ids=name)
def test_the_blocks_of_bash_on_a_page_say_what_is_shown(page: Path, address: str, project: Path) -> None:
    said = ""
    for language, text in blocks(page, "python", "bash", "text"):
        if language == "bash":
            said = shown.told(text.replace(SHOP, address), project).replace(address, SHOP)
        elif language == "text":
            assert not (lines := shown.missing(text, said)), f"{lines}\n--- is not in\n{said}"
        elif found := SPIDER.match(text):
            (project / found[1]).write_text(text.replace(SHOP, address), encoding="utf-8")


async def test_every_query_shown_runs_on_the_state_of_a_crawl(address: str, tmp_path: Path) -> None:
    queries = [text for page in PAGES for _, text in blocks(page, "sql")]
    assert queries
    done = await crawl(find("books", ROOT)(url=address), settings={"delay": 0}, folder=tmp_path)
    assert done.folder is not None
    with closing(sqlite3.connect(done.folder / "state.sqlite")) as base:
        for query in queries:
            assert base.execute(query).description, query


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_within_the_documentation_leads_to_a_file(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_settings_page_is_what_the_settings_say() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert generate.TARGET.read_text(encoding="utf-8") == generate.page(), "run python docs/generate.py"


@pytest.mark.skipif(not COMMAND, reason="the command is not there")
def test_every_command_and_option_is_in_the_reference() -> None:
    import click

    from scraper.cli.group import COMMANDS, cli

    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `scraper (\w+)`[^\n]*\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE))
    assert list(sections) == list(COMMANDS)
    for word, text in sections.items():
        command = cli.get_command(click.Context(cli), word)
        assert command is not None
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden and "--help" not in option.opts:
                longest = max(option.opts, key=len)
                assert f"`{longest}" in text or f", {longest}" in text, f"{word} {longest}"
