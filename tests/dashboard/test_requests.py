"""The log of requests, and numbers for programs of this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from scraper.dashboard.app import build
from scraper.dashboard.guard import Options
from scraper.dashboard.requests import NAME, RequestLog
from scraper.jobs.access import Access
from scraper.jobs.desk import Desk


async def test_a_request_is_a_line_that_nothing_sent_can_forge(desk: Desk, access: Access, tmp_path: Path) -> None:
    log = RequestLog(tmp_path)
    async with TestClient(TestServer(build(desk, access, Options(), log=log))) as client:
        await client.get("/a%0a{%22status%22:200}?password=hush")
        await client.get("/healthz")
    log.close()
    text = (tmp_path / NAME).read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["path"], line["status"]) for line in lines] == [('/a\n{"status":200}', 404), ("/healthz", 200)]
    assert lines[0]["address"] == "127.0.0.1"
    assert "hush" not in text


def test_a_log_that_is_long_makes_room_and_follows_no_link(tmp_path: Path) -> None:
    log = RequestLog(tmp_path, most=100)
    for number in range(10):
        log({"number": number, "more": "x" * 40})
    log.close()
    kept = (tmp_path / f"{NAME}.1").read_text() + (tmp_path / NAME).read_text()
    assert '"number":9' in kept
    assert len(kept) < 400
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        RequestLog(tmp_path)


async def test_numbers_are_given_to_this_machine_only_when_that_was_allowed(desk: Desk, access: Access) -> None:
    async with TestClient(TestServer(build(desk, access, Options(open_metrics=True)))) as client:
        assert (await client.get("/metrics")).status == 200
        for name in ("X-Forwarded-For", "Forwarded", "Via"):  # a proxy on this machine asks for somebody else
            assert (await client.get("/metrics", headers={name: "x"})).status == 401
