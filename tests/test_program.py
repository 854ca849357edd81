"""Crawls from a program: in a running loop, several at once, left early, and refused before anything is sent."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scraper import Response, Spider, arg, crawl, run, stream
from scraper.errors import StoreError, UsageError
from scraper.events import Events, PageEnded
from scraper.folder import RunFolder
from scraper.program import Result
from scraper.testing.resolve import Loopback
from scraper.testing.site import Site

from .conftest import QUICK


class Walk(Spider):
    """Follows every link."""

    name = "walk"
    host: str = "a.test"
    key: str = arg("", secret=True)

    async def start(self) -> AsyncIterator[str]:
        yield f"http://{self.host}/"

    def parse(self, response: Response) -> Any:
        yield {"url": response.url}
        yield response.follow_all(css="a[href]")


def on(site: Site, **settings: Any) -> dict[str, Any]:
    return {"settings": {**QUICK, **settings}, "resolver": Loopback(site.port)}


def files(folder: Path, pattern: str = "*") -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(pattern))


def lines(path: str | Path) -> list[Any]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def others() -> set[asyncio.Task[Any]]:
    """Tasks beside the test's own and those of the site, which shares the loop."""
    names = {task: getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()}
    return {task for task, name in names.items() if name != "RequestHandler.start"} - {asyncio.current_task()}


# -- crawl ------------------------------------------------------------------------------------------


async def test_a_crawl_in_a_running_loop_gives_its_items_and_leaves_nothing(site: Site) -> None:
    truth = site.tree(pages=12)
    before = others()
    result = await crawl(Walk(), **on(site))
    assert len(result.items) == len(truth)
    assert (result.folder, result.report.exit_code) == (None, 0)
    assert others() == before


class Own(Walk):
    settings = {"retries": 7, "max_depth": 1, "user_agent": "own/1"}


async def test_settings_come_from_the_defaults_the_spider_and_the_call(site: Site) -> None:
    site.tree(pages=30)
    result = await crawl(Own(), **on(site, user_agent="call/1"))
    assert len(result.items) < 30
    assert {hit.headers["User-Agent"] for hit in site.hits} == {"call/1"}


