"""What the documentation shows is run: spiders, programs and commands, against the demo shop."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from scraper import crawl
from scraper.discover import find
from scraper.jobs.declared import declared_from
from scraper.jobs.job import Job
from scraper.jobs.schedule import Schedule
from scraper.jobs.whole import fits
from scraper.spider import arguments
from scraper.testing.tour import shop
from tests import shown

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHOP = "http://127.0.0.1:8000/"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PACE = re.compile(r"""(\bdelay(?:=|": ))0\.0\d+""")  # what an example waits between requests
SPIDER = re.compile(r"# (spiders/\w+\.py)\n")
FILE = re.compile(r"# (spiders/\w+\.py|jobs\.toml|app\.py)\n")  # app.py: see test_fastapi.py
LINK = re.compile(r"\]\((?!\w+:)([^)#]+)(?:#[^)]*)?\)")
BEFORE = {"howto-serve.md": "howto-jobs.md"}  # whose project is that of another page, with its jobs applied
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
    for language, text in blocks(page, "python", "toml", "sh"):
        text = PACE.sub(r"\g<1>0.005", text.replace(SHOP, address))
        if found := FILE.match(text):
            (project / found[1]).write_text(text, encoding="utf-8")
        elif language == "toml":
            continue
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
    if page.name in BEFORE:
        for _, text in blocks(page.with_name(BEFORE[page.name]), "python", "toml"):
            if found := FILE.match(text):
                (project / found[1]).write_text(text.replace(SHOP, address), encoding="utf-8")
        shown.told("scraper jobs apply --yes", project)
    for language, text in blocks(page, "python", "toml", "bash", "text"):
        if language == "bash":
            said = shown.told(text.replace(SHOP, address), project).replace(address, SHOP)
        elif language == "text":
            assert not (lines := shown.missing(text, said)), f"{lines}\n--- is not in\n{said}"
        elif found := FILE.match(text):
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


def test_the_pages_of_settings_and_of_jobs_are_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for target, page in generate.PAGES.items():
        assert target.read_text(encoding="utf-8") == page(), "run python docs/generate.py"


def tables_of_jobs(page: Path) -> list[str]:
    """The blocks of a page that are a jobs.toml, or a part of one."""
    return [
        text
        for _, text in blocks(page, "toml")
        if re.search(r"^\[(jobs|channels|server|groups|mail)\b", text, re.M)
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if tables_of_jobs(page)], ids=name)
def test_every_table_of_jobs_that_is_shown_can_be_applied(page: Path) -> None:
    for text in tables_of_jobs(page):
        declared = declared_from(tomllib.loads(text))
        fits(declared.server.channels, declared.jobs)


def test_what_is_said_of_moved_clocks_is_what_schedules_do() -> None:
    rows = re.findall(
        r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$", (ROOT / "docs" / "jobs.md").read_text("utf-8"), re.M
    )
    berlin, checked = ZoneInfo("Europe/Berlin"), 0
    for text, *cells in rows:
        if not re.search(r" CES?T|none", cells[0]):
            continue
        times = Schedule.parse(Job(name="shop", spider="shop", schedule=text, timezone="Europe/Berlin"))
        for day, cell in zip((datetime(2026, 3, 29), datetime(2026, 10, 25)), cells, strict=True):
            first, last = (day.replace(hour=hour, tzinfo=berlin).timestamp() for hour in (1, 4))
            found = [f"{datetime.fromtimestamp(t, berlin):%H:%M %Z}" for t in times.between(first - 1, last, 20)]
            assert (", ".join(found) or "none") == cell.strip(), f"{text} on {day:%Y-%m-%d}"
            checked += 1
    assert checked == 14


@pytest.mark.skipif(not COMMAND, reason="the command is not there")
def test_every_command_and_option_is_in_the_reference() -> None:
    import click

    from scraper.cli.group import COMMANDS, cli
    from scraper.cli.jobs import COMMANDS as JOBS

    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `scraper (\w+)`[^\n]*\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE))
    assert list(sections) == list(COMMANDS)
    inner = re.findall(r"^### `scraper jobs ([\w-]+)`[^\n]*\n(.*?)(?=^##|\Z)", page, re.DOTALL | re.MULTILINE)
    assert [word for word, _ in inner] == list(JOBS)
    jobs = cli.get_command(click.Context(cli), "jobs")
    assert isinstance(jobs, click.Group)
    for group, word, text in [(cli, *each) for each in sections.items()] + [(jobs, *each) for each in inner]:
        command = group.get_command(click.Context(group), word)
        assert command is not None
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden and "--help" not in option.opts:
                longest = max(option.opts, key=len)
                if group is jobs and longest == "--output-folder":  # all of them have it: told once
                    continue
                assert f"`{longest}" in text or f", {longest}" in text, f"{word} {longest}"
