"""What a run's state says of its pages and of where in the journal their items are: read to compare two runs.

Nothing here holds a read transaction between two chunks, so it may be read while the run goes on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import StoreError
from . import schema

CHUNK = 2_000  # rows read at once
MOST_HOPS = 50  # of redirects, followed in either direction

PAGES = """SELECT r.id, r.fp, a.end, a.reason, a.status, a.cut, a.target, r.via
FROM request r LEFT JOIN answer a ON a.id = r.id"""


class Page(NamedTuple):
    """One request and how it ended; `end` "" when it has no answer yet. `via` was redirected to it."""

    token: int
    mark: int  # its fingerprint
    end: str
    reason: str
    status: int
    cut: bool
    target: int
    via: int


class Fates:
    """The state of one run. A context manager; every verb raises StoreError.

    `whole`: every request had an answer and the seeds had come to their end; `items_end` is where the committed
    items ended in the journal, in bytes. Both are of the moment it was opened; a run that goes on has more now.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._base = schema.look(path)
        try:
            left = self._one("SELECT EXISTS (SELECT 1 FROM queue)")
            self.whole = not left and bool(self._one("SELECT count(*) FROM meta WHERE key = 'seeds_done'"))
            # After it: what was whole then has no more items now.
            self.items_end = int(self._one("SELECT coalesce(max(bytes), 0) FROM position WHERE segment = 'items'"))
        except StoreError:
            self._base.close()
            raise

    def __enter__(self) -> Fates:
        return self

    def __exit__(self, *error: object) -> None:
        self._base.close()

    def sources(self, start: int = 0) -> Iterator[tuple[int, int]]:
        """(byte of the journal, token), from a byte on: there the items of that request begin. In order.

        Of what a version before 3 has written there is nothing.
        """
        if not self._one("SELECT count(*) FROM sqlite_master WHERE name = 'source'"):
            return
        query = f"SELECT start, id FROM source WHERE start >= ? ORDER BY start LIMIT {CHUNK}"
        while rows := self._all(query, start):
            yield from rows
            start = rows[-1][0] + 1

    def pages(self) -> Iterator[list[Page]]:
        """All requests in the order of their acceptance, some at a time; bounded memory. O(requests)."""
        token = 0
        while rows := self._all(f"{PAGES} WHERE r.id > ? ORDER BY r.id LIMIT {CHUNK}", token):
            token = rows[-1][0]
            yield [_page(row) for row in rows]

    def page(self, token: int) -> Page | None:
        """One request."""
        rows = self._all(f"{PAGES} WHERE r.id = ?", token)
        return _page(rows[0]) if rows else None

    def last(self, page: Page) -> Page:
        """Where its redirects led in the end; itself when there are none."""
        for _ in range(MOST_HOPS):
            onward = self.page(page.target) if page.target else None
            if onward is None:
                break
            page = onward
        return page

    def before(self, page: Page) -> Iterator[Page]:
        """What was redirected to it, the nearest first."""
        for _ in range(MOST_HOPS):
            earlier = self.page(page.via) if page.via else None
            if earlier is None:
                return
            yield earlier
            page = earlier

    def unread(self) -> Iterator[Page]:
        """The requests that failed or were dropped."""
        query = f"{PAGES} WHERE a.id > ? AND a.end IN ('failed', 'dropped') ORDER BY a.id LIMIT {CHUNK}"
        token = 0
        while rows := self._all(query, token):
            yield from map(_page, rows)
            token = rows[-1][0]

    def parents(self) -> bytearray:
        """One byte a token, 1 where another request was found on that page. O(requests), a byte each."""
        marks = bytearray(self._one("SELECT coalesce(max(id), 0) FROM request") + 1)
        token = 0
        while rows := self._all(f"SELECT id, parent FROM request WHERE id > ? ORDER BY id LIMIT {CHUNK}", token):
            for _, parent in rows:
                marks[parent] = 1
            token = rows[-1][0]
        return marks

    def too_deep(self) -> Iterator[str]:
        """The URLs that were not followed because of `max_depth`."""
        key = ""
        query = f"SELECT key FROM fact WHERE kind = 'too_deep' AND key > ? ORDER BY key LIMIT {CHUNK}"
        while rows := self._all(query, key):
            yield from (found for (found,) in rows)
            key = rows[-1][0]

    def _one(self, query: str) -> Any:
        return self._all(query)[0][0]

    def _all(self, query: str, *values: Any) -> Sequence[Any]:
        try:
            return self._base.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} cannot be read: {error}") from error


def _page(row: Sequence[Any]) -> Page:
    token, mark, end, reason, status, cut, target, via = row
    return Page(token, mark, end or "", reason or "", status or 0, bool(cut), target or 0, via)
