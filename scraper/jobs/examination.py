"""What follows a good crawl: a second process compares it with the last good one, within a time limit."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

import msgspec

from ..folder import RunFolder
from .child import Child
from .job import Job
from .runner import Ask

LIMIT = 3600.0  # seconds; a million items take one or two minutes
PATIENCE = 10.0  # seconds for one that was asked to end
NAME = "changes.json"


class Numbers(msgspec.Struct, frozen=True):
    """Of changes.json: items against the last good run, None where nothing was compared."""

    added: int | None = None
    changed: int | None = None
    removed: int | None = None


class Examination:
    """The comparison of a run with an earlier one (its id, "" for none), as its job wants it."""

    def __init__(self, folder: RunFolder, before: str, job: Job) -> None:
        self._folder = folder
        self._before = folder.path.parent / before if before else None
        self._job = job
        self._child: Child | None = None
        self._ends: asyncio.Timeout | None = None

    @property
    def wanted(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._job.key) or self._job.alerts.coverage_drop is not None

    @property
    def words(self) -> list[str]:
        """The command."""
        key = [word for field in self._job.key for word in ("--key", field)]
        places = [("-o", each.path, each.append) for each in self._job.output if each.only == "changes"]
        outputs = [word for option, path, _ in places for word in (option, path)]
        append = ["--append"] if any(each[-1] for each in places) else []
        before = [] if self._before is None or not _is_run(self._before) else [str(self._before)]
        return ["diff", *before, str(self._folder.path), *key, *outputs, *append, "--keep", "--quiet"]

    async def watch(self, child: Child) -> str:
        """Wait for its end; gives what went wrong, "" for nothing."""
        self._child = child
        ends = self._ends = asyncio.timeout(LIMIT)
        with suppress(TimeoutError):
            async with ends:
                await child.wait()
        late = ends.expired()
        if late:
            child.kill()
            await child.wait()
        code = await child.reap()
        if late:
            return "it took too long, or was stopped"
        return "" if code == 0 else f"the comparison ended with {_said(code)}, see the output of the run"

    def ask(self, how: Ask) -> None:
        """End soon, or now."""
        if self._ends is not None and not self._ends.expired():
            now = asyncio.get_running_loop().time()
            self._ends.reschedule(now if how is Ask.KILL else min(self._ends.when() or now, now + PATIENCE))

    def found(self) -> Numbers:
        """What the run folder says of it."""
        try:
            return msgspec.json.decode((self._folder.path / NAME).read_bytes(), type=Numbers)
        except (OSError, msgspec.MsgspecError):
            return Numbers()


def _said(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"


def _is_run(path: Path) -> bool:
    return (path / "run.json").is_file()
