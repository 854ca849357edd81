"""A file that is being written: PATH.part, which can be appended to, marked, cut back, and take its place.

Every step on the disk is done by a thread and awaited to its end, cancelled or not.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec
from aiofiles.threadpool import wrap

from ..errors import OutputError
from . import CursorLost
from .disk import COPIED, copy, cut_at, named, owned, put_in_place, removed, threaded, whole
from .form import Form, Rewrite

CHECKED = 4096  # bytes before a mark that are compared when the file is opened again
NOWHERE = 0  # the number of no file
SHOWN = 256  # bytes of an existing file's end that its form looks at
LEVEL = 6  # of gzip: beyond it the time doubles for 1 % of size


class Mark(msgspec.Struct, array_like=True, frozen=True):
    """A point of a file: its bytes so far, the CRC-32 of the last 4 KB of them, and which file it is: its inode,
    or NOWHERE once it has become PATH."""

    size: int
    crc: int
    file: int = NOWHERE


class Part:
    """PATH.part: one writer, locked where the system can; a PATH that ends in .gz is compressed."""

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))  # a link stays a link: its target is replaced
        self.part = self.path.with_name(self.path.name + ".part")
        self.gz = path.suffix.lower() == ".gz"
        self.size = 0
        self._last = b""  # the last bytes written, at least CHECKED of them
        self._member: Any = None  # zlib.compressobj of the gzip member that is open
        self._raw: io.FileIO | None = None

    async def begin(self, form: Form | None) -> None:
        """An empty file, or a copy of PATH that the form goes on with."""
        await self._opened(self._begin, form)

    async def resume(self, mark: Mark, form: Form | None) -> None:
        """Cut PATH.part back to a mark; or, where PATH itself has the mark, go on from a copy of it.

        With a form the copy is of all that PATH holds, which may be more by now. CursorLost: neither has it.
        """
        await self._opened(self._resume, mark, form)

    async def write(self, data: bytes) -> None:
        """Append; with gzip, into the open member."""
        if not data:
            return
        if self.gz:
            if self._member is None:
                self._member = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
            data = await threaded(self._member.compress, data)
        await self._put(data)

    async def mark(self) -> Mark:
        """Where the file can be cut back to."""
        await self._end_member()
        if os.fstat(self._handle.fileno()).st_nlink == 0:
            raise removed(self.part)
        return Mark(self.size, zlib.crc32(self._last[-CHECKED:]), os.fstat(self._handle.fileno()).st_ino)

    async def cut(self, mark: Mark) -> None:
        """Go back to a mark of this very file, as far as the system lets us."""
        self._member = None
        with suppress(OSError):
            cut_at(self._handle, mark.size)
            self._tell(self._handle)

    async def rewrite(self, work: Rewrite) -> None:
        """Write the whole file anew, beside itself; needs its size again on the disk, and no memory."""
        await self._end_member()
        with named(self.part):
            await threaded(self._rewrite, work)

    async def end(self, *, finished: bool) -> None:
        """Put the file into its final place, safe from a loss of power."""
        if self.gz and self.size == 0 and self._member is None:
            self._member = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)  # no bytes at all are not valid gzip
        await self._end_member()
        if finished:
            with named(self.path):
                await threaded(put_in_place, self._handle, self.part, self.path)

    async def leave(self) -> None:
        """Let go of the file as it is."""
        raw, self._raw = self._raw, None
        if raw is not None:
            with named(self.part):
                raw.close()

    async def _opened(self, step: Callable[..., None], *args: object) -> None:
        """Open the file in a thread; when that fails nothing stays open, and no empty file stays behind."""
        try:
            with named(self.part):
                await threaded(step, *args)
        except OutputError:
            if self._raw is not None:
                with suppress(OSError):
                    if self._raw.seek(0, os.SEEK_END) == 0:
                        self.part.unlink()
            await self.leave()
            raise

    async def _end_member(self) -> None:
        member, self._member = self._member, None
        if member is not None:
            await self._put(member.flush())

    async def _put(self, data: bytes) -> None:
        view = memoryview(data)
        file = wrap(self._handle)
        with named(self.part):
            while view:
                view = view[await whole(file.write(view)) :]
        self.size += len(data)
        self._last = data[-CHECKED:] if len(data) >= CHECKED else (self._last + data)[-CHECKED:]

    def _begin(self, form: Form | None) -> None:
        self._raw = raw = owned(self.part)
        self._start(raw, form)

    def _start(self, raw: io.FileIO, form: Form | None) -> None:
        cut_at(raw, 0)
        self.size, self._last, self._member = 0, b"", None
        if form is None or not self.path.exists():
            return
        first, last, size = self._look()
        if size:
            try:
                cut, extra = form.adopt(first, last, size)
            except ValueError as error:
                raise OutputError(f"cannot add to {self.path}: {error}") from error
            if cut:
                with self._read(self.path) as old, self._written(raw) as new:
                    copy(old, new, size - cut)
            else:  # with gzip, members stay as they are, and a cursor that counts them stays true
                with self.path.open("rb") as packed:
                    copy(packed, cast(BinaryIO, raw), self.path.stat().st_size)
            with self._written(raw) as new:
                new.write(extra)
            self._tell(raw)

    def _look(self) -> tuple[bytes, bytes, int]:
        """The beginning, the end and the size of what PATH holds, uncompressed."""
        with self._read(self.path) as old:
            first = old.read(64 * 1024)
            last, size = first[-SHOWN:], len(first)
            while chunk := old.read(COPIED):
                last, size = (last + chunk)[-SHOWN:], size + len(chunk)
        return first, last, size

    def _resume(self, mark: Mark, form: Form | None) -> None:
        self._raw = raw = owned(self.part)
        self._member = None
        size = raw.seek(0, os.SEEK_END)
        if form is not None and size and os.name == "posix" and os.fstat(raw.fileno()).st_ino != mark.file:
            # It may begin like ours: another run has begun it with a copy of PATH. To cut it back would lose
            # what others have added, to begin anew could add twice.
            raise OutputError(
                f"{self.part} is not the file this run has left: another run that adds to {self.path.name}, or one "
                "that was killed while it copied, has left it. Finish that run first, or remove the file"
            )
        if not _has(raw, mark):
            self._take_back(raw, mark, form)
            if form is not None:
                return
        cut_at(raw, mark.size)
        self._tell(raw)

    def _take_back(self, raw: io.FileIO, mark: Mark, form: Form | None) -> None:
        """Copy what was finished, and has become PATH, into PATH.part."""
        if raw.seek(0, os.SEEK_END) or not self.path.is_file():
            raise CursorLost(f"{self.part} is not as it was left")
        with self.path.open("rb") as done:
            if _has(done, mark):
                if form is not None:
                    self._start(raw, form)
                else:
                    done.seek(0)
                    copy(done, cast(BinaryIO, raw), mark.size)
            elif form is not None:  # adding all again could add it twice
                raise OutputError(
                    f"{self.path} changed after this run had added to it, or {self.part} was removed: "
                    "nobody can tell what is missing. Export the run to a file of its own."
                )
            else:
                raise CursorLost(f"{self.part} is gone, and {self.path} is another file")

    def _rewrite(self, work: Rewrite) -> None:
        beside = self.part.with_name(self.part.name + ".new")
        raw = owned(beside)
        try:
            cut_at(raw, 0)
            with self._read(self.part) as old, self._written(raw) as new:
                work(old, new)
            os.replace(beside, self.part)
        except OSError:
            raw.close()
            with suppress(OSError):
                beside.unlink()
            raise
        self._handle.close()
        self._raw = raw
        self._tell(raw)

    def _tell(self, raw: io.FileIO) -> None:
        self.size = raw.seek(0, os.SEEK_END)
        kept = min(self.size, CHECKED)
        raw.seek(self.size - kept)
        self._last = raw.read(kept)

    def _read(self, path: Path) -> BinaryIO:
        return cast(BinaryIO, gzip.open(path, "rb") if self.gz else path.open("rb"))

    @contextmanager
    def _written(self, raw: io.FileIO) -> Iterator[BinaryIO]:
        """The file as one that takes plain bytes, buffered."""
        buffer = io.BufferedWriter(raw, COPIED)
        try:
            if self.gz:
                with gzip.GzipFile("", "wb", LEVEL, buffer, 0) as packed:
                    yield cast(BinaryIO, packed)
            else:
                yield buffer
            buffer.flush()
        finally:
            buffer.detach()

    @property
    def opened(self) -> bool:
        """Whether there is a file to write to."""
        return self._raw is not None

    @property
    def _handle(self) -> io.FileIO:
        if self._raw is None:
            raise OutputError(f"{self.part} is not open")
        return self._raw


def _has(file: Any, mark: Mark) -> bool:
    if file.seek(0, os.SEEK_END) < mark.size:
        return False
    start = max(0, mark.size - CHECKED)
    file.seek(start)
    return zlib.crc32(file.read(mark.size - start)) == mark.crc
