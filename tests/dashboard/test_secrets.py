"""No page, answer or event has a secret of a job, of one of its runs, or of a channel."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from scraper.dashboard.events import HUB
from scraper.dashboard.routes import ROLES
from scraper.dashboard.site import _tell
from scraper.jobs import secret
from scraper.jobs.access import Access
from scraper.jobs.desk import Desk
from scraper.jobs.job import Channel, Job, Server
from scraper.jobs.record import Cause, JobRun, State
from scraper.jobs.scheduler import News
from scraper.jobs.store import Jobs
from tests.dashboard.conftest import Client

ARGS = {
    "password": "hush-1",
    "tokens": ["hush-2", "hush-3"],
    "logins": [{"name": "ann", "password": "hush-4"}],
    "pass_code": 987654321,
    "start": "https://ann:hush-5@shop.example/",
    "shelf": "art",
}
SETTINGS = {"headers": {"X-Key": "hush-6"}, "hosts": {"a.example": {"auth": "ann:hush-7"}}}
SECRETS = ("hush-", "987654321")
TOML = '[jobs.shop]\nspider = "shop"\nargs = { tokens = ["hush-8"], start = "https://ann:hush-9@b.example/" }\n'


def test_what_is_hidden_comes_back_when_it_is_saved_as_it_was_shown() -> None:
    job = Job(name="shop", spider="shop", args=ARGS, settings=SETTINGS)
    shown = msgspec.to_builtins(secret.hidden(job))
    assert not [each for each in SECRETS if each in str(shown)]
    assert shown["args"]["shelf"] == "art"
    assert secret.restored(shown, msgspec.to_builtins(job)) == msgspec.to_builtins(job)


def test_a_value_that_only_looks_like_one_is_shown() -> None:
    job = Job(name="x", spider="x", args={"url": "https://a.example/@ann"}, settings={"cookies": False})
    assert secret.hidden(job) == job
    server = Server(groups={"tokens": 3}, channels={"webhook": Channel(email=("a@b.example",))})
    assert secret.hidden(server) == server


@pytest.fixture
def run(store: Jobs, tmp_path: Path) -> JobRun:
    store.put(Job(name="shop", spider="shop", args=ARGS, settings=SETTINGS), now=1.0, who="test")
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
    return made


async def test_nobody_is_shown_a_secret(client: Client, access: Access, run: JobRun) -> None:
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
    for path, body in (("/jobs/shop/start", {"args": {"password": "hush-12"}}), (f"/runs/{run.id}/cancel", {})):
        text = await (await client.post(f"/api/v1{path}", headers=fields, json=body)).text()
        assert not [each for each in SECRETS if each in text], path


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
