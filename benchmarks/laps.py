"""One lap of one contender, and rounds of them: each in a process of its own, ended when it takes too long."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from .check import items
from .contenders.lap import peak
from .roster import ROSTER, Contender
from .site import Cores, Site

ROOT = Path(__file__).parents[1]
PATIENCE = 300.0  # seconds after which a contender is ended and counts as failed
LOOK = 0.1  # seconds between two looks at the memory of several processes
Lap = dict[str, Any]  # what contenders/lap.py prints


class Failed(Exception):
    """A contender that ended badly or not at all, with its last words."""


class Course(msgspec.Struct):
    """What is crawled and how: `urls` are for those that do not follow links, `limit` pages (0: all of them),
    `cut` seconds after which a peer takes no further page, `gaps` whether event loops are looked at.
    """

    site: Site
    urls: Path
    work: Path
    cores: Cores
    limit: int = 0
    cut: float = 0.0
    gaps: bool = False


def contend(contender: Contender, course: Course, *, keep: bool = True) -> Lap:
    """One lap. Its items are at `items_of`, but for a floor that is timed. Raises Failed."""
    command = [*contender.command, course.site.start, "--urls", str(course.urls)]
    if keep:
        command += ["--items", str(items_of(contender, course))]
    if course.cores.contender is not None and not contender.free:
        command += ["--core", str(course.cores.contender)]
    if course.limit:
        command += ["--pages", str(course.limit)]
    if contender.peer and course.cut:
        command += ["--seconds", str(course.cut)]
    if course.site.many_hosts:
        command += ["--any-host"]
    if course.gaps and contender.ours:
        command += ["--gaps"]
    return told(command, several=contender.free)


def items_of(contender: Contender, course: Course) -> Path:
    """Where the items of a contender's last lap are."""
    return course.work / f"{contender.name}.jsonl"


def told(command: list[str], *, several: bool = False) -> Lap:
    """Run a command to its end and read the lap it prints. `several`: its memory is that of all its processes."""
    done = ended(command, ROOT, several=several)
    try:
        lap: Lap = json.loads(done.out.splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise Failed(f"exit code {done.code}: {last_word(done.err)}") from error
    if done.peak:
        lap["peak"] = done.peak
    return lap


class Ended(NamedTuple):
    """A process that has ended: `peak` in bytes where it was asked for, `seconds` of its life."""

    code: int
    out: bytes
    err: bytes
    peak: int
    seconds: float


def ended(command: list[str], folder: Path, *, several: bool = False) -> Ended:
    """Run a command in a session of its own, and leave nothing of it. Raises Failed when it does not end."""
    began = time.perf_counter()
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, start_new_session=True,
    )  # fmt: skip
    _ahead(child.pid)
    watch = Memory(child.pid) if several else None
    try:
        out, err = child.communicate(timeout=PATIENCE)
        seconds = time.perf_counter() - began
    except subprocess.TimeoutExpired as error:
        raise Failed(f"not done after {PATIENCE:.0f} s") from error
    finally:
        highest = watch.end() if watch else 0
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # whatever it has left
        child.wait()
    return Ended(child.returncode, out, err, highest, seconds)


def _ahead(pid: int) -> None:
    """As contenders/lap.py does for itself, from the first moment."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, pid, -20)
        Path(f"/proc/{pid}/autogroup").write_text("-20", encoding="ascii")


def last_word(err: bytes) -> str:
    """The line of a program's standard error that names what it died of."""
    lines = [line.strip(" |") for line in err.decode(errors="replace").splitlines() if line.strip(" |+-")]
    named = [line for line in lines if line.partition(":")[0].endswith(("Error", "Exception"))]
    return (named or lines or ["no word"])[-1]


class Memory:
    """The sum of the most memory that a process and its descendants had each, in bytes (Linux; 0 elsewhere)."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._peaks: dict[int, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK):
            for pid in _family(self._first):
                self._peaks[pid] = max(self._peaks.get(pid, 0), peak(pid))

    def end(self) -> int:
        """Look no longer."""
        self._ended.set()
        self._thread.join()
        return sum(self._peaks.values())


def _family(first: int) -> set[int]:
    """A process and all that descend from it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # pid (name) state parent ...: a name may hold blanks, not the last parenthesis.
            fields = (entry / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            parents[int(entry.name)] = int(fields[1])
    family = {first}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def race(
    names: list[str], course: Course, rounds: int, say: Callable[[str], None]
) -> tuple[dict[str, list[Lap]], dict[str, str]]:
    """So many rounds of all contenders in turn; gives the laps, and why some have none.

    A lap that covered only a part of the site (a slow peer's) is followed by one of the floor over just those
    URLs, so that the ratio is of the same pages: `floor` in the lap. One that fails is left out of later rounds.
    """
    laps: dict[str, list[Lap]] = {name: [] for name in names}
    failed: dict[str, str] = {}
    for number in range(rounds):
        for name in names:
            if name in failed:
                continue
            contender = ROSTER[name]
            try:
                lap = contend(contender, course, keep=contender.follows)
            except Failed as error:
                failed[name] = str(error)
                say(f"round {number + 1} {name:12} failed: {error}")
                continue
            if lap.get("part") and "floor" in names:
                lap["floor"] = _floor_of(contender, course)
            laps[name].append(lap)
            part = f", {lap['answered']:,} pages" if lap.get("part") else ""
            say(f"round {number + 1} {name:12} {speed(lap):8,.0f} pages/s{part}")
    return {name: runs for name, runs in laps.items() if runs}, failed


def _floor_of(contender: Contender, course: Course) -> Lap:
    urls = course.work / "part.txt"
    urls.write_text("".join(f"{item['url']}\n" for item in items(items_of(contender, course))), encoding="utf-8")
    part = msgspec.structs.replace(course, urls=urls, limit=0)
    return contend(ROSTER["floor"], part, keep=False)


def speed(lap: Lap) -> float:
    """Pages a second."""
    return float(lap["answered"] / lap["seconds"])
