"""The server's own log: JSON lines in its folder, as those of a run; what is too old makes room."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from ..logs import RUN, append, entry

NAME = "server.log"
MOST = 10 * 2**20  # bytes; then it becomes server.log.1, in place of the one before


class ServerLog(logging.Handler):
    """Appends what is logged, but for what a run logs. A full disk costs log lines, never the server."""

    def __init__(self, path: Path, most: int = MOST) -> None:
        super().__init__(logging.INFO)
        self._path = path
        self._most = most
        self._file = _opened(path)
        self._told = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Only what no run has logged."""
        return not RUN.get()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            append(self._file.fileno(), msgspec.json.encode(entry(record)) + b"\n")
            if self._file.tell() > self._most:
                self._turn()
        except OSError as error:
            if not self._told:
                self._told = True
                sys.stderr.write(f"cannot write {self._path}: {error}\n")
        except Exception:  # noqa: BLE001  a message that does not fit its arguments: told as `logging` does
            self.handleError(record)

    def _turn(self) -> None:
        self._path.replace(self._path.with_name(f"{NAME}.1"))
        file, self._file = self._file, _opened(self._path)
        file.close()

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self._file.close()
        super().close()


def _opened(path: Path) -> io.FileIO:
    """To be read by its owner alone, whoever may look into the folder."""
    return io.FileIO(path, "a", opener=lambda name, flags: os.open(name, flags, 0o600))


@contextmanager
def kept(home: Path) -> Iterator[None]:
    """Within it, what the project's loggers say goes to the server's log, from `info` on."""
    logger, handler = logging.getLogger("scraper"), ServerLog(home / NAME)
    before = logger.level
    logger.addHandler(handler)
    if logger.getEffectiveLevel() > logging.INFO:
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
        handler.close()
