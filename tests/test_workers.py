"""Worker processes: what they do beside what `pytest --processes 2` shows, and how a crawl outlives theirs."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from scraper import Reason, Request, Response, ScraperError, Spider, UsageError
from scraper.crawl import Crawl as Line
from scraper.discover import find
from scraper.frontier.gate import Gate
from scraper.frontier.host import Permit
from scraper.frontier.limits import Limits
from scraper.outcome import End
from scraper.program import crawl, run, stream
from scraper.request import raw
from scraper.run import Run
from scraper.settings import HostRules, Settings, resolve
from scraper.spool import SPOOL
from scraper.testing.answers import Answer, Visit
from scraper.testing.hits import during, parallel, spacing
from scraper.testing.process import SiteProcess
from scraper.testing.resolve import Loopback
from scraper.testing.site import Site

from .cli.command import FAST, PIPE, begin, ended, environment, scraper
from .conftest import QUICK, Crawl

TWO: dict[str, Any] = {"processes": 2}
MARK = "WORKERS_OF"  # in the environment of every process that a test begins
PATIENCE = 20.0  # seconds that a process may take to end
WORKER = "scraper.workers.process"


def workers() -> list[int]:
    """The worker processes of this test that are alive."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            mine = f"{MARK}={os.environ[MARK]}\0".encode() in (folder / "environ").read_bytes()
            if mine and WORKER.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue  # it has ended, or is somebody else's
    return sorted(found)


async def no_workers() -> None:
    """Every worker has ended, or does at once."""
    for _ in range(int(PATIENCE / 0.02)):
        if not workers():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"worker processes are left: {workers()}")


