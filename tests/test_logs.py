"""The log of a run: one JSON object a line, its own lines only, and no flood."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from scraper import Response, Spider, crawl
from scraper.events import HostRests, OutputFailed, PageEnded
from scraper.logs import EventLog, clean, kept_log
from scraper.reasons import Reason
from scraper.testing.resolve import Loopback
from scraper.testing.site import Site

from .conftest import QUICK
from .outputs.disks import small_disk

log = logging.getLogger("scraper.test")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def messages(path: Path) -> list[str]:
    return [line["message"] for line in lines(path)]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    """A log that takes everything from debug on."""
    with kept_log(tmp_path / "log.jsonl", "run", "debug"):
        yield tmp_path / "log.jsonl"


@contextmanager
def alone() -> Iterator[None]:
    """Without pytest's own handlers, which cannot take every message."""
    own = logging.getLogger("scraper")
    own.propagate = False
    try:
        yield
    finally:
        own.propagate = True


def ended(
    url: str = "http://a.test/", end: str = "failed", reason: Reason = Reason.RESET, **more: Any
) -> PageEnded:
    return PageEnded(url=url, end=end, reason=reason, **more)


def test_a_record_is_one_json_object_on_one_line(kept: Path) -> None:
    log.warning("two\nlines of %s", "text")
    [line] = lines(kept)
    assert line.pop("time") > 1.7e9
    assert line == {"level": "warning", "logger": "scraper.test", "message": "two\\nlines of text"}


