"""The application of docs/howto-fastapi.md, called as a server calls it (ASGI 3.0)."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scraper.testing.site import Site

pytest.importorskip("fastapi")
PAGE = Path(__file__).parents[1] / "docs" / "howto-fastapi.md"
BLOCK = re.compile(r"^```python\n# (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Call:
    """One request from its beginning to its end, with all that was sent for it."""

    def __init__(self, app: Any, path: str, query: str = "") -> None:
        self.status = 0
        self.body = b""
        self.some = asyncio.Event()  # a part of the body is there
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._inbox.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
            "method": "GET", "scheme": "http", "path": path,
            "raw_path": path.encode(), "query_string": query.encode(),
            "root_path": "", "headers": [(b"host", b"test")], "client": ("127.0.0.1", 1), "server": ("test", 80),
        }  # fmt: skip
        self.task = asyncio.create_task(app(scope, self._inbox.get, self._send))

    def leave(self) -> None:
        """The client goes away."""
        self._inbox.put_nowait({"type": "http.disconnect"})

    async def _send(self, message: dict[str, Any]) -> None:
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")
        if message.get("body"):
            self.some.set()


@pytest.fixture
def app(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The application, with a spider of the same name that crawls a site of ours."""
    (tmp_path / "spiders").mkdir()
    for name, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        (tmp_path / name).write_text(text.replace("http://127.0.0.1:8000/", site.url("/")), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    before = {name: sys.modules.pop(name) for name in ("app", "spiders", "spiders.shop") if name in sys.modules}
    yield importlib.import_module("app").app
    for name in ("app", "spiders", "spiders.shop"):
        sys.modules.pop(name, None)
    sys.modules.update(before)


@pytest.fixture
def shop(site: Site) -> Site:
    """Twenty books that take their time."""
    links = "".join(f'<h3><a href="/book/{n}">{n}</a></h3>' for n in range(20))
    site.page("/", f"<html><body>{links}</body></html>")
    for n in range(20):
        site.page(f"/book/{n}", f'<h1>Book {n}</h1><p class="price">£{n}</p>', delay=0.1)
    return site


async def test_all_books_are_answered_when_the_crawl_is_over(app: Any, shop: Site) -> None:
    call = Call(app, "/books", "pages=5")
    await call.task
    told = json.loads(call.body)
    assert (call.status, told["failed"], len(told["books"])) == (200, 0, 4)


async def test_a_wrong_number_is_refused_before_anything_is_sent(app: Any, shop: Site) -> None:
    call = Call(app, "/books", "pages=1000")
    await call.task
    assert (call.status, shop.hits) == (422, [])


async def test_a_site_that_is_gone_is_a_bad_gateway(app: Any, shop: Site) -> None:
    shop.page("/", "gone", status=404)
    call = Call(app, "/books")
    await call.task
    assert call.status == 502


async def test_books_come_as_they_are_found(app: Any, shop: Site) -> None:
    call = Call(app, "/books.jsonl")
    await call.some.wait()
    first = len(call.body.splitlines())
    await call.task
    assert 0 < first < len(call.body.splitlines()) == 19


@pytest.mark.parametrize("path", ["/books", "/books.jsonl"])
async def test_a_client_that_leaves_ends_its_crawl(app: Any, shop: Site, path: str) -> None:
    call = Call(app, path)
    await shop.until(lambda: len(shop.hits) > 3)
    call.leave()
    await asyncio.gather(call.task, return_exceptions=True)
    seen = len(shop.hits)
    assert seen < 20
    await asyncio.sleep(0.3)
    assert len(shop.hits) == seen
