"""What changed is never lost: a run is compared with the last one whose changes were told completely."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from scraper.changes.keep import keep, kept
from scraper.errors import StoreError
from scraper.folder import RunFolder
from scraper.jobs import ends, schema
from scraper.jobs.baseline import baseline
from scraper.jobs.job import Job, Output
from scraper.jobs.process import Processes
from scraper.jobs.record import JobRun, State, as_told
from scraper.jobs.runner import Ask
from scraper.jobs.store import Jobs
from tests.changes.runs import plain
from tests.jobs.place import marked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
SHOP = Job(
    name="shop", spider="shop", key=("id",), output=(Output("all.jsonl", "changes", append=True),), keep=1
)  # fmt: skip
MADE_UP = "; the next run that can be compared makes up for it"


class Shop:
    """A job whose crawls have ended, each with some prices; what follows is done by real processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "output"
        self.home = self.root / ".jobs"
        self.store = Jobs(self.home)
        self.job = SHOP
        self.store.put(SHOP, now=1.0, who="test")
        self.runner = self.server()

    def server(self) -> Processes:
        """The processes of another server."""
        return Processes(
            self.root, self.home, self.folder, job_of=lambda name: self.job,
            baseline=lambda run, key: baseline(self.store, self.root, run, key),
        )  # fmt: skip

    def crawled(self, number: int, *prices: int, **given: Any) -> JobRun:
        """A run whose crawl is over; its server has not seen it."""
        name = f"20260101-00000{number}-{number}"
        made = self.store.plan(JobRun(id=0, job="shop", spider="shop", planned=float(number)))
        assert made is not None
        items = [{"id": each, "price": price} for each, price in enumerate(prices)]
        plain(self.root, name, items, **given)
        return self.store.update(replace(made, run=name, state=State.RUNNING, pid=1, birth="x/1", began=1.0))

    async def over(self, run: JobRun, ask: Ask | None = None, *, kill: bool = False) -> JobRun:
        """The run as it is on record when all is over."""
        process = await self.runner.adopt(run)
        if ask is not None:
            process.ask(ask)
        async with asyncio.timeout(20):
            while kill and not process.ended.done():
                for pid in marked(self.home):
                    os.kill(pid, signal.SIGKILL)
                await asyncio.sleep(0.01)
            ended = await process.ended
        return self.store.update(ends.verdict(run, self.job, ended))

    def told(self, name: str = "all.jsonl") -> list[tuple[str, int, int]]:
        """What an output has: the change, the id, the price."""
        lines = map(json.loads, (self.folder / name).read_text().splitlines())
        return [(line["_change"], line["id"], line["price"]) for line in lines]

    def old(self, run: JobRun) -> str:
        """What a run was compared with."""
        done = kept(RunFolder(self.root / "shop" / run.run))
        assert done is not None
        return done.old


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.store.close()
    assert marked(made.home) == []


HOW = {
    "stopped": ({"ask": Ask.KILL}, "the comparison took too long, or was stopped"),
    "killed": ({"kill": True}, "the comparison failed: it was ended by SIGKILL"),
}


@pytest.mark.parametrize("how", HOW)
async def test_what_a_killed_comparison_did_not_tell_the_next_run_tells(shop: Shop, how: str) -> None:
    first = await shop.over(shop.crawled(1, 5))
    assert (first.state, first.why, first.told, first.added) == (State.FINISHED, "", '["id"]', None)
    given, why = HOW[how]
    second = await shop.over(shop.crawled(2, 6), **given)  # type: ignore[arg-type]
    assert (second.state, second.told, second.changed) == (State.FINISHED, "", None)
    assert second.why.startswith(f"what changed was not told: {why}")
    assert second.why.endswith(MADE_UP)
    assert [run.id for run in shop.store.prune(1e9)] == []  # the second is the last good one, the first the base
    third = await shop.over(shop.crawled(3, 6, 7))
    assert (third.why, third.told, third.added, third.changed) == ("", '["id"]', 1, 1)
    assert shop.old(third) == first.run
    assert shop.told() == [("added", 0, 5), ("changed", 0, 6), ("added", 1, 7)]
    assert [run.id for run in shop.store.prune(1e9)] == [first.id, second.id]


