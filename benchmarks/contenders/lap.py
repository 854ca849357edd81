"""What every contender is told, and what it tells: one JSON line with its pages and its times."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

Steps = Callable[[argparse.Namespace], Coroutine[Any, Any, int]]


def run(steps: Steps, *, fast_loop: bool = True) -> None:
    """Pin this process, run the contender, print its lap. `steps` gives the number of answered requests.

    Measured from before the first request to after the last write: imports are not part of it, opening and
    closing of everything is. Seconds; `cpu` is user and system time of the process; `peak` is bytes.
    """
    given = arguments()
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})
    _go_first()
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    if fast_loop:
        with suppress(ImportError):
            import uvloop

            factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        began, cpu = time.perf_counter(), time.process_time()
        answered = runner.run(steps(given))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"answered": answered, "seconds": seconds, "cpu": cpu, "peak": peak}))


def _go_first() -> None:
    """Ahead of other processes, where that is allowed (root), so that they cost a lap little.

    Linux weighs sessions against each other before processes (autogroup), so both are told. No real-time
    class: under one, the threads of a contender would not take turns.
    """
    with suppress(OSError, AttributeError):
        os.nice(-20)
        os.setsid()
        Path("/proc/self/autogroup").write_text("-20", encoding="ascii")


def arguments() -> argparse.Namespace:
    """The command line that every contender understands."""
    parser = argparse.ArgumentParser()
    parser.add_argument("start", help="URL of the first page")
    parser.add_argument("--urls", type=Path, help="file with every URL, one a line, for those that do not follow")
    parser.add_argument("--items", type=Path, help="where items go, as JSON lines")
    parser.add_argument("--core", type=int, help="the core to run on")
    return parser.parse_args()
