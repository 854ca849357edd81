"""What became of a request: the one thing a worker hands back."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

from .reasons import Reason
from .request import Request
from .response import Follow
from .spool import Spool


class End(StrEnum):
    """The state an outcome leaves its request in."""

    DONE = "done"
    REDIRECTED = "redirected"
    RETRY = "retry"
    FAILED = "failed"
    DROPPED = "dropped"
    BACK = "back"  # given back: not sent, tries unchanged


class Outcome(msgspec.Struct, kw_only=True):
    """One request's end: done with links and items, redirected to, retry at T, failed, dropped or given back.

    `at` is the wall-clock second of a retry, `took` the seconds from departure to the last byte, `wire` and
    `size` the bytes before and after decoding.
    """

    request: Request
    end: End
    reason: Reason = Reason.OK
    detail: str = ""
    status: int = 0
    links: Sequence[Request | Follow] = ()
    sifted: Any = None  # what the links come to, where the frontier's sieve has looked at them already
    items: list[bytes] | Spool = []
    rejected: Sequence[bytes] = ()
    target: Request | None = None
    at: float = 0.0
    took: float = 0.0
    wire: int = 0
    size: int = 0
    where: str = ""  # the spider's frame, for a callback's error
    trace: str = ""
    cut: bool = False  # max_items ended within this page
    stop: str = ""  # the callback asked for the end of the crawl

    def cut_to(self, number: int) -> None:
        """`max_items` ends within this page: keep its first so many items."""
        self.cut = True
        if isinstance(self.items, Spool):
            self.items.cut(number)
        else:
            del self.items[number:]

    @property
    def final(self) -> bool:
        """Whether the request is answered for good."""
        return self.end in FINAL


FINAL = frozenset({End.DONE, End.REDIRECTED, End.FAILED, End.DROPPED})


def failed(request: Request, reason: Reason, detail: str = "", **fields: Any) -> Outcome:
    """A failure for good."""
    return Outcome(request=request, end=End.FAILED, reason=reason, detail=detail, **fields)


def dropped(request: Request, reason: Reason, detail: str = "", **fields: Any) -> Outcome:
    """A request that a rule kept from being sent, or a page that a rule set aside."""
    return Outcome(request=request, end=End.DROPPED, reason=reason, detail=detail, **fields)


def retry(request: Request, at: float, reason: Reason, detail: str = "", **fields: Any) -> Outcome:
    """Another try, not before the wall-clock second `at`."""
    return Outcome(request=request, end=End.RETRY, reason=reason, detail=detail, at=at, **fields)


def refused(request: Request, reason: Reason, detail: str = "") -> Outcome:
    """What the gate turned away: a failure where the host is at fault, else a rule's drop."""
    at_fault = reason in (Reason.HOST_DOWN, Reason.ROBOTS_UNREACHABLE)
    return failed(request, reason, detail) if at_fault else dropped(request, reason)
