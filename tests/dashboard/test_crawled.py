"""The pages about what a crawl has left, over a real one."""

from __future__ import annotations

import json
import re
from shutil import rmtree
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from scraper import Response, Spider, crawl
from scraper.jobs.desk import Desk
from scraper.jobs.record import JobRun, State
from scraper.jobs.store import Jobs
from scraper.testing.site import Site
from tests.dashboard.conftest import Browser, Stopped
from tests.dashboard.markup import Page
from tests.dashboard.test_pages import page

BAD = "<script>alert(1)</script>"


class Shop(Spider):
    name = "shop"
    url: str
    settings = {"delay": 0.0, "retries": 0}

    async def start(self):  # type: ignore[no-untyped-def]
        yield self.url

    def parse(self, response: Response):  # type: ignore[no-untyped-def]
        yield {"url": response.url, "title": response.css("title::text").get()}
        yield response.follow_all(css="a")


@pytest.fixture
async def run(desk: Desk, store: Jobs, clock: Stopped) -> JobRun:
    """A run of a site that has a page with script in its title, and links that fail."""
    made = store.plan(JobRun(id=0, job="shop", spider="shop", planned=clock.wall()))
    assert made is not None
    async with Site() as site:
        site.page(
            "/", f"<title>{BAD}</title><a href='/gone?{BAD}'>a</a><a href='/b'>b</a><a href='javascript:x'>c</a>"
        )
        site.page("/b", "<title>B</title>")
        done = await crawl(Shop(url=site.url("/")), folder=desk.root)
    assert done.folder is not None
    store.update(replace(made, run=done.folder.name, state=State.RUNNING, began=clock.wall(), pages=2, items=2))
    store.update(replace(store.run(made.id), state=State.FINISHED, ended=clock.wall(), why="few items"))
    return store.run(made.id)


async def test_items_are_in_a_table_and_each_is_whole_by_itself(admin: Browser, run: JobRun) -> None:
    words = (await page(admin, f"/runs/{run.id}/items")).words
    assert BAD in words
    assert "title" in words
    assert "Items 1 to 2 of 2" in words
    assert BAD in (await page(admin, f"/runs/{run.id}/items/0")).words
    await page(admin, f"/runs/{run.id}/items/3", 404)
    assert "Nothing found" in (await page(admin, f"/runs/{run.id}/items?search=nowhere")).words
    assert "B" in (await page(admin, f"/runs/{run.id}/items?search=/b")).words


async def test_the_ledger_tells_what_became_of_every_request(admin: Browser, run: JobRun) -> None:
    found = await page(admin, f"/runs/{run.id}/requests")
    assert "What became of 3 requests" in found.words
    assert "status 404" in found.words
    failed = await page(admin, f"/runs/{run.id}/requests?which=failed")
    assert "/gone" in failed.words
    assert "status 404" in failed.words
    assert "There are none of these" in (await page(admin, f"/runs/{run.id}/requests?which=redirected")).words


async def test_which_requests_is_chosen_from_a_list_and_a_wrong_word_is_told_beside_it(
    admin: Browser, run: JobRun
) -> None:
    answer = await admin.client.get(f"/runs/{run.id}/requests?which=faild")
    text = await answer.text()
    assert not Page(text).wrong
    explain, beside = text.split('id="list-title"')
    assert "there is no state or reason" in beside
    assert "there is no state or reason" not in explain
    assert '<option value="failed:status">failed: status</option>' in beside
    chosen = await page(admin, f"/runs/{run.id}/requests?which=failed:status:404")
    assert "failed:status:404" in chosen.words


async def test_a_url_is_explained_in_the_zone_of_its_job(admin: Browser, run: JobRun, store: Jobs) -> None:
    store.put(replace(store.job("shop").job, timezone="Asia/Tokyo"), now=1.0, who="test")
    url = next(
        each["url"]
        for each in (await (await admin.client.get(f"/api/v1/runs/{run.id}/requests?which=all")).json())["requests"]
        if each["url"].endswith("/b")
    )
    text = (await page(admin, f"/runs/{run.id}/requests?url={quote(url)}")).words
    told = text.partition("What became of a URL?")[2].partition("What became of 3")[0]
    assert re.search(r"done at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d JST", told), told
    assert re.search(r"found at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d JST", told), told


@pytest.mark.parametrize(
    "url", ["http://a.test/", "javascript:alert(1)", BAD, "\u202e", "http://a.test/" + "a" * 1900]
)
async def test_any_url_is_explained(admin: Browser, run: JobRun, url: str) -> None:
    found = await page(admin, f"/runs/{run.id}/requests?url={quote(url)}")
    assert "never found" in found.words or "dropped" in found.words or "bad url" in found.words


async def test_the_summary_names_errors_and_the_politeness_proof(admin: Browser, run: JobRun) -> None:
    words = (await page(admin, f"/runs/{run.id}")).words
    for said in ("Errors by cause", "status", "404", "Politeness", "kept", "End of the log"):
        assert said in words


async def test_what_a_run_came_to_is_said_once(admin: Browser, run: JobRun, desk: Desk) -> None:
    stats = desk.folder(run.id).path / "stats.json"
    stats.write_text(json.dumps(json.loads(stats.read_text()) | {"said": ["few items", "another rule"]}))
    words = (await page(admin, f"/runs/{run.id}")).words
    assert (words.count("few items"), words.count("another rule")) == (1, 1)


async def test_with_what_a_run_was_compared_is_shown_and_whether_it_was_told(
    admin: Browser, run: JobRun, desk: Desk
) -> None:
    kept = desk.folder(run.id).path / "changes.json"
    about = {"run": run.run, "spider": "shop", "key": ["url"], "added": 1, "told": False}
    kept.write_text(json.dumps(about | {"old": "20260101-000000-1-1"}))
    words = " ".join((await page(admin, f"/runs/{run.id}/changes")).words.split())
    for said in ("Against run 20260101-000000-1-1, told apart by url", "tells them once more", "few items"):
        assert said in words
    assert re.search(r"Compared with\s*20260101-000000-1-1", (await page(admin, f"/runs/{run.id}")).words)
    kept.write_text(json.dumps(about | {"old": "", "told": True}))
    words = (await page(admin, f"/runs/{run.id}/changes")).words
    assert "There was no run to compare with, so everything is added" in words
    assert "once more" not in words
    kept.write_text(json.dumps({"run": run.run, "spider": "shop", "key": [], "coverage": {"url": 2}}))
    assert "everything is added" not in (await page(admin, f"/runs/{run.id}/changes")).words


async def test_a_run_whose_folder_was_deleted_still_has_a_page(admin: Browser, run: JobRun, desk: Desk) -> None:
    rmtree(desk.root / "shop")
    await page(admin, f"/runs/{run.id}")
    for part in ("items", "requests", "log", "changes"):
        assert "is not there any more" in (await page(admin, f"/runs/{run.id}/{part}", 404)).words
