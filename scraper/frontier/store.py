"""The contract of a store: where the frontier keeps what is queued, seen and answered.

Verbs: open, add, claim, commit, renew, close. `add` is live at once; a request becomes durable in the same
step as the outcome that led to it, so no child is durable before its parent. Nobody outside hears of a page
before its commit, and only a commit makes the crawl end.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from ..outcome import Outcome
from ..request import Request


class Lease(msgspec.Struct, frozen=True):
    """Some requests of one host, lent to this process.

    `share` is how many requests it may have out at once (0: all that the settings allow), `expires` the
    wall-clock second at which the store takes the host back (None: never).
    """

    host: str
    requests: Sequence[Request]
    token: int = 0
    share: int = 0
    expires: float | None = None


class Finished(msgspec.Struct, frozen=True):
    """Nothing is left to claim: for good, or `resumable` with work due at the wall-clock second `due`."""

    resumable: bool = False
    due: float = 0.0


class Step(msgspec.Struct, frozen=True):
    """One accepted outcome and the requests that were added with it, or seeds alone (no outcome)."""

    outcome: Outcome | None
    added: Sequence[Request] = ()


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """One durable step: what was accepted, in that one order, and what else became true with it.

    The order matters where a request leads to itself (a cookie wall, a retry answered within the batch): its
    second pending life begins where its first one ends.
    """

    steps: Sequence[Step] = ()
    hosts: Mapping[str, Any] = {}  # host -> facts as data: rests, robots, breaker
    positions: Mapping[str, int] = {}  # journal segment -> bytes
    counters: Mapping[str, int] = {}
    cookies: Mapping[str, Any] = {}  # session -> the jar as data
    seeds_done: bool = False


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What an earlier process left behind; all empty for a new run."""

    hosts: Mapping[str, Any] = {}
    positions: Mapping[str, int] = {}
    counters: Mapping[str, int] = {}
    cookies: Mapping[str, Any] = {}
    seeds_done: bool = False


class Store(Protocol):
    """A place for the frontier. Raises StoreError when it cannot be read or written."""

    @property
    def seen(self) -> Container[int]:
        """Fingerprints known here: never a false yes; a remote store checks again."""

    async def open(self) -> Recovered:
        """Make ready, and tell what an earlier process left."""

    def add(self, requests: Iterable[Request]) -> None:
        """Mark as seen and queue; one with `due` in the future waits until then. No duplicate check."""

    async def claim(self, limit: int) -> list[Lease] | Finished:
        """Take up to `limit` requests that are due; waits until there are some, or the crawl is over."""

    async def commit(self, batch: Batch) -> Collection[int]:
        """Make a step durable; gives the tokens of leases this process no longer holds."""

    async def renew(self, tokens: Collection[int]) -> Collection[int]:
        """Keep leases; gives the tokens that are lost."""

    async def close(self) -> None:
        """Let go of everything."""
