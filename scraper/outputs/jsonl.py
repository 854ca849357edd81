"""JSON lines: each item as the journal has it."""

from __future__ import annotations

from collections.abc import Sequence


class Jsonl:
    """One JSON object a line, UTF-8 (.jsonl, .ndjson, .jl)."""

    def __init__(self, state: bytes | None = None) -> None:
        """There is nothing to remember between lines."""

    def render(self, lines: Sequence[bytes]) -> bytes:
        """The lines."""
        return b"\n".join(lines) + b"\n" if lines else b""

    def settle(self) -> bytes:
        """Nothing is kept back."""
        return b""

    def tail(self) -> bytes:
        """Lines need no end."""
        return b""

    def state(self) -> bytes:
        """Nothing."""
        return b""

    def adopt(self, first: bytes, last: bytes, size: int) -> tuple[int, bytes]:
        """Go on after the last line, which gets its newline if it has none."""
        return 0, b"" if last.endswith(b"\n") else b"\n"

    def rewrite(self) -> None:
        """Never."""
