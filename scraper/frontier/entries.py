"""What the ledger tells: one request, its story, counts; and which requests are meant by a few words."""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import UsageError
from ..reasons import Reason
from ..settings import near

QUEUED, WAITING, ALL = "queued", "waiting", "all"
ENDS = ("done", "redirected", "failed", "dropped")
STATES = (ALL, QUEUED, WAITING, *ENDS)
# Ends of requests that were not sent for them.
NOT_SENT = frozenset(
    {Reason.ROBOTS, Reason.HOST_LIMIT, Reason.TOO_DEEP, Reason.HOST_DOWN, Reason.ROBOTS_UNREACHABLE, Reason.POISON}
)
REASONS = tuple(each.value for each in Reason)


class Selection(msgspec.Struct, frozen=True):
    """Which requests: by state, reason (a Reason's value) and status; empty means any.

    `queued` are all that are still to be answered, `waiting` those of them that wait for their time.
    """

    state: str = ""
    reason: str = ""
    status: int = 0

    @classmethod
    def parse(cls, text: str) -> Selection:
        """`failed`, `failed:status`, `failed:status:404`, `status:404`, `all`. Raises UsageError."""
        first, *rest = text.split(":")
        state = first if first in STATES else ""
        words = rest if state else [first, *rest]
        reason = words.pop(0) if words else ""
        if reason and reason not in REASONS:
            known = REASONS if state else (*STATES, *REASONS)
            raise UsageError(f"{text!r}: there is no state or reason {reason!r}{near(reason, known)}")
        status = words.pop(0) if words else ""
        if words or (status and not (status.isdecimal() and reason == Reason.STATUS)):
            raise UsageError(f"{text!r}: write a state, a reason, STATE:REASON or STATE:status:404")
        return cls("" if state == ALL else state, reason, int(status or 0))

    def where(self, now: float) -> tuple[str, list[Any]]:
        """The condition on rows of answers `a` and of the queue `q`, and its values."""
        parts: list[str] = []
        values: list[Any] = []
        if self.state in ENDS:
            parts, values = ["a.end = ?"], [self.state]
        elif self.state == QUEUED:
            parts = ["q.id IS NOT NULL"]
        elif self.state == WAITING:
            parts, values = ["+q.lane = 0 AND q.due > ?"], [now]  # "+": no index, it would lose the order of tokens
        for name, value in (("a.reason", self.reason), ("a.status", self.status)):
            if value:
                parts.append(f"{name} = ?")
                values.append(value)
        return " AND ".join(parts) or "1", values

    def fits(self, count: Count) -> bool:
        """Whether a count is of such requests; of a status only where the reason is `status`."""
        state = self.state in ("", count.state) or (self.state == QUEUED and count.state == WAITING)
        return state and self.reason in ("", count.reason) and self.status in (0, count.status)

    @property
    def deep(self) -> bool:
        """Whether links that were too deep are among them."""
        return self.state in ("", "dropped") and self.reason in ("", Reason.TOO_DEEP) and not self.status


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request. Times are wall-clock seconds, 0 for none; sizes bytes; `seconds` its last try's time.

    `tries` are those since it was queued; `place` is the spider's frame of an error; `token` 0 is a link that
    was too deep to become a request.
    """

    url: str
    state: str
    reason: str = ""
    detail: str = ""
    status: int = 0
    tries: int = 0
    depth: int = 0
    method: str = "GET"
    parent: str = ""
    redirected_from: str = ""
    redirected_to: str = ""
    found: float = 0.0
    answered: float = 0.0
    due: float = 0.0
    items: int = 0
    bytes: int = 0
    wire: int = 0
    seconds: float = 0.0
    seed: bool = False
    cut: bool = False
    started: bool = False
    kills: int = 0
    place: str = ""
    session: str = ""
    token: int = 0
    parent_token: int = 0
    via: int = 0
    target: int = 0

    @property
    def sent(self) -> bool:
        """Whether its end is that of a try."""
        return bool(self.reason) and self.reason not in NOT_SENT


class Attempt(msgspec.Struct, frozen=True):
    """An earlier try, at the wall-clock second of its end."""

    at: float
    reason: str
    detail: str = ""
    status: int = 0


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """One request with all that led to it and away from it.

    `chain` are the pages it was found through, the nearest first, redirects included, a seed last; `onward` is
    where it was redirected to, hop by hop; `ahead` so many of its host come before it.
    """

    entry: Entry
    attempts: list[Attempt] = []
    chain: list[Entry] = []
    onward: list[Entry] = []
    ahead: int = 0


class Count(msgspec.Struct, frozen=True):
    """So many requests of one state and reason; of reason `status` for each status."""

    state: str
    reason: str
    status: int
    number: int


class Rest(msgspec.Struct, frozen=True):
    """A host that is left alone until a wall-clock second, or that is down."""

    host: str
    until: float
    down: bool = False
