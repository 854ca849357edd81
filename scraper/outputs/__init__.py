"""Room 5, keep it: the run's item journal, and the outputs that follow it.

    commit -> journal (items.jsonl, in the transaction) -> one follower an output -> jsonl csv json xml sqlite -

Only the journal is exactly-once by itself. An output promises less and so can be anything: it says how far
it is durable (a cursor), and can be opened again at its last cursor, whatever it wrote after that. Its
follower then reads the journal from there. An output that can keep the journal's position together with its
items, as a database can, says so when it is opened, and its own word is believed. So an output that dies
stops no crawl, and one that is added later, or whose file was lost, gets everything.

To add an output: one file with a class that has these four verbs, one line in `registry.py`, one in the
contract tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..errors import OutputError


class CursorLost(OutputError):
    """What was written up to a cursor is no longer there; the output must be opened anew and given all."""


class Output(Protocol):
    """A place for results. Every verb raises OutputError, which names the place and says why.

    A cursor is data that only its output can read: its own state after the N items that were durable when
    `flush` answered. It never holds footers: these are written at every orderly end, and cut off by `open`.
    Positions are the journal's (see `Followed`).
    """

    async def open(self, cursor: bytes | None, committed: int) -> int | None:
        """Begin (None), or cut back to a cursor; raises CursorLost when that is not possible.

        Answers the position that the output itself kept, None when it keeps none and is where the cursor says.
        That is never beyond `committed`: what it took from behind there never was, and is taken back.
        """
        ...

    async def write(self, lines: Sequence[bytes]) -> None:
        """Take items, each one JSON object as the journal has it, without a newline; may keep them back."""
        ...

    async def flush(self, position: int) -> bytes:
        """Make all that was taken safe from the end of this process; returns the cursor of that point.

        `position` is where the journal's items taken so far end, for an output that keeps it with them.
        """
        ...

    async def close(self, *, finished: bool) -> bytes | None:
        """End in good order, footer included; only when `finished` does the result take its final name.

        What was not flushed may be dropped. Answers a cursor when the end made the last one invalid.
        """
        ...


class Followed(Protocol):
    """What a follower reads: positions are bytes in a file and items in memory, 0 is the beginning."""

    async def read(self, position: int, end: int) -> tuple[list[bytes], int]:
        """Some items from a position on, at least one if there is any before `end`, and where they end."""
        ...
