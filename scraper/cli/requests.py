"""The rows of a run's ledger as an output gets them: what `export --requests` writes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from ..frontier.entries import Entry, Selection
from ..frontier.ledger import Ledger

COLUMNS = (
    "url", "method", "state", "reason", "detail", "status", "tries", "depth", "parent", "redirected_from",
    "redirected_to", "found", "answered", "due", "items", "bytes", "seconds",
)  # fmt: skip
TIMES = ("found", "answered", "due")
EMPTY = ("reason", "detail", "parent", "redirected_from", "redirected_to")  # null where there is none
ANSWERED = ("status", "items", "bytes", "seconds")  # null until there is an answer


class Rows:
    """What a follower reads: the chosen requests, once and in order. Positions count them."""

    def __init__(self, ledger: Ledger, wanted: Selection) -> None:
        self.number = 0
        self._chunks: Iterator[list[Entry]] = ledger.rows(wanted)

    async def read(self, position: int, end: int) -> tuple[list[bytes], int]:
        """Some rows; the end is reached when there are no more. Raises StoreError."""
        rows = next(self._chunks, None)
        if rows is None:
            return [], end
        self.number += len(rows)
        return [msgspec.json.encode(row(entry)) for entry in rows], position + len(rows)


def row(entry: Entry) -> dict[str, object]:
    """One request as an item; times are ISO 8601 in UTC, sizes bytes."""
    made: dict[str, object] = {name: getattr(entry, name) for name in COLUMNS}
    for name in TIMES:
        made[name] = _iso(getattr(entry, name))
    made["seconds"] = round(entry.seconds, 4)
    for name in EMPTY:
        made[name] = made[name] or None
    if not entry.answered:
        made.update(dict.fromkeys(ANSWERED))
    elif not entry.status:
        made["status"] = None
    return made


def _iso(second: float) -> str | None:
    if not second:
        return None
    return datetime.fromtimestamp(second, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
