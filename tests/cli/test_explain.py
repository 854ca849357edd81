"""`scraper explain`, the requests of `scraper export`, and the ledger in `scraper runs RUN`."""

from __future__ import annotations

import csv
import json
import re
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from scraper.cli import main
from scraper.folder import RunFolder, RunInfo
from scraper.testing.site import Site
from tests.cli.command import FAST, begin, ended, scraper
from tests.frontier.state import State, page

Output = pytest.CaptureFixture[str]
SPIDER = """
from scraper import Spider

class One(Spider):
    name = "one"
    start_urls = ["{url}"]
    settings = {{"max_depth": 2, "deny": ["/secret"], "retries": 1, "backoff": 0.01}}

    def parse(self, response):
        if response.url.endswith("/bug"):
            raise ValueError("no price")
        yield {{"url": response.url}}
        yield response.follow_all(css="a[href]")
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: Output, *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main([*words]) == code
    return capsys.readouterr().out


async def crawled(site: Site, folder: Path) -> None:
    site.robots("User-agent: *\nDisallow: /closed")
    site.page("/", '<a href="/a"><a href="/gone"><a href="/moved"><a href="/bug"><a href="/closed/x">')
    site.page("/a", '<a href="/b">')
    site.page("/b", '<a href="/deep">')
    site.page("/bug", "x")
    site.redirect("/moved", "/target")
    site.page("/target", "x")
    (folder / "one.py").write_text(SPIDER.format(url=site.url()))
    done = await scraper("crawl", "one.py", *FAST, cwd=folder)
    assert done.code == 0, done.err


async def test_every_url_has_its_story(site: Site, here: Path, capsys: Output) -> None:
    await crawled(site, here)
    root = site.url()
    for path, code, *words in (
        ("", 0, "done at", "status 200, 1 item", "a seed"),
        ("b", 0, "done at", f"on {root}a (depth 1)", f"which was found on {root} (a seed)"),
        ("gone", 0, "failed at", "status 404", "scraper retry"),
        ("bug", 0, "callback error: ValueError: no price, in one.py:11 in parse"),
        ("moved", 0, "redirected at", f"redirected to {root}target: done at"),
        ("target", 0, f"redirected here from {root}moved", f"which was found on {root} (a seed)"),
        ("closed/x", 0, "dropped at", "robots.txt forbids it (Disallow: /closed)"),
        ("closed/never", 0, "dropped, robots: robots.txt forbids it (Disallow: /closed)"),
        ("deep", 0, "dropped at", "max_depth", f"on {root}b (depth 2)"),
        ("secret", 0, "dropped, out of scope: the pattern /secret of deny fits"),
        (
            "never",
            1,
            "never found",
            "failed, so that nobody knows what they lead to: 2 requests",
            "too deep: 1 link",
        ),
        ("a/", 1, "never found", f"but there is {root}a: done"),
    ):
        told = said(capsys, "explain", f"{root}{path}", code=code)
        assert told.startswith(f"{root}{path}: ")
        for each in words:
            assert each in told
    assert "the seeds belong to" in said(capsys, "explain", "https://elsewhere.example/", "one")
    assert "only http and https" in said(capsys, "explain", "ftp://h.example/")


async def test_a_story_can_be_had_as_json(site: Site, here: Path, capsys: Output) -> None:
    await crawled(site, here)
    told = json.loads(said(capsys, "explain", f"{site.url()}b#part", "--json"))
    assert (told["url"], told["spider"], told["state"]) == (f"{site.url()}b", "one", "finished")
    (story,) = told["stories"]
    assert (story["entry"]["state"], story["entry"]["depth"]) == ("done", 2)
    assert [each["url"] for each in story["chain"]] == [f"{site.url()}a", site.url()]


async def test_requests_are_exported_like_items(site: Site, here: Path, capsys: Output) -> None:
    await crawled(site, here)
    done = await scraper("export", "one", "--requests", "failed", "-o", "f.csv", "-o", "-", cwd=here)
    assert (done.code, done.err) == (0, "f.csv  2 requests\n")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert {row["url"]: (row["reason"], row["status"]) for row in rows} == {
        f"{site.url()}gone": ("status", 404), f"{site.url()}bug": ("callback_error", 200),
    }  # fmt: skip
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["answered"]) for row in rows)
    with (here / "f.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["parent"] for row in table] == [site.url()] * 2
    none = await scraper("export", "one", "--requests", "timeout", "-o", "n.csv", "-o", "n.json", cwd=here)
    assert none.code == 0, none.err
    assert (here / "n.csv").read_text().startswith("url,method,state,reason")
    assert json.loads((here / "n.json").read_text()) == []
    assert main(["export", "one", "--requests", "faild", "-o", "-"]) == 2
    assert "did you mean 'failed'" in capsys.readouterr().err


async def test_a_run_is_told_with_what_became_of_its_requests(site: Site, here: Path, capsys: Output) -> None:
    await crawled(site, here)
    told = said(capsys, "runs", "one")
    for line in ("requests   4 done", "1 redirected", "2 failed: 1 ", "1 status 404", "2 dropped: 1 "):
        assert line in told


async def test_a_run_that_was_killed_is_told_and_so_are_its_requests(here: Path) -> None:
    async with Site() as site:
        site.tree(pages=500, fanout=3, delay=0.1)
        (here / "one.py").write_text(SPIDER.format(url=site.url()).replace('"max_depth": 2, ', ""))
        process = await begin("crawl", "one.py", *FAST, "-s", "commit_every=0.05", cwd=here)
        await site.until(lambda: len(site.hits) > 40)
        running = await scraper("export", "one/current", "--requests", "all", "-o", "-", cwd=here)
        assert running.code == 0, running.err
        assert "of one, running" in (await scraper("explain", site.url(), cwd=here)).out
        process.send_signal(signal.SIGKILL)
        await ended(process)
    told = await scraper("runs", "one/current", cwd=here)
    assert re.search(r"requests   \d+ done\n +\d+ queued\noldest     queued, found \d", told.out)
    assert len(running.out.splitlines()) > 40
    after = await scraper("export", "one/current", "--requests", "queued", "-o", "q.jsonl", cwd=here)
    assert after.code == 0, after.err
    last = json.loads((here / "q.jsonl").read_text().splitlines()[-1])
    story = await scraper("explain", last["url"], cwd=here)
    assert story.code == 0
    assert "queued\n  the run is not going on now\n" in story.out
    assert "to continue it: scraper crawl --resume" in story.out
    assert "of one, died" in story.out


async def test_items_behind_the_last_commit_are_not_exported(site: Site, here: Path) -> None:
    await crawled(site, here)
    journal = here / "output/one/latest/items.jsonl"
    whole = journal.read_text()
    journal.write_text(whole + '{"url": "fetched again after a resume"}\n')
    assert (await scraper("export", "one", "-o", "a.jsonl", cwd=here)).err == "a.jsonl  4 items\n"
    assert (here / "a.jsonl").read_text() == whole


async def test_requests_go_into_a_database_beside_the_items_of_their_run(site: Site, here: Path) -> None:
    await crawled(site, here)
    for words in ((), ("--requests", "all"), ("--requests", "done")):
        done = await scraper("export", "one", *words, "-o", "{spider}.sqlite", "--append", cwd=here)
        assert done.code == 0, done.err
    with closing(sqlite3.connect(here / "one.sqlite")) as base:
        assert base.execute("SELECT count(*), count(state), sum(state = 'done') FROM items").fetchone() == (
            17,
            13,
            8,
        )


async def test_what_a_limit_has_left_unanswered_is_told(site: Site, here: Path, capsys: Output) -> None:
    site.page("/", '<a href="/a"><a href="/b">')
    (here / "one.py").write_text(SPIDER.format(url=site.url()))
    assert (await scraper("crawl", "one.py", *FAST, "-s", "max_pages=1", cwd=here)).code == 0
    told = said(capsys, "explain", site.url("/b"))
    assert "queued\n  the run has ended without it" in told
    assert "finished (max_pages)" in told


async def kept(folder: Path, spider: str, at: float, *hosts: str) -> RunFolder:
    """A run that accepted one page of each host."""
    run = RunFolder.make(folder / "output", spider, at)
    run.write(RunInfo(run=run.run, spider=spider, started=at, state="finished"))
    async with State(run.state) as state:
        await state.seed(*(page("/", host) for host in hosts))
    return run


async def test_the_newest_run_that_has_met_the_host_is_asked(here: Path, capsys: Output) -> None:
    now = time.time()
    first = await kept(here, "shop", now - 300, "a.example")
    second = await kept(here, "news", now - 200, "a.example", "b.example")
    third = await kept(here, "shop", now - 100, "c.example")
    for words, run in (
        (("https://a.example/",), second),
        (("https://a.example/", "--spider", "shop"), first),
        (("https://c.example/",), third),
        (("https://a.example/", first.run), first),
    ):
        assert f"in run {run.run} of" in said(capsys, "explain", *words)
    assert f"in run {third.run} of" in said(capsys, "explain", "https://d.example/", code=0)


def test_without_a_run_that_kept_its_state_nothing_is_known(here: Path, capsys: Output) -> None:
    assert main(["explain", "https://a.example/"]) == 2
    assert "has kept its state" in capsys.readouterr().err
    run = RunFolder.make(here / "output", "shop", 0.0)
    run.write(RunInfo(run=run.run, spider="shop", state="finished"))
    for words in (["explain", "https://a.example/", "shop"], ["export", "shop", "--requests", "all", "-o", "-"]):
        assert main(words) == 2
        assert "kept no state" in capsys.readouterr().err
    assert "not kept (durability = none)" in said(capsys, "runs", "shop")
