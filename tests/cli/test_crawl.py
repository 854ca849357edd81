"""`scraper crawl`, end to end."""

from __future__ import annotations

import csv
import json
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scraper.testing.demo import Demo, books
from scraper.testing.site import Site
from tests.cli.command import BOOKS, FAST, begin, ended, scraper

SPIDER = """
from scraper import Spider

class One(Spider):
    name = "one"
    start_urls = ["{url}"]

    def parse(self, response):
        {body}
"""


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site() as opened:
        yield opened


def spider(folder: Path, url: str, body: str = "yield {'url': response.url}") -> str:
    (folder / "one.py").write_text(SPIDER.format(url=url, body=body))
    return "one.py"


def written(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in path.parts}


async def test_three_outputs_at_once_hold_every_book(tmp_path: Path) -> None:
    async with Demo() as url:
        outputs = ("-o", "a.csv", "-o", "{spider}/b.json", "-o", "-")
        done = await scraper("crawl", BOOKS, "-a", f"url={url}", *FAST, *outputs, cwd=tmp_path)
    titles = {str(book["title"]) for book in books()}
    assert done.code == 0, done.err
    assert {json.loads(line)["title"] for line in done.out.splitlines()} == titles
    assert {row["title"] for row in json.loads((tmp_path / "books/b.json").read_text())} == titles
    with (tmp_path / "a.csv").open(newline="") as file:
        assert {row["title"] for row in csv.DictReader(file)} == titles
    latest = tmp_path / "output/books/latest"
    assert len((latest / "items.jsonl").read_text().splitlines()) == len(titles)
    assert json.loads((latest / "run.json").read_text())["state"] == "finished"
    assert "kept" in done.err
    assert re.search(r"a\.csv +60 items", done.err)


async def test_append_adds_to_what_is_there(tmp_path: Path, site: Site) -> None:
    site.page("/", "hello")
    file = spider(tmp_path, site.url())
    for _ in range(2):
        assert (await scraper("crawl", file, *FAST, "-o", "a.jsonl", "--append", cwd=tmp_path)).code == 0
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 2


async def test_quiet_says_nothing_when_all_is_well(tmp_path: Path, site: Site) -> None:
    site.page("/", "hello")
    done = await scraper("crawl", spider(tmp_path, site.url()), *FAST, "--quiet", cwd=tmp_path)
    assert (done.code, done.out, done.err) == (0, "", "")


async def test_a_crawl_without_a_page_ends_with_1(tmp_path: Path, site: Site) -> None:
    done = await scraper("crawl", spider(tmp_path, site.url("/gone")), *FAST, "-q", cwd=tmp_path)
    assert done.code == 1
    assert "no page succeeded" in done.err
    assert "status: 404" in done.err


async def test_a_broken_rule_ends_with_3_and_keeps_the_old_file(tmp_path: Path, site: Site) -> None:
    site.page("/", "hello")
    (tmp_path / "a.csv").write_text("old")
    file = spider(tmp_path, site.url())
    done = await scraper("crawl", file, *FAST, "-s", "min_items=5", "-o", "a.csv", cwd=tmp_path)
    assert done.code == 3
    assert "fewer than min_items = 5" in done.err
    assert (tmp_path / "a.csv").read_text() == "old"


async def test_a_broken_callback_is_told_with_its_line(tmp_path: Path, site: Site) -> None:
    site.page("/", "hello")
    done = await scraper("crawl", spider(tmp_path, site.url(), "1 / 0"), *FAST, cwd=tmp_path)
    assert done.code == 1
    assert "one.py:9 in parse" in done.err
    assert "ZeroDivisionError" in done.err


async def test_a_print_never_comes_among_the_items(tmp_path: Path, site: Site) -> None:
    site.page("/", "hello")
    file = spider(tmp_path, site.url(), "print('look'); yield {'a': 1}")
    done = await scraper("crawl", file, *FAST, "-o", "-", cwd=tmp_path)
    assert re.fullmatch(r'{"a":1,"_key":"[-0-9a-f]+/1"}\n', done.out)
    assert "look\n" in done.err


async def test_one_signal_finishes_what_is_out(tmp_path: Path, site: Site) -> None:
    site.page("/", "hello", delay=1.0)
    process = await begin("crawl", spider(tmp_path, site.url()), *FAST, "-o", "a.csv", cwd=tmp_path)
    await site.until(lambda: bool(site.hits_of(path="/")))
    process.send_signal(signal.SIGINT)
    done = await ended(process)
    assert done.code == 130
    assert "SIGINT: finishing what is out" in done.err
    assert "1 done" in done.err
    assert "a.csv.part" in done.err
    assert (tmp_path / "output/one/current").is_symlink()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_two_signals_end_it_at_once(tmp_path: Path, site: Site, number: signal.Signals) -> None:
    site.page("/", "hello", delay=30.0)
    process = await begin("crawl", spider(tmp_path, site.url()), *FAST, cwd=tmp_path)
    await site.until(lambda: bool(site.hits_of(path="/")))
    process.send_signal(number)
    assert process.stderr is not None
    while b"finishing" not in await process.stderr.readline():
        pass
    process.send_signal(number)
    done = await ended(process)
    assert done.code == 130
    assert "ending now" in done.err
    assert "0 done" in done.err


