"""Processes of planned runs: real crawls of a real site."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from scraper.errors import UsageError
from scraper.jobs.job import Job, Output
from scraper.jobs.process import CrawlProcess, Processes
from scraper.jobs.record import JobRun
from scraper.jobs.runner import Ask, Ended
from scraper.testing.site import Site
from tests.jobs.place import PAGES, Place, marked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
SHOP = Job(name="shop", spider="shop", settings={"allow_private": True})
CHILD = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
AWAY = CHILD.replace("60)']", "60)'], start_new_session=True")


@pytest.fixture
async def place(tmp_path: Path, site: Site) -> AsyncIterator[Place]:
    made = Place(tmp_path, site)
    yield made
    assert marked(made.home) == []


async def crawling(runner: Processes, run: JobRun, job: Job = SHOP) -> CrawlProcess:
    process = await runner.start(run, job)
    process.go()
    return process


def words_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


async def ended(process: CrawlProcess) -> Ended:
    async with asyncio.timeout(30):
        return await process.ended


async def test_a_good_run_is_told_with_its_counts_and_its_outputs_are_in_the_project(place: Place) -> None:
    run = place.run()
    job = replace(SHOP, output=(Output(path="data/{spider}.csv"), Output(path="c.jsonl", only="changes")))
    found = await ended(await crawling(place.runner(), run, job))
    assert (found.exit_code, found.state, found.why) == (0, "finished", "")
    assert (found.pages, found.items, found.failed) == (PAGES, PAGES, 0)
    assert found.bytes > 0
    assert time.time() - found.at < 30
    assert len(place.items(run)) == PAGES
    assert (place.folder / "data" / "shop.csv").read_text().count("\n") == PAGES + 1
    assert not (place.folder / "c.jsonl").exists()


async def test_a_comparison_that_cannot_be_started_leaves_a_good_run_good(place: Place) -> None:
    place.jobs["shop"] = replace(SHOP, key=("a\0b",))  # as no job is declared any more
    found = await ended(await crawling(place.runner(), place.run(), place.jobs["shop"]))
    assert (found.exit_code, found.state) == (0, "finished")
    assert found.why.startswith("what changed was not told: the comparison cannot be started: embedded null byte")


async def test_nothing_is_crawled_before_it_was_let_go(place: Place) -> None:
    process = await place.runner().start(place.run(), SHOP)
    process.leave()  # as a server that dies
    await asyncio.to_thread(os.waitpid, process.pid, 0)
    assert place.site.hits == []
    assert not (place.root / "shop").exists()
    assert "no order has come" in place.said(place.run())


async def test_arguments_may_be_larger_than_a_pipe_and_are_not_for_other_users_to_see(place: Place) -> None:
    token = "run's own" * 40_000
    run = place.run(args={"token": token})
    job = replace(SHOP, args={"token": "hunter2"})
    process = await crawling(place.runner(), run, job)
    await place.site.until(lambda: len(place.site.hits) > 0)
    words = words_of(process.pid)
    assert words[:5] == [sys.executable, "-P", "-m", "scraper", "crawl"]
    assert "hunter2" not in " ".join(words)
    await ended(process)
    assert {item["token"] for item in place.items(run)} == {token}


async def test_the_secrets_of_the_server_are_not_the_spiders(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAIL_PASSWORD", "NOTIFY_SOCKET", "WATCHDOG_USEC", "SHOP_KEY"):
        monkeypatch.setenv(name, "secret")
    place.spider(body="open('names', 'w').write(' '.join(os.environ))", max_pages=1)
    await ended(await crawling(place.runner("MAIL_PASSWORD"), place.run()))
    names = (place.folder / "names").read_text().split()
    assert "SHOP_KEY" in names
    assert {"MAIL_PASSWORD", "NOTIFY_SOCKET", "WATCHDOG_USEC"}.isdisjoint(names)


async def test_asked_to_end_it_commits_and_the_next_process_goes_on(place: Place) -> None:
    run, runner = place.run(), place.runner()
    process = await crawling(runner, run)
    await place.site.until(lambda: len(place.site.hits) > 3)
    process.ask(Ask.CANCEL)
    first = await ended(process)
    assert (first.exit_code, first.state, first.why) == (130, "interrupted", "interrupted")
    assert 0 < first.pages < PAGES
    second = await ended(await crawling(runner, run))
    assert (second.exit_code, second.pages, second.items) == (0, PAGES, PAGES)
    assert len({item["url"] for item in place.items(run)}) == len(place.items(run)) == PAGES


@pytest.mark.parametrize(("body", "why"), [
    ("os._exit(0)", "its process ended with exit code 0"), ("os._exit(7)", "its process ended with exit code 7"),
    ("print('shop is shut', flush=True); os._exit(7)", "shop is shut"),
])  # fmt: skip
async def test_why_a_process_ended_is_its_own_words_not_the_servers(place: Place, body: str, why: str) -> None:
    place.spider(body=body)
    run = place.run()
    found = await ended(await crawling(place.runner(), run))
    assert (found.state, found.why) == ("running", why)


async def test_what_was_killed_tells_what_is_durable(place: Place) -> None:
    run = place.run()
    process = await crawling(place.runner(), run)
    await place.site.until(lambda: len(place.site.hits) > 8)
    process.ask(Ask.KILL)
    found = await ended(process)
    assert (found.exit_code, found.state) == (-9, "running")
    assert 0 < found.pages < PAGES
    assert found.pages == found.items
    assert found.why == "its process was ended by SIGKILL (by hand, or the system was short of memory)"


async def test_nothing_that_a_spider_has_started_outlives_its_crawl(place: Place) -> None:
    place.spider(body=f"{CHILD}; {AWAY}", max_pages=3)  # in its session, and in one of their own
    process = await crawling(place.runner(), place.run())
    found = await ended(process)
    assert found.exit_code == 0
    assert marked(place.home) == []


async def test_workers_and_their_children_end_with_a_crawl_that_is_killed(place: Place) -> None:
    place.spider(body=CHILD, processes=2)
    process = await crawling(place.runner(), place.run())
    await place.site.until(lambda: len(place.site.hits) > 3)
    assert len(marked(place.home)) > 4
    assert process.memory() > 60 * 2**20
    os.kill(process.pid, signal.SIGKILL)
    assert (await ended(process)).exit_code == -9
    assert process.memory() == 0
    assert marked(place.home) == []


async def test_a_living_process_is_found_again(place: Place) -> None:
    run = place.run()
    first = await crawling(place.runner(), run)
    await place.site.until(lambda: len(place.site.hits) > 1)
    known = replace(run, pid=first.pid, birth=first.birth)
    first.leave()
    second = await place.runner().adopt(known)
    assert second.memory() > 0
    found = await asyncio.gather(ended(second), asyncio.to_thread(os.waitpid, first.pid, 0))
    assert (found[0].exit_code, found[0].pages) == (0, PAGES)


async def test_a_living_process_that_was_found_again_can_be_ended(place: Place) -> None:
    run = place.run()
    first = await crawling(place.runner(), run)
    await place.site.until(lambda: len(place.site.hits) > 1)
    first.leave()
    second = await place.runner().adopt(replace(run, pid=first.pid, birth=first.birth))
    second.ask(Ask.CANCEL)
    found = await asyncio.gather(ended(second), asyncio.to_thread(os.waitpid, first.pid, 0))
    assert (found[0].exit_code, found[0].state) == (130, "interrupted")


async def test_another_process_of_the_same_number_is_not_ours(place: Place) -> None:
    mine = place.run(pid=os.getpid(), birth="another boot/1")
    process = await place.runner().adopt(mine)
    process.ask(Ask.KILL)
    found = await ended(process)
    assert (found.exit_code, found.state, found.why) == (None, "", "its process is gone")


async def test_one_that_ended_is_told_by_its_record_and_does_nothing_when_begun_again(place: Place) -> None:
    run = place.run()
    await ended(await crawling(place.runner(), run))
    found = await ended(await place.runner().adopt(replace(run, pid=1, birth="x/1")))
    assert (found.exit_code, found.state, found.pages) == (0, "finished", PAGES)
    number = len(place.site.hits)
    assert (await ended(await crawling(place.runner(), run))).exit_code == 0
    assert len(place.site.hits) == number
    assert "has ended already (finished)" in place.said(run)


async def test_a_rule_that_broke_is_the_reason(place: Place) -> None:
    found = await ended(
        await crawling(
            place.runner(), place.run(), replace(SHOP, settings={"min_items": 99, "allow_private": True})
        )
    )
    assert (found.exit_code, found.state) == (3, "rule_broken")
    assert found.why == f"{PAGES} items, fewer than min_items = 99"


async def test_the_first_cause_of_a_failure_is_the_reason(place: Place) -> None:
    place.site.page("/", "no", status=404)
    found = await ended(await crawling(place.runner(), place.run()))
    assert (found.exit_code, found.state, found.failed) == (1, "failed", 1)
    assert found.why == "no page succeeded; status: 404"


async def test_a_mistake_is_told_in_the_words_of_the_command(place: Place) -> None:
    found = await ended(await crawling(place.runner(), place.run(), replace(SHOP, args={"shelf": 1})))
    assert (found.exit_code, found.state) == (2, "")
    assert found.why == "spider 'shop' has no argument 'shelf'; there are url, token"


async def test_what_cannot_be_told_as_data_is_refused_before_anything_starts(place: Place) -> None:
    with pytest.raises(UsageError, match="order for spider 'shop' cannot be written"):
        await place.runner().start(place.run(), replace(SHOP, args={"what": object()}))


async def test_the_last_good_run_is_compared_with(place: Place) -> None:
    outputs = (Output(path="c.jsonl", only="changes"),)
    job = place.jobs["shop"] = replace(
        SHOP, key=("url",), output=outputs, settings={**SHOP.settings, "max_pages": 5}
    )
    first, second = place.run(id=1), place.run(id=2)
    found = await ended(await crawling(place.runner(), first, job))
    assert (found.exit_code, found.why, found.added) == (0, "max_pages", None)
    assert (place.folder / "c.jsonl").read_text().count('"_change":"added"') == 5
    place.good = first.run
    job = place.jobs["shop"] = replace(job, settings=SHOP.settings)
    found = await ended(await crawling(place.runner(), second, job))
    assert (found.state, found.why) == ("finished", "")
    assert (found.added, found.changed, found.removed) == (PAGES - 5, 0, 0)
    assert (place.folder / "c.jsonl").read_text().count('"_change":"added"') == PAGES - 5
    assert (place.root / "shop" / second.run / "changes.json").is_file()


async def test_an_output_that_leads_into_the_folder_of_the_server_by_now_is_not_written(place: Place) -> None:
    (place.folder / "x.jsonl").symlink_to(place.home / "jobs.sqlite")
    job = Job(name="shop", spider="shop", output=(Output("x.jsonl"),))
    with pytest.raises(UsageError, match="is in the folder of the server"):
        await place.runner().start(place.run(), job)
