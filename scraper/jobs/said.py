"""What the processes of a run have written to standard output and error: one file, with its middle left out
when it is too long. Control characters are left for the reader to clean."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

FOLDER = "runs"
MOST = 10 * 2**20  # bytes
HEAD = 2 * 2**20  # bytes that are kept of the beginning
KEPT = 6 * 2**20  # bytes in all after a cut, so that the next one is some way off
CHUNK = 2**20
LINE = 64 * 1024  # bytes looked at for a line's end


def path_of(home: Path, run: int) -> Path:
    """Where the output of a planned run is."""
    return home / FOLDER / f"{run}.log"


def opened(path: Path) -> int:
    """A descriptor for a process to append to. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def add(path: Path, text: str) -> None:
    """Write a line of our own; a disk that is full costs it."""
    with suppress(OSError):
        file = opened(path)
        try:
            os.write(file, f"{text}\n".encode())
        finally:
            os.close(file)


def cut(path: Path, most: int = MOST, head: int = HEAD, kept: int = KEPT) -> bool:
    """Leave the middle out of a file that is longer than `most`; whether that was so. Raises OSError.

    Its writers append, so they may go on: what comes meanwhile is moved too, but for what comes in the last
    moment before the file is shortened.
    """
    if not path.is_file() or path.stat().st_size <= most:
        return False
    with path.open("r+b", buffering=0) as file:
        first = _line(file.fileno(), head)
        size = os.fstat(file.fileno()).st_size
        last = _line(file.fileno(), size - (kept - first))
        note = f"[{last - first:,} bytes were left out here]\n".encode()
        os.pwrite(file.fileno(), note, first)
        to = first + len(note)
        while chunk := os.pread(file.fileno(), CHUNK, last):
            os.pwrite(file.fileno(), chunk, to)
            last, to = last + len(chunk), to + len(chunk)
        os.ftruncate(file.fileno(), to)
    return True


def _line(file: int, at: int) -> int:
    """Where the first line at or behind a place begins; the place itself when no line ends near it."""
    found = os.pread(file, LINE, at).find(b"\n")
    return at if found < 0 else at + found + 1


def tail(path: Path, most: int) -> bytes:
    """The last so many bytes, b"" where there are none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most))
            return file.read(most)
    except OSError:
        return b""