def test_an_error_brings_its_traceback_without_control_characters(kept: Path) -> None:
    with alone():
        try:
            raise ValueError("from a page: \x1b[2J\udcff")
        except ValueError:
            log.exception("broke")
    [line] = lines(kept)
    assert "test_logs.py" in line["trace"]
    assert line["trace"].endswith("ValueError: from a page: \\x1b[2J\\xdcff")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain é 漢 text", "plain é 漢 text"),
        ("a\nb", "a\\nb"),
        ("a\r\n{}", "a\\x0d\\n{}"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m\x7f\0", "\\x9b31m\\x7f\\x00"),
        ("\u202eevil\u2028", "\\x202eevil\\x2028"),
        ("\udcff", "\\xdcff"),
    ],
)
def test_nothing_a_server_sends_drives_a_terminal_or_forges_a_line(kept: Path, text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
    with alone():
        log.info("%s", text)
    assert messages(kept) == [cleaned]


class Bad:
    def __str__(self) -> str:
        raise ZeroDivisionError


def test_a_message_that_does_not_fit_its_arguments_costs_only_itself(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with alone():
        log.info("%d pages", "many")
        log.info("%y", 1)
        log.info("%s", Bad())
        log.info("good")
    assert messages(kept) == ["good"]
    told = capsys.readouterr().err
    assert all(name in told for name in ("TypeError", "ValueError", "ZeroDivisionError"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_once_and_costs_no_more_than_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with kept_log(Path("/dev/full"), "run", "info"):
        for _ in range(3):
            log.info("x")
    assert capsys.readouterr().err.count("cannot write /dev/full: ") == 1


def test_a_disk_that_is_full_within_a_line_keeps_whole_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        path = disk / "log.jsonl"
        with kept_log(path, "run", "info"), alone():
            for _ in range(12):
                log.info("x" * 10_000)
            log.info("short")  # for which there is room again
        said = messages(path)
        assert 4 <= len(said) <= 8
        assert said[-1] == "short"
    assert capsys.readouterr().err.count("No space left") == 1


def test_the_level_of_a_run_holds_for_its_file(tmp_path: Path) -> None:
    with kept_log(tmp_path / "log.jsonl", "run", "warning"):
        log.info("no")
        log.warning("yes")
    assert messages(tmp_path / "log.jsonl") == ["yes"]


def test_the_logger_is_afterwards_as_it_was(tmp_path: Path) -> None:
    own = logging.getLogger("scraper")
    for level in (logging.NOTSET, logging.ERROR):
        own.setLevel(level)
        with kept_log(tmp_path / "log.jsonl", "run", "debug"):
            assert own.level == (level or logging.DEBUG)
        assert (own.level, own.handlers) == (level, [])
    own.setLevel(logging.NOTSET)


async def test_of_two_runs_at_once_each_has_its_own_lines_to_its_end(tmp_path: Path) -> None:
    own, met, over = logging.getLogger("scraper"), asyncio.Barrier(2), asyncio.Event()

    async def short() -> None:
        with kept_log(tmp_path / "short", "short", "info"):
            await met.wait()
            log.info("short")
        over.set()

    async def long() -> None:
        with kept_log(tmp_path / "long", "long", "debug"):
            await met.wait()
            log.debug("long")
            await over.wait()
            log.debug("still long")
            await asyncio.to_thread(log.debug, "in a thread")

    await asyncio.gather(short(), long())
    log.warning("outside")
    assert messages(tmp_path / "short") == ["short"]
    assert messages(tmp_path / "long") == ["long", "still long", "in a thread"]
    assert (own.level, own.handlers) == (logging.NOTSET, [])


class Says(Spider):
    name = "says"
    host: str

    async def start(self) -> AsyncIterator[str]:
        for number in range(3):
            yield f"http://{self.host}/{number}"

    def parse(self, response: Response) -> None:
        self.logger.info("read %s", self.host)


async def test_what_spiders_log_is_kept_with_the_page_in_the_folder_of_its_run(site: Site, tmp_path: Path) -> None:
    site.page("*", "x")
    hosts = ["a.test", "b.test"]
    results = await asyncio.gather(
        *(crawl(Says(host=h), folder=tmp_path, settings=QUICK, resolver=Loopback(site.port)) for h in hosts)
    )
    for host, result in zip(hosts, results, strict=True):
        assert result.folder is not None
        kept = lines(result.folder / "log.jsonl")
        assert [line["message"] for line in kept] == [f"read {host}"] * 3
        assert sorted(line["url"] for line in kept) == [f"http://{host}/{n}" for n in range(3)]
        assert {line["logger"] for line in kept} == {"scraper.spider.says"}


def test_identical_failures_are_thinned_out(kept: Path) -> None:
    tell = EventLog()
    for number in range(1, 251):
        tell(ended(f"http://a.test/{number}", detail="by peer"))
    told = messages(kept)
    assert [line.split(":")[1].removeprefix("//a.test/") for line in told] == [
        *map(str, range(1, 21)),
        "100",
        "200",
    ]
    assert told[0] == "failed http://a.test/1: reset by peer"
    assert told[-1].endswith("(number 200 of its kind; the next 99 are not logged)")


def test_failures_of_other_kinds_are_counted_apart(kept: Path) -> None:
    tell = EventLog()
    for reason in (Reason.RESET, Reason.DNS):
        for where in ("", "shop.py:3 in parse"):
            for end in ("failed", "retry"):
                for _ in range(30):
                    tell(ended(end=end, reason=reason, where=where))
    assert len(lines(kept)) == 2 * 2 * 2 * 20


def test_the_levels_of_what_happens(kept: Path) -> None:
    tell = EventLog()
    for event in (
        ended(), ended(end="retry", tries=1), ended(end="dropped", reason=Reason.ROBOTS), ended(end="done"),
        ended(end="redirected"), HostRests("a.test", 60, Reason.STATUS), OutputFailed("x.csv", "disk full"),
    ):  # fmt: skip
        tell(event)
    assert [(line["level"], line["message"].split(" http")[0]) for line in lines(kept)] == [
        ("warning", "failed"),
        ("info", "try 2 of"),
        ("debug", "dropped"),
        ("info", "a.test asked to be left alone: resting for 60.0 s"),
        ("error", "output x.csv failed: disk full"),
    ]


def test_a_url_is_logged_without_credentials_and_on_one_line(kept: Path) -> None:
    EventLog()(ended("http://me:s3cret@a.test/\n\x1b", detail="a\nb"))
    [said] = messages(kept)
    assert said == "failed http://a.test/%0A%1B: reset a\\nb"


def test_the_file_is_closed_and_continued_by_the_next(tmp_path: Path) -> None:
    for run in ("one", "two"):
        with kept_log(tmp_path / "log.jsonl", run, "info"):
            log.info(run)
    assert messages(tmp_path / "log.jsonl") == ["one", "two"]
