"""What is due is run once: which messages it waits for, and which jobs it leaves alone."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from scraper.clock import FastClock
from scraper.jobs.due import Leaving, run_due
from scraper.jobs.job import Channel, Job, Server
from scraper.jobs.record import JobRun, State
from scraper.jobs.store import Jobs
from scraper.testing.site import Site
from tests.jobs.place import Place

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
WRITE = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read())"


async def test_people_are_told_before_it_leaves(tmp_path: Path, site: Site) -> None:
    place, told = Place(tmp_path, site), tmp_path / "told.json"
    ops = Channel(command=(sys.executable, "-c", WRITE, str(told)))
    with Jobs(place.home) as store:
        store.set_server(Server(channels={"ops": ops}), time.time(), "test")
        made = time.time() - 3600
        gone = {"url": "http://127.0.0.1:9/"}
        store.put(Job(name="gone", spider="shop", args=gone, schedule="every minute"), now=made, who="test")
        store.put(Job(name="off", spider="shop", schedule="every minute"), now=made, who="test")
        store.pause("off", "", made, "test")
    runs = await run_due(place.root, place.folder, clock=FastClock(40))
    states = [run.state for run in runs if run.job == "gone"]
    assert states.count(State.MISSED) >= 58
    assert State.FAILED in states
    assert {run.job for run in runs} == {"gone"}
    assert "gone" in told.read_text()


async def test_it_is_busy_while_a_time_that_has_passed_is_not_planned(tmp_path: Path) -> None:
    with Jobs(tmp_path) as store:
        leaving = Leaving(FastClock(1))
        store.put(Job(name="a", spider="shop", schedule="every minute"), now=time.time() - 90, who="test")
        assert leaving._busy(store)
        store.planned("a", time.time(), [])
        assert not leaving._busy(store)


async def test_it_is_busy_when_a_time_is_planned_while_it_looks(tmp_path: Path) -> None:
    class Planning(Jobs):
        def open_runs(self, job: str = "") -> list[JobRun]:
            found = super().open_runs(job)
            self.planned("a", time.time(), [JobRun(id=0, job="a", spider="shop", planned=time.time())])
            return found

    with Planning(tmp_path) as store:
        leaving = Leaving(FastClock(1))
        store.put(Job(name="a", spider="shop", schedule="every minute"), now=time.time() - 90, who="test")
        assert leaving._busy(store)
