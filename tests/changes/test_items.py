"""Which page gave an item: told exactly, whatever became of the run meanwhile."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from scraper import FetchError, Request, Response, Spider
from scraper.changes.compare import Compared
from scraper.changes.items import NOBODY, Items
from scraper.changes.keep import keep
from scraper.errors import UsageError
from scraper.folder import RunFolder
from scraper.frontier.revival import put_back
from scraper.frontier.store import Step
from scraper.outcome import End, Outcome
from scraper.testing.site import Site
from tests.conftest import Crawl
from tests.frontier.state import State

from .runs import Node, compared, failed, made

OLD, NEW = "20260101-000000-aaa1", "20260102-000000-aaa2"


class Many(Spider):
    """Every page gives as many items as its number, /9 and up more; one that failed gives one too."""

    name = "many"
    start_urls = ("http://a.test/",)

    def parse(self, response: Response) -> Iterator[Any]:
        number = int(response.url.rpartition("/")[2] or 0)
        yield response.follow_all(css="a[href]")
        for n in range(number if number < 9 else 300):
            yield {"page": response.url, "n": n, "pad": "x" * (100 if number == 9 else n)}

    def on_error(self, request: Request, error: FetchError) -> Iterator[Any]:
        yield {"page": request.url, "n": -1}


def told(folder: RunFolder) -> list[tuple[str, str]]:
    """The page that each item names, and the one that is said to have given it."""
    with closing(sqlite3.connect(folder.state)) as base, Items(folder) as items:
        urls = dict(base.execute("SELECT id, url FROM request"))
        return [(each.item["page"], urls.get(each.token, "nobody")) for each in items]


def shop(site: Site, *broken: int) -> None:
    links = "".join(f'<a href="/{n}">x</a>' for n in range(12))
    site.page("/", links)
    for n in range(12):
        site.page(f"/{n}", links, status=500 if n in broken else 200)


async def test_each_item_is_told_to_be_of_its_page(
    site: Site, go: Crawl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scraper.page.SPOOL", 2_000)
    shop(site, 3)
    done = await go(Many(), options={"folder": tmp_path}, retries=0, concurrency=8, per_host=8, commit_every=0.02)
    assert done.folder is not None
    pairs = told(RunFolder(done.folder))
    assert len(pairs) == sum(range(9)) - 3 + 1 + 3 * 300
    assert [page for page, _ in pairs] == [said for _, said in pairs]


async def test_a_real_crawl_is_compared_with_the_one_before(site: Site, go: Crawl, tmp_path: Path) -> None:
    shop(site)
    runs = []
    for broken in ((), (5, 8)):
        shop(site, *broken)
        done = await go(Many(), options={"folder": tmp_path}, retries=0)
        assert done.folder is not None
        runs.append(RunFolder(done.folder))
    found = keep(runs[0], runs[1], ("page", "n"))
    assert (found.added, found.why) == (2, {"its page failed: status 500": 5 + 8})
    assert (found.removed, found.changed) == (0, 0)


async def test_items_of_a_page_that_is_fetched_again_stay_its_own(tmp_path: Path) -> None:
    url = "https://h.example/item"
    first = {"page": url, "id": "error"}
    run = await made(
        tmp_path, OLD, {"/item": failed(500, items=[first]), "/other": Node([{"page": url[:-4] + "other"}])}
    )
    assert put_back(run.state) == 1
    line = json.dumps({"page": url}).encode() + b"\n"
    size = run.items.stat().st_size
    async with State(run.state) as state:
        leases = await state.store.claim(9)
        assert isinstance(leases, list)
        outcome = Outcome(request=leases[0].requests[0], end=End.DONE, status=200, items=[line])
        sources = [(size, outcome.request.token)]
        await state.commit(Step(outcome), sources=sources, positions={"items": size + len(line)})
    with run.items.open("ab") as file:
        file.write(line)
    assert [said for _, said in told(run)] == [url, "https://h.example/other", url]


SECOND = "DROP TABLE source; PRAGMA user_version = 2"


async def test_of_a_state_of_version_two_nobody_knows_the_pages(tmp_path: Path) -> None:
    old = await made(tmp_path, OLD, {"/a": Node([{"id": 1}])})
    with closing(sqlite3.connect(old.state)) as base:
        base.executescript(SECOND)
    with Items(old) as items:
        assert [each.token for each in items] == [NOBODY]
    assert compared(old, await made(tmp_path, NEW, {"/a": Node()}))[0].removed == 1
    done: Compared = compared(old, await made(tmp_path / "b", NEW, {"/a": failed(500)}))[0]
    assert done.unseen == 1
    async with State(old.state) as state:  # it goes on: what comes now is known
        await state.commit(sources=[(9, 2)])
    with closing(sqlite3.connect(old.state)) as base:
        assert base.execute("SELECT * FROM source").fetchall() == [(9, 2)]
        assert base.execute("PRAGMA user_version").fetchone() == (3,)


async def test_a_journal_that_is_shorter_than_recorded_is_refused(tmp_path: Path) -> None:
    run = await made(tmp_path, OLD, {"/a": Node([{"id": 1}, {"id": 2}])})
    run.items.write_bytes(run.items.read_bytes()[:12])
    with pytest.raises(UsageError, match=r"has 10 bytes of whole items where 20 were recorded"):
        compared(None, run)


async def test_what_is_behind_the_last_commit_is_not_read(tmp_path: Path) -> None:
    run = await made(tmp_path, OLD, {"/a": Node([{"id": 1}])})
    with run.items.open("ab") as file:
        file.write(b'{"id": 2}\n{"id"')
    assert compared(None, run)[0].items == 1
