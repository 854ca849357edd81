"""What is read of runs that were really crawled: coverage, statuses by host, good runs before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from scraper.changes.keep import keep
from scraper.folder import RunFolder
from scraper.jobs.alerts import judge
from scraper.jobs.facts import facts
from scraper.jobs.job import Alerts, Job
from scraper.jobs.record import Alert, JobRun, State
from scraper.jobs.store import Jobs
from scraper.spider import Spider
from scraper.testing.resolve import Loopback
from scraper.testing.site import Site
from tests.conftest import QUICK

from .world import planned


class Shop(Spider):
    name = "shop"
    start_urls = ("http://a.test/", "http://b.test/")

    def parse(self, response: Any) -> Any:
        yield {"url": response.url, "price": response.css("b::text").get()}


async def crawled(site: Site, jobs: Jobs, id: int, at: float) -> JobRun:
    """A crawl of the shop, as a good run of its job."""
    from scraper.program import crawl

    root = jobs.home.parent
    result = await crawl(
        Shop(), settings={**QUICK, "retries": 0, "robots": False}, folder=root, resolver=Loopback(site.port)
    )
    assert result.folder is not None
    keep(None, RunFolder(result.folder), ())
    made = jobs.plan(planned(at))
    assert made is not None
    stats = result.report.stats
    numbers = {"pages": stats.done, "items": stats.items, "failed": stats.failed}
    run = replace(made, state=State.RUNNING, run=result.folder.name, began=at, **numbers)
    return jobs.update(replace(jobs.update(run), state=State.FINISHED, ended=at + 1))


async def test_the_facts_of_real_crawls(site: Site, jobs: Jobs) -> None:
    job = Job(name="shop", spider="shop", alerts=Alerts(coverage_drop=0.5, block_pages=True))
    jobs.put(job, now=0.0, who="ann")
    root = jobs.home.parent
    site.page("/", "<b>5</b>")
    good = [await crawled(site, jobs, number, number * 10.0) for number in range(1, 4)]
    site.page("/", "nothing")
    site.page("/", "keep out", status=403, host="b.test")
    run = await crawled(site, jobs, 4, 40.0)
    found = facts(jobs, root, job, run)
    assert found.good == tuple(reversed(good))
    assert (found.shares, found.usual_shares) == ({"url": 1.0, "price": 0.0}, ({"url": 1.0, "price": 1.0},) * 3)
    assert (found.blocks, found.blocks_before) == ({"b.test": {403: 1}}, {})
    assert [each.rule for each in judge(job, found).verdicts if each.fires] == ["coverage_drop", "block_pages"]

    again = await crawled(site, jobs, 5, 50.0)  # good as it is, the run before is not what it is measured by
    jobs.raise_alert(Alert(job="shop", rule="block_pages", run=run.id, at=41.0, text=""))
    assert facts(jobs, root, job, again).blocks_before == {}
    assert facts(jobs, root, job, good[0]).good == ()


def test_of_folders_that_are_gone_nothing_is_known(jobs: Jobs, tmp_path: Path) -> None:
    rules = Alerts(coverage_drop=0.5, block_pages=True)
    job = Job(name="shop", spider="shop", alerts=rules)
    jobs.put(job, now=0.0, who="ann")
    run = planned(5.0, id=9, run="20000101-000000-0000", state=State.FINISHED, items=1, ended=6.0)
    found = facts(jobs, tmp_path, job, run)
    assert (found.good, found.shares, found.blocks, found.blocks_before) == ((), None, None, None)
    assert len(judge(job, found).notes) == 2


def test_a_good_run_with_a_key_that_was_not_compared_is_one_of_which_nobody_was_told(
    jobs: Jobs, tmp_path: Path
) -> None:
    run = planned(0.0, id=1, state=State.FINISHED, told="")
    keyed = Job(name="shop", spider="shop", key=("id",))
    assert facts(jobs, tmp_path, keyed, run).untold
    assert not facts(jobs, tmp_path, keyed, replace(run, told='["id"]')).untold
    assert not facts(jobs, tmp_path, keyed, replace(run, state=State.FAILED)).untold
    assert not facts(jobs, tmp_path, Job(name="shop", spider="shop"), run).untold
