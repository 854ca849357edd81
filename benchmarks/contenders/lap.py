"""What every contender is told, and what it tells: one JSON line with its pages and its times.

Only the standard library is imported here: the peers' environments run it too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

CONCURRENCY = 32  # requests in flight of every contender
Told = dict[str, Any]
Steps = Callable[[argparse.Namespace], Coroutine[Any, Any, int | Told]]


def run(steps: Steps, *, fast_loop: bool = True) -> None:
    """Pin this process, run the contender, print its lap.

    `steps` gives the number of answered requests, alone or as `answered` among more that the lap is to tell.
    """
    given = arguments()
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    if fast_loop:
        with suppress(ImportError):
            import uvloop

            factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner, measured() as lap:
        told = runner.run(steps(given))
        lap.update(told if isinstance(told, dict) else {"answered": told})


@contextmanager
def measured() -> Iterator[Told]:
    """Print what was told meanwhile, with its times, as the lap of this process.

    From before the first request to after the last write: imports are not part of it, opening and closing of
    everything is. Seconds; `cpu` is user and system time of the process and of those it started and has waited for;
    `peak` is bytes, of the process alone.
    """
    lap: Told = {}
    began, cpu = time.perf_counter(), _cpu()
    yield lap
    lap["seconds"], lap["cpu"] = time.perf_counter() - began, _cpu() - cpu
    lap["peak"] = peak()
    print(json.dumps(lap))


def peak(pid: int | str = "self") -> int:
    """The most memory a process had, in bytes; of another than this one 0 where that is not told (not Linux).

    `ru_maxrss` would do but that Linux lets it begin with what the parent had.
    """
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if pid != "self":
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def settle(core: int | None) -> None:
    """On that core from now on, and ahead of other processes, where that is allowed (root).

    Linux weighs sessions against each other before processes (autogroup), so both are told. No real-time
    class: under one, the threads of a contender would not take turns. A contender may open a thousand connections.
    """
    if core is not None:
        os.sched_setaffinity(0, {core})
    many_files()
    with suppress(OSError, AttributeError):
        os.nice(-20)
        if os.getsid(0) != os.getpid():
            os.setsid()
        Path("/proc/self/autogroup").write_text("-20", encoding="ascii")


def many_files() -> int:
    """Raise the number of files and connections this process may have to the most it may ask for; gives that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # macOS calls its limit unlimited and refuses it
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            return hard
    return soft


def parser() -> argparse.ArgumentParser:
    """The command line that every contender understands; limits of 0 are none."""
    made = argparse.ArgumentParser()
    made.add_argument("start", help="URL of the first page")
    made.add_argument("--urls", type=Path, help="file with every URL, one a line, for those that do not follow")
    made.add_argument("--items", type=Path, help="where items go, as JSON lines")
    made.add_argument("--core", type=int, help="the core to run on")
    made.add_argument("--pages", type=int, default=0, help="no more pages than about so many")
    made.add_argument("--seconds", type=float, default=0.0, help="take no further page after so long")
    made.add_argument("--any-host", action="store_true", help="follow links to other hosts too")
    made.add_argument("--gaps", action="store_true", help="also measure the longest gap of the event loop")
    return made


def arguments(made: argparse.ArgumentParser | None = None) -> argparse.Namespace:
    """What this process was told, once it has settled."""
    given = (made or parser()).parse_args()
    settle(given.core)
    return given
