"""What the system says of processes (Linux: /proc): which one it is, who belongs to it, how much memory they have.

Elsewhere nothing is known: `birth` is "", a process has no others, and 0 bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

import msgspec

PROC = "/proc"
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096  # bytes
GONE = frozenset("ZXx")  # states of what does not run any more


class Seen(msgspec.Struct, frozen=True):
    """A process as /proc/PID/stat shows it (proc(5)): `started` in ticks after the boot, `rss` in bytes."""

    pid: int
    state: str
    parent: int
    session: int
    started: int
    rss: int


@cache
def boot() -> str:
    """What tells this boot of the machine from any other, "" where nothing does."""
    try:
        with open(f"{PROC}/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def seen(pid: int) -> Seen | None:
    """A process; None when there is none, or nothing is known of it."""
    try:
        with open(f"{PROC}/{pid}/stat", "rb") as file:
            line = file.read()
    except OSError:
        return None
    words = line[line.rindex(b")") + 2 :].split()  # before it stands a name, which may hold anything
    state, parent, _, session = words[:4]
    started, rss = int(words[19]), int(words[21]) * PAGE
    return Seen(pid, state.decode(), int(parent), int(session), started, rss)


def birth(pid: int) -> str:
    """What tells a process from a later one of the same number: boot and start; "" when it is gone or unknown."""
    found = seen(pid)
    return "" if found is None or found.state in GONE else f"{boot()}/{found.started}"


def everyone() -> Iterator[Seen]:
    """Every process there is. O(processes): some 10 us each."""
    try:
        names = os.listdir(PROC)
    except OSError:
        return
    for name in names:
        if name.isdecimal() and (found := seen(int(name))) is not None:
            yield found


def family(pid: int) -> list[Seen]:
    """A process, what is in its session, and all their descendants, as far as they run."""
    there = [each for each in everyone() if each.state not in GONE]
    children: dict[int, list[Seen]] = {}
    for each in there:
        children.setdefault(each.parent, []).append(each)
    found: dict[int, Seen] = {}
    new = [each for each in there if each.pid == pid or each.session == pid]
    while new:
        each = new.pop()
        if each.pid not in found:
            found[each.pid] = each
            new += children.get(each.pid, ())
    return [*found.values()]


def marked(mark: bytes) -> list[Seen]:
    """The processes that have this line in their environment, wherever they have gone to since they got it."""
    found = []
    for each in everyone():
        if each.state not in GONE:
            with (
                suppress(OSError),
                open(f"{PROC}/{each.pid}/environ", "rb") as file,
            ):  # another user's cannot be read
                if mark in file.read().split(b"\0"):
                    found.append(each)
    return found


def memory(pid: int) -> int:
    """Bytes that a process and what belongs to it have in memory; what several share is counted once."""
    return sum(_share(each) for each in family(pid))


def _share(each: Seen) -> int:
    """The proportional share (PSS), or all it can see where the system does not tell that."""
    with suppress(OSError), open(f"{PROC}/{each.pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return each.rss
