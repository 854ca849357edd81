"""A server from beginning to end: its folder is locked, the parts are opened, jobs run until a signal comes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import msgspec

from ..clock import Clock
from ..errors import OutputError, StoreError, UsageError, first
from ..lock import Lock
from . import notify, parting, said, serverlog, system, waking
from .baseline import baseline
from .job import Job, Server
from .process import Processes
from .scheduler import Scheduler
from .store import Jobs
from .telling import Telling

HOME = ".jobs"
RECORD = "server.json"
TIDY = 3600.0  # seconds between two looks at what history need not be kept
ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
log = logging.getLogger("scraper.jobs.server")


class Parts(msgspec.Struct, frozen=True):
    """What a server is made of; what else it does (alerts, pages) is given these."""

    root: Path
    project: Path
    home: Path
    store: Jobs
    runner: Processes
    scheduler: Scheduler
    clock: Clock
    telling: Telling


class Record(msgspec.Struct, frozen=True):
    """server.json: which process the server is, since when (wall-clock seconds)."""

    pid: int
    birth: str
    started: float


Beside = Callable[[Parts], Awaitable[None]]


async def serve(
    root: Path, project: Path, *, beside: Sequence[Beside] = (), clock: Clock | None = None,
    said_ready: Callable[[Parts], None] | None = None, opened: Sequence[AbstractContextManager[object]] = (),
    last: bool = False,
) -> None:  # fmt: skip
    """Run the jobs of an output folder until SIGINT or SIGTERM: crawls end in good order, and go on at the next
    start. A second one leaves at once: crawls go on, and the next server finds them.

    `beside` run as long as the server does; one that fails ends it. `opened` are entered before a crawl is
    touched, and left when all has ended: what must be had, such as a port. With `last` the process does nothing
    after that but end, and signals that come then are ignored. Raises UsageError when another server has the
    folder, StoreError, OutputError.
    """
    home = prepared(root)
    clock = clock or Clock()
    with ExitStack() as during:
        signals = during.enter_context(_Signals(last=last))
        during.enter_context(_alone(home))
        parting.prepare(home)
        for each in opened:
            during.enter_context(each)
        during.enter_context(serverlog.kept(home))
        store = during.enter_context(Jobs(home))
        runner = Processes(
            root, home, project,
            job_of=lambda name: _job(store, name),
            baseline=lambda run, key: baseline(store, root, run, key),
            secrets=lambda: secrets(store.server()),
        )  # fmt: skip
        during.callback(runner.leave)
        scheduler = Scheduler(store, runner, clock)
        telling = Telling(store, clock, root=root, project=project)
        scheduler.listen(lambda _: telling.wake())
        parts = Parts(root, project, home, store, runner, scheduler, clock, telling)
        during.enter_context(_woken(home, scheduler))
        life = _Life(parts)
        signals.tell(life.signalled)
        await life.run(beside, said_ready)


def prepared(root: Path) -> Path:
    """The server's own folder, which is nobody else's to read. Raises UsageError."""
    home = root / HOME
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        (home / said.FOLDER).mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise UsageError(f"cannot make the folder {home}: {error.strerror}") from error
    return home


def running(home: Path) -> Record | None:
    """The server that has this folder now, if there is one."""
    try:
        record = msgspec.json.decode((home / RECORD).read_bytes(), type=Record)
        taken = Lock(home).taken()
    except (OSError, msgspec.MsgspecError):
        return None
    lives = bool(record.birth) and system.birth(record.pid) == record.birth
    return record if taken or (taken is None and lives) else None


def secrets(server: Server) -> list[str]:
    """The names of environment variables that only the server is to read."""
    told = [text for each in server.channels.values() for text in (each.secret, *each.headers.values())]
    if server.mail is not None:
        told.append(server.mail.password)
    return [text.removeprefix("env:") for text in told if text.startswith("env:")]


class _Life:
    """The life of a server that has its parts: begin, run, end as the signals say."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._notify = notify.Notify()
        self._signals = 0
        self._leaves = False
        self._scheduling: asyncio.Task[None] | None = None
        self._server = parts.store.server()

    async def run(self, beside: Sequence[Beside], said_ready: Callable[[Parts], None] | None) -> None:
        """Until the scheduler has ended, or something breaks."""
        log.info("server %d begins, in %s", os.getpid(), self._parts.project)
        tasks: list[Awaitable[None]] = [self._parts.scheduler.run(), self._notify.keep_alive(), self._tidy()]
        tasks.append(self._parts.telling.run())
        tasks.extend(each(self._parts) for each in beside)
        try:
            async with asyncio.TaskGroup() as group:
                scheduling, *others = [group.create_task(_awaited(each)) for each in tasks]
                self._scheduling = scheduling
                self._notify.tell(notify.READY, f"MAINPID={os.getpid()}")
                if said_ready is not None:
                    said_ready(self._parts)
                await asyncio.wait((scheduling,))
                for each in others:
                    each.cancel()
        except BaseExceptionGroup as group_error:
            error = first(group_error)
            log.error("the server ends here: %s; %s", error, parting.GOES_ON)
            if isinstance(error, Exception) and not isinstance(error, UsageError):
                parts = self._parts
                await parting.tell(
                    self._declared(), error, home=parts.home, project=parts.project, clock=parts.clock
                )
            raise error from None
        log.info("server %d has ended", os.getpid())

    def _declared(self) -> Server:
        """What holds for all jobs, as far as the store can still be read."""
        with suppress(StoreError):
            return self._parts.store.server()
        return self._server

    def signalled(self, number: signal.Signals) -> None:
        """The first ends the crawls in good order, the second leaves them; others change nothing."""
        self._signals += 1
        self._notify.tell(notify.STOPPING)
        if self._signals == 1:
            log.info("%s: ending the crawls in good order; once more leaves them to the next server", number.name)
            self._parts.scheduler.stop()
        elif self._scheduling is not None and not self._leaves and not self._scheduling.done():
            self._leaves = True
            log.info("%s: leaving at once; crawls go on, and the next server finds them", number.name)
            self._scheduling.cancel()

    async def _tidy(self) -> None:
        """Now and then, delete the runs that need not be kept, with all that they have written."""
        store, clock = self._parts.store, self._parts.clock
        while True:
            while gone := await asyncio.to_thread(store.prune, clock.wall()):
                for run in gone:
                    try:
                        await asyncio.to_thread(self._parts.runner.forget, run)
                    except OSError as error:
                        log.error("what run %d of job %r has written cannot be deleted: %s", run.id, run.job, error)
            await clock.sleep(TIDY)


