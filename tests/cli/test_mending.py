"""What a run that something went wrong with is, and what the next command makes of it."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scraper.folder import all_runs
from scraper.testing.site import Site
from tests.cli.command import FAST, begin, ended, scraper

SPIDER = """
from scraper import Spider

class One(Spider):
    name = "one"
    start_urls = ["{url}"]
    allowed_domains = ["127.0.0.1"]
    day: str = ""

    def parse(self, response):
        yield {{"url": response.url, "day": self.day}}
        yield response.follow_all(css="a[href]")
"""


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site() as opened:
        yield opened


def days(path: Path) -> list[str]:
    return sorted(json.loads(line)["day"] for line in path.read_text().splitlines())


async def test_a_failed_output_is_caught_up_by_the_same_command_which_fetches_nothing(
    tmp_path: Path, site: Site
) -> None:
    site.tree(pages=5)
    (tmp_path / "one.py").write_text(SPIDER.format(url=site.url()))
    (tmp_path / "a.jsonl.part").symlink_to("/dev/full")
    words = ("crawl", "one.py", *FAST, "-o", "a.jsonl")
    broken = await scraper(*words, cwd=tmp_path)
    assert broken.code == 1
    assert "No space left on device" in broken.err
    (tmp_path / "a.jsonl.part").unlink()
    hits = len(site.hits)
    done = await scraper(*words, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "continuing run" in done.err
    assert len(site.hits) == hits
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 5


@pytest.mark.parametrize("again", [False, True], ids=["another file", "the same number again"])
async def test_a_retry_takes_nothing_away_that_other_runs_have_added(
    tmp_path: Path, site: Site, again: bool
) -> None:
    site.tree(pages=4)
    site.page("/p/3", "gone", status=404)
    (tmp_path / "one.py").write_text(SPIDER.format(url=site.url()))
    words = ("crawl", "one.py", *FAST, "-o", "all.jsonl", "--append")
    assert (await scraper(*words, "-a", "day=mon", cwd=tmp_path)).code == 0
    first = next(all_runs(tmp_path / "output"))
    if again:
        (tmp_path / "kept").hardlink_to(tmp_path / "all.jsonl")
    assert (await scraper(*words, "-a", "day=tue", cwd=tmp_path)).code == 0
    # A third run, of which only the beginning was written: PATH.part begins as the first run's did.
    if again:  # a system gives the number of a file that is gone to the next one
        (tmp_path / "kept").rename(tmp_path / "all.jsonl.part")
    (tmp_path / "all.jsonl.part").write_bytes((tmp_path / "all.jsonl").read_bytes() + b'{"day":"wed"}\n')
    before = days(tmp_path / "all.jsonl")
    done = await scraper("retry", first.run, *FAST, cwd=tmp_path)
    assert done.code == 1
    assert "another run that adds to all.jsonl" in done.err.replace("\n    ", " ")
    assert days(tmp_path / "all.jsonl") == before


async def test_a_state_that_was_emptied_takes_no_item_with_it(tmp_path: Path, site: Site) -> None:
    site.tree(pages=60, delay=0.05)
    (tmp_path / "one.py").write_text(SPIDER.format(url=site.url()))
    words = ("crawl", "one.py", *FAST, "-s", "commit_every=0.05")
    process = await begin(*words, cwd=tmp_path)
    await site.until(lambda: len(site.hits) > 15)
    process.kill()
    await ended(process)
    run = next(all_runs(tmp_path / "output"))
    size = run.items.stat().st_size
    assert size
    os.truncate(run.state, 0)
    for beside in run.path.glob("state.sqlite-*"):
        beside.unlink()
    for _ in range(2):  # a refusal must not make a new state, which the next start would believe
        done = await scraper(*words, cwd=tmp_path)
        assert done.code == 1
        assert "not the state of a run" in done.err
        assert "items.jsonl is kept as it is" in done.err
        assert run.items.stat().st_size == size


async def test_a_named_run_goes_on_with_its_own_limits_and_pace(tmp_path: Path, site: Site) -> None:
    site.tree(pages=60, delay=0.05)
    (tmp_path / "one.py").write_text(SPIDER.format(url=site.url()))
    process = await begin("crawl", "one.py", *FAST, "-s", "max_pages=30", "-s", "per_host=2", cwd=tmp_path)
    await site.until(lambda: len(site.hits) > 10)
    process.kill()
    await ended(process)
    run = next(all_runs(tmp_path / "output"))
    before = run.read().identity
    done = await scraper("crawl", "one.py", "--resume", run.run, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "though" not in done.err
    assert run.read().identity == before
    info = run.read()
    assert (info.settings["max_pages"], info.settings["per_host"], info.items) == (30, 2, 30)
