"""What follows a good crawl: a second process compares it with the last good one, within a time limit."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

from ..changes.keep import kept
from ..folder import RunFolder
from .child import Child
from .job import Job
from .runner import Ask

LIMIT = 3600.0  # seconds; a million items take one or two minutes
PATIENCE = 10.0  # seconds for one that was asked to end
NONE = "-"


class Examination:
    """The comparison of a run with an earlier one (its id, "" for none), as its job wants it."""

    def __init__(self, folder: RunFolder, before: str, job: Job) -> None:
        self._folder = folder
        self._job = job
        self._before = RunFolder(folder.path.parent / before) if before and before != folder.run else None
        self._lost = self._before is not None and not (self._before.path / "run.json").is_file()
        self._asked: Ask | None = None
        self._ends: asyncio.Timeout | None = None

    @property
    def wanted(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._job.key) or self._job.alerts.coverage_drop is not None

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

    async def watch(self, child: Child) -> str:
        """Wait for its end; gives what went wrong, "" for nothing."""
        ends = self._ends = asyncio.timeout(LIMIT)
        try:
            async with ends:
                self._hurry()
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()
        except asyncio.CancelledError:  # it goes on, and the next server begins it anew
            child.leave()
            raise
        code = await child.reap()
        if ends.expired():
            return "the comparison took too long, or was stopped"
        if code != 0:
            return f"the comparison ended with {_said(code)}, see what the run has written"
        if self._lost and self._before is not None and self._job.key:
            return f"run {self._before.run}, the last good one, is not kept any more"
        return ""

    def ask(self, how: Ask) -> None:
        """End soon, or now; as soon as it has begun."""
        self._asked = how
        if self._ends is not None and not self._ends.expired():
            self._hurry()

    def _hurry(self) -> None:
        if self._ends is not None and self._asked is not None:
            now = asyncio.get_running_loop().time()
            last = now if self._asked is Ask.KILL else now + PATIENCE
            self._ends.reschedule(min(self._ends.when() or last, last))

    def found(self) -> dict[str, int]:
        """How many items were added, changed and removed; {} where nothing was compared."""
        done = kept(self._folder)
        if done is None or not done.old or not done.key:
            return {}
        return {"added": done.added, "changed": done.changed, "removed": done.removed}


def _said(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"
