"""What follows a good crawl: a second process compares it with an earlier one, within a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ..changes.keep import kept
from ..folder import RunFolder
from . import ending, said
from .child import Child
from .job import Job
from .runner import Ask

LIMIT = 3600.0  # seconds; a million items take one or two minutes
PATIENCE = 10.0  # seconds for one that was asked to end
TAIL = 16 * 1024  # bytes of what it has written that are read for what went wrong
NONE = "-"
BEGINS = "[the comparison, with "  # stands before what it writes
STOPPED = "the comparison took too long, or was stopped"


class Examination:
    """The comparison of a run with an earlier one, as its job wants it; what it writes goes to `log`."""

    def __init__(self, folder: RunFolder, job: Job, log: Path) -> None:
        self._folder = folder
        self._job = job
        self._log = log
        self._before: RunFolder | None = None
        self._lost = False
        self._asked: Ask | None = None
        self._ends: asyncio.Timeout | None = None

    @property
    def wanted(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._job.key) or self._job.alerts.coverage_drop is not None

    def against(self, before: str) -> None:
        """Compare with this crawl (its id, "" for none)."""
        self._before = RunFolder(self._folder.path.parent / before) if before else None
        self._lost = self._before is not None and not (self._before.path / "run.json").is_file()
        said.add(self._log, f"{BEGINS}{before or 'nothing'}]")

    @property
    def words(self) -> list[str]:
        """The command; without a run to compare with it only counts which fields are filled in."""
        words = ["diff", NONE, str(self._folder.path), "--into"]
        if self._lost or not self._job.key:
            return words
        if self._before is not None:
            words[1] = str(self._before.path)
        words += [word for field in self._job.key for word in ("--key", field)]
        for each in self._job.output:
            if each.only == "changes":
                words += ["--add" if each.append else "-o", each.path]
        return words

    async def waits(self, turn: asyncio.Lock) -> bool:
        """Take its turn; false when it was asked to end before that came."""
        try:
            async with self._within():
                await turn.acquire()
        except TimeoutError:
            return False
        return True

    async def watch(self, child: Child) -> str:
        """Wait for its end; gives what went wrong, "" for nothing."""
        late = False
        try:
            async with self._within():
                await child.wait()
        except TimeoutError:
            late = True
            child.kill()
            await child.wait()
        except asyncio.CancelledError:  # it goes on, and the next server begins it anew
            child.leave()
            raise
        code = await child.reap()
        if late:
            return STOPPED
        if code == 0:
            return ""
        written = said.tail(self._log, TAIL).rpartition(BEGINS.encode())[2].partition(b"\n")[2]
        return f"the comparison failed: {ending.cause(code, written)}"

    def ask(self, how: Ask) -> None:
        """End soon, or now; as soon as it has begun."""
        self._asked = how
        self._hurry()

    @asynccontextmanager
    async def _within(self) -> AsyncIterator[None]:
        """A time limit; less when it is asked to end. Raises TimeoutError."""
        try:
            async with asyncio.timeout(LIMIT) as self._ends:
                self._hurry()
                yield
        finally:
            self._ends = None  # whoever asks behind that changes nothing of it

    def _hurry(self) -> None:
        if self._ends is not None and not self._ends.expired() and self._asked is not None:
            now = asyncio.get_running_loop().time()
            last = now if self._asked is Ask.KILL else now + PATIENCE
            self._ends.reschedule(min(self._ends.when() or last, last))

    def told(self) -> bool:
        """Whether all changes were told, by this comparison or the one before it, however that has ended."""
        done = kept(self._folder)
        before = self._before.run if self._before is not None else ""
        return done is not None and done.told and (done.old, done.key) == (before, self._job.key)

    def sentence(self, trouble: str) -> str:
        """What there is to say of the run when the comparison has ended so, "" for nothing."""
        if not self._job.key:
            return f"which fields are filled in is not known: {trouble}" if trouble else ""
        if trouble:
            return f"what changed was not told: {trouble}; the next run that can be compared makes up for it"
        if self._lost and self._before is not None:
            gone = f"run {self._before.run}, the last whose changes were told, is not kept any more"
            return f"what changed is not known: {gone}; the next good run is compared with this one"
        return ""

    def found(self) -> dict[str, int]:
        """How many items were added, changed and removed; {} where nothing was compared."""
        done = kept(self._folder)
        if done is None or not done.old or not done.key:
            return {}
        return {"added": done.added, "changed": done.changed, "removed": done.removed}
