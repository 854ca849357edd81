"""What was scraped, typed and sent shows as text on every page, and leads nowhere."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from selectolax.lexbor import LexborHTMLParser

from scraper.dashboard.routes import ROLES
from scraper.folder import FINISHED, RunFolder, RunInfo
from scraper.jobs.access import Access
from scraper.jobs.desk import Desk
from scraper.jobs.job import Job
from scraper.jobs.record import Act, Alert, Attempt, Cause, JobRun, State
from scraper.jobs.store import Jobs
from tests.dashboard.conftest import Browser, Stopped
from tests.frontier.state import State as Ledgered
from tests.frontier.state import page

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}${7*7}"
LINK = "javascript:alert(1)//https://a.example/"
QUERIES: tuple[dict[str, str], ...] = (
    {},
    dict.fromkeys(("search", "job", "state", "which", "url", "at", "spider"), EVIL) | {"next": LINK},
    {"which": "all", "url": "https://a.example/"},
)


@pytest.fixture
async def run(desk: Desk, access: Access, store: Jobs, clock: Stopped) -> JobRun:
    """A run of a job, with something hostile in every field that takes text."""
    job = Job(name="shop", spider="shop", note=EVIL, args={"shelf": EVIL, EVIL: EVIL}, group=EVIL, key=(EVIL, LINK))
    store.put(job, now=1.0, who=EVIL)
    store.pause("shop", EVIL, 2.0, EVIL)
    made = store.plan(
        JobRun(id=0, job="shop", spider="shop", planned=3.0, cause=Cause.HAND, by=EVIL, args={EVIL: EVIL})
    )
    assert made is not None
    folder = RunFolder.make(desk.root, "shop", clock.wall())
    info = RunInfo(run=folder.run, spider="shop", state=FINISHED, why=EVIL, source=EVIL, arguments={EVIL: EVIL})
    folder.write(info)
    line = msgspec.json.encode(
        {EVIL: EVIL, "link": LINK, "message": EVIL, "level": EVIL, "url": LINK, "trace": EVIL}
    )
    change = msgspec.json.encode(
        {"change": "changed", "key": [EVIL], "fields": {EVIL: [EVIL, EVIL]}, "item": {EVIL: EVIL}}
    )
    folder.items.write_bytes(line + b"\n<script>alert(1)</script>\n")
    folder.log.write_bytes(line + b"\n" + line + b"\n")
    (folder.path / "live.jsonl").write_bytes(msgspec.json.encode({"at": 1.0, "reasons": {EVIL: 1}}) + b"\n")
    (folder.path / "changes.jsonl").write_bytes(change + b"\n" + line + b"\n")
    (folder.path / "changes.json").write_bytes(
        msgspec.json.encode({"added": 1, "key": [EVIL], "coverage": {EVIL: 0.5}})
    )
    (folder.path / "stats.json").write_bytes(
        msgspec.json.encode({EVIL: EVIL, "errors": [{"where": EVIL}], "why": EVIL})
    )
    async with Ledgered(folder.state) as state:
        await state.seed(page(f"/?{EVIL}", "a.example"))
    store.log(made.id).parent.mkdir(exist_ok=True)
    store.log(made.id).write_text(EVIL)
    started = replace(made, state=State.RUNNING, run=folder.run, began=1.0, pid=1)
    store.update(started, attempt=Attempt(number=1, run=folder.run, pid=1, started=1.0, why=EVIL))
    over = store.update(replace(started, state=State.FAILED, ended=2.0, why=EVIL, failures=1))
    store.raise_alert(Alert(job="shop", rule="failed", at=1.0, text=EVIL, run=over.id))
    store.act(Act(at=1.0, who=EVIL, what=EVIL, job="shop", run=over.id, detail=EVIL))
    access.add_token(EVIL[:64], "viewer", EVIL)
    access.add_user("<script>alert(1)</script>", "viewer")
    return over


async def test_what_is_hostile_is_text_on_every_page(admin: Browser, run: JobRun) -> None:
    app, seen = admin.client.app, 0
    assert app is not None
    given = {"run": str(run.id), "job": "shop", "at": "0", "spider": "shop", "name": "x.js"}
    for route in app.router.routes():
        assert route.resource is not None
        if route.method != "GET" or route not in app[ROLES]:
            continue
        path = route.resource.canonical
        for name in re.findall(r"\{(\w+)\}", path):
            path = path.replace(f"{{{name}}}", given.get(name, "1"))
        if path.startswith(("/api/", "/events", "/metrics", "/healthz", "/static/")):
            continue
        for query in QUERIES:
            answer = await admin.client.get(path, params=query)
            text = await answer.text()
            assert answer.status in (200, 400, 404), (path, answer.status, text[:300])
            assert answer.content_type == "text/html"
            assert not _shown(text), (path, _shown(text))
            seen += 1
    assert seen > 20


def _shown(text: str) -> list[str]:
    """What in a page a browser would run though we have not written it."""
    found = []
    for node in LexborHTMLParser(text).css("*"):
        attributes = node.attributes
        found += [name for name in attributes if name.startswith("on")]
        if node.tag == "script" and not str(attributes.get("src", "")).startswith("/static/"):
            found.append(node.html or "")
        found += [
            value
            for name in ("href", "src", "action", "formaction")
            if (value := attributes.get(name) or "").strip().lower().startswith(("javascript:", "data:text"))
        ]
        if "style" in attributes or node.tag in ("iframe", "object", "embed", "base"):
            found.append(node.html or "")
    return found + (["{{7*7}} was evaluated"] if "onerror=alert(1)&gt;49" in text else [])


async def test_what_is_hostile_is_data_in_every_answer(admin: Browser, run: JobRun) -> None:
    for path in ("", "/items", "/log", "/changes", "/moments", "/output", "/requests?which=all", "/ledger"):
        answer = await admin.client.get(f"/api/v1/runs/{run.id}{path}")
        assert (answer.status, answer.content_type) == (200, "application/json"), path
        found: Any = await answer.json()
        assert found
    errors = await admin.client.get("/api/v1/jobs/<script>alert(1)</script>")
    assert (errors.status, errors.content_type) == (404, "application/json")
