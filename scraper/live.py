"""How a crawl went, moment by moment: `live.jsonl` in its run folder, for those who watch and for plots."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from .crawl import Crawl

NAME = "live.jsonl"
LEAST = 1.0  # seconds between two moments
PART = 500  # of what has passed lies between two: a crawl of a week writes some 4,000 lines, about 1 MB
LONGEST = 64 * 1024  # bytes of a line


class Moment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a crawl stood at wall-clock second `at`.

    Counts are of the whole run, with the processes before this one; `reasons` is "failed:timeout" -> number.
    """

    at: float
    pages: int = 0
    items: int = 0
    failed: int = 0
    queued: int = 0
    hosts: int = 0
    bytes: int = 0
    reasons: dict[str, int] = {}
    statuses: dict[str, int] = {}

    @classmethod
    def of(cls, crawl: Crawl, at: float) -> Moment:
        """How this crawl stands now."""
        stats = crawl.stats
        return cls(
            at=round(at, 3),
            pages=stats.done,
            items=stats.items,
            failed=stats.failed,
            queued=crawl.gate.queued,
            hosts=crawl.gate.known.met,
            bytes=stats.bytes,
            reasons={f"{end}:{reason}": number for (end, reason), number in stats.reasons.items()},
            statuses={str(status): number for status, number in stats.statuses.items()},
        )


class Live:
    """Writes the moments of a crawl and only listens. `attach` hands the crawl over, `run` is the coroutine.

    A disk that is full and a folder that is gone cost moments, never the crawl.
    """

    def __init__(self, folder: Path, wall: Callable[[], float] = time.time) -> None:
        self._path = folder / NAME
        self._wall = wall
        self._crawl: Crawl | None = None
        self._begun = asyncio.Event()
        self._whole = False  # whether the file is known to end with a line's end

    def attach(self, crawl: Any) -> None:
        """From now on this crawl is watched."""
        self._crawl = crawl
        self._begun.set()

    async def run(self) -> None:
        """Write until cancelled, and a last moment then."""
        await self._begun.wait()
        crawl = self._crawl
        assert crawl is not None
        try:
            while True:
                now = self._wall()
                self._write(Moment.of(crawl, now))
                passed = crawl.stats.before + now - crawl.stats.started
                await asyncio.sleep(max(LEAST, passed / PART))
        finally:
            self._write(Moment.of(crawl, self._wall()))

    def _write(self, moment: Moment) -> None:
        line = msgspec.json.encode(moment) + b"\n"
        with suppress(OSError):
            file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            try:
                if not self._whole and not _ends_whole(file):
                    line = b"\n" + line  # the process before this one, or the disk, broke a line off
                self._whole = False
                self._whole = os.write(file, line) == len(line)
            finally:
                os.close(file)


def _ends_whole(file: int) -> bool:
    size = os.fstat(file).st_size
    if not size:
        return True
    os.lseek(file, size - 1, os.SEEK_SET)
    return os.read(file, 1) == b"\n"


def moments(folder: Path, after: float = 0.0) -> Iterator[Moment]:
    """The moments of a run later than wall-clock second `after`, oldest first; a line that is torn is passed over.

    Of a run that is being crawled those so far; none where there is no such file.
    """
    try:
        file = (folder / NAME).open("rb")
    except OSError:
        return
    with file:
        while line := file.readline(LONGEST):
            try:
                moment = msgspec.json.decode(line, type=Moment)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
            if moment.at > after:
                yield moment
