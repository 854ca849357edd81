"""Standard error as a person sees it: lines above, and on a terminal one line below that is drawn anew."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, tzinfo
from typing import TextIO

ERASE = "\r\x1b[K"
NARROWEST = 20


class Terminal:
    """Writes to standard error; a reader that goes away costs the text, never the crawl."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self.live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._drawn = ""
        self._lock = threading.RLock()  # log lines may come from threads

    @property
    def width(self) -> int:
        """Columns, 80 where there is no terminal."""
        return columns(self._stream)

    def line(self, text: str) -> None:
        """Write whole lines above the one that is drawn."""
        with self._lock:
            erase = ERASE if self._drawn else ""
            self._write(f"{erase}{text}\n{self._drawn}")

    def draw(self, text: str) -> None:
        """Draw the lowest line anew; nothing where it cannot be erased again."""
        if self.live:
            with self._lock:
                self._drawn = text
                self._write(ERASE + text)

    def clear(self) -> None:
        """Take the lowest line away."""
        with self._lock:
            if self._drawn:
                self._drawn = ""
                self._write(ERASE)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # closed, or its reader has left
            self.live = False


class TerminalLog(logging.Handler):
    """Log records as plain lines: time, level when it matters, message; free of control characters.

    Times are those of the machine's clock; in a `zone` they have their date and its name, for readers elsewhere.
    """

    def __init__(self, terminal: Terminal, zone: tzinfo | None = None) -> None:
        super().__init__()
        self._terminal = terminal
        self._time = "%H:%M:%S" if zone is None else "%m-%d %H:%M:%S %Z"
        self._zone = zone

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, and the trace of its exception."""
        from ..logs import clean, traced

        at = datetime.fromtimestamp(record.created, self._zone).strftime(self._time)
        level = f"{record.levelname.lower()} " if record.levelno != logging.INFO else ""
        name = record.name.removeprefix("scraper.spider.")
        source = f"{name}: " if name != record.name else ""
        self._terminal.line(f"{at} {level}{source}{clean(record.getMessage())}")
        for part in traced(record).splitlines():
            self._terminal.line(clean(part))


@contextmanager
def logged(terminal: Terminal, level: str, *, quiet: bool = False, zone: tzinfo | None = None) -> Iterator[None]:
    """What the project's own loggers say goes to the terminal, from a level on; the root stays untouched.

    `quiet` keeps what is no warning from the terminal, and not from the run's log file. Times are told in `zone`.
    """
    logger = logging.getLogger("scraper")
    before, spread = logger.level, logger.propagate
    handler = TerminalLog(terminal, zone)
    if quiet:
        handler.setLevel(logging.WARNING)
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        logger.propagate = spread


class Printed(io.TextIOBase):
    """Standard output for a spider's `print`: never into the drawn line, never among items, and never an error."""

    def __init__(self, terminal: Terminal, inner: TextIO) -> None:
        self._terminal = terminal
        self._inner = inner

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Clear the drawn line, then write; the next tick draws it again."""
        self._terminal.clear()
        try:
            self._inner.write(text)
            self._inner.flush()
        except BrokenPipeError:
            unread(self._inner)
        return len(text)

    def fileno(self) -> int:
        """The descriptor below."""
        return self._inner.fileno()

    def isatty(self) -> bool:
        """As the stream below."""
        return self._inner.isatty()


def unread(stream: TextIO) -> None:
    """Its reader has left: what it still holds, and what comes, goes nowhere, and is no error when Python ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def columns(stream: TextIO) -> int:
    """The width of the terminal that a stream is; 80 when it is none."""
    try:
        return max(NARROWEST, os.get_terminal_size(stream.fileno()).columns)
    except (OSError, ValueError):
        return 80
