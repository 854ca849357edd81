"""Signals, closed streams and a second command: whatever ends `scraper crawl`, the same command makes it whole."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from scraper.testing.answers import tree_path
from scraper.testing.site import Site
from tests.cli.command import FAST, Done, Process, begin, ended, scraper

SPIDER = """
import asyncio, time
from pathlib import Path
from scraper import Spider

{head}

class One(Spider):
    name = "one"
    start_urls = ["{url}"]

    def parse(self, response):
        yield {{"url": response.url, "pad": "x" * {pad}}}
        yield response.follow_all(css="a[href]")
{more}
"""
PAGES = 40
WORDS = (
    "crawl", "one.py", *FAST, "-s", "per_host=2", "-s", "commit_every=0.05", "-o", "a.jsonl", "-o", "b.csv",
)  # fmt: skip


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site() as opened:
        opened.tree(pages=PAGES, delay=0.02)
        yield opened


def spider(folder: Path, site: Site, *, head: str = "", more: str = "", pad: int = 0) -> None:
    text = SPIDER.format(url=site.url(), head=head, more=more, pad=pad)
    (folder / "one.py").write_text(text)


def run_of(folder: Path) -> Path:
    [run] = (folder / "output/one").glob("*-*-*")
    return run


def info(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run_of(folder) / "run.json").read_text())
    return found


def urls(path: Path) -> list[str]:
    """Of all items of an output, every one of which has to be whole."""
    if path.name.startswith("b."):
        with path.open(newline="") as file:
            return [row["url"] for row in csv.DictReader(file)]
    return [json.loads(line)["url"] for line in path.read_text().splitlines()]


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.suffix.startswith(".py")]


def check_parts(folder: Path) -> None:
    """What an interrupted run leaves is valid, and not in the place of the result."""
    known = urls(run_of(folder) / "items.jsonl")
    for name in ("a.jsonl", "b.csv"):
        assert not (folder / name).exists()
        part = folder / f"{name}.part"
        assert urls(part) == known[: len(urls(part))]


def check_whole(folder: Path, site: Site) -> None:
    truth = sorted(site.url(tree_path(number)) for number in range(PAGES))
    for path in (run_of(folder) / "items.jsonl", folder / "a.jsonl", folder / "b.csv"):
        assert sorted(urls(path)) == truth, path.name
    assert not [*folder.glob("*.part")]


async def again(folder: Path, site: Site) -> Done:
    """The same command once more makes the result whole, in the same run."""
    done = await scraper(*WORDS, cwd=folder)
    assert done.code == 0, done.err
    assert "continuing run" in done.err
    check_whole(folder, site)
    return done


async def said(process: Process, text: bytes) -> None:
    """Wait until it says so."""
    assert process.stderr is not None
    while text not in (line := await process.stderr.readline()):
        assert line, f"it ended without saying {text!r}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
async def test_one_signal_leaves_valid_parts_and_the_same_command_makes_them_whole(
    tmp_path: Path, site: Site, number: signal.Signals
) -> None:
    spider(tmp_path, site)
    process = await begin(*WORDS, cwd=tmp_path)
    await site.until(lambda: len(site.hits) > 10)
    process.send_signal(number)
    done = await ended(process)
    assert done.code == 130, done.err
    assert (info(tmp_path)["state"], info(tmp_path)["exit_code"]) == ("interrupted", 130)
    check_parts(tmp_path)
    assert len(urls(tmp_path / "a.jsonl.part")) == len(urls(run_of(tmp_path) / "items.jsonl"))
    await again(tmp_path, site)


async def test_a_page_that_takes_longer_than_the_grace_is_given_up(tmp_path: Path, site: Site) -> None:
    spider(tmp_path, site)
    site.page(tree_path(9), "slow", delay=60)
    process = await begin(*WORDS, "-s", "grace=0.2", cwd=tmp_path)
    await site.until(lambda: bool(site.hits_of(path=tree_path(9))) and len(site.hits) > 30)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        done = await ended(process)
    assert done.code == 130
    check_parts(tmp_path)
    site.page(tree_path(9), "quick")
    await again(tmp_path, site)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_two_signals_commit_what_was_answered_and_end(
    tmp_path: Path, site: Site, number: signal.Signals
) -> None:
    spider(tmp_path, site)
    site.page(tree_path(9), "slow", delay=60)
    words = [*WORDS, "-s", "commit_every=60"]
    process = await begin(*words, cwd=tmp_path)
    await site.until(lambda: len(site.hits) > 35)
    process.send_signal(number)
    await said(process, b"finishing what is out")
    process.send_signal(number)
    async with asyncio.timeout(10):
        done = await ended(process)
    assert done.code == 130
    assert len(urls(run_of(tmp_path) / "items.jsonl")) >= 33
    check_parts(tmp_path)
    site.page(tree_path(9), "quick")
    await again(tmp_path, site)


async def test_three_signals_end_a_process_that_does_not_end(tmp_path: Path, site: Site) -> None:
    closed = "    async def closed(self, why):\n        print('closing', flush=True)\n"
    closed += "        if not Path('over').exists():\n            await asyncio.sleep(60)\n"
    spider(tmp_path, site, more=closed)
    process = await begin(*WORDS, cwd=tmp_path)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"closing\n"
    for text in (b"finishing what is out", b"ending now"):
        process.send_signal(signal.SIGTERM)
        await said(process, text)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        done = await ended(process)
    assert done.code == -signal.SIGTERM
    assert info(tmp_path)["state"] == "running"
    (tmp_path / "over").touch()
    await again(tmp_path, site)


async def test_under_nohup_a_hangup_is_not_heard(tmp_path: Path, site: Site) -> None:
    spider(tmp_path, site)
    process = await begin(*WORDS, cwd=tmp_path, under=("nohup",))
    await site.until(lambda: len(site.hits) > 10)
    process.send_signal(signal.SIGHUP)
    done = await ended(process)
    assert done.code == 0, done.err
    assert "SIGHUP" not in done.err
    check_whole(tmp_path, site)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)])
async def test_a_signal_while_the_spider_is_imported_leaves_nothing(
    tmp_path: Path, site: Site, number: signal.Signals, code: int
) -> None:
    head = "print('importing', flush=True)\nif not Path('over').exists():\n    time.sleep(30)"
    spider(tmp_path, site, head=head)
    process = await begin(*WORDS, cwd=tmp_path)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"importing\n"
    process.send_signal(number)
    done = await ended(process)
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert {*os.listdir(tmp_path)} <= {"one.py", "__pycache__"}


@pytest.mark.parametrize("times", [1, 2])
async def test_a_signal_while_the_state_is_opened_ends_it_before_anything_is_sent(
    tmp_path: Path, site: Site, times: int
) -> None:
    spider(tmp_path, site)
    process = await begin(*WORDS, cwd=tmp_path)
    await site.until(lambda: len(site.hits) > 10)
    process.kill()
    await ended(process)
    before = len(site.hits)
    with closing(sqlite3.connect(run_of(tmp_path) / "state.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")  # the process waits for it as it would for a large state
        process = await begin(*WORDS, cwd=tmp_path)
        await said(process, b"continuing run")
        await asyncio.sleep(0.3)
        for text in (b"finishing", b"ending now")[:times]:
            process.send_signal(signal.SIGINT)
            await said(process, text)
        other.execute("COMMIT")
    async with asyncio.timeout(10):
        done = await ended(process)
    assert done.code == 130, done.err
    assert len(site.hits) == before
    assert info(tmp_path)["state"] == "interrupted"
    await again(tmp_path, site)


@pytest.mark.parametrize("times", [1, 2])
async def test_a_signal_at_the_very_end_loses_no_output(tmp_path: Path, site: Site, times: int) -> None:
    closed = "    async def closed(self, why):\n        print('closing', flush=True)\n"
    closed += "        await asyncio.sleep(0.5)\n"
    spider(tmp_path, site, more=closed)
    process = await begin(*WORDS, cwd=tmp_path)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"closing\n"
    for text in (b"finishing", b"ending now")[:times]:
        process.send_signal(signal.SIGINT)
        await said(process, text)
    done = await ended(process)
    if done.code == 130:
        await again(tmp_path, site)
    else:
        assert done.code == 0, done.err
        check_whole(tmp_path, site)


@pytest.mark.parametrize("times", [1, 2])
async def test_a_reader_that_stands_still_does_not_keep_a_stopped_crawl_alive(
    tmp_path: Path, site: Site, times: int
) -> None:
    spider(tmp_path, site, pad=20_000)
    read, write = os.pipe()
    words = (*WORDS, "-o", "-", "-s", "grace=0.5")
    process = await begin(*words, cwd=tmp_path, out=write)
    os.close(write)
    await site.until(lambda: len(site.hits) >= PAGES)
    for text in (b"finishing", b"ending now")[:times]:
        process.send_signal(signal.SIGINT)
        await said(process, text)
    async with asyncio.timeout(10):
        done = await ended(process)
    os.close(read)
    assert done.code == 130, done.err
    assert info(tmp_path)["state"] == "interrupted"
    await again(tmp_path, site)


async def test_a_spider_that_prints_to_nobody_loses_no_page(tmp_path: Path, site: Site) -> None:
    more = "    def opened(self):\n        print('a line')\n"
    more += "    def prepare(self, request):\n        print(request.url, 'x' * 5000)\n        return request\n"
    spider(tmp_path, site, more=more)
    process = await begin(*WORDS, cwd=tmp_path)
    assert process.stdout is not None
    await process.stdout.readline()
    process.stdout._transport.close()  # type: ignore[attr-defined]
    assert process.stderr is not None
    err = (await process.stderr.read()).decode()
    assert await process.wait() == 0, err
    check_whole(tmp_path, site)


async def test_a_standard_error_that_nobody_reads_costs_nothing(tmp_path: Path, site: Site) -> None:
    spider(tmp_path, site)
    read, write = os.pipe()
    os.close(read)
    process = await begin(*WORDS, cwd=tmp_path, err=write)
    os.close(write)
    assert (await ended(process)).code == 0
    check_whole(tmp_path, site)


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- 2>&-", "<&- >&- 2>&-"])
async def test_with_streams_closed_from_the_start_no_file_takes_their_place(
    tmp_path: Path, site: Site, closed: str
) -> None:
    spider(tmp_path, site, more="    def opened(self):\n        print('printed')\n")
    under = ("sh", "-c", f'exec "$@" {closed}', "sh")
    process = await begin(*WORDS, "-o", "-", cwd=tmp_path, under=under)
    done = await ended(process)
    assert done.code == 0, done.err
    check_whole(tmp_path, site)
    for path in files(tmp_path):
        assert b"printed" not in path.read_bytes(), path
        assert b'"_key"' not in path.read_bytes(), path
    with closing(sqlite3.connect(run_of(tmp_path) / "state.sqlite")) as base:
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_others_may_look_while_a_run_goes_on(tmp_path: Path, site: Site) -> None:
    spider(tmp_path, site)
    process = await begin(*WORDS, cwd=tmp_path)
    await site.until(lambda: len(site.hits) > 10)
    process.kill()
    await ended(process)
    site.page(tree_path(PAGES - 1), "slow", delay=60)
    process = await begin(*WORDS, cwd=tmp_path)
    await said(process, b"continuing run")
    looks = (("runs",), ("runs", "one/current"), ("export", "one/current", "-o", "c.csv"), WORDS)
    runs, one, export, both = await asyncio.gather(*(scraper(*words, cwd=tmp_path) for words in looks))
    assert (runs.code, one.code) == (0, 0), runs.err + one.err
    assert "running" in runs.out
    assert (export.code, both.code) == (2, 2)
    assert "still running" in export.err
    assert "is being crawled by another process" in both.err
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert (await ended(process)).code == 130
    export = await scraper("export", "one/current", "-o", "c.csv", cwd=tmp_path)
    assert export.code == 0, export.err
    site.page(tree_path(PAGES - 1), "quick")
    await again(tmp_path, site)
