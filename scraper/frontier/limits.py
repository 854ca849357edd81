"""The limits of a crawl, exact at any concurrency. Pure; times are monotonic seconds, sizes bytes."""

from __future__ import annotations

from ..settings import Settings


class Limits:
    """Counts what is reserved and used. Pages are reserved at admission, items cut in commit order."""

    def __init__(self, settings: Settings, started: float) -> None:
        self._settings = settings
        self._started = started
        self.most = settings.max_pages  # 0: no limit
        self.pages = 0
        self.open = 0  # pages reserved and not yet answered for good
        self.begun = 0  # pages reserved that had an outcome, if only that another try follows
        self.items = 0
        self.bytes = 0
        self.over = ""  # why the spider has asked for the end

    @property
    def pages_left(self) -> int | None:
        """Places left under `max_pages`; None when there is no limit."""
        return max(0, self.most - self.pages) if self.most else None

    @property
    def full(self) -> bool:
        """Whether `max_pages` is used up."""
        return 0 < self.most <= self.pages

    def reserve(self) -> bool:
        """Take one place under `max_pages`; False when there is none."""
        if 0 < self.most <= self.pages:
            return False
        self.pages += 1
        self.open += 1
        return True

    def restore(self, begun: int, sent: int, open_: int, items: int) -> None:
        """Go on where an earlier process was: what it had reserved, and had no outcome, is free again.

        But for those that were `sent` for certain; they are among the `open_` ones, as `begun` ones may be.
        """
        self.begun = begun
        self.pages = begun + sent
        self.open = open_
        self.items = items

    def settle(self) -> None:
        """A page that held a place has been answered for good."""
        self.open -= 1

    def spent(self) -> bool:
        """Whether `max_pages` is used up and every page of it answered."""
        return self.full and self.open == 0

    def take_items(self, number: int) -> int:
        """How many of so many items may be kept."""
        most = self._settings.max_items
        kept = min(number, max(0, most - self.items)) if most else number
        self.items += kept
        return kept

    def reached(self, now: float) -> str:
        """What ends the crawl now, mostly a limit's name; "" when nothing does. `max_pages` ends it by itself."""
        settings = self._settings
        if self.over:
            return self.over
        if settings.max_items and self.items >= settings.max_items:
            return "max_items"
        if settings.max_run_bytes and self.bytes >= settings.max_run_bytes:
            return "max_run_bytes"
        if settings.max_seconds and now - self._started >= settings.max_seconds:
            return "max_seconds"
        return ""

    def deadline(self) -> float | None:
        """When `max_seconds` ends the crawl."""
        return self._started + self._settings.max_seconds if self._settings.max_seconds else None