async def test_neither_files_nor_the_environment_count_in_a_program(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scraper.toml").write_text("max_pages = 1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCRAPER_MAX_PAGES", "1")
    site.tree(pages=3)
    assert len((await crawl(Walk(), **on(site))).items) == 3
    assert files(tmp_path) == ["scraper.toml"]


async def test_several_at_once_keep_state_limits_and_results_apart(site: Site) -> None:
    site.tree(pages=40)
    hosts = [f"h{n}.test" for n in range(4)]
    results = await asyncio.gather(
        *(crawl(Walk(host=host), **on(site, max_pages=5 * n + 5)) for n, host in enumerate(hosts))
    )
    for number, (host, result) in enumerate(zip(hosts, results, strict=True)):
        assert len(result.items) == 5 * number + 5 == len(site.hits_of(host)) - 1  # robots.txt
        assert {item["url"].split("/")[2] for item in result.items} == {host}


async def test_one_spider_object_is_crawled_once_at_a_time(site: Site) -> None:
    site.tree(pages=5)
    spider = Walk()
    results = await asyncio.gather(*(crawl(spider, **on(site)) for _ in range(2)), return_exceptions=True)
    [result] = [each for each in results if isinstance(each, Result)]
    [error] = [each for each in results if isinstance(each, BaseException)]
    assert len(result.items) == 5
    assert isinstance(error, UsageError)
    assert "is being crawled already" in str(error)
    assert len((await crawl(spider, **on(site))).items) == 5


@pytest.mark.alone(reason="the other crawl is on the site of the test")
async def test_a_crawl_may_be_started_by_a_callback_of_another(site: Site) -> None:
    class Outer(Walk):
        async def parse(self, response: Response) -> Any:
            return [*(await crawl(Walk(host="inner.test"), **on(site))).items]

    site.tree(pages=3)
    result = await crawl(Outer(), **on(site))
    assert len(result.items) == 3


async def test_a_cancelled_crawl_leaves_no_task_and_no_connection(site: Site, tmp_path: Path) -> None:
    site.page("*", "x", delay=30)
    before = others()
    task = asyncio.create_task(crawl(Walk(), folder=tmp_path, **on(site, robots=False)))
    await site.until(lambda: bool(site.hits))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert others() == before
    gc.collect()
    [kept] = (tmp_path / "walk").glob("*-*-*")
    assert json.loads((kept / "run.json").read_text())["state"] == "interrupted"
    assert (tmp_path / "walk" / "current").resolve() == kept


async def test_outputs_are_written_beside_the_result(site: Site, tmp_path: Path) -> None:
    truth = site.tree(pages=7)
    paths: list[str | Path] = [
        tmp_path / "a.jsonl",
        tmp_path / "new" / "b.json",
        str(tmp_path / "{spider}-{run}.csv"),
    ]
    result = await crawl(Walk(), output=paths, **on(site))
    assert len(result.items) == len(truth)
    assert lines(tmp_path / "a.jsonl") == result.items
    assert json.loads((tmp_path / "new" / "b.json").read_text()) == result.items
    assert (tmp_path / "walk-memory.csv").read_text().startswith("url\n")
    assert files(tmp_path, "*.part") == []
    assert set(result.report.outputs.values()) == {""}


async def test_one_output_may_be_given_as_it_is(site: Site, tmp_path: Path) -> None:
    site.tree(pages=2)
    for path in (tmp_path / "a.jsonl", str(tmp_path / "b.jsonl")):
        await crawl(Walk(), output=path, **on(site))
        assert len(lines(path)) == 2


class Odd(Walk):
    def parse(self, response: Response) -> Any:
        yield {"bad": object()}
        self.logger.info("read it")
        yield from super().parse(response)


async def test_a_run_folder_holds_everything_of_the_run(site: Site, tmp_path: Path) -> None:
    site.tree(pages=3)
    result = await crawl(Odd(key="s3cret"), folder=tmp_path, **on(site, auth="me:s3cret"))
    assert result.items == []
    assert result.folder is not None
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "items.jsonl", "log.jsonl", "rejected.jsonl", "run.json", "state.sqlite", "stats.json",
    ]  # fmt: skip
    assert (result.folder / "state.sqlite").stat().st_mode & 0o077 == 0
    assert len((result.folder / "items.jsonl").read_text().splitlines()) == 3
    assert len((result.folder / "rejected.jsonl").read_text().splitlines()) == 3
    info = json.loads((result.folder / "run.json").read_text())
    assert (info["state"], info["items"], info["pages"], info["exit_code"]) == ("finished", 3, 3, 0)
    assert info["arguments"] == {"host": "a.test", "key": "(not kept)"}
    assert json.loads((result.folder / "stats.json").read_text())["items"] == 3
    assert (tmp_path / "walk" / "latest").resolve() == result.folder
    assert not (tmp_path / "walk" / "current").exists()
    assert "read it" in (result.folder / "log.jsonl").read_text()
    assert not any(b"s3cret" in path.read_bytes() for path in result.folder.iterdir())


# -- continued ---------------------------------------------------------------------------------------


async def cut(site: Site, folder: Path, spider: Spider | None = None, **more: Any) -> RunFolder:
    """A run in `folder` that was cancelled after some pages."""
    task = asyncio.create_task(crawl(spider or Walk(), folder=folder, **{**on(site, per_host=1), **more}))
    begun = len(site.hits)
    await site.until(lambda: len(site.hits) > begun + 5)
    task.cancel()
    await asyncio.wait([task])
    return RunFolder((folder / "walk" / "current").resolve())


async def test_a_run_is_continued_only_when_that_is_asked_for(site: Site, tmp_path: Path) -> None:
    truth = site.tree(pages=30, delay=0.01)
    first = await cut(site, tmp_path)
    result = await crawl(Walk(), folder=tmp_path, resume=True, output=tmp_path / "a.jsonl", **on(site))
    assert result.folder == first.path
    assert sorted(each["url"] for each in lines(tmp_path / "a.jsonl")) == sorted(f"http://a.test{p}" for p in truth)
    assert result.report.state == "finished"
    cut_again = await cut(site, tmp_path)
    again = await crawl(Walk(), folder=tmp_path, **on(site))
    assert again.folder not in (first.path, cut_again.path)


async def test_a_run_is_continued_by_its_name_with_the_outputs_it_had(site: Site, tmp_path: Path) -> None:
    truth = site.tree(pages=30, delay=0.01)
    first = await cut(site, tmp_path, output=tmp_path / "{run}.jsonl")
    result = await crawl(Walk(), folder=tmp_path, resume=first.run, **on(site, max_depth=9))
    assert result.folder == first.path
    assert len(lines(tmp_path / f"{first.run}.jsonl")) == len(truth)
    with pytest.raises(UsageError, match="there is nothing to continue"):
        await crawl(Walk(), folder=tmp_path, resume=first.run, **on(site))


