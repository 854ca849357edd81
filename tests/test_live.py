"""The moments of a crawl in its run folder."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from scraper.live import NAME, Live, Moment, moments
from scraper.run import Run
from scraper.spider import Spider
from scraper.testing.resolve import Loopback
from scraper.testing.site import Site
from tests.conftest import QUICK


class Tree(Spider):
    name = "tree"
    start_urls = ["http://a.test/"]

    def parse(self, response):  # type: ignore[no-untyped-def]
        yield {"url": response.url}
        yield response.follow_all(css="a[href]")


async def watched(site: Site, folder: Path) -> Run:
    from scraper.settings import Settings

    run = Run(Tree(), Settings(**QUICK), resolver=Loopback(site.port))
    live = Live(folder)
    run.started.append(live.attach)
    task = asyncio.create_task(live.run())
    await run.execute()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return run


async def test_the_last_moment_is_how_the_crawl_ended(site: Site, tmp_path: Path) -> None:
    site.tree(pages=30)
    site.page("/missing", status=404)
    await watched(site, tmp_path)
    first, *_, last = moments(tmp_path)
    assert first.pages == 0
    assert (last.pages, last.items, last.failed, last.queued, last.hosts) == (30, 30, 0, 0, 1)
    assert last.bytes > 0
    assert last.statuses["200"] >= 30


async def test_a_process_that_goes_on_appends_and_a_torn_line_is_passed_over(site: Site, tmp_path: Path) -> None:
    site.tree(pages=3)
    (tmp_path / NAME).write_text('{"at":5,"pages":7}\n{"at":6,"pa')
    await watched(site, tmp_path)
    read = [*moments(tmp_path)]
    assert read[0] == Moment(at=5.0, pages=7)
    assert [each.pages for each in read[1:]][-1] == 3
    assert json.loads((tmp_path / NAME).read_text().splitlines()[2])["at"] > 6


async def test_a_folder_that_is_not_there_harms_nothing(site: Site, tmp_path: Path) -> None:
    site.tree(pages=3)
    run = await watched(site, tmp_path / "gone")
    assert run.journal.position > 0
    assert [*moments(tmp_path / "gone")] == []


async def test_a_full_disk_harms_nothing(site: Site, tmp_path: Path) -> None:
    site.tree(pages=3)
    (tmp_path / NAME).symlink_to("/dev/full")
    run = await watched(site, tmp_path)
    assert run.journal.position > 0


def test_only_later_moments_are_read_when_that_is_asked(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"at":1}\n{"at":2,"pages":3}\nnot json\n\xff\n{"at":3}\n{"at":')
    assert [each.at for each in moments(tmp_path, after=1.0)] == [2.0, 3.0]
