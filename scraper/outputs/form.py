"""What a file format is: pure functions from items to bytes, with a little state that a cursor can hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO, Protocol

Rewrite = Callable[[BinaryIO, BinaryIO], None]


class Form(Protocol):
    """One format. It is made with the state of a cursor, or None at the beginning; no verb does I/O."""

    def render(self, lines: Sequence[bytes]) -> bytes:
        """The bytes of items given as JSON objects; may keep some back. The first open the file."""
        ...

    def settle(self) -> bytes:
        """The bytes of what was kept back."""
        ...

    def tail(self) -> bytes:
        """What makes a whole file of everything rendered so far, even of nothing."""
        ...

    def state(self) -> bytes:
        """What a cursor has to remember."""
        ...

    def adopt(self, first: bytes, last: bytes, size: int) -> tuple[int, bytes]:
        """Go on with an existing file of `size` bytes, of which the first 64 KB and the last 256 are given.

        Answers how many bytes to cut off its end and what to add there. Raises ValueError when the file is
        not of this form.
        """
        ...

    def rewrite(self) -> Rewrite | None:
        """How the file must be written anew, from the old to the new, before its tail; usually not at all.

        Afterwards the form's state is that of the new file.
        """
        ...
