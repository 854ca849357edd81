"""How a transport tells that it departs: the one moment the pace of a host is measured at."""

from __future__ import annotations

from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Protocol


class Departure(Protocol):
    """The permit of one send, as a transport sees it."""

    def depart(self, *, reused: bool = False) -> Awaitable[None] | None:
        """The connection is ready, the headers are about to be written. Raises NotNow to call it off.

        What it gives, if anything, is to be awaited before they are: the gate is in another process.
        """

    def sent(self) -> None:
        """The headers have been written."""


class Free:
    """A departure that nobody paces: for `scraper fetch`-like single requests and tests of a transport."""

    def depart(self, *, reused: bool = False) -> None:
        """Always now."""

    def sent(self) -> None:
        """Nothing to note."""


DEPARTURE: ContextVar[Departure] = ContextVar("departure", default=Free())  # noqa: B039  (it has no state)
