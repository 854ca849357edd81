"""A server that dies between two steps of a run: the next one makes it whole, and nothing is done twice."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from scraper.jobs.job import Job
from scraper.jobs.record import JobRun, State
from scraper.jobs.serving import Parts, serve
from scraper.jobs.store import Jobs
from scraper.testing.site import Site
from tests.cli.command import ended, environment
from tests.jobs.dying_server import STEPS
from tests.jobs.place import PAGES, Place, marked

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them"),
    pytest.mark.timeout(60),
]
TAKEN_OVER = "an earlier one is taken over"
SOME = ("the process is there", "the order has come", "its end is known", "the comparison begins",
        "the end is on record", TAKEN_OVER)  # fmt: skip


async def dies(place: Place, step: str) -> None:
    """A server that dies at a step."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.jobs.dying_server", step, cwd=place.folder, env=environment(),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    done = await ended(process)
    assert done.code == -9, done.out


def store(place: Place) -> Jobs:
    return Jobs(place.home)


async def finishes(place: Place, id: int) -> None:
    """A server until the run is over; it ends in good order. It is begun here, a process of its own costs much."""
    ready: asyncio.Future[Parts] = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(40), asyncio.TaskGroup() as group:
        group.create_task(serve(place.root, place.folder, said_ready=ready.set_result))
        parts = await ready
        while parts.store.run(id).open:  # noqa: ASYNC110  the scheduler ends it
            await asyncio.sleep(0.02)
        parts.scheduler.stop()


@pytest.mark.parametrize(
    "step", [step if step in SOME else pytest.param(step, marks=pytest.mark.slow) for step in STEPS]
)
async def test_a_server_that_dies_loses_nothing_and_repeats_nothing(tmp_path: Path, site: Site, step: str) -> None:
    place = Place(tmp_path, site)
    with store(place) as jobs:
        jobs.put(
            Job(name="shop", spider="shop", key=("url",), settings={"allow_private": True}), now=1.0, who="test"
        )
        planned = jobs.plan(JobRun(id=0, job="shop", spider="shop", planned=time.time()))
        assert planned is not None
    if step == TAKEN_OVER:
        await dies(place, "the order has come")
    await dies(place, step)
    await finishes(place, planned.id)
    with store(place) as jobs:
        run, attempts = jobs.run(planned.id), jobs.attempts(planned.id)
        assert [each.id for each in jobs.runs()] == [run.id]
    assert (run.state, run.why, run.exit_code) == (State.FINISHED, "", 0)
    assert (run.pages, run.items, run.failures) == (PAGES, PAGES, 0)
    assert len(attempts) == run.attempts <= 2
    assert attempts[-1].ended >= attempts[-1].started > 0
    hits = Counter(hit.path for hit in site.hits)
    assert set(hits.values()) == {1}
    assert len({item["url"] for item in place.items(run)}) == len(place.items(run)) == PAGES
    info = json.loads((place.root / "shop" / run.run / "run.json").read_text())
    assert (info["state"], info["starts"], info["items"]) == ("finished", 1, PAGES)
    assert [path.name for path in (place.root / "shop").glob("2*")] == [run.run]
    assert (place.root / "shop" / run.run / "changes.json").is_file()
    assert marked(place.home) == []
    assert os.listdir(place.home / "runs") == [f"{run.id}.log"]
