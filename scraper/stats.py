"""Counts of a run: what its summary, its rules and its stats.json are made of."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from .events import PageEnded
from .outcome import End, Outcome
from .reasons import Reason

MAX_GROUPS = 200  # causes of errors kept apart; a hostile site could make any number


class Cause(msgspec.Struct):
    """Errors of one kind: how many, and one of them to look at."""

    reason: Reason
    detail: str
    where: str
    url: str
    count: int = 0
    trace: str = ""


class Stats:
    """Counters that every outcome passes; O(1) each."""

    def __init__(self, started: float) -> None:
        self.started = started  # wall-clock seconds
        self.first = started  # when the first process of this run began
        self.ended = 0.0
        self.before = 0.0  # seconds of earlier processes of this run
        self.ends: Counter[End] = Counter()
        self.reasons: Counter[tuple[End, Reason]] = Counter()
        self.statuses: Counter[int] = Counter()
        self.items = 0
        self.rejected = 0
        self.cut = 0
        self.own_fetches = 0
        self.wire = 0
        self.bytes = 0
        self.causes: dict[tuple[Reason, str, str], Cause] = {}

    def count(self, outcome: Outcome) -> None:
        """Take an outcome in."""
        end = outcome.end
        self.ends[end] += 1
        if end is not End.DONE:
            self.reasons[end, outcome.reason] += 1
        if outcome.status:
            self.statuses[outcome.status] += 1
        self.items += len(outcome.items)
        self.rejected += len(outcome.rejected)
        self.cut += outcome.cut
        self.wire += outcome.wire
        self.bytes += outcome.size
        if end is End.FAILED:
            self._cause(outcome)

    def _cause(self, outcome: Outcome) -> None:
        key = _key(outcome.reason, outcome.detail, outcome.where, outcome.request.url)
        cause = self.causes.get(key)
        if cause is None:
            if len(self.causes) >= MAX_GROUPS:
                key = (outcome.reason, "", "")
            cause = self.causes.setdefault(
                key,
                Cause(outcome.reason, outcome.detail, key[2], outcome.request.url, 0, outcome.trace),
            )
        cause.count += 1

    @property
    def done(self) -> int:
        """Pages whose callback ended well."""
        return self.ends[End.DONE]

    @property
    def failed(self) -> int:
        """Requests that failed for good."""
        return self.ends[End.FAILED]

    @property
    def error_rate(self) -> float:
        """Failed requests as a share of all that were answered, 0 to 1."""
        answered = self.done + self.failed
        return self.failed / answered if answered else 0.0

    def sorted_causes(self) -> list[Cause]:
        """Causes of errors: those with a frame of the spider first, then by number."""
        return sorted(self.causes.values(), key=lambda cause: (not cause.where, -cause.count))

    def kept(self, now: float) -> dict[str, Any]:
        """What `restore` needs, as plain data; `now` is the wall-clock second."""
        return {
            "first": self.first,
            "seconds": self.before + max(0.0, now - self.started),
            "reasons": [(end.value, reason.value, number) for (end, reason), number in self.reasons.items()],
            "done": self.ends[End.DONE],
            "statuses": list(self.statuses.items()),
            "counts": (self.items, self.rejected, self.cut, self.own_fetches, self.wire, self.bytes),
        }

    def kept_causes(self) -> list[Any]:
        """The causes of errors as plain data."""
        return [msgspec.to_builtins(cause) for cause in self.causes.values()]

    def restore(self, kept: dict[str, Any], causes: list[Any]) -> None:
        """Go on counting where an earlier process of this run stopped."""
        self.first, self.before = kept["first"], kept["seconds"]
        self.ends[End.DONE] = kept["done"]
        for end, reason, number in kept["reasons"]:
            self.reasons[End(end), Reason(reason)] = number
            self.ends[End(end)] += number
        self.statuses.update(dict(kept["statuses"]))
        self.items, self.rejected, self.cut, self.own_fetches, self.wire, self.bytes = kept["counts"]
        for data in causes:
            cause = msgspec.convert(data, Cause)
            self.causes[_key(cause.reason, cause.detail, cause.where, cause.url)] = cause

    def as_data(self) -> dict[str, Any]:
        """Everything as plain data for stats.json."""
        return {
            "started": self.first,
            "ended": self.ended,
            "seconds": round(self.before + self.ended - self.started, 3),
            "pages": {str(end): number for end, number in self.ends.items() if number and end is not End.BACK},
            "reasons": {f"{end}:{reason}": number for (end, reason), number in self.reasons.items()},
            "statuses": {str(status): number for status, number in sorted(self.statuses.items())},
            "items": self.items,
            "rejected": self.rejected,
            "own_fetches": self.own_fetches,
            "bytes": self.bytes,
            "wire_bytes": self.wire,
            "errors": [msgspec.to_builtins(cause) for cause in self.sorted_causes()],
        }


def _key(reason: Reason, detail: str, where: str, url: str) -> tuple[Reason, str, str]:
    """What makes two errors one cause: a status, or a line and what was raised there, whatever the page."""
    return reason, detail.replace(url, "") if where or reason is Reason.STATUS else "", where


def ended(outcome: Outcome) -> PageEnded:
    """The event that an outcome is."""
    request = outcome.request
    return PageEnded(
        url=request.url,
        end=outcome.end.value,
        reason=outcome.reason,
        detail=outcome.detail,
        status=outcome.status,
        tries=request.tries,
        depth=request.depth,
        took=outcome.took,
        size=outcome.size,
        items=len(outcome.items),
        where=outcome.where,
    )
