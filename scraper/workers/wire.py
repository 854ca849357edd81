"""Messages over a local socket: each with its length before it, and all of one turn of the loop in one write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgspec

LENGTH = 4  # bytes before a message that say how long it is


class Wire(asyncio.Protocol):
    """One end. `told` gets each message of type `kind`, `lost` is called once, when the other end is gone."""

    def __init__(self, kind: Any, told: Callable[[Any], None], lost: Callable[[], None]) -> None:
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self._encode = msgspec.msgpack.Encoder().encode_into
        self._told = told
        self._lost = lost
        self.lost = asyncio.Event()  # the other end is gone, all it has said was heard
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._out = bytearray()
        self._in = bytearray()
        self._planned = False
        self._free = asyncio.Event()
        self._free.set()
        self.before: list[Callable[[], None]] = []  # called before what was said is written

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ready."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def connection_lost(self, error: Exception | None) -> None:
        """The other end has closed, or died."""
        self._transport = None
        self._free.set()
        self.lost.set()
        self._lost()

    def send(self, message: msgspec.Struct) -> None:
        """Say something, with whatever else is said in this turn of the loop. Into nothing when nobody hears."""
        start = len(self._out)
        try:
            self._encode(message, self._out, start + LENGTH)
        except BaseException:  # such as text that UTF-8 cannot hold: nothing was said
            del self._out[start:]
            raise
        self._out[start : start + LENGTH] = (len(self._out) - start - LENGTH).to_bytes(LENGTH, "little")
        self.plan()

    def plan(self) -> None:
        """Write at the end of this turn of the loop."""
        if not self._planned:
            self._planned = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what was said."""
        for call in self.before:
            call()
        self._planned = False
        out, self._out = self._out, bytearray()
        if out and self._transport is not None:
            self._transport.write(out)

    async def drain(self) -> None:
        """Wait while the other end is far behind."""
        self.flush()
        await self._free.wait()

    def pause_writing(self) -> None:
        """Much is waiting to be written."""
        self._free.clear()

    def resume_writing(self) -> None:
        """The other end has caught up."""
        self._free.set()

    def data_received(self, data: bytes) -> None:
        """Hand on each whole message. O(bytes)."""
        held = self._in
        if held:
            held += data
            data = bytes(held) if len(held) - LENGTH >= int.from_bytes(held[:LENGTH], "little") else b""
            if not data:
                return
            held.clear()
        at, size = 0, len(data)
        view = memoryview(data)
        while size - at >= LENGTH:
            end = at + LENGTH + int.from_bytes(view[at : at + LENGTH], "little")
            if end > size:
                break
            self._told(self._decode(view[at + LENGTH : end]))
            at = end
        if at < size:
            held += view[at:]

    def close(self) -> None:
        """Say no more; what was said still goes out."""
        self.flush()
        if self._transport is not None:
            self._transport.close()
