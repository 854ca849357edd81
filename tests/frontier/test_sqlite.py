from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from scraper.clock import Clock, FastClock
from scraper.errors import StoreError
from scraper.frontier import records
from scraper.frontier.lanes import Window
from scraper.frontier.schema import look
from scraper.frontier.sqlite import SqliteStore
from scraper.frontier.store import Batch, Facts, Finished, Recovered, Step
from scraper.outcome import End, Outcome, dropped, failed, retry
from scraper.reasons import Reason
from scraper.request import raw

from .test_store import batch, claimed, done, pages


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


async def opened(
    path: Path, *suspects: int, clock: Clock | None = None, **more: Any
) -> tuple[SqliteStore, Recovered]:
    store = SqliteStore(path, clock or Clock(), **more)
    return store, await store.open(suspects)


def killed(path: Path, to: str) -> Path:
    """What another process would find if this one were killed now."""
    copy = path.with_name(to)
    for end in ("", "-wal"):
        if path.with_name(path.name + end).exists():
            shutil.copy(path.with_name(path.name + end), copy.with_name(copy.name + end))
    return copy


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    base = look(path)
    try:
        return base.execute(query).fetchall()
    finally:
        base.close()


async def test_what_was_committed_survives_and_what_was_not_does_not(path: Path) -> None:
    store, _ = await opened(path)
    added = store.add(pages(3))
    await store.commit(batch(added=added))
    store.add(pages(5))
    copy = killed(path, "copy.sqlite")
    await store.close()
    for place in (path, copy):
        again, recovered = await opened(place)
        assert recovered == Recovered(resumed=True, queued=3, last=3)
        assert await claimed(again) == added
        assert set(again.seen) == {request.fingerprint for request in added}
        await again.close()


async def test_a_new_run_that_was_opened_is_resumed_the_next_time(path: Path) -> None:
    for expected in (False, True, True):
        store, recovered = await opened(path)
        assert recovered == Recovered(resumed=expected)
        await store.close()


async def test_every_field_of_a_request_survives(path: Path) -> None:
    store, _ = await opened(path)
    request = raw(
        url="http://h.example/?ä", method="POST", headers=(("A", "b"),), body=b"\x00\xff", callback="book",
        cb_kwargs={"x": [1, "é"]}, priority=-3, session="s", key="k", again=True, timeout=1.5, max_body=7,
        retries=0, accept_status=(404,), depth=4, tries=1, parent=9, scope="*", referer="http://r.example/", hops=("http://o/",),
        seed=True, counted=True, kills=2,
    )  # fmt: skip
    (added,) = store.add([request])
    await store.commit(batch(added=[added]))
    await store.close()
    again, recovered = await opened(path)
    assert recovered.counted == 1
    assert await claimed(again) == [added]
    await again.close()


async def test_a_referer_is_stored_once_and_found_again(path: Path) -> None:
    store, _ = await opened(path)
    (page,) = store.add([raw(url="http://h.example/", seed=True)])
    await store.commit(batch(added=[page]))
    parent = {"parent": page.token, "depth": 1}
    links = [
        raw(url="http://h.example/1", referer=page.url, **parent),
        raw(url="http://h.example/2", referer="http://r.example/", **parent),
        raw(url="http://h.example/3", **parent),
    ]
    added = store.add(links)
    (again,) = store.add([added[0].replace(tries=1)])
    moved = store.add([raw(url="http://h.example/4", referer=page.url, hops=("http://h.example/1",), **parent)])
    to = Outcome(request=again, end=End.REDIRECTED, target=moved[0])
    steps = [Step(done([page])[0], added), Step(retry(added[0], 0.0, Reason.RESET), [again]), Step(to, moved)]
    await store.commit(Batch(steps=steps))
    await store.close()
    assert "".join(data for (data,) in rows(path, "SELECT data FROM request")).count(page.url) == 2
    store, _ = await opened(path)
    assert await claimed(store) == [added[1], added[2], moved[0]]
    await store.close()