async def test_what_is_wrong_leaves_a_run_that_was_to_go_on_as_it_was(site: Site, tmp_path: Path) -> None:
    site.tree(pages=30, delay=0.01)
    first = await cut(site, tmp_path)
    before, stats = first.read(), first.state.stat().st_size
    with pytest.raises(TypeError, match="colour"):
        await crawl(Walk(), folder=tmp_path, resume=True, colour="red", **on(site))
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is not a folder"):
        await crawl(Walk(), folder=tmp_path, resume=True, output=tmp_path / "file" / "a.csv", **on(site))
    assert (first.read(), first.state.stat().st_size, first.held()) == (before, stats, False)


async def test_of_two_at_once_in_one_program_one_is_refused(site: Site, tmp_path: Path) -> None:
    site.tree(pages=30, delay=0.01)
    both = [crawl(Walk(), folder=tmp_path, resume=True, **on(site)) for _ in range(2)]
    one, other = await asyncio.gather(*both, return_exceptions=True)
    assert isinstance(one, Result)
    assert "is being crawled by this process" in str(other)
    assert "resume=False starts another one beside it" in str(other)


async def test_what_is_kept_nowhere_cannot_be_continued(site: Site) -> None:
    with pytest.raises(UsageError, match="give the folder of runs too"):
        await crawl(Walk(), resume=True, **on(site))


# -- refused before anything is sent ----------------------------------------------------------------


class Named(Walk):
    name = "no name"


REFUSED: dict[str, dict[str, Any]] = {
    "is no spider: write Walk()": {"spider": Walk},
    "is no spider": {"spider": "walk"},
    "name is 'no name'": {"spider": Named()},
    "settings: unknown setting 'dely'": {"settings": {"dely": 1}},
    "setting 'proxy' must be an address": {"settings": {"proxy": "proxy.test"}},
    "names no format": {"output": "items.doc"},
    "there is no {rum}": {"output": "{rum}.jsonl"},
    "missing ), unterminated": {"settings": {"allow": ["("]}},
}


@pytest.mark.parametrize("said", REFUSED)
@pytest.mark.parametrize("kept", [True, False])
async def test_what_is_wrong_is_told_before_anything_is_sent_and_leaves_no_trace(
    site: Site, tmp_path: Path, said: str, kept: bool
) -> None:
    given = {**on(site), **REFUSED[said]}
    spider: Any = given.pop("spider", Walk())
    with pytest.raises(UsageError) as caught:
        await crawl(spider, folder=tmp_path / "runs" if kept else None, **given)
    assert said in str(caught.value)
    assert site.hits == []
    assert files(tmp_path) == []


async def test_a_stream_refuses_the_same_at_its_first_step(site: Site) -> None:
    for wrong in ({"dely": 1}, {"allow": ["("]}):
        with pytest.raises(UsageError):
            await anext(stream(Walk(), **on(site, **wrong)))
    with pytest.raises(UsageError, match=r"write Walk\(\)"):
        await anext(stream(Walk))  # type: ignore[arg-type]
    assert site.hits == []


class Bad(Walk):
    async def start(self) -> AsyncIterator[str]:
        yield "a.test"


async def test_a_seed_that_is_no_url_is_told_before_anything_is_sent(site: Site, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"start\(\) gave no URL: bad_url: 'a.test'"):
        await crawl(Bad(), folder=tmp_path / "runs", output=tmp_path / "x.jsonl", **on(site))
    assert (site.hits, files(tmp_path)) == ([], [])


async def test_an_unknown_option_is_refused_and_leaves_no_folder(site: Site, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="colour"):
        await crawl(Walk(), folder=tmp_path / "runs", colour="red", **on(site))
    assert files(tmp_path) == []


# -- what it must not do ----------------------------------------------------------------------------


class Broken(RuntimeError):
    """A bug of the engine, as far as the crawl can tell."""


def breaks(event: Any) -> None:
    if isinstance(event, PageEnded):
        raise Broken


async def test_a_bug_of_the_engine_comes_out_as_it_is(site: Site, tmp_path: Path) -> None:
    site.tree(pages=9)
    before = others()
    events = Events()
    events.listen(breaks)
    with pytest.raises(Broken):
        await crawl(Walk(), folder=tmp_path, output=tmp_path / "x.jsonl", events=events, **on(site))
    with pytest.raises(Broken):
        async for _ in stream(Walk(), events=events, **on(site)):
            pass
    assert others() == before
    [kept] = (tmp_path / "walk").glob("*-*-*")
    assert json.loads((kept / "run.json").read_text())["state"] == "interrupted"


