"""The planned times of a job that have passed and have no run yet. Pure; moments are wall-clock seconds."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice

from .schedule import Schedule


class Unplanned:
    """Those of `times` in (since, now] that are not among `taken`, as which times have runs after a clock was
    set back."""

    def __init__(self, times: Schedule, since: float, now: float, taken: Collection[float] = ()) -> None:
        self.since = since
        self.now = now
        self._times = times
        # a run by hand has a time too, but mostly none of these
        self.taken = frozenset(t for t in taken if since < t <= now and times.after(t - 0.5) == t)

    def first(self, most: int) -> list[float]:
        """The first of them, at most so many."""
        found = self._times.between(self.since, self.now, most + len(self.taken))
        return list(islice((t for t in found if t not in self.taken), most))

    def count(self, a: float | None = None) -> int:
        """How many there are, or are later than `a`."""
        a = self.since if a is None else a
        return self._times.count(a, self.now) - sum(t > a for t in self.taken)

    def last(self, most: int, width: float = 60.0) -> list[float]:
        """The last of them in their order, at most so many; `width` is the span to look at first, in seconds."""
        while self.now - width > self.since and self.count(self.now - width) < most:
            width *= 2
        start = max(self.since, self.now - width)
        found = [t for t in self._between(start) if t not in self.taken]
        return found[-most:]

    def _between(self, start: float) -> Iterator[float]:
        return self._times.between(start, self.now, self._times.count(start, self.now))
