"""What happens in a crawl, as frozen values. Logs, progress and dashboards only listen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from .reasons import Reason


class PageEnded(msgspec.Struct, frozen=True):
    """A request got its outcome; it is not durable yet. `took` in seconds, `size` in bytes."""

    url: str
    end: str
    reason: Reason
    detail: str = ""
    status: int = 0
    tries: int = 0
    depth: int = 0
    took: float = 0.0
    size: int = 0
    items: int = 0
    where: str = ""


class HostRests(msgspec.Struct, frozen=True):
    """A host is left alone for so many seconds."""

    host: str
    seconds: float
    reason: Reason


class Committed(msgspec.Struct, frozen=True):
    """A batch is durable: so many outcomes, and the journal's length in bytes."""

    outcomes: int
    position: int


class OutputFailed(msgspec.Struct, frozen=True):
    """An output has stopped; the crawl goes on and the journal has everything."""

    output: str
    error: str


Event = PageEnded | HostRests | Committed | OutputFailed
Listener = Callable[[Any], None]


class Events:
    """Hands events to whoever listens; with nobody listening, `wanted` is false and none is made."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self.wants_done = False  # whether somebody wants to hear of pages that went well, too

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def listen(self, listener: Listener, *, done: bool = True) -> None:
        """Call this with every event from now on; it must not block.

        With `done` false it can do without the pages that went well, and may hear of them all the same.
        """
        self._listeners.append(listener)
        self.wants_done = self.wants_done or done

    def tell(self, event: Event) -> None:
        """Hand an event to every listener."""
        for listener in self._listeners:
            listener(event)
