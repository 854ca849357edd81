"""No page, answer or event has a secret of a job, of one of its runs, or of a channel."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from scraper.dashboard.events import HUB
from scraper.dashboard.routes import ROLES
from scraper.dashboard.site import _tell
from scraper.folder import FINISHED, RunFolder, RunInfo
from scraper.jobs import secret
from scraper.jobs.access import Access
from scraper.jobs.desk import Desk
from scraper.jobs.job import Channel, Job, Overlap, Server
from scraper.jobs.record import Cause, JobRun, State
from scraper.jobs.scheduler import News
from scraper.jobs.store import Jobs
from tests.dashboard.conftest import Client

ARGS = {
    "password": "hush-1",
    "tokens": ["hush-2", "hush-3"],
    "logins": [{"name": "ann", "password": "hush-4"}],
    "pass_code": 987654321,
    "begin": "https://ann:hush-5@shop.example/",
    "shelf": "art",
    "code": "hush-20",  # from here on by what the spider says
    "seat": {"row": "hush-21"},
    "rows": ["hush-22"],
}
SETTINGS = {"headers": {"X-Key": "hush-6"}, "hosts": {"a.example": {"auth": "ann:hush-7"}}}
SECRETS = ("hush-", "987654321")
TOML = """
[jobs.shop]
spider = "shop"
args = { tokens = ["hush-8"], begin = "https://ann:hush-9@b.example/", code = "hush-23" }
[jobs.new]
spider = "shop"
args = { code = "hush-24", seat = { row = "hush-25" } }
"""
SPIDER = """
from scraper import Spider, arg

class Coded(Spider):
    code: str = arg("", secret=True)
    seat: dict[str, str] = arg({}, secret=True)

class Shop(Coded):
    name = "shop"
    url: str = "http://127.0.0.1:9/"
    shelf: str = "art"
    rows: list[str] = arg([], **{"secret": True})
    password: str = ""
    tokens: list[str] = []
    logins: list[dict[str, str]] = []
    pass_code: int = 0
    begin: str = ""

    async def start(self):
        yield self.url
"""


DECLARED = {"code", "seat", "rows"}


def test_what_is_hidden_comes_back_when_it_is_saved_as_it_was_shown() -> None:
    job = Job(name="shop", spider="shop", args=ARGS, settings=SETTINGS)
    shown = msgspec.to_builtins(secret.hidden(job, DECLARED))
    assert not [each for each in SECRETS if each in str(shown)]
    assert shown["args"]["shelf"] == "art"
    assert secret.restored(shown, msgspec.to_builtins(job)) == msgspec.to_builtins(job)


def test_a_value_that_only_looks_like_one_is_shown() -> None:
    job = Job(name="x", spider="x", args={"url": "https://a.example/@ann"}, settings={"cookies": False})
    assert secret.hidden(job) == job
    server = Server(groups={"tokens": 3}, channels={"webhook": Channel(email=("a@b.example",))})
    assert secret.hidden(server) == server


@pytest.fixture
def run(desk: Desk, store: Jobs, tmp_path: Path) -> JobRun:
    (tmp_path / "spiders" / "shop.py").write_text(SPIDER)
    job = Job(name="shop", spider="shop", args=ARGS, settings=SETTINGS, overlap=Overlap.QUEUE_ALL)
    store.put(job, now=1.0, who="test")
    channels = {
        "ops": Channel(command=("notify", "--key", "hush-10")),
        "chat": Channel(webhook="https://c/hush-11"),
    }
    store.set_server(Server(channels=channels), 1.0, "test")
    (tmp_path / "jobs.toml").write_text(TOML)
    made = store.plan(JobRun(id=0, job="shop", spider="shop", planned=3.0, cause=Cause.HAND, args=ARGS))
    assert made is not None
    over = JobRun(id=0, job="shop", spider="shop", planned=4.0, cause=Cause.HAND, args=ARGS, state=State.FAILED)
    store.plan(msgspec.structs.replace(over, began=4.0, ended=5.0))
    folder = RunFolder.make(desk.root, "shop", 3.0)  # begun when the spider did not declare anything yet
    folder.write(RunInfo(run=folder.run, spider="shop", state=FINISHED, arguments=ARGS))
    return store.update(msgspec.structs.replace(made, state=State.RUNNING, run=folder.run, pid=1))


async def test_nobody_is_shown_a_secret(
    client: Client, access: Access, run: JobRun, store: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    app, seen = client.app, 0
    assert app is not None
    given = {"run": str(run.id), "job": "shop", "spider": "shop", "name": "x.js", "at": "0", "kind": "csv"}
    fields = {"Authorization": f"Bearer {access.add_token('t', 'admin', 'test')[1]}"}
    for route in app.router.routes():
        assert route.resource is not None
        if route.method != "GET" or route.resource.canonical == "/events":
            continue
        assert route in app[ROLES]
        path = "/" + route.resource.canonical.lstrip("/").format(**given)
        text = await (await client.get(path, headers=fields)).text()
        seen += "shop" in text
        assert not [each for each in SECRETS if each in text], path
    assert seen > 10
    started = {"args": {"password": "hush-12", "code": "hush-26"}}
    wrong = {"args": {"rows": "hush-27", "seat": "hush-28"}}
    shown = (await (await client.get("/api/v1/jobs/shop", headers=fields)).json())["job"]
    asked: list[tuple[int, str, str, object]] = [
        (201, "POST", "/jobs/shop/start", started), (400, "POST", "/jobs/shop/start", wrong),
        (200, "PUT", "/jobs/shop", shown), (400, "PUT", "/jobs/shop", {"spider": "shop", **wrong}),
        (200, "POST", "/jobs/shop/pause", {}), (200, "POST", f"/runs/{run.id}/cancel", {}),
        (200, "POST", f"/runs/{run.id}/kill", {}), (200, "GET", "/apply", None), (200, "POST", "/apply", {}),
        (200, "GET", "/audit", None), (200, "GET", "/runs", None), (200, "GET", "/jobs/new", None),
    ]  # fmt: skip
    for status, method, path, body in asked:
        answer = await client.request(method, f"/api/v1{path}", headers=fields, json=body)
        text = await answer.text()
        assert answer.status == status, (method, path, text)
        assert not [each for each in SECRETS if each in text], (method, path, text)
        if method == "PUT":
            assert store.job("shop").job.args == ARGS
    assert not [each for each in SECRETS if each in caplog.text]


async def test_no_event_tells_a_secret(client: Client, access: Access, desk: Desk, run: JobRun) -> None:
    app = client.app
    assert app is not None
    who = access.token(access.add_token("t", "viewer", "test")[1])
    assert who is not None
    async with app[HUB].listening(who, 0) as listener:
        _tell(app, News("shop", run))
        told = (await listener.next(1)).decode()
    assert '"shop"' in told
    assert not [each for each in SECRETS if each in told]
