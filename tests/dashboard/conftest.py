"""A dashboard over a real store, on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
from aiohttp.test_utils import TestClient, TestServer
from jinja2.bccache import Bucket

from scraper.clock import Clock
from scraper.dashboard.app import build
from scraper.dashboard.guard import Options
from scraper.dashboard.view import VIEW
from scraper.jobs import password
from scraper.jobs.access import Access
from scraper.jobs.desk import Desk
from scraper.jobs.job import Job
from scraper.jobs.store import Jobs

SPIDER = """
from scraper import Spider

class Shop(Spider):
    name = "shop"
    shelf: str = "art"
    number: int = 1
    password: str = ""
    start_urls = ["http://127.0.0.1:1/"]

    def parse(self, response):
        yield {"url": response.url}
"""
Client = TestClient[Any, Any]


class Stopped(Clock):
    """A clock that goes only when it is told to."""

    def __init__(self, now: float) -> None:
        self.now = now

    def wall(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords that cost little: what they cost in earnest is seen in tests/jobs/test_access.py."""
    monkeypatch.setattr(password, "COST", 2**4)


@pytest.fixture
def clock() -> Stopped:
    return Stopped(1_800_000_000.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Jobs]:
    with Jobs(tmp_path / "output" / ".jobs") as jobs:
        yield jobs


@pytest.fixture
def desk(store: Jobs, tmp_path: Path, clock: Stopped) -> Desk:
    (tmp_path / "spiders").mkdir()
    (tmp_path / "spiders" / "shop.py").write_text(SPIDER)
    store.put(Job(name="shop", spider="shop", schedule="@daily"), now=clock.wall() - 3600, who="test")
    return Desk(store, root=tmp_path / "output", project=tmp_path, clock=clock)


@pytest.fixture
def access(store: Jobs, clock: Stopped) -> Access:
    return Access(store, clock.wall)


class Browser:
    """A client with a session: sends what a page of ours would send."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.csrf = ""
        self.origin = str(client.make_url("/")).rstrip("/")

    async def login(self, name: str, word: str) -> Any:
        form = {"name": name, "password": word, "next": "/"}
        answer = await self.client.post("/login", data=form, headers={"Origin": self.origin}, allow_redirects=False)
        page = await (await self.client.get("/")).text()
        self.csrf = page.partition('name="csrf" value="')[2].partition('"')[0]
        return answer

    async def post(self, path: str, json: Any = None, method: str = "POST", **fields: str) -> Any:
        headers = {"Origin": self.origin, "X-CSRF-Token": self.csrf} | fields
        return await self.client.request(method, path, json=json, headers=headers, allow_redirects=False)


class Compiled(jinja2.BytecodeCache):
    """Templates are compiled once for all applications of this process, as in a server that has only one."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


COMPILED = Compiled()


@pytest.fixture
async def client(desk: Desk, access: Access) -> AsyncIterator[Client]:
    app = build(desk, access, Options())
    app[VIEW].env.bytecode_cache = COMPILED
    async with TestClient(TestServer(app)) as made:
        yield made


@pytest.fixture
async def admin(client: Client, access: Access) -> Browser:
    browser = Browser(client)
    answer = await browser.login("admin", access.first())
    assert answer.status == 303
    return browser
