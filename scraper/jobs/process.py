"""The processes of planned runs: each is `scraper crawl` in a session of its own, which outlives the server."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import site
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from ..changes.keep import kept
from ..folder import FINISHED, Place, RunFolder
from ..lock import alone
from . import ending, said
from .child import Child, in_thread
from .examination import STOPPED, Examination
from .job import Job
from .order import Words
from .owned import destination, spare
from .record import JobRun, as_told
from .runner import Ask, Ended
from .zones import zone_or_utc

PACKAGE = Path(__file__).resolve().parents[2]
# What the server itself was started with, and no crawl is to have.
OWN = ("NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_", "INVOCATION_ID", "JOURNAL_STREAM", "CREDENTIALS_", "SCRAPER_SERVE")
TRIM = 5.0  # seconds between two looks at how long an output has become
SLACK = 60.0  # seconds that the times of a run and of its crawl may differ
TAIL = 16 * 1024  # bytes of it that are read for what went wrong


class Processes:
    """Starts the crawls of a project and finds them again: the `Runner` of a server.

    `root` is where runs are kept, `home` the server's own folder. `job_of` gives a job that is still there,
    `baseline` the crawl that a run is compared with by a key, as it is on record, "" for none; `secrets` are the
    names of environment variables that no crawl is to have.
    """

    def __init__(
        self, root: Path, home: Path, project: Path, *, job_of: Callable[[str], Job | None],
        baseline: Callable[[JobRun, Sequence[str]], str], secrets: Callable[[], Iterable[str]] = tuple,
    ) -> None:  # fmt: skip
        self.root = root.resolve()
        self.home = home.resolve()
        self.project = project
        self.job_of = job_of
        self._baseline = baseline
        self._secrets = secrets
        self._turns: dict[str, asyncio.Lock] = {}  # of the comparisons of a job
        self._told: dict[tuple[str, str, tuple[str, ...]], str] = {}  # by us; it may not be on record yet
        self._all: set[CrawlProcess] = set()

    async def start(self, run: JobRun, job: Job) -> CrawlProcess:
        """A process for crawl `run.run`, waiting for `go`. Raises UsageError, OSError."""
        for each in job.output:  # a link may lead elsewhere than when the job was declared
            spare(destination(job, each, self.project), each.path, self.root, self.home, [job.spider])
        outputs = tuple(Place(each.path, each.append) for each in job.output if each.only == "items")
        order = Words(job.spider, {**job.args, **run.args}, job.settings, outputs, job.timezone).encoded()
        log = said.path_of(self.home, run.id)
        child = await self.begin(
            ["crawl", job.spider, "--run", run.run, "--order", "-", "--output-folder", str(self.root), "--quiet"],
            run, log, subprocess.PIPE,
        )  # fmt: skip
        stamp = f"{datetime.now(zone_or_utc(job.timezone)):%Y-%m-%d %H:%M:%S %Z}"
        said.add(log, ending.begins(child.pid, run.run, job.spider, stamp))
        return CrawlProcess(self, run, child, order)

    async def adopt(self, run: JobRun) -> CrawlProcess:
        """The process that an earlier server has begun for a run, or what it has left."""
        folder = self.folder(run)
        info = ending.record(folder)
        held = info is not None and info.pid == run.pid and folder.held()
        return CrawlProcess(self, run, Child(run.pid, run.birth, self._mark(run), held=held))

    async def begin(self, words: Sequence[str], run: JobRun, log: Path, stdin: int) -> Child:
        """A process of `scraper`, in the project, whose output goes to `log`. Raises OSError."""
        env = await asyncio.to_thread(self._environment)  # it asks the store
        out = said.opened(log)
        try:
            return Child.begin(
                [sys.executable, "-P", "-m", "scraper", *words], cwd=self.project, env=env, mark=self._mark(run),
                out=out, stdin=stdin,
            )  # fmt: skip
        finally:
            os.close(out)

    def folder(self, run: JobRun) -> RunFolder:
        """The folder of a run's crawl."""
        return RunFolder(self.root / run.spider / run.run)

    def turn(self, job: str) -> asyncio.Lock:
        """Held while a run of the job is compared: each is with the one before it, and writes the same outputs."""
        return self._turns.setdefault(job, asyncio.Lock())

    def before(self, run: JobRun, job: Job) -> str:
        """The crawl that a run is compared with, "" for none.

        When a server died behind its comparison that is the same once more: what it has found may be written.
        """
        done = kept(self.folder(run))
        if done is not None and job.key and done.key == job.key:
            return done.old
        told = self._told.get((job.name, run.spider, job.key))
        return self._baseline(run, job.key) if told is None else told

    def told(self, run: JobRun, job: Job) -> None:
        """The changes of a run were told completely, by the key of its job."""
        self._told[job.name, run.spider, job.key] = run.run

    def forget(self, run: JobRun) -> None:
        """Delete the output of a run that is not in history any more, and the folders of its crawls.

        A folder is deleted when it was begun for a planned run, of this number and in this time (another store
        may have given the number before), and nobody holds it.
        """
        said.path_of(self.home, run.id).unlink(missing_ok=True)
        if not run.began:
            return
        for path in (self.root / run.spider).glob(f"*-{run.id}-*"):
            folder = RunFolder(path)
            info = None if path.is_symlink() else ending.record(folder)
            if info is None or not info.planned or folder.held():
                continue
            if run.began - SLACK <= info.started <= run.ended + SLACK:
                shutil.rmtree(path, ignore_errors=True)

    def leave(self) -> None:
        """Let all processes go on without this server; nothing is waited for any more."""
        for each in [*self._all]:
            each.leave()

    def _mark(self, run: JobRun) -> str:
        return f"{self.home}:{run.id}"

    def _environment(self) -> dict[str, str]:
        """Ours without the server's own secrets, so that a spider cannot read them; the same code is found."""
        hidden = frozenset(self._secrets())
        kept = {n: v for n, v in os.environ.items() if n not in hidden and not n.startswith(OWN)}
        if str(PACKAGE) not in (*site.getsitepackages(), site.getusersitepackages()):
            kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE), kept.get("PYTHONPATH", "")]))
        return kept

    def _met(self, process: CrawlProcess) -> None:
        self._all.add(process)
        process.ended.add_done_callback(lambda _: self._all.discard(process))


