"""`scraper retry`: what failed is fetched again, and no item is repeated."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from scraper.cli import main
from scraper.cli.crawl import Order
from scraper.cli.retry import failed, opened
from scraper.folder import FINISHED, INTERRUPTED, RunFolder, find
from scraper.testing.site import Site
from tests.cli.command import FAST, Done, scraper

SPIDER = """
from scraper import Spider, arg

class One(Spider):
    name = "one"
    start_urls = ["{url}"]
    settings = {{"retries": 0, "backoff": 0.01}}
    token: str = arg("", secret=True)

    def parse(self, response):
        yield {{"url": response.url}}
        yield response.follow_all(css="a[href]")
"""


def urls(path: Path) -> list[str]:
    return [json.loads(line)["url"] for line in path.read_text().splitlines()]


async def begun(site: Site, folder: Path, *words: str) -> RunFolder:
    """A finished run with three pages, and two that failed: /gone and /busy."""
    site.page("/", '<a href="/a"><a href="/gone"><a href="/b"><a href="/busy">')
    site.page("/a", "x")
    site.page("/b", "x")
    site.page("/busy", "x", status=500)
    (folder / "one.py").write_text(SPIDER.format(url=site.url()))
    done = await scraper("crawl", "one.py", *FAST, "-o", "a.jsonl", *words, cwd=folder)
    assert done.code == 0, done.err
    return find(folder / "output", "one")


async def again(folder: Path, *words: str) -> Done:
    return await scraper("retry", "one", *FAST, *words, cwd=folder)


async def test_what_failed_is_fetched_again_and_no_item_is_repeated(site: Site, tmp_path: Path) -> None:
    folder = await begun(site, tmp_path)
    site.page("/gone", '<a href="/new">')
    site.page("/new", "x")
    before = Counter(hit.path for hit in site.hits)
    done = await again(tmp_path)
    assert done.code == 0, done.err
    assert f"fetching again what failed in run {folder.run}: 2 requests" in done.err
    sent = Counter(hit.path for hit in site.hits) - before
    assert {path: number for path, number in sent.items() if path != "/robots.txt"} == {
        "/gone": 1, "/busy": 1, "/new": 1,
    }  # fmt: skip
    expected = Counter(site.url(path) for path in ("/", "/a", "/b", "/gone", "/new"))
    assert Counter(urls(tmp_path / "a.jsonl")) == Counter(urls(folder.items)) == expected
    info = folder.read()
    assert (info.state, info.pages, info.failed, info.items, info.starts) == (FINISHED, 5, 1, 5, 2)
    assert folder.read_stats()["reasons"] == {"failed:status": 1, "retry:status": 2}


async def test_only_the_failures_of_a_reason_are_fetched_again(site: Site, tmp_path: Path) -> None:
    folder = await begun(site, tmp_path)
    site.page("/busy", "x")
    assert (await again(tmp_path, "--reason", "status:500", "--reason", "timeout")).code == 0
    assert site.url("/busy") in urls(folder.items)
    assert sum(hit.path == "/gone" for hit in site.hits) == 1


async def test_nothing_that_failed_is_no_error_and_changes_nothing(site: Site, tmp_path: Path) -> None:
    folder = await begun(site, tmp_path)
    before = folder.read()
    none = await again(tmp_path, "--reason", "timeout")
    assert (none.code, none.err) == (0, f"nothing of that kind failed in run {folder.run}\n")
    assert folder.read() == before


async def test_a_page_limit_holds_with_what_is_fetched_again(site: Site, tmp_path: Path) -> None:
    folder = await begun(site, tmp_path, "-s", "max_pages=5")
    site.page("/gone", '<a href="/new1"><a href="/new2">')
    assert (await again(tmp_path)).code == 0
    assert folder.read_stats()["pages"]["done"] == 4
    assert not any(hit.path.startswith("/new") for hit in site.hits)


async def test_a_kill_after_the_requests_were_put_back_leaves_a_run_that_goes_on(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = await begun(site, tmp_path)
    monkeypatch.chdir(tmp_path)
    opened(folder, folder.read(), Order(resume=str(folder.path), pairs=["delay=0"]), [], False)
    assert folder.read().state == INTERRUPTED
    assert failed(folder, [], False) == 0
    told = await again(tmp_path)
    assert (told.code, "not answered yet: 2 requests (scraper crawl --resume" in told.err) == (0, True)
    site.page("/gone", "x")
    done = await scraper("crawl", "one.py", "--resume", folder.run, *FAST, "-o", "a.jsonl", cwd=tmp_path)
    assert done.code == 0, done.err
    assert f"continuing run {folder.run}" in done.err
    assert sorted(urls(tmp_path / "a.jsonl")) == sorted(site.url(path) for path in ("/", "/a", "/b", "/gone"))


async def test_a_run_that_cannot_go_on_stays_as_it_was(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = await begun(site, tmp_path, "-a", "token=abc")
    monkeypatch.chdir(tmp_path)
    before = folder.read()
    assert main(["retry", "one"]) == 2
    assert "-a token=..." in capsys.readouterr().err
    assert folder.read() == before
    assert failed(folder, [], False) == 2
    with folder.hold():
        assert main(["retry", "one"]) == 2
    assert "is being crawled by" in capsys.readouterr().err
    assert main(["retry", "one", "--reason", "unknown"]) == 2
    assert "only with --unknown" in capsys.readouterr().err
    folder.state.unlink()
    assert main(["retry", "one"]) == 2
    assert "kept no state" in capsys.readouterr().err


async def test_an_unfinished_run_goes_on_with_what_failed(site: Site, tmp_path: Path) -> None:
    folder = await begun(site, tmp_path)
    info = folder.read()
    info.state = INTERRUPTED
    folder.write(info)
    site.page("/gone", "x")
    assert (await again(tmp_path)).code == 0
    assert folder.read().state == FINISHED
    assert site.url("/gone") in urls(tmp_path / "a.jsonl")


@pytest.mark.parametrize("robots", ["true", "false"])
async def test_a_host_that_was_down_gets_its_pages_when_it_is_up(robots: str, site: Site, tmp_path: Path) -> None:
    async with Site() as gone:  # for its port, which is free again then
        pass
    there = [gone.url(f"/{number}") for number in range(6)]
    site.page("/", "".join(f'<a href="{url}">' for url in there))
    (tmp_path / "one.py").write_text(SPIDER.format(url=site.url()))
    given = (
        f"robots={robots}",
        "breaker=1",
        "breaker_trips=1",
        "breaker_rest=0.05",
        "scope=any",
        "allow_private=1",
    )
    options = [word for pair in given for word in ("-s", pair)]
    first = await scraper("crawl", "one.py", *FAST, *options, cwd=tmp_path)
    assert first.code == 0, first.err
    folder = find(tmp_path / "output", "one")
    assert folder.read().failed == 6
    told = await scraper("runs", "one", cwd=tmp_path)
    assert ("is down" if robots == "false" else "6 robots unreachable") in told.out
    async with Site(port=gone.port) as back:
        for number in range(6):
            back.page(f"/{number}", "x")
        done = await again(tmp_path, *options)
        assert done.code == 0, done.err
    assert sorted(urls(folder.items)) == sorted([site.url(), *there])
    assert folder.read().failed == 0
