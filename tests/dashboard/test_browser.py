"""A person at a browser: logs in, makes a job, watches it run, reads what has changed, stops it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scraper.jobs.job import Job
from scraper.jobs.store import Jobs
from scraper.testing.process import SiteProcess
from tests.dashboard.hostile import fill
from tests.ports import free_port

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext
    from playwright.sync_api import Page as Tab

CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).parents[2]
SOON = 20_000  # milliseconds that a page may take for something
TITLE = "<script>document.title='taken'</script>"
SPIDERS = '''
from scraper import Spider, arg

class Shop(Spider):
    """Reads the shop."""
    name = "shop"
    url: str = arg(help="of the shop")
    settings = {{"delay": 0.0, "retries": 0}}
    start_urls = []

    async def start(self):
        yield self.url

    def parse(self, response):
        for book in response.css("li"):
            yield {{"id": book.css("b::text").get(), "price": book.css("i::text").get()}}
        yield response.follow_all(css="a")

class Slow(Spider):
    """Takes its time."""
    name = "slow"
    url: str
    settings = {{"delay": 0.15, "retries": 0}}

    async def start(self):
        yield self.url

    def parse(self, response):
        yield {{"url": response.url, "title": {title!r}}}
        yield response.follow_all(css="a")
'''


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "scraper", *words]


@pytest.fixture(scope="module")
def site() -> Iterator[SiteProcess]:
    """A shop, and a tree of many pages."""
    with SiteProcess() as made:
        shelf(made, ("Salt", "4.50"), ("Rain", "7.00"), (TITLE, "1.00"))
        made.tree(400, 8)
        yield made


def shelf(site: SiteProcess, *books: tuple[str, str]) -> None:
    """What the shop has now."""
    text = "".join(f"<li><b>{title.replace('<', '&lt;')}</b><i>{price}</i></li>" for title, price in books)
    site.page("/shop", f"<title>Shop</title><ul>{text}</ul><a href='/nowhere'>x</a>")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with spiders."""
    made = tmp_path_factory.mktemp("project")
    (made / "spiders").mkdir()
    (made / "spiders" / "all.py").write_text(SPIDERS.format(title=TITLE))
    return made


@pytest.fixture(scope="module")
def server(project: Path) -> Iterator[tuple[str, str]]:
    """The address of `scraper serve` in the project, and the password."""
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    port = free_port()
    made = subprocess.run(
        command("serve", "--reset-password"), cwd=project, env=environ, capture_output=True, text=True, check=True
    )
    word = made.stdout.split()[-1]
    child = subprocess.Popen(
        command("serve", "--port", str(port)), cwd=project, env=environ, stderr=subprocess.PIPE, text=True
    )
    with child:
        assert child.stderr is not None
        for line in child.stderr:
            if "listening" in line:
                break
        yield f"http://127.0.0.1:{port}", word
        child.send_signal(signal.SIGTERM)
        child.stderr.read()
        assert child.wait(30) == 0


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    """A browser."""
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not there: apt-get install chromium")
    with sync.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        made = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
        made.set_default_timeout(SOON)
        yield made
        made.close()
        browser.close()


@pytest.fixture
def tab(context: BrowserContext, server: tuple[str, str]) -> Iterator[Tab]:
    """A tab of somebody who has logged in; nothing may go wrong in it."""
    made, wrong = context.new_page(), list[str]()
    made.on("console", lambda told: wrong.append(told.text) if told.type in ("error", "warning") else None)
    made.on("pageerror", lambda error: wrong.append(str(error)))
    address, word = server
    made.goto(f"{address}/login")
    if made.url.endswith("/login"):
        made.fill("#name", "admin")
        made.fill("#password", word)
        made.click("main button")
    made.wait_for_selector("h1")
    yield made
    made.close()
    assert not wrong


def follows(listing: Tab, run: str, times: int) -> None:
    """The list of jobs tells of the latest of so many runs: it is replaced, and goes on listening."""
    listing.wait_for_selector(f"#job-books:has(a[href='{run}']):has-text('finished')")
    assert len((listing.get_attribute("#job-books .spark path", "d") or "").split("z")) == times + 1


def test_a_job_is_made_watched_and_its_changes_are_read_while_a_list_follows(
    tab: Tab, context: BrowserContext, server: tuple[str, str], site: SiteProcess
) -> None:
    address, _ = server
    tab.goto(f"{address}/")
    tab.click("text=New job")
    tab.fill("#f-name", "books")
    tab.select_option("#f-spider", "shop")
    tab.fill('[id="f-args.url"]', site.url("/shop"))
    tab.fill("#f-schedule", "every day at 08:30")
    tab.fill("#f-timezone", "Europe/Berlin")
    tab.fill("#f-key", "id")
    tab.click("text=Add the job")
    tab.wait_for_selector("text=The job is added")
    assert "08:30" in tab.inner_text("main")
    listing = context.new_page()
    listing.goto(f"{address}/")
    listing.wait_for_selector("#job-books:has-text('never')")
    tab.click("text=Run now")
    tab.wait_for_selector("#state .finished")
    follows(listing, tab.url.removeprefix(address), 1)
    assert tab.inner_text("#tiles dd >> nth=1") == "3"
    tab.click("text=Items")
    assert TITLE in tab.inner_text("table.items")
    assert tab.title().startswith("Items of books")

    shelf(site, ("Salt", "5.00"), (TITLE, "1.00"), ("Bells", "2.00"))
    tab.goto(f"{address}/jobs/books")
    tab.click("text=Run now")
    tab.wait_for_selector("#state .finished")
    follows(listing, tab.url.removeprefix(address), 2)
    listing.close()
    tab.click("text=Changes >> nth=0")
    words = re.sub(r"\s+", " ", tab.inner_text(".changes"))
    assert "changed id Salt Field Old New price 4.50 5.00" in words
    assert "added id Bells price 2.00" in words
    assert "removed id Rain" in words


