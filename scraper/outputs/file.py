"""The output of one file: what a `Form` makes of the items, in a `Part` that becomes PATH at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from ..errors import OutputError
from . import CursorLost
from .disk import whole
from .form import Form
from .part import NOWHERE, Mark, Part


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
        self._flushed = True

    async def open(self, cursor: bytes | None, committed: int) -> None:
        """Begin anew, after what PATH holds with `append`; or cut PATH.part back to the cursor."""
        self._flushed = True
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
        await self.part.resume(kept.mark, self._form if self.append else None)
        await self._keep()

    async def write(self, lines: Sequence[bytes]) -> None:
        """Render off the loop, and write in one go, to the end even when cancelled: form and file agree."""
        self._flushed = False
        await whole(self._rendered(lines))

    async def flush(self, position: int) -> bytes:
        """Everything is in the file; a gzip member ends here."""
        await self._put(self._form.settle())
        cursor = msgspec.msgpack.encode(await self._keep())
        self._flushed = True
        return cursor

    async def close(self, *, finished: bool) -> bytes | None:
        """Write the footer; PATH.part becomes PATH when `finished`, and stays, valid, when not.

        A form that has to be written anew is so, and has a new cursor then; not when the end is no orderly
        one, because the last cursor must stay true. What others may add to has a new one too, once it is PATH:
        no PATH.part is this run's then, also not one that was given the number of the file that it had.
        """
        if not finished and not self.part.opened:
            return None
        try:
            await self._put(self._form.settle())
            cursor = None
            rewrite = self._form.rewrite() if finished or self._flushed else None
            if rewrite is not None:
                await self.part.rewrite(rewrite)
                cursor = msgspec.msgpack.encode(await self._keep())
            await self.part.write(self._form.tail())
            await self.part.end(finished=finished)
            if finished and self.append:
                placed = msgspec.structs.replace(self._kept.mark, file=NOWHERE)
                cursor = msgspec.msgpack.encode(_Cursor(placed, self._kept.form))
        finally:
            await self.part.leave()
        return cursor

    async def _rendered(self, lines: Sequence[bytes]) -> None:
        await self._put(await asyncio.to_thread(self._form.render, lines))

    async def _keep(self) -> _Cursor:
        self._kept = _Cursor(await self.part.mark(), self._form.state())
        return self._kept

    async def _put(self, data: bytes) -> None:
        """Append; when that fails (a full disk), the file and the form go back to the last cursor."""
        try:
            await whole(self.part.write(data))
        except OutputError:
            self._form = self._make(self._kept.form)
            await self.part.cut(self._kept.mark)
            raise
