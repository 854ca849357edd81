"""The JSON API: every verb of the desk, and what it says to what is wrong."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from scraper.dashboard import answers
from scraper.dashboard.app import build
from scraper.dashboard.door import Door
from scraper.dashboard.guard import Options
from scraper.folder import FINISHED, RunFolder, RunInfo
from scraper.jobs import runfiles
from scraper.jobs.access import Access
from scraper.jobs.declared import NAME
from scraper.jobs.desk import DOTS, RECENT, Desk
from scraper.jobs.job import Job
from scraper.jobs.process import Processes
from scraper.jobs.record import Alert, Cause, JobRun, State
from scraper.jobs.scheduler import Scheduler
from scraper.jobs.store import Jobs
from tests.dashboard.conftest import Client, Stopped
from tests.frontier.state import State as Ledgered
from tests.frontier.state import page

STRANGE = [
    "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e%2f", "/etc/passwd", "..\\..\\x", "*",
    "<script>alert(1)</script>",
    "a" * 3000, "%00", "\u202e", "' OR 1=1 --", "-1", "1e9", "99999999999999999999", "NaN", "{{7*7}}", ".", "~root",
]  # fmt: skip


class Program:
    """A client with a token."""

    def __init__(self, client: Client, token: str) -> None:
        self._client = client
        self._fields = {"Authorization": f"Bearer {token}"}

    async def __call__(self, path: str, json: Any = None, method: str = "") -> tuple[int, Any]:
        method = method or ("GET" if json is None else "POST")
        answer = await self._client.request(method, f"/api/v1{path}", json=json, headers=self._fields)
        return answer.status, await answer.json()


@pytest.fixture
def api(client: Client, access: Access) -> Program:
    return Program(client, access.add_token("ci", "admin", "test")[1])


async def crawled(desk: Desk, store: Jobs, clock: Stopped, items: int = 3) -> tuple[JobRun, RunFolder]:
    """A run of the job that has finished, with its folder."""
    run = store.plan(JobRun(id=0, job="shop", spider="shop", planned=clock.wall(), cause=Cause.HAND))
    assert run is not None
    folder = RunFolder.make(desk.root, "shop", clock.wall())
    folder.write(RunInfo(run=folder.run, spider="shop", state=FINISHED))
    folder.items.write_bytes(b"".join(b'{"number":%d,"title":"<b>Caf\xc3\xa9</b>"}\n' % n for n in range(items)))
    folder.log.write_bytes(b'{"level":"info","message":"begun"}\n{"level":"info","message":"en')
    store.update(replace(run, state=State.FINISHED, run=folder.run, began=1.0, ended=2.0, items=items))
    return store.run(run.id), folder


async def test_a_job_is_added_changed_paused_and_removed(api: Program, store: Jobs) -> None:
    status, made = await api("/jobs", {"name": "news", "spider": "shop", "schedule": "every 30 minutes"})
    assert (status, made["line"]["said"]) == (201, "every 30 minutes"), made
    assert (await api("/jobs", {"name": "news", "spider": "shop"}))[0] == 409
    status, changed = await api("/jobs/news?version=1", {"spider": "shop", "priority": 3}, "PUT")
    assert (status, changed["job"]["priority"]) == (200, 3)
    status, wrong = await api("/jobs/news?version=1", {"spider": "shop"}, "PUT")
    assert (status, "meanwhile" in wrong["error"]) == (409, True)
    status, wrong = await api("/jobs", {"name": "news", "spider": "shop"})
    assert (status, wrong["error"]) == (409, "there is a job 'news' already")
    assert (await api("/jobs/news/pause", {"why": "too slow"}))[1]["line"]["paused_why"] == "too slow"
    assert (await api("/jobs/news/unpause", {}))[1]["line"]["paused"] is False
    assert (await api("/jobs/news", method="DELETE"))[0] == 200
    status, gone = await api("/jobs/news")
    assert (status, gone["error"]) == (404, "no job 'news'; there are shop")
    acts = (await api("/audit?job=news"))[1]["acts"]
    assert [act["what"] for act in acts] == ["remove", "unpause", "pause", "change", "add"]
    assert {act["who"] for act in acts} == {"token ci"}


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ({"name": "x", "spider": "shop", "schedule": "61 * * * *"}, "schedule"),
        ({"name": "x", "spider": "shop", "timezone": "Mars/Olympus"}, "timezone"),
        ({"name": "x", "spider": "shop", "shedule": "@daily"}, "did you mean 'schedule'"),
        ({"name": "../x", "spider": "shop"}, "the name of a job must be"),
        ({"spider": "shop"}, "begin with '-'; it is missing"),
        ({"name": "x"}, "spider"),
        ({"name": "x", "spider": "shop", "retries": "many"}, "retries"),
        ({"name": "x", "spider": "shop", "args": {"number": "many"}}, "number"),
        ({"name": "x", "spider": "shop", "args": {"colour": "red"}}, "colour"),
        ({"name": "x", "spider": "spiders/shop.py"}, "must be the name of a spider"),
        ({"name": "x", "spider": "shopp"}, "did you mean 'shop'"),
        ({"name": "x", "spider": "shop", "output": ["/tmp/x.csv"]}, "outside of the project"),
        ({"name": "x", "spider": "shop", "output": ["../x.csv"]}, "outside of the project"),
        ({"name": "x", "spider": "shop", "output": ["output/.jobs/x.csv"]}, "folder of the server"),
        ({"name": "x", "spider": "shop", "output": ["output/.jobs/jobs.sqlite"]}, "folder of the server"),
        ({"name": "x", "spider": "shop", "output": ["spiders/shop.py"]}, "names no format"),
        ({"name": "x", "spider": "shop", "output": ["jobs.toml"]}, "names no format"),
        ({"name": "x", "spider": "shop", "output": [".vscode/settings.json"]}, "is hidden"),
        ({"name": "x", "spider": "shop", "output": ["a/.git/x.csv"]}, "is hidden"),
        ({"name": "x", "spider": "shop", "output": ["output/shop/{run}/items.jsonl"]}, "the folder of a run"),
        ({"name": "x", "spider": "shop", "output": ["output/{spider}/20260101-000000-1/state.db"]}, "of a run"),
    ],
)
async def test_a_wrong_job_is_told_by_its_key_and_not_kept(api: Program, job: dict[str, Any], said: str) -> None:
    status, answer = await api("/jobs", job)
    assert (status, said in answer["error"]) == (400, True), answer
    assert len((await api("/jobs"))[1]["jobs"]) == 1


async def test_all_that_is_wrong_with_a_job_is_told_key_by_key(api: Program) -> None:
    wrong = {"name": "shop", "spider": "shop", "overlp": "skip", "key": ["a", "a", ""], "args": {"number": "many"}}
    status, answer = await api("/jobs", wrong)
    assert status == 400
    assert [each["where"] for each in answer["mistakes"]] == ["name", "overlp", "key", "key[2]", "args.number"]
    assert answer["mistakes"][1]["what"] == "unknown key; did you mean 'overlap'?"
    lines = [f"job 'shop': [jobs.shop] {each['where']}: {each['what']}" for each in answer["mistakes"]]
    assert answer["error"].splitlines() == lines


async def test_what_is_secret_in_a_job_is_not_shown_and_kept_when_it_is_saved(api: Program, store: Jobs) -> None:
    job = {"name": "in", "spider": "shop", "args": {"password": "hush"}, "settings": {"auth": "me:hush"}}
    status, made = await api("/jobs", job)
    assert status == 201
    assert made["job"]["args"] == {"password": "***"}
    assert made["job"]["settings"] == {"auth": "***"}
    assert (await api("/jobs/in", made["job"] | {"priority": 5}, "PUT"))[0] == 200
    kept = store.job("in").job
    assert (kept.args, kept.settings, kept.priority) == ({"password": "hush"}, {"auth": "me:hush"}, 5)


async def test_what_jobs_toml_would_change_is_shown_and_applied(api: Program, tmp_path: Path) -> None:
    assert (await api("/apply"))[0] == 400
    (tmp_path / "jobs.toml").write_text('[jobs.toys]\nspider = "shop"\nkeep = "x"\n[jobs.a]\nspider = "shp"\n')
    status, answer = await api("/apply", {})
    assert status == 400
    assert [(Path(each["where"]).name, each["what"].partition("'")[0]) for each in answer["mistakes"]] == [
        ("jobs.toml:3: [jobs.toys] keep", "must be a whole number, not "),
        ("jobs.toml:5: [jobs.a] spider", "no spider "),
    ]
    (tmp_path / "jobs.toml").write_text('[jobs.toys]\nspider = "shop"\nschedule = "@weekly"\n')
    changes = (await api("/apply"))[1]["changes"]
    assert [(each["what"], each["job"]) for each in changes] == [("add", "toys")]
    assert (await api("/apply", {}))[0] == 200
    assert (await api("/apply"))[1]["changes"] == []
    for wrong, place in (("spider = 3", "jobs.toml:"), ('spider = "none"', "[jobs.toys]"),
                         ('spider = "shop"\nargs = { number = "many" }', "[jobs.toys]")):  # fmt: skip
        (tmp_path / "jobs.toml").write_text(f"[jobs.toys]\n{wrong}\n[jobs.more]\nspider = 'shop'\n")
        status, answer = await api("/apply", {})
        assert (status, place in answer["error"]) == (400, True), answer
    assert len((await api("/jobs"))[1]["jobs"]) == 2


async def test_a_run_is_started_with_arguments_and_cancelled_once(api: Program) -> None:
    status, run = await api("/jobs/shop/start", {"args": {"shelf": "toys"}})
    assert (status, run["args"]) == (201, {"shelf": "toys"})
    status, asked = await api(f"/runs/{run['id']}/cancel", {})
    assert (status, asked["stop"], asked["stopped_by"]) == (200, "cancel", "token ci")
    assert (await api(f"/runs/{run['id']}/kill", {}))[1]["stop"] == "kill"
    assert (await api("/runs/77/cancel", {}))[0] == 404
    wrong: dict[str, Any]
    for wrong in ({"arguments": {}}, {"args": []}, {"args": {"number": "many"}}, {"args": {"colour": "red"}}):
        assert (await api("/jobs/shop/start", wrong))[0] == 400
    assert (await api("/spiders/shop"))[1]["arguments"][1]["name"] == "number"


async def test_runs_are_paged_newest_first(api: Program, store: Jobs) -> None:
    store.planned("shop", 0.0, [
        JobRun(id=0, job="shop", spider="shop", planned=float(n), cause=Cause.AFTER, state=State.MISSED)
        for n in range(25)
    ])  # fmt: skip
    seen: list[float] = []
    before = ""
    while True:
        answer = (await api(f"/runs?limit=10{before}"))[1]
        seen += [run["planned"] for run in answer["runs"]]
        if answer["next"] is None:
            break
        before = f"&before={answer['next']}"
    assert seen == [float(n) for n in range(24, -1, -1)]
    assert (await api("/runs?state=missed,failed&job=shop&limit=3"))[1]["next"] is not None
    assert (await api("/runs?state=lost"))[0] == 400


async def test_items_are_paged_searched_and_downloaded(
    api: Program, client: Client, desk: Desk, store: Jobs, clock: Stopped
) -> None:
    run, folder = await crawled(desk, store, clock, 120)
    seen: list[int] = []
    at: Any = 0
    while at is not None:
        answer = (await api(f"/runs/{run.id}/items?at={at}&limit=50"))[1]
        seen += [item["number"] for item in answer["lines"]]
        at = answer["next"]
    assert seen == [*range(120)]
    for search, many in (("caf\u00e9", 120), ("<B>", 120), ('"number":7,', 1), ("nothing", 0)):
        found = (await api(f"/runs/{run.id}/items?limit=500&search={quote(search)}"))[1]
        assert len(found["lines"]) == many, search
    assert [item["number"] for item in (await api(f"/runs/{run.id}/items?at=-1&limit=2"))[1]["lines"]] == [118, 119]
    saved = await client.get(f"/api/v1/runs/{run.id}/items.jsonl", headers=api._fields)
    assert await saved.read() == folder.items.read_bytes()
    assert saved.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in saved.headers["Content-Security-Policy"]
    for kind, begin in (("csv", "number,title\r\n0,<b>Café</b>\r\n"), ("json", '[\n{"number":0'), ("xml", "<?xml")):
        text = await (await client.get(f"/api/v1/runs/{run.id}/items.{kind}", headers=api._fields)).text()
        assert text.startswith(begin), text[:80]
    assert (await api(f"/runs/{run.id}/items.sqlite"))[0] == 404
    assert [path.name for path in desk.store.home.glob("export-*")] == []


async def test_few_copies_are_on_the_disk_for_people_to_take_and_none_has_a_name(
    desk: Desk, store: Jobs, clock: Stopped, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = await crawled(desk, store, clock, 3)
    monkeypatch.setattr(runfiles, "EXPORTS", 1)
    desk = Desk(store, root=desk.root, project=desk.project)
    async with desk.exported(run.id, "csv") as (size, parts):
        assert not [*desk.store.home.glob("export-*")]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), desk.exported(run.id, "csv"):
                raise AssertionError
        assert len(b"".join([part async for part in parts])) == size
    async with desk.exported(run.id, "csv") as (again, _):
        assert again == size


async def test_who_does_not_take_what_he_downloads_is_taken_to_have_left(
    desk: Desk, access: Access, store: Jobs, clock: Stopped, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    run, folder = await crawled(desk, store, clock, 1)
    folder.items.write_bytes((b'{"x":"' + b"x" * 1000 + b'"}\n') * 20_000)
    monkeypatch.setattr(answers, "STALLED", 0.2)
    word = access.add_token("t", "viewer", "test")[1]
    door = Door(build(desk, access, Options()))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        await door.open([listening])
        loop, taken = asyncio.get_running_loop(), 0
        with socket.create_connection(listening.getsockname()) as client:
            path = f"GET /api/v1/runs/{run.id}/items.jsonl HTTP/1.1"
            client.sendall(f"{path}\r\nHost: localhost\r\nAuthorization: Bearer {word}\r\n\r\n".encode())
            client.setblocking(False)
            await asyncio.sleep(1)  # we take nothing, for longer than that
            with suppress(ConnectionError):
                async with asyncio.timeout(10):
                    while part := await loop.sock_recv(client, 2**20):
                        taken += len(part)
        await door.close()
    assert 0 < taken < 20_000_000
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_run_shows_what_it_left_and_no_line_that_is_not_whole(
    api: Program, desk: Desk, store: Jobs, clock: Stopped
) -> None:
    run, _ = await crawled(desk, store, clock)
    found = (await api(f"/runs/{run.id}"))[1]
    assert found["has"] == ["items", "log"]
    assert found["info"]["state"] == "finished"
    assert [line["message"] for line in (await api(f"/runs/{run.id}/log"))[1]["lines"]] == ["begun"]
    assert (await api(f"/runs/{run.id}/moments"))[1]["lines"] == []
    assert (await api(f"/runs/{run.id}/output"))[1] == {"text": ""}
    desk.store.log(run.id).parent.mkdir()
    desk.store.log(run.id).write_bytes(b"one\x1b[31m\ntwo\n")
    assert (await api(f"/runs/{run.id}/output"))[1] == {"text": "one\ufffd[31m\ntwo\n"}
    assert (await api(f"/runs/{run.id}/requests"))[0] == 404
    assert (await api(f"/runs/{run.id}/explain?url=https://a.example/"))[0] in (400, 404)


async def test_the_ledger_of_a_run_is_paged_counted_and_explained(
    api: Program, desk: Desk, store: Jobs, clock: Stopped
) -> None:
    run, folder = await crawled(desk, store, clock, 0)
    async with Ledgered(folder.state) as state:
        await state.seed(*(page(f"/{n}", "a.example") for n in range(7)))
    first = (await api(f"/runs/{run.id}/requests?which=queued&limit=5"))[1]
    assert len(first["requests"]) == 5
    last = (await api(f"/runs/{run.id}/requests?which=queued&limit=5&after={first['next']}"))[1]
    assert [each["url"] for each in last["requests"]] == ["https://a.example/5", "https://a.example/6"]
    assert last["next"] is None
    assert (await api(f"/runs/{run.id}/requests?which=faild"))[0] == 400
    assert (await api(f"/runs/{run.id}/ledger"))[1]["counts"][0]["number"] == 7
    told = (await api(f"/runs/{run.id}/explain?url=https://a.example/3"))[1]
    assert (told["url"], told["stories"][0]["entry"]["state"]) == ("https://a.example/3", "queued")


async def test_items_that_are_not_committed_are_not_shown(
    api: Program, desk: Desk, store: Jobs, clock: Stopped
) -> None:
    run, folder = await crawled(desk, store, clock, 5)
    async with Ledgered(folder.state) as state:
        await state.seed(page("/", "a.example"))
    assert (await api(f"/runs/{run.id}/items"))[1]["lines"] == []


async def test_no_link_is_followed_out_of_a_run(
    api: Program, desk: Desk, store: Jobs, clock: Stopped, tmp_path: Path
) -> None:
    run, folder = await crawled(desk, store, clock)
    outside = tmp_path / "outside"
    outside.write_text('{"secret":1}\n')
    for name in (*runfiles.PLACES.values(), "run.json", "stats.json"):
        (folder.path / name).unlink(missing_ok=True)
        (folder.path / name).symlink_to(outside)
    for path in (
        "",
        "/items",
        "/log",
        "/moments",
        "/changes",
        "/requests",
        "/ledger",
        "/explain?url=https://a.example/",
    ):
        assert "secret" not in str((await api(f"/runs/{run.id}{path}"))[1])
    (folder.path / "state.sqlite").unlink()
    async with Ledgered(folder.state) as state:
        await state.seed(page("/", "a.example"))
    assert "link in the place" in (await api(f"/runs/{run.id}/explain?url=https://a.example/"))[1]["error"]
    moved = folder.path.rename(folder.path.parent / "elsewhere")
    folder.path.symlink_to(moved)
    assert (await api(f"/runs/{run.id}/items"))[0] == 404


@pytest.mark.parametrize("word", STRANGE)
async def test_no_word_leads_anywhere_but_to_an_answer(
    api: Program, client: Client, desk: Desk, store: Jobs, clock: Stopped, word: str
) -> None:
    run, _ = await crawled(desk, store, clock)
    paths = [f"/api/v1/jobs/{word}", f"/api/v1/runs/{word}", f"/static/{word}", f"/api/v1/users/{word}"]
    for path in paths:
        answer = await client.get(path, headers=api._fields)
        assert answer.status in (400, 404, 405), path
        assert "root:" not in await answer.text()
    for path, name in (
        ("/runs", "job"), ("/runs", "state"), ("/runs", "before"), ("/runs", "limit"), ("/alerts", "job"),
            ("/audit", "job"),
        (f"/runs/{run.id}/items", "at"), (f"/runs/{run.id}/items", "search"), (f"/runs/{run.id}/items", "limit"),
        (f"/runs/{run.id}/log", "at"), (f"/runs/{run.id}/requests", "which"), (f"/runs/{run.id}/requests", "after"),
        (f"/runs/{run.id}/explain", "url"), ("/jobs/shop/series", "limit"),
    ):  # fmt: skip
        answer = await client.get(f"/api/v1{path}", params={name: word}, headers=api._fields)
        assert answer.status in (200, 400, 404), (path, name)
        assert answer.content_type == "application/json"
    for job in ({"name": word, "spider": "shop"}, {"name": "x", "spider": word}):
        status, _ = await api("/jobs", job)
        assert status == (201 if job["spider"] == "shop" and NAME.fullmatch(word) else 400), job
    assert (await api("/users", {"name": word, "role": word}))[0] == 400


async def test_alerts_are_listed(api: Program, store: Jobs) -> None:
    kept = store.raise_alert(Alert(job="shop", rule="failed", at=1.0, text="it has failed"))
    assert [each["id"] for each in (await api("/alerts?open=1"))[1]["alerts"]] == [kept.id]
    store.end_alert(kept.id, 2.0)
    assert (await api("/alerts?open=1"))[1]["alerts"] == []
    assert len((await api("/alerts"))[1]["alerts"]) == 1
    assert (await api("/jobs"))[1]["jobs"][0]["alerts"] == 0


async def test_users_and_tokens_are_made_once_shown_and_removed(api: Program, client: Client) -> None:
    status, made = await api("/tokens", {"name": "grafana", "role": "viewer", "days": 30})
    assert status == 201
    own = {"Authorization": f"Bearer {made['token']}"}
    assert (await (await client.get("/api/v1/me", headers=own)).json()) == {
        "name": "token grafana",
        "role": "viewer",
    }
    listed = (await api("/tokens"))[1]
    assert made["token"] not in str(listed)
    assert (await api(f"/tokens/{made['made']['id']}", method="DELETE"))[0] == 200
    assert (await client.get("/api/v1/me", headers=own)).status == 401
    assert (await api("/tokens", {"name": "x", "days": "long"}))[0] == 400
    assert len((await api("/users", {"name": "eve", "role": "viewer"}))[1]["password"]) > 20
    assert (await api("/users/eve", {"role": "operator"}, "PUT"))[0] == 200
    assert "password" not in (await api("/users/eve/password", {"password": "correct horse battery"}))[1]
    assert (await api("/users/eve", method="DELETE"))[0] == 200
    assert (await api("/users"))[1] == {"users": []}
    assert [act["what"] for act in (await api("/audit"))[1]["acts"]] == [
        "remove user", "password", "user", "user", "remove token", "token", "add",
    ]  # fmt: skip


async def test_whether_it_works_is_told_while_another_program_writes_to_the_store(
    api: Program, client: Client, desk: Desk
) -> None:
    with closing(sqlite3.connect(desk.store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with asyncio.timeout(3):  # less than one waits for a lock
            assert (await client.get("/healthz")).status == 200
    assert (await (await client.get("/healthz", headers=api._fields)).json())["free"] > 0
    desk.store.path.rename(desk.store.path.with_name("away"))
    answer = await client.get("/healthz")
    assert (answer.status, await answer.json()) == (503, {"ok": False})


async def test_many_searches_leave_room_for_everything_else(desk: Desk) -> None:
    """In threads of three, of which searches through a large file take two."""
    desk.store.put(Job(name="shop", spider="shop"), now=0.0, who="ann")
    run = desk.store.plan(JobRun(id=0, job="shop", spider="shop", planned=1.0, run="r"))
    assert run is not None
    folder = desk.root / "shop" / "r"
    folder.mkdir(parents=True)
    with (folder / "log.jsonl").open("wb") as file:
        file.truncate(24 * 2**20)
    with ThreadPoolExecutor(3) as threads:
        asyncio.get_running_loop().set_default_executor(threads)
        searches = [asyncio.create_task(desk.log(run.id, 0, search="x")) for _ in range(10)]
        await asyncio.sleep(0)
        await desk.jobs()
        assert sum(each.done() for each in searches) <= 4
        await asyncio.gather(*searches)


async def test_it_says_whether_it_works_and_gives_its_numbers(api: Program, client: Client, desk: Desk) -> None:
    healthy = await client.get("/healthz")
    assert (healthy.status, await healthy.json()) == (200, {"ok": True})
    runner = Processes(
        desk.root,
        desk.store.home,
        desk.project,
        job_of=lambda name: None,
        baseline=lambda run, key: "",
        secrets=list,
    )
    desk.scheduler = Scheduler(desk.store, runner)  # which does not go
    assert (await client.get("/healthz")).status == 503
    assert (await (await client.get("/healthz", headers=api._fields)).json())["trouble"]
    assert (await client.get("/metrics")).status == 401
    await client.get("/nothing/" + "x" * 50)
    text = await (await client.get("/metrics", headers=api._fields)).text()
    assert 'scraper_http_requests_total{method="GET",route="/healthz",status="200"} 1.0' in text
    assert 'scraper_runs{state="failed"} 0.0' in text
    free = float(next(line for line in text.splitlines() if line.startswith("scraper_free_bytes ")).split()[1])
    assert free > 0
    assert "xxxx" not in text


def test_a_sparkline_reads_as_many_runs_as_it_shows(store: Jobs) -> None:
    plan = " ".join(str(row) for row in store.rows(f"EXPLAIN QUERY PLAN {DOTS}", "shop", RECENT))
    assert "USING INDEX run_job" in plan
    assert "TEMP B-TREE" not in plan


async def test_a_hundred_thousand_runs_are_paged_like_a_hundred(
    api: Program, desk: Desk, store: Jobs, clock: Stopped
) -> None:
    run, _ = await crawled(desk, store, clock)
    names = [f'"{row[1]}"' for row in store.rows("PRAGMA table_info(run)")][1:]
    changed = {'"planned"': "i", '"state"': "CASE i % 3 WHEN 0 THEN 'failed' ELSE 'finished' END"}
    values = ", ".join(changed.get(name, name) for name in names)
    with store.change() as base:
        base.execute(
            "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
            f" INSERT INTO run ({', '.join(names)}) SELECT {values} FROM run, n WHERE id = ?",
            (run.id,),
        )
    first = (await api("/runs?state=failed&limit=5"))[1]
    assert [run["id"] for run in first["runs"]] == [99999, 99996, 99993, 99990, 99987]
    assert (await api("/runs?before=50001&limit=1"))[1]["runs"][0]["id"] == 50000
    assert (await api("/jobs/shop"))[1]["counts"] == {"failed": 33333, "finished": 66667}
    assert len((await api("/jobs"))[1]["jobs"][0]["recent"]) == RECENT


BUSY = """
import os, time
from pathlib import Path
from scraper import Spider

here = Path(__file__).parent / f"now-{os.getpid()}"
here.touch()
time.sleep(0.3)
with (here.parent / "seen").open("a") as seen:
    seen.write(f"{len(list(here.parent.glob('now-*')))}\\n")
here.unlink()

class Busy(Spider):
    name = "busy"
    shelf: str = "art"
    start_urls = ["http://127.0.0.1:1/"]
"""


async def test_few_spiders_are_imported_at_once_however_many_are_asked_for(api: Program, tmp_path: Path) -> None:
    (tmp_path / "spiders" / "busy.py").write_text(BUSY)
    assert (await api("/jobs", {"name": "b", "spider": "busy", "overlap": "queue_all"}))[0] == 201
    starts = [api("/jobs/b/start", {"args": {"shelf": "toys"}}) for _ in range(3)]
    told = await asyncio.gather(*starts, *(api("/spiders/busy") for _ in range(3)))
    assert {status for status, _ in told} == {200, 201}
    seen = (tmp_path / "spiders" / "seen").read_text().split()
    assert len(seen) == 7
    assert max(map(int, seen)) <= 2
