"""The log of a run as JSON lines, and the filter that keeps runs in one process apart."""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import msgspec

from .events import HostRests, OutputFailed, PageEnded
from .page import OPEN_PAGE
from .url import printable

RUN: ContextVar[str] = ContextVar("run", default="")
SAME = 20  # lines of one kind of failure that are logged in full; then every hundredth
log = logging.getLogger("scraper.crawl")


class RunLog(logging.Handler):
    """Appends what this run logs, from a level on, to a file. A full disk costs log lines, never the crawl."""

    def __init__(self, path: Path, run: str, level: str) -> None:
        super().__init__(level.upper())
        self.before = 0  # the logger's own level
        self._run = run
        self._file = path.open("ab", buffering=0)
        self._told = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Only what was logged within this run."""
        return RUN.get() == self._run

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            append(self._file.fileno(), msgspec.json.encode(entry(record)) + b"\n")
        except OSError as error:
            if not self._told:
                self._told = True
                print(f"cannot write {self._file.name}: {error}", file=sys.stderr)
        except Exception:  # noqa: BLE001  a message that does not fit its arguments: told as `logging` does
            self.handleError(record)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


@contextmanager
def kept_log(path: Path, run: str, level: str) -> Iterator[None]:
    """Within it, what this run logs goes to the file. The level of the `scraper` logger counts when it has one;
    when not, it is the lowest that a run of this process needs."""
    logger, handler = logging.getLogger("scraper"), RunLog(path, run, level)
    others = _run_logs(logger)
    handler.before = others[0].before if others else logger.level
    token = RUN.set(run)
    logger.addHandler(handler)
    _set_level(logger, handler.before)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        _set_level(logger, handler.before)
        RUN.reset(token)
        handler.close()


def _run_logs(logger: logging.Logger) -> list[RunLog]:
    return [handler for handler in logger.handlers if isinstance(handler, RunLog)]


def _set_level(logger: logging.Logger, before: int) -> None:
    if before == logging.NOTSET:
        logger.setLevel(min((handler.level for handler in _run_logs(logger)), default=before))


def append(file: int, line: bytes) -> None:
    """Write a line to the end of a file: all of it or, on a disk that is full, nothing. Raises OSError."""
    written = os.write(file, line)
    if written < len(line):  # half a line would spoil the next one too
        with suppress(OSError):
            os.ftruncate(file, os.fstat(file).st_size - written)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def entry(record: logging.LogRecord) -> dict[str, Any]:
    """A log record as data: time in wall-clock seconds, level, logger, message, and the page at hand."""
    page = OPEN_PAGE.get()
    made: dict[str, Any] = {
        "time": round(record.created, 3),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": clean(record.getMessage()),
    }
    if url := getattr(record, "page", ""):  # of a worker process, which has the page
        made["url"] = url
    elif page is not None:
        made["url"] = printable(page.request.url)
    if trace := traced(record):
        made["trace"] = "\n".join(map(clean, trace.splitlines()))
    return made


def traced(record: logging.LogRecord) -> str:
    """The trace of a record's exception, "" for none; that of a worker process comes as text."""
    if record.exc_info and record.exc_info[1] is not None:
        return "".join(traceback.format_exception(record.exc_info[1]))
    return record.exc_text or ""


def clean(text: str) -> str:
    """One line without control characters: what a server sent cannot forge a log line or drive a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\\n" if c == "\n" else f"\\x{ord(c):02x}" for c in text)


class EventLog:
    """Writes a crawl's events to the log; identical failures are thinned out."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, str], int] = {}

    def __call__(self, event: Any) -> None:
        """Log one event."""
        if isinstance(event, PageEnded):
            self._page(event)
        elif isinstance(event, HostRests):
            log.info("%s asked to be left alone: resting for %.1f s", event.host, event.seconds)
        elif isinstance(event, OutputFailed):
            log.error("output %s failed: %s", event.output, event.error)

    def _page(self, event: PageEnded) -> None:
        if event.end in ("done", "redirected"):
            return
        if event.end == "dropped":
            log.debug("dropped %s: %s %s", printable(event.url), event.reason.value, event.detail)
            return
        key = (event.end, event.reason.value, event.where)
        number = self._seen[key] = self._seen.get(key, 0) + 1
        if number > SAME and number % 100:
            return
        what = "failed" if event.end == "failed" else f"try {event.tries + 1} of"
        level = logging.WARNING if event.end == "failed" else logging.INFO
        more = f" (number {number} of its kind; the next 99 are not logged)" if number > SAME else ""
        place = f" at {event.where}" if event.where else ""
        log.log(
            level, "%s %s: %s%s %s%s", what, printable(event.url), event.reason.value, place, event.detail, more
        )