class CrawlProcess:
    """One process that works on a planned run, or did: the `Process` of a scheduler."""

    def __init__(self, runner: Processes, run: JobRun, child: Child, order: bytes = b"") -> None:
        self.pid = child.pid
        self.birth = child.birth
        self._runner = runner
        self._run = run
        self._child = child
        self._order = order
        self._folder = runner.folder(run)
        self._log = said.path_of(runner.home, run.id)
        self._examination: Examination | None = None
        self._asked: Ask | None = None
        self._telling: asyncio.Task[None] | None = None
        self.ended = asyncio.create_task(self._live(), name=f"run {run.id}")
        runner._met(self)

    def go(self) -> None:
        """Tell it what to crawl; it may be more than a pipe takes at once, so in a thread."""
        pipe, order = self._child.stdin, self._order
        if pipe is None or self._telling is not None:
            return

        def tell() -> None:
            with pipe:
                pipe.write(order)

        self._telling = asyncio.create_task(in_thread(tell))

    def ask(self, how: Ask) -> None:
        """Ask it to end: the crawl, and what follows it."""
        self._asked = how
        if self._examination is not None:
            self._examination.ask(how)
        elif how is Ask.KILL:
            self._child.kill()
        else:
            self._child.send(signal.SIGTERM)

    def memory(self) -> int:
        """Bytes that it and what belongs to it have in memory."""
        return self._child.memory()

    def leave(self) -> None:
        """Let it go on without us: `ended` is cancelled."""
        self._leave()
        self.ended.cancel()

    def _leave(self) -> None:
        pipe = self._child.stdin
        if pipe is not None and self._telling is None:
            pipe.close()  # it ends, having done nothing
        self._child.leave()

    async def _live(self) -> Ended:
        trimming = asyncio.create_task(self._trim())
        try:
            await self._child.wait(self._released)
            code = await self._child.reap()
            at = time.time()
        except asyncio.CancelledError:
            self._leave()
            raise
        finally:
            trimming.cancel()
        with suppress(OSError):
            said.cut(self._log)
        rest = said.tail(self._log, TAIL)
        found = await asyncio.to_thread(ending.ended, self._folder, self.pid, code, at, rest)
        code = found.exit_code
        if found.state == FINISHED and (code is None or code <= 0):  # also one that was killed behind its end
            return await self._examined(found)
        return found

    async def _examined(self, found: Ended) -> Ended:
        """With what the comparison with an earlier run has found; it never makes a good run a bad one."""
        job = await asyncio.to_thread(self._runner.job_of, self._run.job)
        if job is None:
            return found
        examination = Examination(self._folder, job, self._log)
        if not examination.wanted:
            return found
        self._examination = examination
        if self._asked is not None:  # meanwhile
            examination.ask(self._asked)
        turn, trouble = self._runner.turn(job.name), STOPPED
        if await examination.waits(turn):
            try:
                trouble = await self._compared(examination, job)
            finally:
                turn.release()
        text = examination.sentence(trouble)
        if text:
            said.add(self._log, f"[{text}]")
        why = "; ".join(filter(None, [found.why, text]))
        told = "" if trouble else as_told(job.key)
        return replace(found, why=why, told=told, **examination.found())

    async def _compared(self, examination: Examination, job: Job) -> str:
        """Compare; gives what went wrong, "" for nothing."""
        before = await asyncio.to_thread(self._runner.before, self._run, job) if job.key else ""
        examination.against(before)
        try:
            child = await self._runner.begin(examination.words, self._run, self._log, subprocess.DEVNULL)
            trouble = await examination.watch(child)
        except OSError as error:
            trouble = f"the comparison cannot be started: {error.strerror}"
        told: bool = await asyncio.to_thread(examination.told) if trouble else False
        if told:  # it was killed behind that, or its log was full
            trouble = ""
        if not trouble and job.key:
            self._runner.told(self._run, job)
        return trouble

    def _released(self) -> None:
        """Wait until nobody holds the run's folder."""
        with alone(self._folder.path):
            pass

    async def _trim(self) -> None:
        """Keep the output bounded while it grows: nobody tells us that it does."""
        while True:
            await asyncio.sleep(TRIM)
            with suppress(OSError):
                said.cut(self._log)