async def test_a_comparison_that_is_stopped_between_its_turn_and_its_process_ends_as_it_begins(shop: Shop) -> None:
    first = await shop.over(shop.crawled(1, 5))
    process, loop = await shop.runner.adopt(shop.crawled(2, 6)), asyncio.get_running_loop()

    async def stop() -> None:
        process.ask(Ask.KILL)

    def stopping(run: JobRun, key: Sequence[str]) -> str:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(5)
        return first.run

    shop.runner._baseline = stopping
    shop.runner._told.clear()
    found = await process.ended
    assert found.why.startswith(f"what changed was not told: {HOW['stopped'][1]}")
    process.ask(Ask.KILL)  # as of a server that stops before it has put the end on record


async def test_what_an_output_could_not_take_is_kept_and_told_by_the_next_run(shop: Shop) -> None:
    first = await shop.over(shop.crawled(1, 5))
    full = shop.folder / "all.jsonl.part"
    full.symlink_to("/dev/full")
    second = await shop.over(shop.crawled(2, 6))
    assert (second.state, second.told, second.changed) == (State.FINISHED, "", 1)
    assert "No space left on device" in second.why
    assert second.why.endswith(MADE_UP)
    full.unlink(missing_ok=True)
    third = await shop.over(shop.crawled(3, 6))
    assert (shop.old(second), shop.old(third)) == (first.run, first.run)
    assert shop.told() == [("added", 0, 5), ("changed", 0, 6)]


async def test_a_first_run_that_was_not_told_is_none_to_compare_with(shop: Shop) -> None:
    await shop.over(shop.crawled(1, 5), Ask.KILL)
    second = await shop.over(shop.crawled(2, 6))
    assert (shop.old(second), second.told) == ("", '["id"]')
    assert shop.told() == [("added", 0, 6)]


async def test_a_server_that_died_behind_a_comparison_repeats_nothing(shop: Shop) -> None:
    """Also where who reads the output has taken it away, and where another run was told meanwhile."""
    await shop.over(shop.crawled(1, 5))
    second, third = shop.crawled(2, 6), shop.crawled(3, 7)
    await (await shop.runner.adopt(second)).ended  # and its server dies: it is not on record
    await shop.over(third)
    assert shop.told() == [("added", 0, 5), ("changed", 0, 6), ("changed", 0, 7)]
    (shop.folder / "all.jsonl").unlink()
    before = (shop.root / "shop" / second.run / "changes.json").read_bytes()
    shop.runner = shop.server()
    again = await shop.over(second)
    assert (again.why, again.told, again.changed) == ("", '["id"]', 1)
    assert not (shop.folder / "all.jsonl").exists()
    assert (shop.root / "shop" / second.run / "changes.json").read_bytes() == before


async def test_a_comparison_that_is_killed_behind_its_end_has_told_all(shop: Shop) -> None:
    await shop.over(shop.crawled(1, 5))
    second = shop.crawled(2, 6)
    await (await shop.runner.adopt(second)).ended
    again = await shop.over(second, kill=True)
    assert (again.why, again.told, again.changed) == ("", '["id"]', 1)
    third = await shop.over(shop.crawled(3, 7))
    assert shop.old(third) == second.run
    assert shop.told() == [("added", 0, 5), ("changed", 0, 6), ("changed", 0, 7)]


async def test_runs_that_end_at_once_are_compared_one_after_the_other(shop: Shop) -> None:
    first = await shop.over(shop.crawled(1, 5))
    both = await asyncio.gather(shop.over(shop.crawled(2, 6)), shop.over(shop.crawled(3, 5)))
    assert [run.why for run in both] == ["", ""]
    early, late = sorted(both, key=lambda run: shop.old(run) != first.run)
    assert (shop.old(early), shop.old(late)) == (first.run, early.run)
    assert len(shop.told()) == (3 if early.id == 2 else 2)


