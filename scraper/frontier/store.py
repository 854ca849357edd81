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

Facts = Mapping[str, Mapping[str, Any]]  # kind -> key -> plain data: "host", "robots", "cookies", "seed", "crawl"


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
    second pending life begins where its first one ends. `sources` are (byte of the journal of items, token): from
    there on they are those of that request.
    """

    steps: Sequence[Step] = ()
    started: Mapping[int, bool] = {}  # token of an unsafe request -> about to be sent, or not sent after all
    positions: Mapping[str, int] = {}  # journal segment -> bytes
    sources: Sequence[tuple[int, int]] = ()
    facts: Facts = {}  # those that changed
    seeds_done: bool = False


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What an earlier process left behind; all empty for a new run.

    `queued` requests are to be answered still, of which `counted` hold a place under `max_pages`; of these were
    `sent`, by host, and had no outcome yet. `answered` have been. `facts` are as the batches
    gave them, each the last one of its key. `last` is the token of the newest request;
    `blind`: the process died while it worked on one that was not durable yet, so which one it was is lost.
    """

    resumed: bool = False
    queued: int = 0
    counted: int = 0
    sent: Mapping[str, int] = {}
    answered: int = 0
    positions: Mapping[str, int] = {}
    facts: Facts = {}
    seeds_done: bool = False
    last: int = 0
    blind: bool = False


class Store(Protocol):
    """A place for the frontier. Raises StoreError when it cannot be read or written."""

    @property
    def seen(self) -> Container[int]:
        """Fingerprints known here: never a false yes; a remote store checks again."""

    async def open(self, suspects: Collection[int] = ()) -> Recovered:
        """Make ready, and tell what an earlier process left; it died while it worked on the `suspects` (tokens)."""

    def add(self, requests: Iterable[Request], marks: Iterable[int] = ()) -> list[Request]:
        """Mark as seen and queue; no duplicate check. Gives them as they are queued.

        `marks` are the fingerprints of the first of those that are new, where they are known already.

        One that is new gets a token, `after` becomes the wall-clock second it is `due` at, until which it
        waits. A request with a token is another try of that one.
        """

    async def claim(self, limit: int) -> list[Lease] | Finished:
        """Take up to `limit` requests that are due; waits until there are some, or the crawl is over."""

    def next_due(self) -> float | None:
        """The wall-clock second at which a claim would give something; None: not before something is committed."""

    async def commit(self, batch: Batch) -> Collection[int]:
        """Make a step durable; gives the tokens of leases this process no longer holds."""

    async def renew(self, tokens: Collection[int]) -> Collection[int]:
        """Keep leases; gives the tokens that are lost."""

    async def close(self) -> None:
        """Let go of everything."""