async def test_what_is_in_memory_is_in_no_order_on_the_disk_but_found_by_the_next_process(path: Path) -> None:
    store, _ = await opened(path, window=Window(whole=10, least=4))
    added = store.add(pages(20))
    await store.commit(batch(added=added))
    held = len(store._where)
    assert 0 < held < 20
    assert rows(path, "SELECT held, count(*) FROM queue GROUP BY held") == [(0, 20 - held), (1, held)]
    for place in (killed(path, "copy.sqlite"), path):
        again, recovered = await opened(place)
        assert recovered.queued == 20
        assert await claimed(again) == added
        await again.close()
        if place != path:
            await store.close()


async def test_a_batch_takes_few_statements_of_few_lengths(path: Path) -> None:
    store, _ = await opened(path)
    first = store.add(pages(1000))
    await store.commit(batch(added=first))
    told: list[str] = []

    def trace(note: Callable[[str], object] | None) -> None:
        assert store._records._base is not None
        store._records._base.set_trace_callback(note)

    await store._work(lambda: trace(told.append))
    for number, most in ((999, 60), (1, 8)):
        part, first = first[:number], first[number:]
        links = store.add(pages(number, "other.example"))
        told.clear()
        await store.commit(batch(outcomes=done(part), added=links))
        assert 4 <= len(told) <= most
    await store._work(lambda: trace(None))
    await store.close()


async def test_a_retry_keeps_token_tries_due_and_kills(path: Path) -> None:
    clock = FastClock(1000.0)
    store, _ = await opened(path, clock=clock)
    first = store.add([raw(url="http://h.example/", kills=1)])[0]
    again = store.add([first.replace(tries=1, due=clock.wall() + 300)])[0]
    await store.commit(
        Batch(steps=[Step(None, [first]), Step(retry(first, again.due, Reason.RESET, "why"), [again])])
    )
    await store.close()
    store, recovered = await opened(path, clock=clock)
    assert recovered.queued == 1
    assert store.next_due() == again.due
    assert await claimed(store) == [again]
    assert clock.wall() >= again.due
    assert again.token == first.token
    assert rows(path, "SELECT id, reason, detail FROM attempt") == [(first.token, "reset", "why")]
    await store.close()


async def test_a_redirect_tells_where_to_and_where_from(path: Path) -> None:
    store, _ = await opened(path)
    first = store.add(pages(1))[0]
    await store.commit(batch(added=[first]))
    target = store.add([first.replace(token=0, counted=True)])[0]  # to itself, as a cookie wall does
    moved = Outcome(request=first, end=End.REDIRECTED, target=target, status=302)
    await store.commit(Batch(steps=[Step(moved, [target])]))
    assert rows(path, "SELECT id, via FROM request ORDER BY id") == [(1, 0), (2, 1)]
    assert rows(path, "SELECT id, end, status, target FROM answer") == [(1, "redirected", 302, 2)]
    assert rows(path, "SELECT id, counted FROM queue") == [(2, 1)]
    await store.close()


async def test_an_answer_says_what_became_of_a_request(path: Path) -> None:
    store, _ = await opened(path)
    added = store.add(pages(3))
    ends = [
        Outcome(request=added[0], end=End.DONE, status=200, items=[b"{}"], wire=5, size=9, took=0.5, cut=True),
        failed(added[1], Reason.RESET, "by peer", where="spider.py:3"),
        dropped(added[2], Reason.ROBOTS),
    ]
    await store.commit(Batch(steps=[Step(None, added), *map(Step, ends)]))
    query = "SELECT id, end, reason, detail, status, took, wire, size, items, cut, place FROM answer ORDER BY id"
    assert rows(path, query) == [
        (1, "done", "ok", "", 200, 0.5, 5, 9, 1, 1, ""),
        (2, "failed", "reset", "by peer", 0, 0, 0, 0, 0, 0, "spider.py:3"),
        (3, "dropped", "robots", "", 0, 0, 0, 0, 0, 0, ""),
    ]
    await store.close()


