"""The few things every file of results needs of the disk."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import stat
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from ..errors import OutputError

try:
    import fcntl
except ImportError:  # Windows: nothing keeps two processes apart there
    LOCKS = False
else:
    LOCKS = True

COPIED = 1024 * 1024  # bytes copied at once
AGAIN = "run again or export the run"
FULL = f"make room there, and {AGAIN}"
CLOSED = f"allow writing there or give another path, and {AGAIN}"
GONE = f"put the folder back, and {AGAIN}"
ADVICE = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: FULL,
    errno.EACCES: CLOSED,
    errno.EPERM: CLOSED,
    errno.EROFS: CLOSED,
    errno.ENOENT: GONE,
}
T = TypeVar("T")


async def whole(work: Awaitable[T]) -> T:
    """Await what a thread does to its end, cancelled or not: nobody may write or close beside it."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):  # once more
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen; the cancellation is what counts now
        raise


async def threaded(step: Callable[..., T], *given: Any) -> T:
    """Run a step on the disk in a thread, and await its end, whoever is cancelled meanwhile."""
    return await whole(asyncio.get_running_loop().run_in_executor(None, step, *given))


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Turn the system's errors into OutputError, with the path, the reason, and what to do where that is known."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        advice = ADVICE.get(getattr(error, "errno", None) or 0, "")
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path}: {reason}{advice and '; '}{advice}") from error


def removed(path: Path) -> OutputError:
    """Somebody took away what is being written."""
    return OutputError(f"{path} was removed while it was written; let it be, and {AGAIN}")


def owned(path: Path, what: Path | None = None) -> io.FileIO:
    """Open for writing without touching the content, made if need be, and kept from other processes.

    `what` is what the file stands for, if not for itself.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = io.FileIO(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666), "r+")
    try:
        _lock(raw, path, what or path)
    except (OSError, OutputError):
        raw.close()
        raise
    return raw


def _lock(raw: io.FileIO, path: Path, what: Path) -> None:
    """Held until the file is closed, which is after it got its final name."""
    opened = os.fstat(raw.fileno())
    if not LOCKS or not stat.S_ISREG(opened.st_mode):
        return
    taken = f"{what} is being written by another run"
    try:
        fcntl.flock(raw, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(taken) from error
    except OSError:
        return  # a file system without locks
    with suppress(FileNotFoundError):
        if os.path.samestat(opened, os.stat(path)):
            return
    raise OutputError(taken)  # it has just been finished: what was opened is the result itself


def cut_at(raw: io.FileIO, size: int) -> None:
    """Make a file end at a byte and stand there; what is no regular file has no size and is not cut."""
    if raw.seek(0, os.SEEK_END) > size:
        raw.truncate(size)
    raw.seek(size)


def copy(old: BinaryIO, new: BinaryIO, size: int) -> None:
    """Copy so many bytes, or all there are."""
    while size > 0 and (chunk := old.read(min(COPIED, size))):
        view = memoryview(chunk)
        while view:  # a raw file may take less than it is given
            view = view[new.write(view) :]
        size -= len(chunk)


def put_in_place(raw: io.FileIO, part: Path, path: Path) -> None:
    """Give a file its final name, safe from a loss of power."""
    os.fsync(raw.fileno())
    if not LOCKS:
        raw.close()  # Windows replaces no open file; elsewhere the lock holds until it is done
    os.replace(part, path)
    if os.name == "posix":  # the new name is in the folder, which is a file of its own
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
