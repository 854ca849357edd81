"""A crawl in processes that are killed, one after the other: what the tests of going on share.

The site is in the test's own process, so its record outlives them all; a spider is a class of a test module.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import multiprocessing
import os
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import msgspec

from scraper import Spider
from scraper.frontier.host import Kept
from scraper.program import crawl
from scraper.testing.hits import Hit
from scraper.testing.resolve import Loopback
from scraper.testing.site import Site

from .conftest import QUICK

# Children of a process that has imported all this already: they begin at once.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["__main__", "pytest", "tests.killed"])
STEADY = {**QUICK, "commit_every": 0.05, "log_level": "error"}


class Lives:
    """The processes of one run: each goes on with it, is killed at a moment of its own, or ends by itself."""

    def __init__(self, site: Site, root: Path, spider: type[Spider], **settings: Any) -> None:
        self.site = site
        self.root = root
        self.began: list[float] = []  # when each process was started, in monotonic seconds
        self._spider = spider
        self._settings = {**STEADY, **settings}

    @asynccontextmanager
    async def life(self, **settings: Any) -> AsyncIterator[BaseProcess]:
        """A process that crawls; killed when the block ends, or gone by then."""
        name = f"{self._spider.__module__}:{self._spider.__qualname__}"
        given = {**self._settings, **settings}
        process = FORKS.Process(target=main, args=(name, str(self.root), self.site.port, given))
        self.began.append(time.monotonic())
        process.start()
        try:
            yield process
        finally:
            process.kill()
            await gone(process)

    async def killed(self, when: Callable[[], bool], **settings: Any) -> None:
        """Go on until something is true of the site's record, and die."""
        async with self.life(**settings) as process:
            seen, ended = asyncio.create_task(self.site.until(when)), asyncio.create_task(gone(process))
            await asyncio.wait((seen, ended), return_when=asyncio.FIRST_COMPLETED)
            assert not ended.done(), "the crawl ended before it was killed"
            seen.cancel()
            process.kill()
            await ended

    async def dies(self, **settings: Any) -> None:
        """Go on until the process kills itself; where that is a worker, the crawl outlives it by itself."""
        if self._settings["processes"] > 1:
            return
        async with self.life(**settings) as process:
            assert await gone(process) not in (0, 1)

    async def outlives(self, deaths: int, **settings: Any) -> dict[str, Any]:
        """Go on to the end over so many deaths of its own, or one that came before its page was durable besides."""
        if self._settings["processes"] > 1:
            return await self.ends(**settings)
        codes = [-1]
        while codes[-1] not in (0, 1) and len(codes) < deaths + 3:
            async with self.life(**settings) as process:
                codes.append(await gone(process))
        assert codes[-1] == 0
        assert len(codes) - 2 in (deaths, deaths + 1)
        return self.stats()

    async def ends(self, code: int = 0, **settings: Any) -> dict[str, Any]:
        """Go on to the end, which has this exit code; gives stats.json."""
        async with self.life(**settings) as process:
            assert await gone(process) == code
        return self.stats()

    # -- what is there ------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """The one folder of the run."""
        [found] = [path for path in (self.root / self._spider.name).iterdir() if not path.is_symlink()]
        return found

    def stats(self) -> dict[str, Any]:
        """stats.json."""
        found: dict[str, Any] = json.loads((self.folder / "stats.json").read_text())
        return found

    def items(self) -> list[Any]:
        """The items of the journal."""
        return [json.loads(line) for line in (self.folder / "items.jsonl").read_text().splitlines()]

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of the state."""
        with closing(sqlite3.connect(self.folder / "state.sqlite")) as base:
            return base.execute(query, values).fetchall()

    def answers(self) -> Counter[tuple[str, str, str]]:
        """How often each (path, end, reason) is among the answers."""
        rows = self.rows("SELECT url, end, reason FROM answer JOIN request USING (id)")
        return Counter(("/" + url.split("/", 3)[3], end, reason) for url, end, reason in rows)

    async def rest_recorded(self, host: str) -> None:
        """Wait until the state says that a host rests, and for how long."""
        while True:
            rows = self.rows("SELECT data FROM fact WHERE kind = 'host' AND key = ?", host)
            if rows and msgspec.msgpack.decode(rows[0][0], type=Kept).rest:
                return
            await asyncio.sleep(0.02)

    def pages(self) -> list[Hit]:
        """The hits but for robots.txt."""
        return [hit for hit in self.site.hits if hit.path != "/robots.txt"]

    def after(self, number: int) -> Callable[[], bool]:
        """Whether so many pages more than now have been asked for."""
        wanted = len(self.pages()) + number
        return lambda: len(self.pages()) >= wanted


async def gone(process: BaseProcess) -> int:
    """Wait for the end of a process; gives its exit code, negative for a signal."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process.sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(process.sentinel)
    process.join()
    code = process.exitcode
    assert code is not None
    return code


def main(name: str, root: str, port: int, given: dict[str, Any]) -> None:
    """One life: go on with the run, or begin it; the exit code is that of the command."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    job = crawl(found(), settings=given, folder=root, resume=True, resolver=Loopback(port))
    sys.exit(asyncio.run(job).report.exit_code)


def die() -> None:
    """What a crash in a C library, or the kernel out of memory, does."""
    os.kill(os.getpid(), signal.SIGKILL)
