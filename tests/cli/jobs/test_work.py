"""`scraper jobs run`, `cancel`, `kill`, `log` and `run-due`, with real crawls."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from scraper.jobs.job import Job
from scraper.jobs.record import JobRun, State
from scraper.jobs.store import Jobs
from scraper.testing.site import Site
from tests.cli.command import Done, begin, ended, scraper
from tests.jobs.place import PAGES, Place, marked

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them"),
    pytest.mark.timeout(60),
]
Process = asyncio.subprocess.Process


@pytest.fixture
async def place(tmp_path: Path, site: Site) -> AsyncIterator[Place]:
    made = Place(tmp_path, site)
    keep(made, Job(name="shop", spider="shop", settings={"allow_private": True}))
    yield made
    assert marked(made.home) == []


def keep(place: Place, job: Job) -> None:
    with Jobs(place.home) as store:
        store.put(job, now=time.time(), who="test")


async def jobs(place: Place, *words: str) -> Done:
    return await scraper("jobs", *words, cwd=place.folder)


@asynccontextmanager
async def server(place: Place) -> AsyncIterator[Process]:
    process = await begin("serve", "--no-web", cwd=place.folder)
    try:
        assert process.stderr is not None
        while b"running the jobs" not in (line := await process.stderr.readline()):
            assert line, "it has ended"
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await ended(process)


def all_runs(place: Place) -> list[JobRun]:
    with Jobs(place.home, read_only=True) as store:
        return store.runs()


async def test_without_a_server_a_run_is_planned_and_said_to_wait(place: Place) -> None:
    done = await jobs(place, "run", "shop")
    assert (done.code, done.out) == (0, "run 1 of job shop is planned\n")
    assert done.err == "no server runs: it starts when `scraper serve` runs\n"
    assert "the run before was not over (run 1)" in (await jobs(place, "run", "shop")).err
    assert (await jobs(place, "cancel", "shop")).out == "run 1 of job shop will not begin\n"


async def test_waiting_gives_the_exit_code_of_the_run(place: Place) -> None:
    async with server(place):
        done = await jobs(place, "run", "shop", "--wait")
        assert (done.code, done.out.split(" after ")[0]) == (0, "run 1 of job shop finished")
        assert done.out.endswith(f"{PAGES} pages, {PAGES} items\n")
        done = await jobs(place, "run", "shop", "--wait", "--json", "-a", "url=http://127.0.0.1:9/")
        assert (done.code, json.loads(done.out)["state"]) == (1, "failed")
    told = await jobs(place, "runs", "1")
    assert "(hand, by " in told.out
    assert f"{PAGES} pages, {PAGES} items, 0 failed" in told.out


async def test_a_wrong_argument_of_one_run_is_refused_before_it_is_planned(place: Place) -> None:
    done = await jobs(place, "run", "shop", "-a", "ulr=x")
    assert done.code == 2
    assert "no argument 'ulr'" in done.err
    assert all_runs(place) == []


async def test_a_run_is_cancelled_and_who_waits_hears_of_it(place: Place, site: Site) -> None:
    site.tree(pages=200, delay=0.2)
    async with server(place):
        waiting = await begin("jobs", "run", "shop", "--wait", cwd=place.folder)
        await site.until(lambda: len(site.hits) > 4)
        assert (await jobs(place, "cancel", "shop")).out == "run 1 of job shop is asked to end\n"
        done = await ended(waiting)
        assert (done.code, "cancelled" in done.out) == (130, True)
        seen = len(site.hits)
        waiting = await begin("jobs", "run", "shop", "--wait", cwd=place.folder)
        await site.until(lambda: len(site.hits) > seen + 4)
        assert (await jobs(place, "kill", "2")).out == "run 2 of job shop is being killed\n"
        assert (await ended(waiting)).code == 130
    assert {run.state for run in all_runs(place)} == {State.CANCELLED}
    assert (await jobs(place, "cancel", "2")).err == "error: run 2 of job 'shop' is over (cancelled)\n"
    assert (await jobs(place, "kill", "shop")).code == 2


async def test_the_log_is_followed_to_the_end_of_the_run(place: Place, site: Site) -> None:
    place.spider(body="self.logger.info('at %s', response.url); self.logger.warning('odd')")
    keep(place, Job(name="shop", spider="shop", settings={"allow_private": True}, timezone="Asia/Kolkata"))
    async with server(place):
        await jobs(place, "run", "shop")
        done = await jobs(place, "log", "shop", "--follow")
    assert done.code == 0
    assert "run 1 is over: finished" in done.err
    assert done.out.count(" at http://") == PAGES
    again = await jobs(place, "log", "1", "-n", "3", "--json")
    assert [json.loads(line)["level"] for line in again.out.splitlines()] == ["warning", "info", "warning"]
    printed = (await jobs(place, "log", "1", "--output")).out.splitlines()
    assert re.match(r"\[2\d{3}-\d\d-\d\d \d\d:\d\d:\d\d IST: process \d+ works on run", printed[0])
    assert all(re.match(r"\d\d-\d\d \d\d:\d\d:\d\d IST warning shop: odd", each) for each in printed[1:])
    assert len(printed) == 1 + PAGES


async def test_what_is_due_is_run_once_and_nothing_more(place: Place) -> None:
    keep(place, Job(name="often", spider="shop", schedule="every second", settings={"allow_private": True}))
    await asyncio.sleep(1.1)
    done = await jobs(place, "run-due")
    assert done.code == 0, done
    assert "of job often finished after" in done.out


async def test_nothing_due_is_nothing_said(place: Place) -> None:
    keep(place, Job(name="later", spider="shop", schedule="once 2099-01-01 00:00"))
    done = await jobs(place, "run-due")
    assert (done.code, done.out, done.err) == (0, "", "")


async def test_a_failed_run_is_retried_and_gives_its_exit_code(place: Place) -> None:
    gone = {"url": "http://127.0.0.1:9/"}
    keep(place, Job(name="gone", spider="shop", args=gone, retries=1, retry_delay=0.1))
    await jobs(place, "run", "gone")
    done = await jobs(place, "run-due", "--quiet")
    assert done.code == 1, done
    assert done.out.startswith("run 1 of job gone failed after ")
    assert all_runs(place)[0].attempts == 2
    alerts = await jobs(place, "alerts", "gone")
    assert alerts.out.splitlines()[1].split()[:3] == ["1", "gone", "failed"]


async def test_a_server_is_left_to_do_what_is_due(place: Place) -> None:
    async with server(place) as process:
        done = await jobs(place, "run-due")
    assert (done.code, done.err) == (0, f"the server with pid {process.pid} runs the jobs\n")


async def test_a_signal_leaves_the_rest_to_the_next_look(place: Place, site: Site) -> None:
    site.tree(pages=60, delay=0.1)
    await jobs(place, "run", "shop")
    process = await begin("jobs", "run-due", cwd=place.folder)
    await site.until(lambda: len(site.hits) > 6)
    process.send_signal(signal.SIGTERM)
    done = await ended(process)
    assert (done.code, "1 run not over: the next server or `run-due` goes on" in done.err) == (130, True)
    assert (await jobs(place, "run-due")).code == 0
    run = all_runs(place)[0]
    assert (run.state, run.items, run.attempts) == (State.FINISHED, 60, 2)
    assert len(place.items(run)) == 60