async def test_a_run_to_compare_with_that_is_gone_is_said_and_begun_anew_from(shop: Shop) -> None:
    first = await shop.over(shop.crawled(1, 5))
    shutil.rmtree(shop.root / "shop" / first.run)
    second = await shop.over(shop.crawled(2, 6))
    assert second.why == (
        f"what changed is not known: run {first.run}, the last whose changes were told, is not kept any more; "
        "the next good run is compared with this one"
    )
    assert (second.told, second.changed) == ('["id"]', None)
    third = await shop.over(shop.crawled(3, 7))
    assert (third.why, shop.old(third)) == ("", second.run)
    assert shop.told() == [("added", 0, 5), ("changed", 0, 7)]


async def test_a_crawl_that_was_killed_behind_its_end_is_compared_too(shop: Shop) -> None:
    await shop.over(shop.crawled(1, 5, exit_code=-9))
    assert shop.told() == [("added", 0, 5)]


def good(shop: Shop, number: int, *key: str, told: Sequence[str] = (), **given: Any) -> JobRun:
    """A good run that was compared with nothing by a key, and told by one."""
    run = shop.crawled(number, number, **given)
    if key:
        keep(None, RunFolder(shop.root / "shop" / run.run), key)
    run = replace(run, state=State.FINISHED, ended=1.0, pid=0, birth="", told=as_told(told))
    return shop.store.update(run)


def test_what_was_told_by_another_key_or_of_another_spider_does_not_count(shop: Shop) -> None:
    def found(run: JobRun, *key: str) -> str:
        return baseline(shop.store, shop.root, run, key)

    first = good(shop, 1, told=["id"])
    second = good(shop, 2)
    assert found(second, "id") == first.run
    assert found(second, "price") == found(second, "id", "price") == ""
    assert found(replace(second, spider="books"), "id") == found(replace(second, job="books"), "id") == ""
    third = good(shop, 3, told=["price"])
    assert (found(third, "id"), found(third, "price")) == (first.run, third.run)
    shop.store.put(replace(SHOP, key=("price",), keep=1), now=1.0, who="test")
    assert [run.id for run in shop.store.prune(1e9)] == [first.id, second.id]
    assert (found(third, "id"), found(third, "price")) == ("", third.run)


def older(shop: Shop) -> None:
    """Make all runs those of an older version."""
    shop.store.close()
    with closing(sqlite3.connect(shop.home / schema.NAME)) as base:
        for text in ("DROP TRIGGER run_told", "DROP TABLE base", "ALTER TABLE run DROP COLUMN told"):
            base.execute(text)
        base.execute("PRAGMA user_version = 1")
    shop.store = Jobs(shop.home)


@pytest.mark.parametrize(
    ("keys", "base"),
    [
        ([["id"], ["id"], []], 2),  # the last was not compared
        ([[], [], []], 3),
        ([["id"], ["price"], []], 0),  # by another key
        ([], 0),
    ],
)
def test_of_runs_of_an_older_version_the_last_that_was_compared_counts(
    shop: Shop, keys: list[list[str]], base: int
) -> None:
    olds = [good(shop, number, *key) for number, key in enumerate(keys, 1)]
    older(shop)
    assert [run.told for run in shop.store.runs()] == [None] * len(keys)
    for _ in range(2):  # the second time after a new run that was not told
        new = good(shop, len(shop.store.runs()) + 1)
        assert baseline(shop.store, shop.root, new, ["id"]) == (olds[base - 1].run if base else "")
    if not base:
        return
    assert olds[base - 1].id not in [run.id for run in shop.store.prune(1e9)]


def test_a_run_of_an_older_version_without_the_key_is_none_to_compare_with(shop: Shop) -> None:
    good(shop, 1)
    older(shop)
    assert baseline(shop.store, shop.root, good(shop, 2), ["sku"]) == ""


def test_that_a_run_was_told_may_be_found_out_late_and_nothing_else(shop: Shop) -> None:
    run = good(shop, 1)
    assert shop.store.update(replace(run, told=as_told(["id"]))).told == '["id"]'
    with pytest.raises(StoreError, match="never opens again"):
        shop.store.update(replace(run, why="another", ended=time.time()))
