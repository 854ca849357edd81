"""One JSON array, one item a line, so that it can be cut and added to without reading it."""

from __future__ import annotations

from collections.abc import Sequence


class JsonArray:
    """A JSON array of objects (.json)."""

    def __init__(self, state: bytes | None = None) -> None:
        self._before = state or b"[\n"  # what stands before the next item

    def render(self, lines: Sequence[bytes]) -> bytes:
        """The items, each on its line, with what separates them from those before."""
        if not lines:
            return b""
        data = self._before + b",\n".join(lines)
        self._before = b",\n"
        return data

    def settle(self) -> bytes:
        """Nothing is kept back."""
        return b""

    def tail(self) -> bytes:
        """The end of the array."""
        return {b"[\n": b"[]\n", b"\n": b"]\n"}.get(self._before, b"\n]\n")

    def state(self) -> bytes:
        """What stands before the next item."""
        return self._before

    def adopt(self, first: bytes, last: bytes, size: int) -> tuple[int, bytes]:
        """Go on within an existing array: its bracket is cut off."""
        end = last.rstrip()
        if not first.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[") or not end.endswith(b"]"):
            raise ValueError("it is not a JSON array")
        kept = end[:-1].rstrip()
        self._before = b"\n" if kept.endswith(b"[") else b",\n"
        return len(last) - len(kept), b""

    def rewrite(self) -> None:
        """Never."""
