"""Files for results: written beside their final name as PATH.part, which takes the name at the end.

`FileOutput` is the output; `Part` is the file itself: append, mark, cut back, replace, gzip or not. What is
in the file is the business of a `Form`.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import stat
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import msgspec
from aiofiles.threadpool import wrap

from ..errors import OutputError
from . import CursorLost
from .form import Form, Rewrite

try:
    import fcntl
except ImportError:  # Windows: nothing keeps two processes apart there
    fcntl = None  # type: ignore[assignment]

CHECKED = 4096  # bytes before a mark that are compared when the file is opened again
COPIED = 1024 * 1024  # bytes copied at once
SHOWN = 256  # bytes of an existing file's end that its form looks at
LEVEL = 6  # of gzip: beyond it the time doubles for 1 % of size
T = TypeVar("T")


class Mark(msgspec.Struct, array_like=True, frozen=True):
    """A point of a file: its bytes so far, and the CRC-32 of the last 4 KB of them."""

    size: int
    crc: int


class _Cursor(msgspec.Struct, array_like=True, frozen=True):
    mark: Mark
    form: bytes


class FileOutput:
    """An output of one file in one form; see `Output` for the verbs.

    A file that was finished, and is opened again at its cursor, goes on from a copy. With `append` it starts
    from a copy of what PATH holds. So PATH is whole at every moment.
    """

    def __init__(self, path: Path, form: Callable[[bytes | None], Form], *, append: bool = False) -> None:
        self.part = Part(path)
        self.append = append
        self._make = form
        self._form = form(None)
        self._kept = _Cursor(Mark(0, 0), self._form.state())

    async def open(self, cursor: bytes | None) -> None:
        """Begin anew, after what PATH holds with `append`; or cut PATH.part back to the cursor."""
        if cursor is None:
            self._form = self._make(None)
            await self.part.begin(self._form if self.append else None)
            await self._keep()
            return
        try:
            kept = msgspec.msgpack.decode(cursor, type=_Cursor)
            self._form = self._make(kept.form)
        except msgspec.MsgspecError as error:
            raise CursorLost(f"{self.part.path}: the cursor is of another kind") from error
        await self.part.resume(kept.mark)
        self._kept = kept

    async def write(self, lines: Sequence[bytes]) -> None:
        """Render off the loop, and write in one go."""
        await self._put(await asyncio.to_thread(self._form.render, lines))

    async def flush(self) -> bytes:
        """Everything is in the file; a gzip member ends here."""
        await self._put(self._form.settle())
        return msgspec.msgpack.encode(await self._keep())

    async def close(self, *, finished: bool) -> None:
        """Write the footer; PATH.part becomes PATH when `finished`, and stays, valid, when not."""
        try:
            await self._put(self._form.settle())
            rewrite = self._form.rewrite()
            if rewrite is not None:
                await self.part.rewrite(rewrite)
            await self.part.write(self._form.tail())
            await self.part.end(finished=finished)
        finally:
            await self.part.leave()

    async def _keep(self) -> _Cursor:
        self._kept = _Cursor(await self.part.mark(), self._form.state())
        return self._kept

    async def _put(self, data: bytes) -> None:
        """Append; when that fails (a full disk), the file and the form go back to the last cursor."""
        try:
            await self.part.write(data)
        except OutputError:
            self._form = self._make(self._kept.form)
            await self.part.cut(self._kept.mark)
            raise


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
        with named(self.part):
            await whole(asyncio.to_thread(self._begin, form))

    async def resume(self, mark: Mark) -> None:
        """Cut back to a mark, in PATH.part or else in a copy of PATH; CursorLost when neither has it."""
        with named(self.part):
            if not await whole(asyncio.to_thread(self._resume, mark)):
                raise CursorLost(f"{self.part} is not as it was left")

    async def write(self, data: bytes) -> None:
        """Append; with gzip, into the open member."""
        if not data:
            return
        if self.gz:
            if self._member is None:
                self._member = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
            data = await whole(asyncio.to_thread(self._member.compress, data))
        await self._put(data)

    async def mark(self) -> Mark:
        """Where the file can be cut back to."""
        await self._end_member()
        return Mark(self.size, zlib.crc32(self._last[-CHECKED:]))

    async def cut(self, mark: Mark) -> None:
        """Go back to a mark of this very file, as far as the system lets us."""
        self._member = None
        with suppress(OSError):
            _cut(self._handle, mark.size)
            self._tell(self._handle)

    async def rewrite(self, work: Rewrite) -> None:
        """Write the whole file anew, beside itself; needs its size again on the disk, and no memory."""
        await self._end_member()
        with named(self.part):
            await whole(asyncio.to_thread(self._rewrite, work))

    async def end(self, *, finished: bool) -> None:
        """Put the file into its final place, safe from a loss of power."""
        if self.gz and self.size == 0 and self._member is None:
            self._member = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)  # no bytes at all are not valid gzip
        await self._end_member()
        if finished:
            with named(self.path):
                await whole(asyncio.to_thread(self._replace))

    async def leave(self) -> None:
        """Let go of the file as it is."""
        raw, self._raw = self._raw, None
        if raw is not None:
            with named(self.part):
                raw.close()

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
        self._raw = raw = _owned(self.part)
        _cut(raw, 0)
        self.size, self._last, self._member = 0, b"", None
        if form is None or not self.path.exists():
            return
        first, last, size = self._look()
        if size:
            try:
                cut, extra = form.adopt(first, last, size)
            except ValueError as error:
                raise OutputError(f"cannot add to {self.path}: {error}") from error
            with self._read(self.path) as old, self._written(raw) as new:
                _copy(old, new, size - cut)
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

    def _resume(self, mark: Mark) -> bool:
        self._raw = raw = _owned(self.part)
        if not _has(raw, mark):
            if not self.path.is_file():
                return self._give_up()
            with self.path.open("rb") as done:
                if not _has(done, mark):
                    return self._give_up()
                done.seek(0)
                _cut(raw, 0)
                _copy(done, cast(BinaryIO, raw), mark.size)
        _cut(raw, mark.size)
        self._tell(raw)
        self._member = None
        return True

    def _give_up(self) -> bool:
        if self._raw is not None:
            self._raw.close()
            self._raw = None
        return False

    def _rewrite(self, work: Rewrite) -> None:
        beside = self.part.with_name(self.part.name + ".new")
        raw = _owned(beside)
        try:
            _cut(raw, 0)
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

    def _replace(self) -> None:
        os.fsync(self._handle.fileno())
        if fcntl is None and self._raw is not None:
            self._raw.close()  # Windows replaces no open file; elsewhere the lock holds until it is done
        os.replace(self.part, self.path)
        if os.name == "posix":  # the new name is in the folder, which is a file of its own
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

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
    def _handle(self) -> io.FileIO:
        if self._raw is None:
            raise OutputError(f"{self.part} is not open")
        return self._raw


async def whole(work: Awaitable[T]) -> T:
    """Await what a thread does to its end, cancelled or not: nobody may write or close beside it."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen; the cancellation is what counts now
        raise


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Turn the system's errors into OutputError, with the path and the reason."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise OutputError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _owned(path: Path) -> io.FileIO:
    """Open for writing without touching the content, made if need be, and kept from other processes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = io.FileIO(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666), "r+")
    try:
        opened = os.fstat(raw.fileno())
        if fcntl is not None and stat.S_ISREG(opened.st_mode):
            fcntl.flock(raw, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(opened, os.stat(path)):
                raise BlockingIOError("another process has just finished it")
    except BlockingIOError as error:
        raw.close()
        raise OutputError(f"{path} is being written by another run") from error
    except OSError:
        raw.close()
        raise
    return raw


def _cut(raw: io.FileIO, size: int) -> None:
    if raw.seek(0, os.SEEK_END) > size:
        raw.truncate(size)
    raw.seek(size)


def _has(file: Any, mark: Mark) -> bool:
    if file.seek(0, os.SEEK_END) < mark.size:
        return False
    start = max(0, mark.size - CHECKED)
    file.seek(start)
    return zlib.crc32(file.read(mark.size - start)) == mark.crc


def _copy(old: BinaryIO, new: BinaryIO, size: int) -> None:
    while size > 0 and (chunk := old.read(min(COPIED, size))):
        view = memoryview(chunk)
        while view:  # a raw file may take less than it is given
            view = view[new.write(view) :]
        size -= len(chunk)