async def test_a_request_may_be_added_retried_twice_and_answered_in_one_batch(path: Path) -> None:
    store, _ = await opened(path)
    first = store.add(pages(1))[0]
    second = store.add([first.replace(tries=1)])[0]
    third = store.add([second.replace(tries=2)])[0]
    steps = [Step(None, [first]), Step(retry(first, 0.0, Reason.RESET), [second])]
    await store.commit(Batch(steps=[*steps, Step(retry(second, 0.0, Reason.DNS), [third])]))
    assert rows(path, "SELECT id, tries FROM queue") == [(1, 2)]
    assert rows(path, "SELECT reason FROM attempt") == [("reset",), ("dns",)]
    other = store.add(pages(1))[0]
    again = store.add([other.replace(tries=1)])[0]
    whole = [Step(None, [other]), Step(retry(other, 0.0, Reason.DNS), [again]), Step(done([again])[0])]
    await store.commit(Batch(steps=[*whole, Step(done([third])[0])]))
    assert rows(path, "SELECT id, tries FROM answer") == [(1, 2), (2, 1)]
    assert not rows(path, "SELECT * FROM queue")
    await store.commit(batch(seeds_done=True))
    store._ready.clear()
    assert await store.claim(1) == Finished()
    await store.close()


async def test_facts_positions_and_seeds_done_are_the_last_ones_told(path: Path) -> None:
    store, _ = await opened(path)
    facts: Facts = {"host": {"a": {"rest": 1.5}, "b": [1]}, "too_deep": {"x": 1}}
    await store.commit(Batch(facts=facts, positions={"items": 5, "rejected": 0}))
    await store.commit(Batch(facts={"host": {"a": {"rest": 2.5}}}, positions={"items": 9}, seeds_done=True))
    await store.commit(Batch(seeds_done=False))
    await store.close()
    store, recovered = await opened(path)
    assert recovered.facts == {"host": {"a": {"rest": 2.5}, "b": [1]}}
    assert recovered.positions == {"items": 9, "rejected": 0}
    assert recovered.seeds_done
    assert rows(path, "SELECT key FROM fact WHERE kind = 'too_deep'") == [("x",)]
    await store.close()


async def test_an_unsafe_request_says_that_its_sending_was_begun(path: Path) -> None:
    store, _ = await opened(path)
    added = store.add(pages(3))
    await store.commit(Batch(steps=[Step(None, added)], started={1: True, 2: True}))
    await store.commit(Batch(started={2: False}))
    await store.close()
    store, _ = await opened(path)
    assert [request.started for request in await claimed(store)] == [True, False, False]
    await store.close()


async def test_those_that_were_worked_on_when_the_process_died_are_counted(path: Path) -> None:
    store, _ = await opened(path)
    await store.commit(batch(added=store.add(pages(3))))
    await store.close()
    for _ in range(2):
        store, _ = await opened(path, 2, 77)
        await store.close()
    store, recovered = await opened(path)
    assert {request.token: request.kills for request in await claimed(store)} == {1: 0, 2: 2, 3: 0}
    assert (recovered.counted, recovered.sent) == (1, {"h.example": 1})
    await store.close()


# -- killed -----------------------------------------------------------------------------------------

CRAWL = """
    import asyncio, sys
    from pathlib import Path
    from scraper.clock import Clock
    from scraper.frontier.lanes import Window
    from scraper.frontier.sqlite import SqliteStore
    from scraper.frontier.store import Batch, Finished, Step
    from scraper.outcome import End, Outcome
    from scraper.request import raw

    async def main():
        store = SqliteStore(Path(sys.argv[1]), Clock(), window=Window(whole=200, least=4, later=5, chunk=50))
        left = await store.open()
        if not left.seeds_done:
            added = store.add([raw(url="http://h.example/1")])
            await store.commit(Batch(steps=[Step(None, added)], seeds_done=True))
        while not isinstance(got := await store.claim(20), Finished):
            steps = []
            for request in (request for lease in got for request in lease.requests):
                number = int(request.url.rpartition("/")[2])
                found = [n for n in (2 * number, 2 * number + 1) if n < 20_000]
                links = [raw(url=f"http://h{n % 3}.example/{n}") for n in found]
                steps.append(Step(Outcome(request=request, end=End.DONE), store.add(links)))
            await store.commit(Batch(steps=steps))
            print(steps[-1].outcome.request.token, flush=True)
        await store.close()
        print("finished", flush=True)

    asyncio.run(main())
"""


