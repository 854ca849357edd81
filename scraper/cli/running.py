"""Runs a crawl that was checked: loop, signals, progress, log lines, summary, exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from datetime import tzinfo
from pathlib import Path
from typing import Any

from ..crawl import Crawl
from ..live import Live
from ..outputs.registry import STDOUT
from ..resume import begin, opened
from ..run import Report, Run
from ..runner import runner, settle
from .crawl import Plan
from .progress import Progress
from .project import shown
from .summary import Told, summary
from .terminal import Printed, Terminal, logged

ENDING = ("SIGINT", "SIGTERM", "SIGHUP")


def execute(plan: Plan) -> int:
    """Open the run's folder, crawl, and tell how it went; gives the exit code. Raises UsageError, ScraperError."""
    terminal = Terminal()
    if STDOUT in plan.outputs and sys.stdout.isatty():
        terminal.live = False  # items scroll by there: no line can be drawn anew
    run = _begun(plan)
    if plan.choice.said and not plan.quiet:
        terminal.line(plan.choice.said)
    settle()
    with ExitStack() as during:
        during.callback(terminal.clear)
        during.enter_context(logged(terminal, plan.settings.log_level, quiet=plan.quiet, zone=_zone(plan.zone)))
        during.enter_context(_prints(terminal, items=STDOUT in plan.outputs))
        loop = during.enter_context(runner())
        report = loop.run(_crawl(run, terminal, quiet=plan.quiet))
    if not plan.quiet or report.exit_code:
        told = Told.of(report.as_data())
        for each in summary(told, run.folder, terminal.width, colour=terminal.live):
            terminal.line(each)
    return report.exit_code


def _zone(name: str) -> tzinfo | None:
    if not name:
        return None
    from ..jobs.zones import zone_or_utc

    return zone_or_utc(name)


def _begun(plan: Plan) -> Run:
    """The run with its folder, a new one or the one that goes on, held from here to the end of `Run.execute`."""
    folder = begin(
        plan.root, plan.identity, plan.choice, plan.places, time.time(), again=plan.again, run=plan.run
    )  # fmt: skip
    with ExitStack() as undo:
        undo.callback(folder.discard)
        outputs = [
            (name if name == STDOUT else str(shown(Path(name))), output)
            for name, output in opened(folder.read(), plan.outputs, csv_safe=plan.settings.csv_safe)
        ]
        run = Run(plan.spider, plan.settings, folder=folder, outputs=outputs, alarm=True)
        undo.pop_all()
    return run


async def _crawl(run: Run, terminal: Terminal, *, quiet: bool) -> Report:
    interrupts = Interrupts(terminal, run)
    interrupts.listen(asyncio.get_running_loop())
    run.started.append(interrupts.attach)
    listening: list[Progress | Live] = [] if run.folder is None else [Live(run.folder.path)]
    if not quiet:
        listening.append(Progress(terminal))
    run.started.extend(each.attach for each in listening)
    tasks = [asyncio.create_task(each.run()) for each in listening]
    try:
        return await run.execute()
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


class Interrupts:
    """The first signal ends a run in good order and within its grace, the second at once, the third the process."""

    def __init__(self, terminal: Terminal, run: Run) -> None:
        self._terminal = terminal
        self._run = run
        self._grace = run.settings.grace  # seconds
        self._crawl: Crawl | None = None
        self._number = 0

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear of the signals that end a process, but for those it was started to ignore (nohup)."""
        for name in ENDING:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self, number)

    def attach(self, crawl: Crawl) -> None:
        """The crawl to be stopped; at once when the signal came before it existed."""
        self._crawl = crawl
        if self._number:
            self._stop(crawl)

    def _stop(self, crawl: Crawl) -> None:
        crawl.stop("interrupted", resumable=True)

    def __call__(self, number: signal.Signals) -> None:
        """A signal has come."""
        self._number += 1
        name = number.name
        if self._number == 1:
            self._terminal.line(
                f"{name}: finishing what is out, {self._grace:g} s at most; once more ends the crawl at once"
            )
            if self._crawl is not None:
                self._stop(self._crawl)
            asyncio.get_running_loop().call_later(self._grace, self._run.abandon)
        elif self._number == 2:
            self._terminal.line(f"{name}: ending now; once more kills the process")
            self._run.abandon()
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


@contextmanager
def _prints(terminal: Terminal, *, items: bool) -> Iterator[None]:
    """A spider's own `print`: beside the drawn line, and to standard error where items go to standard output."""
    to: Any = sys.stderr if items else sys.stdout
    with redirect_stdout(Printed(terminal, to)):
        yield
