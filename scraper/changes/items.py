"""The committed items of a run, one after the other, each with the request that its page was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import IO, NamedTuple

import msgspec

from ..errors import StoreError, UsageError
from ..folder import RunFolder
from ..frontier.fates import Fates
from .values import Item

BUFFER = 256 * 1024  # bytes read at once
NOBODY = 0  # the token of a page that nobody knows

_item = msgspec.json.Decoder(Item)


class Given(NamedTuple):
    """An item: where its line is in the journal (in bytes), the line without its end, and the token of its page."""

    start: int
    line: bytes
    item: Item
    token: int


class Items:
    """The items of one run, no further than its state knows of them; of one without state, all whole lines.

    A context manager. `fates` is that state, None where there is none or it cannot be read. Raises UsageError where
    the journal is not what it should be, StoreError.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.path = folder.items
        self.fates: Fates | None = None
        self._open = ExitStack()
        self._file: IO[bytes] | None = None
        self._end: int | None = None

    def __enter__(self) -> Items:
        if self.folder.state.is_file():
            with suppress(StoreError):  # as `export` does: its items are still there
                self.fates = self._open.enter_context(Fates(self.folder.state))
                self._end = self.fates.items_end
        try:
            self._file = self._open.enter_context(self.path.open("rb"))
        except FileNotFoundError:
            pass  # it has not come to an item
        except OSError as error:
            self._open.close()
            raise UsageError(f"{self.path}: {error.strerror}") from error
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def __iter__(self) -> Iterator[Given]:
        """In the order of the journal. Memory: one item, and a buffer."""
        sources = iter(()) if self.fates is None else self.fates.sources()
        token, (following, coming) = NOBODY, next(sources, (None, NOBODY))
        for start, line in self._lines():
            while following is not None and following <= start:
                token = coming
                following, coming = next(sources, (None, NOBODY))
            yield Given(start, line, self._decoded(start, line), token)

    def at(self, start: int, size: int) -> Item:
        """The item whose line is there."""
        return self._decoded(start, self.line(start, size))

    def line(self, start: int, size: int) -> bytes:
        """So many bytes of the journal."""
        assert self._file is not None
        try:
            self._file.seek(start)
            return self._file.read(size)
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror}") from error

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        start, end = 0, self._end
        if self._file is not None and end != 0:
            try:
                with self.path.open("rb", buffering=BUFFER) as file:
                    for line in file:
                        if not line.endswith(b"\n") or (end is not None and start >= end):
                            break
                        yield start, line[:-1]
                        start += len(line)
            except OSError as error:
                raise UsageError(f"{self.path}: {error.strerror}") from error
        if end is not None and start < end:
            raise UsageError(
                f"{self.path} has {start} bytes of whole items where {end} were recorded: it was cut, or removed. "
                "Put the file back"
            )

    def _decoded(self, start: int, line: bytes) -> Item:
        try:
            return _item.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UsageError(f"{self.path}: what is at byte {start} is no item: {error}") from error
