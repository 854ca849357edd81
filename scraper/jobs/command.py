"""Tells a channel by a command of its own: words without a shell, the message as JSON on its standard input."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ..logs import clean
from .message import Untold

TIMEOUT = 60.0  # seconds
TAIL = 1000  # bytes of what it says that are kept


async def run(words: Sequence[str], body: bytes, folder: Path, *, timeout: float = TIMEOUT) -> str:
    """Run a command in a folder. Raises Untold when it does not exit with 0 in time, with the end of its output.

    One that has exited with 0 may leave processes behind; of any other all is killed.
    """
    said = bytearray()
    with _file() as given, _heard(said) as out:
        given.write(body)
        given.seek(0)
        try:
            process = await asyncio.create_subprocess_exec(
                *words, cwd=folder, stdin=given, stdout=out, stderr=out, start_new_session=True
            )
        except (OSError, ValueError) as error:
            raise Untold(f"{words[0]} cannot be run: {getattr(error, 'strerror', None) or error}") from error
        code = None
        try:
            async with asyncio.timeout(timeout):
                code = await process.wait()
        except TimeoutError as error:
            raise Untold(f"{words[0]} took longer than {timeout:g} s{_tail(said)}") from error
        finally:
            if code != 0:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
    if code != 0:
        how = f"was ended by signal {-code}" if code < 0 else f"exited with {code}"
        raise Untold(f"{words[0]} {how}{_tail(said)}")
    return ""


def _file() -> IO[bytes]:
    """A file that takes no room on a disk, which may be full, where there is such a thing."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("message"), "w+b")
    return tempfile.TemporaryFile()


@contextmanager
def _heard(said: bytearray) -> Iterator[int]:
    """Where a command may write: the end of that comes into `said`, as much as there is when this ends."""
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    loop = asyncio.get_running_loop()

    def hear() -> bool:
        part = b""
        with suppress(BlockingIOError):
            part = os.read(ours, 65536)
            if not part:
                loop.remove_reader(ours)
        said.extend(part)
        del said[:-TAIL]
        return bool(part)

    loop.add_reader(ours, hear)
    try:
        yield theirs
    finally:
        loop.remove_reader(ours)
        os.close(theirs)
        for _ in range(16):  # a pipe holds no more; somebody may go on writing
            if not hear():
                break
        os.close(ours)


def _tail(said: bytearray) -> str:
    text = clean(said.decode("utf-8", "replace").strip())
    return f": {text}" if text else ""