def test_killed_again_and_again_it_answers_everything_once(path: Path) -> None:
    chance, kills, finished = random.Random(3), 0, False
    while not finished:
        command = [sys.executable, "-c", textwrap.dedent(CRAWL), str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            kill = threading.Timer(chance.uniform(0.0, 0.2), process.kill)
            lines = [process.stdout.readline()]  # the first commit is told of
            if kills < 6:
                kill.start()
            lines += process.stdout.readlines()
            kill.cancel()
        finished = lines[-1] == "finished\n"
        kills += not finished
        told = [int(line) for line in lines if line.endswith("\n") and line != "finished\n"]
        assert rows(path, f"SELECT count(*) FROM answer WHERE id = {told[-1]}") == [(1,)]
    assert kills
    assert rows(path, "SELECT count(*), count(DISTINCT url) FROM request JOIN answer USING (id)") == [
        (19_999, 19_999)
    ]
    assert not rows(path, "SELECT * FROM queue")
    assert os.listdir(path.parent) == [path.name]


# -- the file ---------------------------------------------------------------------------------------


async def test_close_leaves_one_file_even_when_there_was_a_reader(path: Path) -> None:
    store, _ = await opened(path)
    await store.commit(batch(added=store.add(pages(3))))
    assert rows(path, "SELECT count(*) FROM queue") == [(3,)]
    await store.close()
    assert os.listdir(path.parent) == [path.name]


async def test_a_reader_that_stays_keeps_nobody_from_closing(path: Path) -> None:
    store, _ = await opened(path)
    await store.commit(batch(added=store.add(pages(3))))
    base = look(path)
    base.execute("BEGIN")
    assert base.execute("SELECT count(*) FROM queue").fetchone() == (3,)
    await store.commit(batch(added=store.add(pages(3))))
    await store.close()
    base.close()
    again, recovered = await opened(path)
    assert recovered.queued == 6
    await again.close()


async def test_the_log_is_cut_when_its_reader_is_gone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_LOG", 2**20)
    store, _ = await opened(path)
    log = path.with_name(f"{path.name}-wal")
    base = look(path)
    base.execute("BEGIN")
    base.execute("SELECT count(*) FROM queue").fetchone()
    while not log.exists() or log.stat().st_size < 3 * 2**20:
        await store.commit(batch(added=store.add(pages(1000))))
    base.execute("COMMIT")
    await store.commit(batch(added=store.add(pages(10))))
    assert log.stat().st_size < 2**20
    base.close()
    await store.close()


async def test_the_log_stays_small_beside_a_reader_that_comes_and_goes(path: Path) -> None:
    store, _ = await opened(path)
    log = path.with_name(f"{path.name}-wal")
    base = look(path)
    for _ in range(60):
        await store.commit(batch(added=store.add(pages(1000))))
        assert base.execute("SELECT count(*) FROM queue").fetchone()
    assert log.stat().st_size < 32 * 2**20
    base.close()
    await store.close()


async def test_a_store_that_is_closed_says_so(path: Path) -> None:
    store, _ = await opened(path)
    await store._work(store._records.close)
    with pytest.raises(StoreError, match="is not open"):
        await store.commit(Batch())
    await store.close()


async def test_a_batch_that_fails_leaves_nothing_behind(path: Path) -> None:
    store, _ = await opened(path)
    await store.commit(batch(added=store.add(pages(1))))
    with closing(sqlite3.connect(path)) as other:  # so that its new host can be written, and its request cannot
        other.execute("DROP TABLE queue")
        other.commit()
    with pytest.raises(StoreError, match="no such table: queue"):
        await store.commit(batch(added=store.add(pages(1, "other.example"))))
    await store.close()
    assert rows(path, "SELECT count(*) FROM host") == [(1,)]