async def test_a_reader_that_leaves_costs_only_standard_output(tmp_path: Path, site: Site) -> None:
    paths = site.tree(pages=30, delay=0.05)
    body = "yield {'url': response.url}; yield response.follow_all(css='a[href]')"
    words = ("crawl", spider(tmp_path, site.url(), body), *FAST, "-o", "-", "-o", "a.jsonl")
    process = await begin(*words, cwd=tmp_path)
    assert process.stdout is not None
    await process.stdout.readline()
    process.stdout._transport.close()  # type: ignore[attr-defined]
    assert process.stderr is not None
    err = (await process.stderr.read()).decode()
    assert await process.wait() == 1
    assert "closed by its reader" in err
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == len(paths)


WRONG = {
    "crawl bookz": "no spider 'bookz'",
    "crawl nofile.py": "no file nofile.py",
    "crawl": "which spider?",
    "crawl one.py -a shelf=x": "has no argument 'shelf'",
    "crawl one.py -a shelf": "write -a key=value",
    "crawl one.py -s dely=1": "unknown setting 'dely'; did you mean 'delay'?",
    "crawl one.py -s delay=soon": "setting 'delay'",
    "crawl one.py -o a.parquet": "names no format",
    "crawl one.py -o {when}.csv": "there is no {when}",
    "crawl one.py -o a.csv -o ./a.csv": "two outputs write to one place",
    "crawl one.py -o nofolder.txt/a.csv": "is not a folder",
    "crawl one.py --output-folder nofolder.txt": "output folder nofolder.txt",
    "crawl one.py --outpt a.csv": "no option '--outpt'; did you mean '--output'?",
    "crawl one.py --resume 2026": "no run '2026'",
    "crawl one.py --resume 2026 --fresh": "give one of them",
    "crawl one.py --log-level loud": "'loud' is not one of",
    "crawl needs.py": "needs the argument 'shelf'",
    "crawl needs.py -a shelf=x": "argument 'shelf' must be",
    "crawl badurl.py": "start_urls has 'no url'",
    "crawl twice.py": "two spiders are named 'twice'",
    "crawl syntax.py": "syntax.py:1",
}


def test_nothing_is_written_when_the_command_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from scraper.cli import main

    spider(tmp_path, "http://127.0.0.1:1/")
    head = "from scraper import Spider\n"
    (tmp_path / "nofolder.txt").write_text("")
    (tmp_path / "needs.py").write_text(f"{head}class A(Spider):\n name = 'needs'\n shelf: int\n")
    (tmp_path / "badurl.py").write_text(f"{head}class A(Spider):\n name = 'b'\n start_urls = ['no url']\n")
    (tmp_path / "twice.py").write_text(
        f"{head}class A(Spider):\n name = 'twice'\nclass B(Spider):\n name = 'twice'\n"
    )
    (tmp_path / "syntax.py").write_text("def :\n")
    monkeypatch.chdir(tmp_path)
    before = written(tmp_path)
    for words, text in WRONG.items():
        assert main(words.split()) == 2, words
        told = capsys.readouterr().err
        assert told.startswith("error: "), words
        assert told.count("\n") == 1, words
        assert text in told
        assert written(tmp_path) == before, words


async def test_the_weakest_source_of_a_setting_is_the_file_and_the_strongest_is_s(
    tmp_path: Path, site: Site
) -> None:
    site.page("/", "hello")
    (tmp_path / "scraper.toml").write_text('contact = "file"\nuser_agent = "file/1"\nretries = 7\n')
    text = SPIDER.format(url=site.url(), body="yield {'a': 1}")
    (tmp_path / "one.py").write_text(text + '\n    settings = {"contact": "spider", "user_agent": "spider/1"}\n')
    words = ("crawl", "one.py", *FAST, "-s", "user_agent=word/1", "-q")
    done = await scraper(*words, cwd=tmp_path, env={"SCRAPER_USER_AGENT": "env/1"})
    assert done.code == 0, done.err
    told = json.loads((tmp_path / "output/one/latest/run.json").read_text())["settings"]
    assert (told["contact"], told["user_agent"], told["retries"]) == ("spider", "word/1", 7)


async def test_help_shows_the_arguments_of_a_spider(tmp_path: Path) -> None:
    done = await scraper("crawl", BOOKS, "--help", cwd=tmp_path)
    assert done.code == 0
    assert re.search(r"-a url=STR +\S*.*\[required\]", done.out)
    assert "shelf to read" in done.out
    assert "default: ''" in done.out
    assert not (tmp_path / "output").exists()


async def test_a_bug_ends_with_its_traceback(tmp_path: Path, site: Site) -> None:
    site.page("/", "hello")
    body = "pass\n    def __init__(self):\n        super().__init__()\n        self._line = 1 / 0"
    done = await scraper("crawl", spider(tmp_path, site.url(), body), *FAST, cwd=tmp_path)
    assert done.code == 1
    assert "Traceback" in done.err
    assert "ZeroDivisionError" in done.err