def test_a_run_is_watched_while_it_goes_and_stopped(tab: Tab, server: tuple[str, str], site: SiteProcess) -> None:
    address, _ = server
    tab.goto(f"{address}/new-job?spider=slow")
    tab.fill("#f-name", "slow")
    tab.fill('[id="f-args.url"]', site.url("/"))
    tab.click("text=Add the job")
    tab.wait_for_selector("text=The job is added")
    tab.click("text=Run now")
    tab.wait_for_selector("#state .running")
    tab.wait_for_selector(r"#n-pages:text-matches('^([4-9]|[0-9]{2})')")
    before = tab.inner_text("#n-pages")
    tab.wait_for_selector(f"#n-pages:not(:text-is('{before}'))")
    tab.wait_for_selector("#plots canvas")
    assert TITLE in tab.inner_text("#items")
    tab.click("text=Stop this run")
    tab.click("text=Stop in good order")
    tab.wait_for_selector("#state .cancelled")
    assert "stopped by admin" in tab.inner_text("main")
    tab.click("text=Requests")
    tab.fill("#url", site.url("/"))
    tab.press("#url", "Enter")
    tab.wait_for_selector(".told")
    assert "done" in tab.inner_text(".told")
    tab.set_viewport_size({"width": 375, "height": 740})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 375


def test_keys_lead_to_pages(tab: Tab, server: tuple[str, str]) -> None:
    address, _ = server
    tab.goto(f"{address}/settings")
    tab.keyboard.press("g")
    tab.keyboard.press("r")
    tab.wait_for_url("**/runs")
    tab.keyboard.press("?")
    assert tab.is_visible("dialog#keys")
    tab.keyboard.press("Escape")
    assert not tab.is_visible("dialog#keys")
    tab.keyboard.press("g")
    tab.keyboard.press("j")
    tab.wait_for_url(f"{address}/")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"


def test_colours_change_at_once_and_stay(tab: Tab, server: tuple[str, str]) -> None:
    address, _ = server
    colour = "getComputedStyle(document.body).backgroundColor"
    before = tab.evaluate(colour)
    with tab.expect_response("**/theme"):
        tab.select_option("#theme", "dark")
    assert tab.evaluate(colour) != before
    tab.goto(f"{address}/runs")
    assert tab.evaluate(colour) != before
    with tab.expect_response("**/theme"):
        tab.select_option("#theme", "")


WIDTHS = (
    "/",
    "/new-job",
    "/runs",
    "/alerts",
    "/settings",
    "/settings/users",
    "/settings/audit",
    "/declared",
    "/keys",
)


def test_no_page_is_wider_than_a_phone(tab: Tab, server: tuple[str, str], project: Path) -> None:
    """Whatever a site has sent: every field that can have a long word has one."""
    address, _ = server
    with Jobs(project / "output" / ".jobs") as store:
        store.put(Job(name="shop", spider="shop"), now=0.0, who="test")
        run = fill(store, project / "output", "a" * 3000, time.time())
    tab.set_viewport_size({"width": 375, "height": 740})
    parts = ("", "/items", "/items/0", "/log", "/changes")
    for path in [*WIDTHS, "/jobs/evil", "/jobs/evil/edit", *(f"/runs/{run.id}{part}" for part in parts)]:
        answer = tab.goto(f"{address}{path}")
        assert answer is not None
        assert answer.status == 200, path
        assert tab.evaluate("document.documentElement.scrollWidth") <= 375, path


def test_plain_pages_work_without_javascript(context: BrowserContext, server: tuple[str, str]) -> None:
    browser = context.browser
    assert browser is not None
    address, word = server
    with browser.new_context(java_script_enabled=False) as plain:
        tab = plain.new_page()
        tab.goto(f"{address}/")
        tab.fill("#name", "admin")
        tab.fill("#password", word)
        tab.click("main button")
        assert tab.inner_text("h1") == "Jobs"
        tab.select_option("#theme", "dark")
        tab.click(".theme button")
        assert tab.get_attribute("html", "data-theme") == "dark"
        tab.click("text=New job")
        tab.select_option("#f-spider", "shop")
        tab.click("button[name='choose']")
        assert tab.is_visible('[id="f-args.url"]')
        tab.fill("#f-name", "plain")
        tab.fill("#f-schedule", "evry day")
        tab.click("text=Add the job")
        assert "did you mean 'every day'?" in tab.inner_text("main")
        tab.fill("#f-schedule", "every day at 09:00")
        tab.fill('[id="f-args.url"]', "http://127.0.0.1:1/")
        tab.click("text=Add the job")
        tab.click("text=Pause")
        assert "The job is paused" in tab.inner_text("main")
        tab.click("text=Remove this job")
        tab.click("text=Remove plain")
        assert "The job is removed" in tab.inner_text("main")