@pytest.fixture(autouse=True)
async def no_orphans(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """No test leaves a process, or an open file."""
    if sys.platform != "linux":
        pytest.skip("looks into /proc")
    monkeypatch.setenv(MARK, f"{os.getpid()}.{random.random()}")
    yield
    await no_workers()


class Walk(Spider):
    """Follows every link, and says in which process."""

    name = "walk"
    url: str = "http://a.test/"

    async def start(self) -> AsyncIterator[Request | str]:
        yield self.url

    def parse(self, response: Response) -> Any:
        yield {"url": response.url, "pid": os.getpid()}
        yield response.follow_all(css="a[href]")


def page(*links: str) -> str:
    return "".join(f'<a href="{link}">x</a>' for link in links)


def here(site: Site) -> dict[str, Any]:
    return {"resolver": Loopback(site.port)}


class Meets(Walk):
    """The first page waits for the other process."""

    name = "meets"
    folder: Path

    def opened(self) -> Any:
        (self.folder / str(os.getpid())).touch()

    async def parse(self, response: Response) -> Any:
        for _ in range(200 if response.url.endswith("/") else 0):
            if len(os.listdir(self.folder)) < 3:  # the crawl's own is there too
                await asyncio.sleep(0.02)
        for each in super().parse(response):
            yield each


async def test_pages_are_read_in_all_processes_and_never_in_the_crawls_own(
    site: Site, go: Crawl, tmp_path: Path
) -> None:
    truth = site.tree(pages=80, fanout=5, delay=0.01)
    files = len(os.listdir("/proc/self/fd"))
    result = await go(Meets(folder=tmp_path), **TWO)
    assert sorted(item["url"].removeprefix("http://a.test") for item in result.items) == sorted(truth)
    pids = {item["pid"] for item in result.items}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert len(site.hits) == len(truth) + 1
    assert len(os.listdir("/proc/self/fd")) <= files


@pytest.mark.parametrize("limit", ["max_pages", "max_items"])
async def test_limits_are_exact_with_three(site: Site, go: Crawl, limit: str) -> None:
    site.tree(pages=60, fanout=6)
    result = await go(Walk(), processes=3, concurrency=64, per_host=64, **{limit: 23})
    assert len(result.items) == 23
    assert result.report.why == limit
    assert limit != "max_pages" or len({hit.path for hit in site.hits}) == 24


# -- deaths -----------------------------------------------------------------------------------------


class Orders(Walk):
    """Between the pages POSTs, of the line and of callbacks, each of which may be sent once."""

    name = "orders"

    async def parse(self, response: Response) -> Any:
        yield {"url": response.url}
        number = response.url.rpartition("/")[2]
        if response.request.method == "POST":
            return
        yield response.follow_all(css="a[href]")
        yield Request(f"http://a.test/order/{number}", form={"n": number})
        if number.endswith("3"):
            await self.fetch(Request(f"http://a.test/own/{number}", form={"n": number}))


async def test_workers_killed_at_random_moments_lose_nothing_and_double_nothing(site: Site, tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    truth = site.tree(pages=90, fanout=4, delay=0.02)
    site.page("/order/*", "thanks", delay=0.02)
    site.page("/own/*", "thanks", delay=0.02)
    settings = {**QUICK, **TWO, "log_level": "error", "robots": False}
    crawling = asyncio.create_task(crawl(Orders(), settings=settings, folder=tmp_path, **here(site)))
    killed = 0
    while killed < 6 and not crawling.done():
        await asyncio.sleep(dice.uniform(0.0, 0.4))
        if alive := workers():
            os.kill(dice.choice(alive), signal.SIGKILL)
            killed += 1
    result = await crawling
    assert result.folder is not None
    items = [json.loads(line)["url"] for line in (result.folder / "items.jsonl").read_text().splitlines()]
    stats = result.report.stats
    assert max(Counter(items).values()) == 1
    sent = Counter(hit.path for hit in site.hits if hit.method == "POST")
    assert max(sent.values()) == 1
    assert stats.done == len(items)
    assert {reason for (end, reason) in stats.reasons if end is End.FAILED} <= {Reason.UNKNOWN}
    # A page is answered as unknown when its callback had begun a POST; its links it would have had later.
    if not stats.failed:
        assert len(items) == 2 * len(truth)
    assert {hit.path for hit in site.hits if hit.method == "GET"} <= truth
    # A POST that was cut off after it was on record, and before it left, is unknown and has not arrived.
    arrived = len({(hit.method, hit.path) for hit in site.hits if "/own/" not in hit.path})
    assert 0 <= stats.done + stats.failed - arrived <= stats.failed


class Poison(Walk):
    """One page kills its process in its callback, one when it has sent its own request."""

    name = "poison"

    async def parse(self, response: Response) -> Any:
        if response.url.endswith("/now"):
            os.kill(os.getpid(), signal.SIGKILL)
        if response.url.endswith("/later"):
            await self.fetch("http://a.test/own")
            os._exit(9)
        for each in super().parse(response):
            yield each


async def test_pages_that_kill_their_process_are_given_up_and_all_else_is_read_once(site: Site, go: Crawl) -> None:
    site.page("/", page("/now", *(f"/{n}" for n in range(12)), "/later"))
    site.page("*", "")
    result = await go(Poison(), **TWO)
    assert sorted(item["url"] for item in result.items) == sorted(
        ["http://a.test/", *(f"http://a.test/{n}" for n in range(12))]
    )
    assert result.report.stats.reasons[End.FAILED, Reason.POISON] == 2
    for path in ("/now", "/later"):  # one may be out when its process dies of the other
        assert 3 <= len(site.hits_of(path=path)) <= 6


class Odd(Walk):
    """What is odd of it is so in workers only."""

    name = "odd"
    how: str

    def opened(self) -> Any:
        if WORKER not in sys.modules:
            return
        if self.how == "raises":
            raise ValueError("not here")
        os.kill(os.getpid(), signal.SIGKILL) if self.how == "killed" else os._exit(3)


async def test_a_spider_whose_opened_raises_in_a_worker_breaks_the_crawl(site: Site, go: Crawl) -> None:
    site.page("*", "")
    result = await go(Odd(how="raises"), **TWO)
    assert result.report.exit_code == 1
    assert result.report.said[0] == "the spider broke: ValueError: not here"
    assert not site.hits_of(path="/")


@pytest.mark.parametrize(("how", "said"), [("exits", "exit code 3"), ("killed", "signal SIGKILL")])
async def test_workers_that_end_at_once_each_time_end_the_crawl(
    site: Site, go: Crawl, how: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scraper.workers.pool.MOST_DEATHS", 2)
    with pytest.raises(ScraperError, match=said):
        await go(Odd(how=how), **TWO)
    assert not site.hits_of(path="/")


# -- what no worker can import ----------------------------------------------------------------------

FILE = """
import sys
from scraper import Spider

{head}

class One(Spider):
    name = "one"
    start_urls = ["http://127.0.0.1:{port}/"]
    settings = {{"delay": 0.0, "processes": 2}}

    def parse(self, response):
        print("printed", response.url)
        self.logger.warning("logged %s", response.url)
        yield {{"url": response.url}}
        yield response.follow_all(css="a[href]")
        {more}
"""


def written(folder: Path, site: Site, *, head: str = "", more: str = "") -> Path:
    path = folder / "one.py"
    path.write_text(FILE.format(port=site.port, head=head, more=more))
    return path


async def test_a_file_that_no_worker_can_import_is_a_wrong_command(site: Site, tmp_path: Path) -> None:
    path = written(tmp_path, site, head=f"if '{WORKER}' in sys.modules: 1 / 0")
    spider = find(str(path), tmp_path)()
    with pytest.raises(UsageError, match=r"a worker process cannot import .*one.py:5: ZeroDivisionError"):
        await crawl(spider, folder=tmp_path / "runs")
    assert not [*(tmp_path / "runs").glob("one/*")]
    assert not site.hits_of(path="/")


async def test_a_class_in_a_function_or_a_notebook_is_refused_before_anything_is_sent(
    site: Site, go: Crawl, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Local(Walk):
        name = "local"

    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))  # as a notebook has it
    Typed = type("Typed", (Walk,), {"name": "typed", "__module__": "__main__"})
    for kind in (Local, Typed):
        with pytest.raises(UsageError, match="it must stand at the top level of a file"):
            await go(kind(), **TWO)
    assert site.hits == []


PROGRAM = """
from scraper.program import run

{guard}
    result = run(One(), resume=False)
    print(len(result.items), result.report.state)
"""


@pytest.mark.parametrize("guard", ["if __name__ == '__main__':", "if True:"])
async def test_a_program_is_imported_again_so_it_needs_a_guard(site: Site, tmp_path: Path, guard: str) -> None:
    site.tree(pages=9, fanout=3)
    path = written(tmp_path, site)
    with path.open("a") as file:
        file.write(PROGRAM.format(guard=guard))
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(path), cwd=tmp_path, env=environment(), stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    done = await ended(process)
    if guard == "if True:":
        assert done.code == 1
        assert "what begins the crawl belongs under `if __name__" in done.err
    else:
        assert (done.code, done.out.splitlines()[-1]) == (0, "9 finished")


# -- politeness, by the site's own record ------------------------------------------------------------

JITTER = 0.010  # seconds, as in test_politeness.py


class Hosts(Spider):
    """Ten pages of each of three hosts; some callbacks fetch one more."""

    name = "hosts"

    async def start(self) -> AsyncIterator[Request | str]:
        for number in range(10):
            for host in ("slow", "wide", "busy"):
                yield f"http://{host}.test/{number}"

    async def parse(self, response: Response) -> Any:
        if response.url.endswith(("3", "7")):
            await self.fetch(Request(response.join("/own"), again=True))
        return {"url": response.url}


@pytest.mark.timed
@pytest.mark.parametrize("processes", [2, 3])
async def test_no_host_sees_how_many_processes_there_are(processes: int) -> None:
    with SiteProcess() as site:
        site.page("*", "x", host="slow.test")
        site.page("*", "x", host="wide.test", delay=0.06)
        site.page("/4", host="busy.test", times=[Answer(429, headers={"Retry-After": "1"}), Answer(body="x")])
        site.page("*", "x", host="busy.test", delay=0.01)
        hosts = {"slow.test": {"delay": 0.1}, "wide.test": {"per_host": 3}, "busy.test": {"per_host": 1}}
        settings = {**QUICK, "processes": processes, "hosts": hosts, "robots": False}
        result = await crawl(Hosts(), settings=settings, resolver=Loopback(site.port))
        slow, wide, busy = (site.hits_of(f"{name}.test") for name in ("slow", "wide", "busy"))
    assert len(result.items) == 30
    assert min(spacing(slow)) >= 0.1 - JITTER
    assert parallel(wide) <= 3
    assert parallel(busy) == 1
    asked = next(hit for hit in busy if hit.status == 429)
    assert not during(busy, asked.end + 0.02, asked.end + 1 - JITTER)
    proofs = result.report.proofs
    assert [proofs[f"{name}.test"].departures for name in ("slow", "wide", "busy")] == [12, 12, 13]
    assert not any(proof.early for proof in proofs.values())
    assert proofs["wide.test"].most_parallel <= 3


def test_a_permit_is_asked_about_again_when_its_host_was_sent_to_rest_before_it_reached_a_worker() -> None:
    settings = Settings(delay=0.0, robots=False)
    gate = Gate(HostRules(settings), Limits(settings, 0.0))
    off: list[int] = []
    gate.called_off = lambda: off.append(1)
    gate.hold("a.test", [raw(url="http://a.test/1")], 0.0)
    permit = gate.next(0.0)
    assert isinstance(permit, Permit)
    assert gate.granted(permit, 0.0)
    gate.overloaded(permit.host, 5.0, 0.0)
    assert off == [1]
    assert not gate.granted(permit, 1.0)
    assert not gate.depart(permit, 1.0)


# -- what they share, and what not -------------------------------------------------------------------


class Members(Walk):
    """`login` gets a cookie and a token, of which only the newest are good."""

    name = "members"
    thing: bool = False

    def opened(self) -> Any:
        self.token = ""

    async def login(self) -> None:
        got = await self.fetch(Request("http://a.test/login", form={"user": "me"}))
        self.token = got.text
        if self.thing:
            self.made = object()

    def prepare(self, request: Request) -> Request:
        return request.replace(headers=(("X-Token", self.token),))


@pytest.mark.parametrize("thing", [False, True])
async def test_a_login_is_made_once_and_shared_where_it_leaves_plain_data(
    site: Site, go: Crawl, thing: bool
) -> None:
    seen: list[str] = []

    def log_in(visit: Visit) -> Answer:
        seen.append("login")
        return Answer(200, f"t{len(seen)}", {"Set-Cookie": f"pass={len(seen)}; Path=/"})

    def member(visit: Visit) -> Answer:
        good = visit.cookie("pass") == str(len(seen)) and (thing or visit.headers["X-Token"] == f"t{len(seen)}")
        return Answer(200, page(*(f"/{n}" for n in range(20)))) if good else Answer(403)

    site.answer("/login", log_in)
    site.answer("*", member)
    result = await asyncio.wait_for(go(Members(thing=thing), retries=0, robots=False, **TWO), 30)
    if thing:
        assert len(seen) in (2, 3)  # the last may not have been in time
    else:
        assert len(seen) == 1
        assert len(result.items) == 21


class Sets(Walk):
    """Each page has a cookie for the one after it."""

    name = "sets"

    def parse(self, response: Response) -> Any:
        yield {"cookie": response.request.url[-1], "pid": os.getpid()}
        yield response.follow_all(css="a[href]")


async def test_cookies_are_of_the_crawl_not_of_a_process(site: Site, go: Crawl) -> None:
    def next_one(visit: Visit) -> Answer:
        number = int(visit.path.removeprefix("/"))
        if number and visit.cookie("was") != str(number - 1):
            return Answer(403)
        return Answer(200, page(f"/{number + 1}") if number < 30 else "", {"Set-Cookie": f"was={number}"})

    site.answer("*", next_one)
    result = await go(Sets(url="http://a.test/0"), processes=3, retries=0, robots=False)
    assert len(result.items) == 31


class Leaves(Walk):
    """Some fetches are given up by their callback, some are left behind."""

    name = "leaves"

    async def parse(self, response: Response) -> Any:
        for each in super().parse(response):
            yield each
        if response.url.endswith("1"):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(self.fetch(Request("http://a.test/slow", again=True)), 0.1)
        if response.url.endswith("2"):
            self.left = asyncio.create_task(self.fetch(Request("http://a.test/left", again=True)))
            await asyncio.sleep(0.02)
        one, two = await asyncio.gather(self.fetch("http://b.test/one"), self.fetch("http://b.test/two"))
        yield {"more": one.text + two.text}


async def test_fetches_of_callbacks_in_workers_are_kept_apart_given_up_and_left_behind(
    site: Site, go: Crawl
) -> None:
    site.page("/", page(*(f"/{n}" for n in range(14))))
    site.page("/slow", "slow", delay=0.5)
    site.page("/left", "left", delay=0.2)
    site.page("/one", "1", host="b.test", delay=0.01)
    site.page("/two", "2", host="b.test", times=[Answer(503), Answer(body="2")], delay=0.01)
    site.page("*", "")
    result = await go(Leaves(), per_host=1, **TWO)
    assert [item["more"] for item in result.items if "more" in item] == ["12"] * 15
    assert result.report.stats.failed == 0
    assert parallel(site.hits_of("a.test")) == parallel(site.hits_of("b.test")) == 1
    assert result.report.stats.own_fetches == 30 + 2 + 2


class Tokens(Walk):
    """`prepare` fetches from the very host, in the place of its own request."""

    name = "tokens"

    async def prepare(self, request: Request) -> Request:
        if request.url.endswith("/token"):
            return request
        token = (await self.fetch(Request("http://a.test/token", again=True))).text
        return request.replace(headers=(("X-Token", token),))


async def test_a_prepare_in_a_worker_may_fetch(site: Site, go: Crawl) -> None:
    site.page("/", page(*(f"/{n}" for n in range(6))))
    site.page("/token", "sesame")
    site.page("*", "")
    result = await go(Tokens(), per_host=1, delay=0.03, **TWO)
    assert len(result.items) == 7
    assert {hit.headers.get("X-Token") for hit in site.hits_of(path="/3")} == {"sesame"}
    assert parallel(site.hits) == 1
    assert result.report.proofs["a.test"].early == 0


class Much(Walk):
    """More items than memory is to hold."""

    name = "much"

    def parse(self, response: Response) -> Any:
        yield from ({"n": n, "pad": "x" * 100_000} for n in range(SPOOL // 50_000))


async def test_a_page_with_more_items_than_fit_into_memory(site: Site, go: Crawl) -> None:
    site.page("*", "")
    result = await go(Much(), **TWO)
    assert [item["n"] for item in result.items] == [*range(SPOOL // 50_000)]


class Hangs(Walk):
    """A callback that never lets go of its process."""

    name = "hangs"

    def parse(self, response: Response) -> Any:
        while response.url.endswith("/hang"):
            pass
        return super().parse(response)


async def test_a_callback_that_holds_its_process_is_given_up_in_programs_too(site: Site, go: Crawl) -> None:
    site.page("/", page("/hang", *(f"/{n}" for n in range(9))))
    site.page("*", "")
    result = await go(Hangs(), callback_timeout=0.3, **TWO)
    assert result.report.stats.reasons[End.FAILED, Reason.CALLBACK_TIMEOUT] == 1
    assert len(result.items) == 10


# -- ends -------------------------------------------------------------------------------------------


class Locked(Walk):
    """Its login fails."""

    name = "locked"

    async def login(self) -> None:
        raise ValueError("no key")


async def test_workers_that_were_never_told_to_begin_keep_nobody_waiting(site: Site, go: Crawl) -> None:
    result = await asyncio.wait_for(go(Locked(), **TWO), 30)
    assert result.report.said[0] == "the spider broke: ValueError: no key"
    assert site.hits == []


def test_a_crawl_may_run_in_a_thread(tmp_path: Path) -> None:
    """With its own event loop, as in a program with a window."""
    with SiteProcess() as site, ThreadPoolExecutor(1) as threads:
        site.tree(pages=20, fanout=4)
        settings = {**QUICK, **TWO}
        result = threads.submit(run, Walk(), settings=settings, resolver=Loopback(site.port)).result()
        assert len(result.items) == 20


async def test_a_stream_that_is_left_early_leaves_no_process(site: Site) -> None:
    site.endless("/deep")
    items = stream(Walk(url="http://a.test/deep"), settings={**QUICK, **TWO}, **here(site))
    first = await anext(items)
    assert first["pid"] != os.getpid()
    await items.aclose()
    await no_workers()


@pytest.mark.parametrize("how", ["cancel", "abandon", "at once", "abandon at once"])
async def test_a_crawl_that_is_ended_from_outside_leaves_no_process(site: Site, how: str) -> None:
    site.endless("/deep")
    spider = Walk(url="http://a.test/deep")
    job = Run(spider, resolve([("", {**QUICK, **TWO})]), **here(site))
    lines: list[Line] = []
    begun = asyncio.Event()
    job.started += [lines.append, lambda _: begun.set()]
    task = asyncio.create_task(job.execute())
    if "at once" in how:
        await asyncio.wait_for(begun.wait(), PATIENCE)
        await asyncio.sleep(random.choice((0, 0.001, 0.01, 0.03)))  # while workers are started
    else:
        await site.until(lambda: len(site.hits) > 5)
    task.cancel() if how in ("cancel", "at once") else lines[0].abandon()
    await asyncio.wait((task,), timeout=PATIENCE)
    assert task.cancelled() or task.result().state == "interrupted"
    await no_workers()


def whole(folder: Path) -> Iterator[str]:
    """The URLs of the result."""
    for line in (folder / "a.jsonl").read_text().splitlines():
        yield json.loads(line)["url"]


async def test_what_workers_print_and_log_is_told_once_in_its_place(site: Site, tmp_path: Path) -> None:
    truth = site.tree(pages=20, fanout=5)
    written(tmp_path, site, more="if response.url.endswith('/3'): raise ValueError('three')")
    done = await scraper("crawl", "one.py", *FAST, "-o", "-", cwd=tmp_path)
    assert done.code == 0, done.err
    items = [json.loads(line)["url"] for line in done.out.splitlines()]
    [log] = (tmp_path / "output/one").glob("2*/log.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for path in truth:
        url = f"http://127.0.0.1:{site.port}{path}"
        assert done.err.count(f"printed {url}\n") == 1
        assert [line["url"] for line in lines if line["message"] == f"logged {url}"] == [url]
        assert items.count(url) == (path != "/p/3")
    assert "one.py:" in done.err


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_a_command_in_good_order_and_it_goes_on_with_another_number(
    site: Site, tmp_path: Path, sign: signal.Signals
) -> None:
    truth = site.tree(pages=40, delay=0.05)
    written(tmp_path, site)
    words = ("crawl", "one.py", *FAST, "-s", "per_host=2", "-o", "a.jsonl", "--processes")
    process = await begin(*words, "2", cwd=tmp_path)
    await site.until(lambda: len(site.hits) > 12)
    process.send_signal(sign)
    done = await ended(process)
    assert done.code == 130, done.err
    await no_workers()
    done = await scraper(*words, "3", cwd=tmp_path)
    assert done.code == 0, done.err
    assert sorted(whole(tmp_path)) == sorted(f"http://127.0.0.1:{site.port}{path}" for path in truth)
    assert len(site.hits) == len(truth) + 1


async def test_the_workers_of_a_crawl_that_was_killed_die_with_it(site: Site, tmp_path: Path) -> None:
    truth = site.tree(pages=40, delay=0.05)
    written(tmp_path, site)
    words = ("crawl", "one.py", *FAST, "-s", "per_host=2", "-o", "a.jsonl", "--processes")
    process = await begin(*words, "2", cwd=tmp_path)
    await site.until(lambda: len(site.hits) > 12)
    process.kill()
    await ended(process)
    await no_workers()
    done = await scraper(*words, "1", cwd=tmp_path)
    assert done.code == 0, done.err
    assert sorted(whole(tmp_path)) == sorted(f"http://127.0.0.1:{site.port}{path}" for path in truth)


@pytest.mark.parametrize("number", ["0", "-1", "two"])
async def test_a_wrong_number_of_processes_is_a_wrong_command(tmp_path: Path, site: Site, number: str) -> None:
    written(tmp_path, site)
    done = await scraper("crawl", "one.py", "--processes", number, cwd=tmp_path)
    assert done.code == 2
    assert "--processes" in done.err
    assert site.hits == []
