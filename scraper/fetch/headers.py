"""The header fields of an answer as the parser left them: nothing is decoded or copied before it is asked for."""

from __future__ import annotations

from typing import Any

from multidict import CIMultiDictProxy

from ..response import Headers

RawHeaders = tuple[tuple[bytes, bytes], ...]


class WireHeaders(Headers):
    """What `of` made of one head; making it costs an assignment for each of its parts."""

    __slots__ = ("_found", "_lines")
    _found: CIMultiDictProxy[str]
    _lines: RawHeaders

    @classmethod
    def of(cls, found: CIMultiDictProxy[str], lines: RawHeaders) -> WireHeaders:
        """The fields as aiohttp's parser gives them: decoded and found by name, and as they were sent."""
        made = cls.__new__(cls)
        made._found = found
        made._lines = lines
        made._first = None
        return made

    def __getattr__(self, name: str) -> Any:
        if name != "raw":  # the one slot that is empty until it is asked for
            raise AttributeError(name)
        self.raw = tuple((_text(key), _text(value)) for key, value in self._lines)
        return self.raw

    def __getitem__(self, name: str) -> str:
        return self._found[name]

    def __contains__(self, name: object) -> bool:
        return name in self._found

    def get(self, name: str, default: Any = None) -> Any:
        """The first value of a field, `default` where there is none."""
        return self._found.get(name, default)

    def getall(self, name: str) -> list[str]:
        """Every value of a field, in the order they were sent."""
        return self._found.getall(name, [])


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