class _Signals:
    """The signals that end a server, heard from its first step to its last: there is no moment in which one of them
    kills it. Those that come while it is made ready are heard when it first waits for something.

    Not by the loop, which gives a signal that it lets go of its default action, and is closed before the process
    ends.
    """

    def __init__(self, *, last: bool) -> None:
        self._last = last
        self._loop = asyncio.get_running_loop()
        self._before: dict[int, Any] = {}
        self._heard: Callable[[signal.Signals], None] = lambda number: None

    def __enter__(self) -> Self:
        for name in ENDING:
            number = getattr(signal, name)
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
                self._before[number] = signal.signal(number, self._come)
        return self

    def __exit__(self, *error: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, signal.SIG_IGN if self._last else before)

    def tell(self, heard: Callable[[signal.Signals], None]) -> None:
        """Call this with each."""
        self._heard = heard

    def _come(self, number: int, _: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._tell, signal.Signals(number))

    def _tell(self, number: signal.Signals) -> None:
        self._heard(number)


async def _awaited(work: Awaitable[None]) -> None:
    await work


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """The folder is this server's as long as it lives. Raises UsageError when another has it."""
    if (other := running(home)) is not None:
        raise UsageError(_busy(home, other))
    lock = Lock(home)
    try:
        lock.take()
    except BlockingIOError as error:
        raise UsageError(_busy(home, running(home))) from error
    except OSError as error:
        raise UsageError(f"{home} cannot be locked: {error.strerror}") from error
    try:
        _write(home, Record(os.getpid(), system.birth(os.getpid()), time.time()))
        yield
    finally:
        lock.release()


def _write(home: Path, record: Record) -> None:
    beside = home / f"{RECORD}.new"
    try:
        beside.write_bytes(msgspec.json.encode(record) + b"\n")
        beside.replace(home / RECORD)
    except OSError as error:
        raise OutputError(f"{home / RECORD} cannot be written: {error.strerror}") from error


def _busy(home: Path, other: Record | None) -> str:
    who = f"the server with pid {other.pid}" if other is not None else "another server"
    return f"{who} runs the jobs in {home} already: there can be only one"


@contextmanager
def _woken(home: Path, scheduler: Scheduler) -> Iterator[None]:
    """Commands that change the store wake the scheduler."""
    try:
        ours = waking.listen(home)
    except OSError as error:
        raise UsageError(f"cannot listen in {home}: {error.strerror or error}") from error
    loop = asyncio.get_running_loop()

    def heard() -> None:
        with suppress(BlockingIOError, InterruptedError):
            while ours.recv(64):
                pass
        scheduler.wake()

    loop.add_reader(ours.fileno(), heard)
    try:
        yield
    finally:
        loop.remove_reader(ours.fileno())
        ours.close()
        with suppress(OSError):
            (home / waking.NAME).unlink()


def _job(store: Jobs, name: str) -> Job | None:
    try:
        return store.job(name).job
    except UsageError:
        return None
