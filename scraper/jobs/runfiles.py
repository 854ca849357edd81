"""What the desk reads of a run's folder: items, requests, logs, moments, changes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, TypeVar
from zoneinfo import ZoneInfo

from ..convert import among
from ..errors import StoreError, UsageError
from ..explain import Explanation, in_run
from ..folder import RunFolder
from ..frontier.entries import Selection
from ..frontier.ledger import Ledger
from ..outputs.follow import Follower
from ..outputs.journal import Journal
from ..outputs.registry import open_output
from ..story import told_in
from . import files
from .files import NotThere, folder_of
from .record import JobRun
from .sealed import Sources
from .secret import Veil
from .shown import Ledgered, LinesPage, RequestsPage, RunPage
from .store import Jobs
from .zones import zone_or_utc

T = TypeVar("T")
PATIENCE = 0.15  # seconds that a page of requests may look for them
SLOW = 2  # readings at once that take time in proportion to a run's size
SEARCHES = 2  # at once, each through some 24 MB: they share their threads with all that is done off the loop
EXPORTS = 4  # copies of the items of a run that are on the disk at once, for somebody to take
TAIL = 64 * 1024  # bytes of a text that are shown
HOSTS = 100
KINDS = ("csv", "tsv", "json", "xml")
PART = 2**18  # bytes of a download that are in memory
PLACES = {
    "items": files.ITEMS, "requests": files.STATE, "log": files.LOG, "moments": files.MOMENTS,
    "changes": files.CHANGES,
}  # fmt: skip


class RunFiles:
    """The verbs about the folders of runs below `root`, of the spiders of `project`.

    They raise NotThere, UsageError, StoreError.
    """

    def __init__(self, store: Jobs, root: Path, project: Path) -> None:
        self.store = store
        self.root = root
        self.project = project
        self._sources = Sources(project)
        self._slow = asyncio.Semaphore(SLOW)
        self._searches = asyncio.Semaphore(SEARCHES)
        self._exports = asyncio.Semaphore(EXPORTS)

    async def run(self, number: int) -> RunPage:
        """All about one planned run."""
        return await asyncio.to_thread(self._run, number)

    async def items(self, number: int, at: int = 0, most: int = 50, search: str = "") -> LinesPage:
        """Items of a run from a byte of its journal on; -1: the last ones. Also while it runs.

        With `search` those in whose text it is found. Looks through 24 MB at most: go on at `next`.
        """
        return await self._lines(number, files.ITEMS, at, most, search)

    async def log(self, number: int, at: int = -1, most: int = 200, search: str = "") -> LinesPage:
        """Lines of a run's log as `items` gives items, by default the last ones."""
        return await self._lines(number, files.LOG, at, most, search)

    async def changes(self, number: int, at: int = 0, most: int = 50, search: str = "") -> LinesPage:
        """What has changed against the run that it was compared with, as `items` gives items."""
        return await self._lines(number, files.CHANGES, at, most, search)

    async def moments(self, number: int, at: int = -1, most: int = 500) -> LinesPage:
        """How it went while it ran, by default the last moments."""
        return await self._lines(number, files.MOMENTS, at, most, "")

    @asynccontextmanager
    async def journal(self, number: int) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """The items of a run so far as they are written: how many bytes, and these in parts."""
        folder = await asyncio.to_thread(self.folder, number)
        size = await asyncio.to_thread(files.items_end, folder)
        file = await asyncio.to_thread(files.opened, folder.items) if size else None
        try:
            yield size, _parts(file, size)
        finally:
            if file is not None:
                file.close()

    @asynccontextmanager
    async def exported(self, number: int, kind: str) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """The items of a run so far as a table or document: `csv`, `tsv`, `json` or `xml`; as `journal` gives them.

        It is written to a file of the server's first, which has no name any more when it is read: nothing of it
        is left when it was read, or the server was killed. Few are there at once. O(items).
        """
        if kind not in KINDS:
            raise UsageError(f"there is no format {kind!r}{among(kind, KINDS)}")
        folder = await asyncio.to_thread(self.folder, number)
        async with self._exports:
            with TemporaryDirectory(dir=self.store.home, prefix="export-") as place:
                path = Path(place) / f"items.{kind}"
                async with self._slow:
                    await asyncio.to_thread(_export, folder, path)
                file = files.opened(path)
            with file:
                size = os.fstat(file.fileno()).st_size
                yield size, _parts(file, size)

    async def output(self, number: int) -> str:
        """The end of what the processes of a run printed, "" for nothing."""
        return await asyncio.to_thread(self._output, number)

    async def requests(self, number: int, which: str = "failed", after: int = 0, most: int = 100) -> RequestsPage:
        """Requests of a run as `export --requests` chooses them; go on `after` the `next`."""
        wanted = Selection.parse(which)
        async with self._slow:
            return await asyncio.to_thread(self._requests, number, wanted, after, min(max(1, most), 500))

    async def ledger(self, number: int) -> Ledgered:
        """What became of the requests of a run, in numbers. O(requests)."""
        async with self._slow:
            return await asyncio.to_thread(self._ledger, number)

    async def explain(self, number: int, url: str) -> Explanation:
        """What became of a URL in a run, and why, its times in the zone of its job. O(requests)."""
        async with self._slow:
            return await asyncio.to_thread(self._explain, number, url)

    # -- off the loop -------------------------------------------------------------------------------

    def veil(self) -> Veil:
        """Hides what is secret by what is known of it now."""
        return Veil(self.store.sealed(self._sources.declares()))

    def planned(self, number: int) -> JobRun:
        """A planned run by its number, with all its arguments. Raises NotThere."""
        try:
            return self.store.run(number)
        except UsageError as error:
            raise NotThere(str(error)) from error

    def folder(self, number: int) -> RunFolder:
        """The folder of a planned run's crawl. Raises NotThere."""
        return folder_of(self.root, self.planned(number))

    def _run(self, number: int) -> RunPage:
        run = self.planned(number)
        has, info, stats, compared, shown, veil = [], {}, {}, {}, "", self.veil()
        if self.store.log(number).is_file():
            has.append("output")
        try:
            folder = folder_of(self.root, run)
        except NotThere:
            pass
        else:
            shown = f"{run.spider}/{run.run}"
            has += [name for name, file in PLACES.items() if (folder.path / file).is_file()]
            info, stats, compared = (
                files.whole(folder.path / name) for name in (files.INFO, files.STATS, files.COMPARED)
            )
        return RunPage(
            run=veil.run(run),
            attempts=self.store.attempts(number),
            info=veil.record(run.spider, info),
            stats=stats,
            compared=compared,
            has=has,
            folder=shown,
        )

    async def _lines(self, number: int, name: str, at: int, most: int, search: str) -> LinesPage:
        if len(search) > 1000:
            raise UsageError("look for at most 1000 characters")

        def read() -> LinesPage:
            folder = self.folder(number)
            path, end = folder.path / name, None
            if name == files.ITEMS:
                end = files.items_end(folder)
            if not path.is_file():
                return LinesPage(lines=[], at=[], next=None, end=0)
            few = min(max(1, most), 1000)
            if at < 0:
                return files.last(path, few, end=end)
            return files.lines(path, at, few, end=end, search=search)

        if not search:
            return await asyncio.to_thread(read)
        async with self._searches:
            return await asyncio.to_thread(read)

    def _output(self, number: int) -> str:
        self.planned(number)
        try:
            return files.text(self.store.log(number), TAIL)
        except NotThere:
            return ""

    def _with_ledger(self, number: int, read: Callable[[Ledger], T]) -> T:
        with Ledger(self._stated(number).state, time.time()) as ledger:
            return read(ledger)

    def _stated(self, number: int) -> RunFolder:
        """The folder of a run that has kept its state, and no link in its place. Raises NotThere."""
        folder = self.folder(number)
        if folder.state.is_symlink() or not folder.state.is_file():
            raise NotThere(f"run {number} kept no state (durability = none): nothing is known of its requests")
        if (folder.path / files.INFO).is_symlink():
            raise NotThere(f"run {number} has a link in the place of its record")
        return folder

    def _requests(self, number: int, wanted: Selection, after: int, most: int) -> RequestsPage:
        found, following = self._with_ledger(number, lambda ledger: ledger.page(wanted, after, most, PATIENCE))
        return RequestsPage(requests=found, next=following)

    def _ledger(self, number: int) -> Ledgered:
        def read(ledger: Ledger) -> Ledgered:
            return Ledgered(counts=ledger.counts(), hosts=ledger.resting()[:HOSTS], oldest=ledger.oldest())

        return self._with_ledger(number, read)

    def _explain(self, number: int, url: str) -> Explanation:
        if len(url) > 10_000:
            raise UsageError("a URL has at most 10000 characters here")
        with told_in(self._zone(number)):
            return in_run(url, self._stated(number), lambda folder: folder.run)

    def _zone(self, number: int) -> ZoneInfo:
        """The zone of a run's job; UTC once that is removed."""
        try:
            return zone_or_utc(self.store.job(self.planned(number).job).job.timezone)
        except UsageError:
            return ZoneInfo("UTC")


def _export(folder: RunFolder, path: Path) -> None:
    """Write the items to a new file. Raises OutputError, NotThere."""
    end = files.items_end(folder)
    if end:
        files.opened(folder.items).close()  # raises for a link
    output = open_output(str(path), variables={}, csv_safe=True)
    follower = Follower(Journal(folder.items), output, name=path.name, committed=end)
    follower.end(finished=True)
    asyncio.run(follower.run())
    if follower.error is not None:
        raise follower.error


async def _parts(file: BinaryIO | None, size: int) -> AsyncIterator[bytes]:
    """Exactly so many bytes: the journal may grow meanwhile. Raises StoreError when it was cut."""
    while file is not None and size:
        part = await asyncio.to_thread(file.read, min(PART, size))
        if not part:
            raise StoreError("the items of this run were cut while they were read")
        size -= len(part)
        yield part
