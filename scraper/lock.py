"""Locks on folders that end with their process, however it ends (flock)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

ours: set[int] = set()  # descriptors of the locks that this process has


def _let_go() -> None:
    """In a forked child: a lock must end with the process that took it, not with the last of its children."""
    while ours:
        with suppress(OSError):
            os.close(ours.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


class Lock:
    """A folder for one process at a time; for all at once where there are no locks (Windows, some disks)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def take(self) -> None:
        """Lock it, unless this object has. Raises BlockingIOError when another has it, OSError."""
        while self._descriptor is None:
            with suppress(BlockingIOError):
                self._descriptor = _flock(self.path, exclusive=True)
                break
            probe = _flock(self.path, exclusive=False)  # raises: it is really held
            if probe is not None:  # someone was only looking, which takes no time: again
                os.close(probe)
        if self._descriptor is not None:
            ours.add(self._descriptor)

    def release(self) -> None:
        """Unlock it if this object has locked it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor in ours:  # else this is a forked child, and the number may be another file's
            ours.discard(descriptor)
            os.close(descriptor)

    def taken(self) -> bool | None:
        """Whether someone has it, this object or another; None where there are no locks. Raises OSError."""
        try:
            probe = _flock(self.path, exclusive=False)
        except BlockingIOError:
            return True
        if probe is None:
            return None
        os.close(probe)
        return False


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """While one process is in here, the others wait: for what takes moments."""
    descriptor = _flock(path, exclusive=True, wait=True)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _flock(path: Path, *, exclusive: bool, wait: bool = False) -> int | None:
    """A locked descriptor, None where there are no locks. Raises BlockingIOError: another has it; OSError."""
    if fcntl is None:
        return None
    folder = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(folder, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(folder)
        raise
    except OSError:  # a file system without locks
        os.close(folder)
        return None
    return folder


def lives(pid: int) -> bool:
    """Whether there is such a process; one that took over a moment ago has not said so yet."""
    if not pid or os.name != "posix":  # on Windows to ask is to kill
        return bool(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
