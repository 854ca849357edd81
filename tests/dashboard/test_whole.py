"""The whole of it: a server as a person starts it, a crawl of a real site, followed over HTTP to its end."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from scraper.jobs.access import Access
from scraper.jobs.job import Job
from scraper.jobs.store import Jobs
from scraper.testing.site import Site
from tests.cli.test_serve import serving
from tests.jobs.place import Place

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes as Linux shows them"),
    pytest.mark.timeout(90),
]


async def followed(session: aiohttp.ClientSession, run: int) -> dict[str, list[Any]]:
    """All events of a run until it is over, by their kind."""
    seen: dict[str, list[Any]] = {}
    async with session.get("/events", params={"run": str(run)}) as stream, asyncio.timeout(60):
        kind = ""
        async for line in stream.content:
            name, _, rest = line.decode().strip().partition(": ")
            if name == "event":
                kind = rest
            elif name == "data":
                seen.setdefault(kind, []).append(json.loads(rest))
    return seen


async def test_a_job_is_started_watched_read_and_stopped_over_http(tmp_path: Path, site: Site) -> None:
    place = Place(tmp_path, site)
    site.tree(pages=30, delay=0.05)
    with Jobs(place.home) as store:
        store.put(Job(name="shop", spider="shop", key=("url",), settings={"allow_private": True}), now=0.0, who="t")
        word = Access(store).add_token("ci", "operator", "test")[1]
    fields = {"Authorization": f"Bearer {word}"}
    async with serving(tmp_path) as address, aiohttp.ClientSession(address, headers=fields) as session:

        async def asked(path: str, **params: str) -> Any:
            async with session.get(f"/api/v1{path}", params=params) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        async with session.post("/api/v1/jobs/shop/start", json={}) as answer:
            run = await answer.json()
        seen = await followed(session, run["id"])
        assert seen["run"][0]["state"] in ("queued", "running")
        assert seen["run"][-1]["state"] == "finished"
        assert seen["end"] == [{"state": "finished"}]
        assert len(seen["item"]) == 30
        assert seen["moment"][-1]["pages"] == 30
        page = await asked(f"/runs/{run['id']}")
        assert {"items", "requests", "log", "moments"} <= set(page["has"])
        assert page["attempts"][0]["exit_code"] == 0
        assert len((await asked(f"/runs/{run['id']}/items"))["lines"]) == 30
        assert (await asked(f"/runs/{run['id']}/ledger"))["counts"][0]["number"] == 30
        told = await asked(f"/runs/{run['id']}/explain", url=site.url())
        assert told["stories"][0]["entry"]["state"] == "done"
        line = (await asked("/jobs"))["jobs"][0]
        assert (line["last"]["id"], line["recent"][0]["items"]) == (run["id"], 30)
        site.tree(pages=2000, delay=0.05)
        async with session.post("/api/v1/jobs/shop/start") as answer:
            second = await answer.json()
        watching = asyncio.create_task(followed(session, second["id"]))
        await site.until(lambda: len(site.hits) > 40)
        async with session.post(f"/api/v1/runs/{second['id']}/cancel") as answer:
            assert answer.status == 200
        now = (await watching)["run"][-1]
        assert (now["state"], now["stopped_by"]) == ("cancelled", "token ci")
        assert [act["what"] for act in (await asked("/audit", job="shop"))["acts"]][:3] == ["cancel", "run", "run"]
    assert time.time() > run["planned"]