@pytest.mark.alone(reason="its callback looks at this process")
def test_the_root_logger_and_the_signals_stay_as_they_are(tmp_path: Path) -> None:
    root, own = logging.getLogger(), logging.getLogger("scraper")

    def state() -> list[Any]:
        signals = [
            signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
        ]
        return [root.level, [*root.handlers], own.level, [*own.handlers], own.propagate, [*sys.path], signals[1:]]

    seen: list[Any] = []

    class Looks(Walk):
        def parse(self, response: Response) -> Any:
            seen.append(
                (root.level, [*root.handlers], [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGALRM)])
            )
            return super().parse(response)

    async def main() -> None:
        async with Site() as site:
            site.tree(pages=3)
            number = signal.getsignal(signal.SIGINT)
            await crawl(Looks(), folder=tmp_path, **on(site))
            assert signal.getsignal(signal.SIGINT) is number

    before = state()
    asyncio.run(main())
    assert state() == before
    assert seen == [(before[0], before[1], [before[6][0], before[6][2]])] * 3


# -- run --------------------------------------------------------------------------------------------


def test_run_needs_no_loop() -> None:
    with contextlib.closing(asyncio.new_event_loop()) as other:
        result = run(
            Walk(), settings={"retries": 0, "allow_private": True}, resolver=Loopback(9, failing=["a.test"])
        )
        assert not other.is_running()
    assert (result.report.state, result.report.said) == ("failed", ["no page succeeded"])


async def test_run_in_a_notebook_says_what_to_write() -> None:
    with pytest.raises(UsageError, match="write `await crawl"):
        run(Walk())


# -- stream -----------------------------------------------------------------------------------------


async def test_a_stream_gives_every_item_once(site: Site) -> None:
    truth = site.tree(pages=60)
    before = others()
    urls = [item["url"] async for item in stream(Walk(), **on(site, commit_every=0.01))]
    assert len(urls) == len(set(urls)) == len(truth)
    assert others() == before


async def test_leaving_a_stream_early_ends_the_crawl_and_leaves_nothing(site: Site) -> None:
    site.endless("/")
    before = others()
    async with contextlib.aclosing(stream(Walk(), **on(site, commit_every=0.01, traps=False))) as items:
        async for _ in items:
            break
    assert others() == before
    number = len(site.hits)
    await asyncio.sleep(0.05)
    assert len(site.hits) == number
    gc.collect()


async def test_a_break_without_closing_ends_it_too(site: Site) -> None:
    site.endless("/")
    before = others()
    async for _ in stream(Walk(), **on(site, commit_every=0.01, traps=False)):
        break
    gc.collect()
    async with asyncio.timeout(5):
        while left := others() - before:
            await asyncio.wait(left)
    assert others() <= before


async def test_a_stream_that_is_never_begun_sends_nothing(site: Site) -> None:
    items = stream(Walk(), **on(site))
    await items.aclose()
    assert site.hits == []


async def test_an_error_in_the_loop_over_a_stream_is_the_callers(site: Site) -> None:
    site.endless("/")
    before = others()

    async def fails() -> None:
        async with contextlib.aclosing(stream(Walk(), **on(site, commit_every=0.01, traps=False))) as items:
            async for _ in items:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    assert others() == before


class Many(Walk):
    def parse(self, response: Response) -> Any:
        yield [{"n": n} for n in range(6_000)]
        yield response.follow_all(css="a[href]")


async def test_a_slow_reader_holds_the_crawl_back(site: Site) -> None:
    site.endless("/")
    settings = on(site, commit_every=0.01, traps=False, concurrency=1, robots=False)
    async with contextlib.aclosing(stream(Many(), **settings)) as items:
        async for _ in items:
            await asyncio.sleep(0.5)
            break
        assert len(site.hits) <= 4


async def test_streams_run_side_by_side(site: Site) -> None:
    site.tree(pages=20)

    async def read(host: str) -> set[str]:
        return {item["url"].split("/")[2] async for item in stream(Walk(host=host), **on(site))}

    both = await asyncio.gather(read("a.test"), read("b.test"))
    assert tuple(both) == ({"a.test"}, {"b.test"})


@pytest.mark.alone(reason="its callback meddles with files of the test")
async def test_a_journal_that_cannot_be_read_ends_the_run_with_its_own_error(site: Site, tmp_path: Path) -> None:
    class Loses(Walk):
        def parse(self, response: Response) -> Any:
            for journal in tmp_path.rglob("items.jsonl"):
                journal.unlink()
            yield from super().parse(response)

    site.tree(pages=200, fanout=4)
    with pytest.raises(StoreError, match=r"items\.jsonl: No such file"):
        await crawl(
            Loses(), output=tmp_path / "x.jsonl", folder=tmp_path, settings={**QUICK, "commit_every": 0.02},
            resolver=Loopback(site.port),
        )  # fmt: skip
