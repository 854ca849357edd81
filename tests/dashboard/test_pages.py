"""The pages: with nothing, with something, and with texts that are meant to break them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from scraper.jobs.access import Access
from scraper.jobs.desk import Desk
from scraper.jobs.job import Alerts, Job
from scraper.jobs.record import Alert, Cause, JobRun, State
from scraper.jobs.store import Jobs
from tests.dashboard.conftest import Browser, Stopped
from tests.dashboard.hostile import TEXTS, fill
from tests.dashboard.markup import Page

PLAIN = (
    "/", "/runs", "/alerts", "/settings", "/settings/users", "/settings/audit", "/declared", "/keys", "/new-job",
)  # fmt: skip
OF_JOB = ("/jobs/{job}", "/jobs/{job}/edit", "/runs?job={job}", "/alerts?job={job}", "/settings/audit?job={job}")
OF_RUN = (
    "/runs/{run}", "/runs/{run}/items", "/runs/{run}/items/0", "/runs/{run}/changes",
    "/runs/{run}/changes?kind=changed", "/runs/{run}/log",
)  # fmt: skip


async def page(browser: Browser, path: str, status: int = 200) -> Page:
    """A page that is as it should be."""
    answer = await browser.client.get(path)
    text = await answer.text()
    assert answer.status == status, f"{path}: {text[-600:]}"
    found = Page(text)
    assert not found.wrong, f"{path}: {found.wrong}"
    assert found.title.strip(), path
    assert found.tags.count("h1") == 1, path
    return found


@pytest.mark.parametrize("path", PLAIN)
async def test_a_page_without_any_data_is_whole(admin: Browser, store: Jobs, path: str) -> None:
    store.remove("shop", 1.0, "test")
    await page(admin, path)


async def test_without_jobs_the_command_that_makes_one_is_told(admin: Browser, store: Jobs) -> None:
    store.remove("shop", 1.0, "test")
    words = (await page(admin, "/")).words
    assert "No jobs yet" in words
    assert "scraper jobs apply" in words
    assert 'spider = "shop"' in words


@pytest.mark.parametrize("path", OF_JOB)
async def test_a_page_of_a_job_that_has_not_run(admin: Browser, path: str) -> None:
    assert "shop" in (await page(admin, path.format(job="shop"))).words


async def test_a_run_that_waits_has_a_page_and_no_folder_yet(admin: Browser) -> None:
    await admin.post("/api/v1/jobs/shop/start")
    words = (await page(admin, "/runs/1")).words
    assert "It waits for its turn" in words
    assert "Stop in good order" in words
    assert "has not begun to crawl" in (await page(admin, "/runs/1/items", 404)).words


async def test_a_job_is_shown_as_it_is_declared(admin: Browser, store: Jobs, clock: Stopped) -> None:
    told = Alerts(failed=False, items_below=0.5, no_run_in=172_800.0, quiet=("22:00-07:00", "sat 00:00-24:00"))
    job = Job(name="full", spider="shop", retries=2, retry_delay=30.0, resume=False, alerts=told)
    store.put(job, now=clock.wall(), who="test")
    words = " ".join((await page(admin, "/jobs/full")).words.split())
    for said in ("a run has failedno", "fewer items than usual times0.5", "no good run for2 days",
                 "tell nobody in22:00-07:00; sat 00:00-24:00", "the first retry30 seconds",
                 "An interrupted crawlbegins anew"):  # fmt: skip
        assert said in words, said


async def test_an_alert_is_in_one_list_alone(admin: Browser, store: Jobs) -> None:
    store.raise_alert(Alert(job="shop", rule="failed", at=1.0, text="it has failed"))
    words = (await page(admin, "/alerts")).words
    assert words.count("it has failed") == 1
    assert "No alerts" not in words


@pytest.mark.parametrize("state", State)
async def test_a_run_in_each_state_has_a_page(admin: Browser, store: Jobs, clock: Stopped, state: State) -> None:
    store.plan(JobRun(id=0, job="shop", spider="shop", planned=clock.wall(), cause=Cause.CATCH_UP, state=state))
    for path in ("/", "/jobs/shop", "/runs", "/runs/1"):
        assert state.value.replace("_", " ") in (await page(admin, path)).words


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text)[1:30])
async def test_what_comes_from_elsewhere_is_text(
    admin: Browser, store: Jobs, desk: Desk, access: Access, clock: Stopped, text: str
) -> None:
    run = fill(store, desk.root, text, clock.wall())
    access.add_token(text[:60] if text[:60].isprintable() else "token", "viewer", "admin")
    await page(admin, "/jobs/evil")
    for path in (*PLAIN, *OF_JOB, *OF_RUN):
        await page(admin, path.format(job="evil", run=run.id))


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text)[1:30])
async def test_what_is_asked_for_is_text(
    admin: Browser, store: Jobs, desk: Desk, clock: Stopped, text: str
) -> None:
    run = fill(store, desk.root, "text", clock.wall())
    asked = quote(text[:900])
    for path in (f"/?search={asked}", f"/runs?job={asked}", f"/alerts?job={asked}", f"/settings/audit?job={asked}",
                 f"/runs/{run.id}/items?search={asked}", f"/runs/{run.id}/changes?search={asked}",
                 f"/runs/{run.id}/log?search={asked}", f"/?done={asked}"):  # fmt: skip
        await page(admin, path)
    for path in (f"/runs?state={asked}", f"/runs/{run.id}/changes?kind={asked}", f"/runs?before={asked}"):
        await page(admin, path, 400)
    name = quote(text[:200], safe="")
    if "/" not in text and text.isprintable():
        await page(admin, f"/jobs/{name}", 404)
    answer = await admin.client.get(f"/login?next={asked}")
    assert not Page(await answer.text()).wrong


async def test_a_damaged_folder_has_a_page(admin: Browser, store: Jobs, desk: Desk, clock: Stopped) -> None:
    run = fill(store, desk.root, "text", clock.wall())
    for file in (desk.root / "shop" / "r1").iterdir():
        file.write_bytes(b'\x00\xff{"a": [\n[1]\nnull\n"x"\n')
    for path in OF_RUN[:1] + OF_RUN[3:]:
        await page(admin, path.format(run=run.id))


async def test_a_viewer_sees_and_has_no_buttons(access: Access, admin: Browser) -> None:
    browser = Browser(admin.client)
    await browser.login("reader", access.add_user("reader", "viewer"))
    words = (await page(browser, "/jobs/shop")).words
    assert "Run now" not in words
    assert "New job" not in (await page(browser, "/")).words
    await page(browser, "/settings/users", 403)


async def test_forms_work_without_javascript(admin: Browser, store: Jobs) -> None:
    async def send(path: str, **fields: str) -> str:
        form = {"csrf": admin.csrf, **fields}
        answer = await admin.client.post(path, data=form, headers={"Origin": admin.origin}, allow_redirects=False)
        assert answer.status == 303, await answer.text()
        return answer.headers["Location"]

    assert await send("/jobs/shop/pause?from=list", why="a holiday") == "/?done=paused"
    assert "a holiday" in (await page(admin, "/?done=paused")).words
    assert await send("/jobs/shop/unpause") == "/jobs/shop?done=unpaused"
    assert await send("/jobs/shop/start") == "/runs/1?done=started"
    assert await send("/runs/1/cancel") == "/runs/1?done=cancelled"
    assert await send("/theme", theme="dark", next="/runs") == "/runs"
    assert await send("/theme", theme="dark", next="//evil.test/") == "/"
    assert await send("/jobs/shop/remove") == "/?done=removed"


async def test_the_colours_are_kept_in_a_cookie(admin: Browser) -> None:
    form = {"csrf": admin.csrf, "theme": "dark", "next": "/"}
    answer = await admin.client.post("/theme", data=form, headers={"Origin": admin.origin})
    assert 'data-theme="dark"' in await answer.text()


async def test_a_job_of_the_file_is_changed_there(admin: Browser, desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "jobs.toml").write_text('[jobs.news]\nspider = "shop"\n')
    assert "news" in (await page(admin, "/declared")).words
    form = {"csrf": admin.csrf}
    await admin.client.post("/declared", data=form, headers={"Origin": admin.origin})
    assert "is declared in jobs.toml" in (await page(admin, "/jobs/news/edit")).words
    answer = await admin.client.post("/jobs/news/edit", data=form, headers={"Origin": admin.origin})
    assert answer.status == 400
    assert "change it there" in await answer.text()


async def test_a_wrong_file_is_told_with_its_line(admin: Browser, tmp_path: Path) -> None:
    (tmp_path / "jobs.toml").write_text('[jobs.news]\nspider = "shop"\noverlp = 1\n')
    assert "jobs.toml:3: [jobs.news] overlp: unknown key" in (await page(admin, "/declared")).words


async def test_a_new_user_and_a_token_are_shown_once(admin: Browser, access: Access) -> None:
    async def send(path: str, **fields: str) -> str:
        form = {"csrf": admin.csrf, **fields}
        answer = await admin.client.post(path, data=form, headers={"Origin": admin.origin})
        return str(await answer.text())

    text = await send("/settings/users", name="ann", role="viewer")
    word = text.partition("<pre>")[2].partition("</pre>")[0]
    assert access.login("ann", word, "127.0.0.1")
    assert word not in (await page(admin, "/settings/users")).words
    assert "there is a user" in await send("/settings/users", name="ann", role="viewer")
    assert "only admin" in await send("/settings/users/admin/remove")
    token = (
        (await send("/settings/tokens", name="ci", role="operator", days="7"))
        .partition("<pre>")[2]
        .partition("<")[0]
    )
    assert access.token(token)
    assert "must be a whole number" in await send("/settings/tokens", name="ci", role="operator", days="soon")
