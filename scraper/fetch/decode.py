"""Content codings undone as the body streams in, with a cap on what comes out (RFC 9110 8.4).

Every coding of a chain gives its output in pieces of about PIECE bytes, and each piece runs through the
rest of the chain before the next one is made, so a bomb costs a piece a stage and then its request.
Whether the stream was whole is asked at the end: half a gzip file is an error, never half a page.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, Protocol

from ..errors import FetchError
from ..reasons import Reason

MAX_CODINGS: Final = 3
PIECE: Final = 256 * 1024  # bytes a stage may make in one step
_SLICE: Final = 64 * 1024  # bytes of input in one step: zlib copies what it has not read yet
_ZSTD_WINDOW: Final = 23  # log2 of 8 MiB, the most a sender may ask for (RFC 9659 3)
_TINY_MEMBERS: Final = 1000  # a body of so many members has to hold _TINY bytes in each, on average
_TINY: Final = 256


def _present(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it is missing
        return False


_ZSTD_MODULE: Final = next((name for name in ("compression.zstd", "backports.zstd") if _present(name)), "")

ACCEPT_ENCODING: Final[str] = ", ".join(
    ["gzip", "deflate"] + ["br"] * _present("brotli") + ["zstd"] * bool(_ZSTD_MODULE)
)
"""The Accept-Encoding to send: exactly what can be decoded here."""


def decoder(header: str | None, max_decoded: int) -> Decoder | None:
    """What undoes a Content-Encoding header, or None when there is nothing to undo.

    `max_decoded` is the most bytes the body may have. Raises FetchError(UNKNOWN_CODING).
    """
    if not header:
        return None
    made = Decoder(header, max_decoded)
    return made if made.codings else None


class Decoder:
    """One body on its way through the codings of its Content-Encoding header (lines joined by commas).

    `codings` are those to undo, in the order they were applied; `flags` says what was odd: "not_encoded"
    for a plain body with the label of a coding, "trailing_bytes" for junk behind a whole stream.
    Raises FetchError(UNKNOWN_CODING) for a coding this cannot undo, or more than three.
    """

    __slots__ = ("_stages", "codings", "flags")

    def __init__(self, codings: str, max_decoded: int) -> None:
        names = [name for part in codings.lower().split(",") if (name := part.strip(" \t")) not in _NONE]
        if len(names) > MAX_CODINGS:
            raise FetchError(Reason.UNKNOWN_CODING, f"{len(names)} codings, at most {MAX_CODINGS} are undone")
        self.codings = tuple(names)
        self.flags: set[str] = set()
        self._stages = [_Stage(name, max_decoded, self.flags) for name in reversed(names)]

    def feed(self, chunk: bytes) -> bytes:
        """What `chunk` adds to the body. O(bytes in + bytes out).

        Raises FetchError: TOO_LARGE beyond the cap, CODING when the stream is corrupt.
        """
        if len(self._stages) == 1 and len(chunk) <= _SLICE:
            return b"".join(self._stages[0].feed(chunk))
        slices = (chunk[at : at + _SLICE] for at in range(0, len(chunk), _SLICE))
        return b"".join(piece for part in slices for piece in self._through(0, part))

    def finish(self) -> bytes:
        """The rest of the body, when the last chunk was fed: nothing so far, as `feed` keeps nothing back.

        Raises FetchError(PARTIAL) when a stream ends too soon. No bytes at all are an empty body,
        whatever the header says (replies to HEAD, 204, 304).
        """
        for stage in self._stages:
            stage.close()
        return b""

    def _through(self, index: int, data: bytes) -> Iterator[bytes]:
        if index == len(self._stages):
            yield data
            return
        for piece in self._stages[index].feed(data):
            yield from self._through(index + 1, piece)


class _Codec(Protocol):
    """One compressed stream: at most about PIECE bytes out for each `pull`, whatever goes in."""

    @property
    def eof(self) -> bool:
        """Whether the stream is whole."""

    @property
    def unused(self) -> bytes:
        """What was fed beyond its end."""

    @property
    def more(self) -> bool:
        """Whether `pull(b"")` may give more without new input."""

    def pull(self, data: bytes) -> bytes:
        """Take `data` in, give a piece out; data only when there is no more."""


class _Stage:
    """One coding of the chain: which stream is open, what it made so far, and how it began."""

    __slots__ = ("_codec", "_flags", "_held", "_kind", "_made", "_max", "_members", "_name", "_open")

    def __init__(self, name: str, max_decoded: int, flags: set[str]) -> None:
        kind = _KINDS.get(name)
        if kind is None:
            raise FetchError(Reason.UNKNOWN_CODING, ascii(name[:40]))
        self._name = name
        self._kind = kind
        self._max = max_decoded
        self._flags = flags
        self._codec: _Codec | None = None
        self._open: Callable[[bytes], bytes] = self._begin  # takes the bytes when no stream is open
        self._held = b""
        self._members = 0
        self._made = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            if self._codec is None:
                if not (data := self._open(self._held + data)):
                    return
                if self._codec is None:  # not encoded at all
                    yield self._count(data)
                    return
            codec = self._codec
            try:
                piece = codec.pull(data)
            except self._kind.errors() as error:
                raise FetchError(Reason.CODING, f"corrupt {self._name}: {error}") from error
            if piece:
                yield self._count(piece)
            data = b""
            if codec.eof:
                data = codec.unused
                self._end_member()
                if not data:
                    return
            elif not codec.more:
                return

    def close(self) -> None:
        """Raises FetchError(PARTIAL) unless every stream that was begun is whole."""
        if self._codec is not None or self._held:
            raise FetchError(Reason.PARTIAL, f"the {self._name} stream ends after {self._made} bytes")

    def _count(self, piece: bytes) -> bytes:
        self._made += len(piece)
        if self._made > self._max:
            raise FetchError(Reason.TOO_LARGE, f"{self._name} decodes to more than {self._max} bytes")
        return piece

    def _begin(self, data: bytes) -> bytes:
        """Open the first stream, or find that there is none; b"" while that is open."""
        magics = self._kind.magics
        if len(data) < self._kind.needs and (not magics or any(m.startswith(data) for m in magics)):
            self._held = data
            return b""
        self._held = b""
        if magics and not data.startswith(magics):
            self._flags.add("not_encoded")
            self._open = _same
        else:
            self._codec = self._kind.make(data)
        return data

    def _next(self, data: bytes) -> bytes:
        """Open another stream behind a whole one (RFC 1952 2.2, RFC 8878 3.1), or pass over junk."""
        data = data.lstrip(b"\0") if self._kind.padded else data
        again = self._kind.again
        self._held = b""
        if not data:
            return b""
        if again and data.startswith(again):
            self._codec = self._kind.make(data)
            return data
        if any(magic.startswith(data) for magic in again):
            self._held = data
        elif self._kind.strict:
            raise FetchError(Reason.CODING, f"bytes behind the end of the {self._name} stream")
        else:
            self._flags.add("trailing_bytes")
            self._open = _nothing
        return b""

    def _end_member(self) -> None:
        self._codec = None
        self._open = self._next
        self._members += 1
        if self._members > _TINY_MEMBERS and self._made < self._members * _TINY:
            # Each member costs some 10 us however empty it is: a body of nothing else is an attack.
            raise FetchError(Reason.CODING, f"{self._members} {self._name} streams with next to nothing in them")


def _same(data: bytes) -> bytes:
    return data


def _nothing(_: bytes) -> bytes:
    return b""


class _Inflate:
    """Deflate in any dress: gzip (31), zlib (15) or bare (-15)."""

    __slots__ = ("_z", "more")

    def __init__(self, wbits: int) -> None:
        self._z = zlib.decompressobj(wbits)
        self.more = False

    @property
    def eof(self) -> bool:
        return self._z.eof

    @property
    def unused(self) -> bytes:
        return self._z.unused_data

    def pull(self, data: bytes) -> bytes:
        piece = self._z.decompress(self._z.unconsumed_tail + data, PIECE)
        self.more = len(piece) >= PIECE or bool(self._z.unconsumed_tail)
        return piece


class _Brotli:
    """Brotli (RFC 7932): output in pieces needs version 1.2 of the module."""

    __slots__ = ("_b", "more")
    unused = b""  # the module itself refuses bytes behind the end, and loses the output with it

    def __init__(self) -> None:
        self._b: Any = import_module("brotli").Decompressor()
        if not hasattr(self._b, "can_accept_more_data"):
            raise FetchError(Reason.UNKNOWN_CODING, "br needs brotli 1.2 or newer")
        self.more = False

    @property
    def eof(self) -> bool:
        return bool(self._b.is_finished())

    def pull(self, data: bytes) -> bytes:
        piece: bytes = self._b.process(data, output_buffer_limit=PIECE)
        # can_accept_more_data() speaks of input alone: with all of it read, output may still be waiting.
        self.more = len(piece) >= PIECE or not self._b.can_accept_more_data()
        return piece


class _Zstd:
    """Zstandard (RFC 8878), one frame."""

    __slots__ = ("_z",)

    def __init__(self) -> None:
        module: Any = import_module(_ZSTD_MODULE)
        options = {module.DecompressionParameter.window_log_max: _ZSTD_WINDOW}
        self._z = module.ZstdDecompressor(options=options)

    @property
    def eof(self) -> bool:
        return bool(self._z.eof)

    @property
    def unused(self) -> bytes:
        return bytes(self._z.unused_data)

    @property
    def more(self) -> bool:
        return not self._z.needs_input

    def pull(self, data: bytes) -> bytes:
        piece: bytes = self._z.decompress(data, PIECE)
        return piece


def _deflate(data: bytes) -> _Codec:
    # RFC 9110 says zlib; much of the web sends bare deflate. The two bytes of a zlib header are a
    # multiple of 31 and name method 8; a bare stream that looks so would have to be padded with ones.
    wrapped = data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
    return _Inflate(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is known of a coding: how a stream is opened, and what its first bytes look like."""

    make: Callable[[bytes], _Codec]
    errors: Callable[[], type[Exception]]
    needs: int = 1  # bytes to see before a stream can be opened
    magics: tuple[bytes, ...] = ()  # how the first stream begins, when that is known
    again: tuple[bytes, ...] = ()  # how another one begins
    padded: bool = False  # zero bytes between streams are nothing
    strict: bool = False  # junk behind a stream is an error


_GZIP: Final = _Kind(
    lambda _: _Inflate(16 + zlib.MAX_WBITS), lambda: zlib.error, 2, (b"\x1f\x8b",), (b"\x1f\x8b\x08",), True
)
_FRAMES: Final = (b"\x28\xb5\x2f\xfd", *(bytes((first,)) + b"\x2a\x4d\x18" for first in range(0x50, 0x60)))
_NONE: Final = frozenset({"", "identity"})
_KINDS: Final = {
    "gzip": _GZIP,
    "x-gzip": _GZIP,
    "deflate": _Kind(_deflate, lambda: zlib.error, 2),
}
if "br" in ACCEPT_ENCODING:
    _KINDS["br"] = _Kind(lambda _: _Brotli(), lambda: import_module("brotli").error, strict=True)
if _ZSTD_MODULE:
    _KINDS["zstd"] = _Kind(lambda _: _Zstd(), lambda: import_module(_ZSTD_MODULE).ZstdError, 4, _FRAMES, _FRAMES)
