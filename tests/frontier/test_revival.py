"""Putting failed requests back into the queue."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scraper.clock import Clock
from scraper.errors import StoreError
from scraper.frontier.entries import Selection
from scraper.frontier.ledger import Ledger
from scraper.frontier.revival import put_back
from scraper.frontier.sqlite import SqliteStore
from scraper.outcome import End
from scraper.reasons import Reason
from scraper.request import Request
from tests.frontier.state import State, page

GONE: dict[str, Any] = {"reason": Reason.STATUS, "detail": "404", "status": 404}


async def broken(path: Path) -> None:
    """Three kinds of failures, one page that is done, one that is queued."""
    crawl = {
        "limits": (6, 1, 1),
        "stats": {
            "reasons": [("failed", "status", 2), ("failed", "unknown", 1), ("retry", "timeout", 1)],
            "done": 1,
        },
        "causes": [
            {"reason": "status", "detail": "404", "where": "", "url": "u", "count": 2, "trace": ""},
            {"reason": "unknown", "detail": "", "where": "", "url": "u", "count": 1, "trace": ""},
        ],
    }
    host = {"h.example": {"rest": 4e9, "down": True, "trips": 4, "failures": 2, "trial": True, "pages": 5}}
    robots = {"https://h.example": (None, 4e9)}
    async with State(path) as state:
        (seed,) = await state.seed(page("/"))
        one, two, down, post, _left = await state.end(
            seed, End.DONE, page("/1"), page("/2"), page("/down"), page("/post", method="POST"), page("/left"),
            items=(b"{}",),
        )  # fmt: skip
        one = await state.retry(one, reason=Reason.TIMEOUT)
        await state.end(one, End.FAILED, **GONE)
        target = await state.move(two, page("/target", priority=7))
        await state.end(target, End.FAILED, **GONE)
        await state.end(down, End.FAILED, reason=Reason.HOST_DOWN)
        await state.end(post, End.FAILED, reason=Reason.UNKNOWN)
        await state.commit(facts={"crawl": crawl, "host": host, "robots": robots}, seeds_done=True)


async def claimed(path: Path) -> list[Request]:
    store = SqliteStore(path, Clock())
    await store.open()
    lent = await store.claim(100)
    await store.close()
    assert isinstance(lent, list)
    return [request for lease in lent for request in lease.requests]


def fact(path: Path, kind: str, key: str) -> Any:
    base = sqlite3.connect(path)
    row = base.execute("SELECT data FROM fact WHERE kind = ? AND key = ?", (kind, key)).fetchone()
    base.close()
    return None if row is None else msgspec.msgpack.decode(row[0])


async def test_failures_are_queued_as_new_and_stay_known_as_tries(tmp_path: Path) -> None:
    await broken(tmp_path / "s")
    assert put_back(tmp_path / "s") == 3
    with Ledger(tmp_path / "s", 0.0) as ledger:
        (story,) = ledger.story("https://h.example/1")
        assert {c.reason: c.number for c in ledger.counts() if c.state == "failed"} == {"unknown": 1}
    assert (story.entry.state, story.entry.tries) == ("queued", 0)
    assert [(each.reason, each.status) for each in story.attempts] == [("timeout", 0), ("status", 404)]
    found = {request.url[17:]: request for request in await claimed(tmp_path / "s")}
    assert found.keys() == {"/1", "/target", "/down", "/left"}
    assert (found["/target"].priority, found["/target"].hops) == (7, ("https://h.example/2",))
    assert all(request.tries == request.kills == 0 and not request.started for request in found.values())


async def test_a_place_is_free_again_unless_a_redirect_holds_it(tmp_path: Path) -> None:
    await broken(tmp_path / "s")
    put_back(tmp_path / "s")
    # /1 had a place; that of /target was taken by /2; /down was never sent
    assert fact(tmp_path / "s", "crawl", "limits") == [5, 1, 1]
    assert {request.url[17:] for request in await claimed(tmp_path / "s") if request.counted} == {"/target"}


async def test_the_counts_of_the_run_know_failures_as_retries(tmp_path: Path) -> None:
    await broken(tmp_path / "s")
    put_back(tmp_path / "s", [Selection.parse("failed:status")])
    stats = fact(tmp_path / "s", "crawl", "stats")
    assert {(end, reason): number for end, reason, number in stats["reasons"]} == {
        ("failed", "unknown"): 1, ("retry", "timeout"): 1, ("retry", "status"): 2,
    }  # fmt: skip
    assert [cause["reason"] for cause in fact(tmp_path / "s", "crawl", "causes")] == ["unknown"]


async def test_a_host_that_was_down_is_tried_again_and_its_rest_is_kept(tmp_path: Path) -> None:
    await broken(tmp_path / "s")
    put_back(tmp_path / "s")
    assert fact(tmp_path / "s", "host", "h.example") == {"rest": 4e9, "pages": 4}
    assert fact(tmp_path / "s", "robots", "https://h.example") is None


async def test_every_request_is_either_queued_or_answered(tmp_path: Path) -> None:
    await broken(tmp_path / "s")
    put_back(tmp_path / "s")
    base = sqlite3.connect(tmp_path / "s")
    both = base.execute("SELECT id FROM queue UNION ALL SELECT id FROM answer ORDER BY 1").fetchall()
    assert both == base.execute("SELECT id FROM request ORDER BY 1").fetchall()
    base.close()


@pytest.mark.parametrize(
    ("words", "unknown", "paths"),
    [
        (["failed:host_down"], False, {"/down"}),
        (["failed:status:404", "failed:host_down"], False, {"/1", "/target", "/down"}),
        (["failed:status:410"], False, set()),
        (["failed:unknown"], False, set()),
        (["failed:unknown"], True, {"/post"}),
        ([], True, {"/1", "/target", "/down", "/post"}),
    ],
)
async def test_only_what_is_meant_is_put_back(
    words: list[str], unknown: bool, paths: set[str], tmp_path: Path
) -> None:
    await broken(tmp_path / "s")
    wanted = [Selection.parse(each) for each in words]
    assert put_back(tmp_path / "s", wanted, unknown=unknown) == len(paths)
    assert {request.url[17:] for request in await claimed(tmp_path / "s")} == paths | {"/left"}


async def test_a_row_that_cannot_be_read_leaves_everything_as_it_was(tmp_path: Path) -> None:
    await broken(tmp_path / "s")
    base = sqlite3.connect(tmp_path / "s")
    base.execute("UPDATE request SET data = 'x' WHERE url LIKE '%/down'")
    base.commit()
    base.close()
    with pytest.raises(StoreError, match="cannot be read"):
        put_back(tmp_path / "s")
    with Ledger(tmp_path / "s", 0.0) as ledger:
        assert sum(count.number for count in ledger.counts() if count.state == "failed") == 4
