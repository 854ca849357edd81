"""The deadlines of all exchanges of a transport: one timer looks at them, a request needs none of its own."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Protocol

from ..reasons import Reason

TICK = 0.05  # seconds between two looks: how late a deadline may be found to have passed


class Watched(Protocol):
    """What a deadline is set for."""

    def give_up(self, error: BaseException) -> None:
        """It has passed: raise this where the answer is waited for."""


class Exchange:
    """The phases of one exchange and when the present one ends. Seconds of the loop's clock.

    Each phase has its own time and none has more than is left of the whole; `reason` is what it means
    that `until` has passed. `timeout`, `header_timeout` and `step` of 0 are endless.
    """

    __slots__ = ("_end", "_loop", "_mark", "_rate", "_step", "_wait", "departed", "reason", "reused", "start",
                 "until", "wire")  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, timeout: float, wait: float, rate: int, step: float
    ) -> None:
        self._loop = loop
        self.start = loop.time()
        self._end = self.start + timeout if timeout else inf
        self._wait = wait
        self._rate = rate
        self._step = step
        self._mark = -1  # bytes of body that began the present step; -1: no body yet
        self.departed = self.reused = False
        self.wire: Watched | None = None
        self.reason = Reason.TIMEOUT
        self.until = self._end

    def seconds(self) -> float:
        """Since the exchange began."""
        return self._loop.time() - self.start

    def phase(self, reason: Reason, seconds: float) -> None:
        """From here the phase may take so many seconds (0: any), and never more than is left of the whole."""
        until = self._loop.time() + seconds if seconds else inf
        if until < self._end:
            self.reason, self.until = reason, until
        else:
            self.reason, self.until = Reason.TIMEOUT, self._end

    def sent(self) -> None:
        """From here the headers of the answer are waited for."""
        self.phase(Reason.HEADER_TIMEOUT, self._wait)

    def received(self, size: int) -> None:
        """So many bytes of body have come; enough of them begin a new step of the slowest body that is borne."""
        if self._mark < 0:
            self._mark = 0
            self.phase(Reason.SLOW_BODY, self._step if self._rate else 0.0)
        if self._rate and size - self._mark >= self._rate * self._step:
            self._mark = size
            self.phase(Reason.SLOW_BODY, self._step)


class Watch:
    """Gives up what has been added and whose `until` has passed, TICK late at most. O(those added) a look."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._watched: set[Exchange] = set()
        self.discard = self._watched.discard

    def add(self, exchange: Exchange) -> None:
        """Watch it until it is discarded."""
        self._watched.add(exchange)
        if self._timer is None:
            self._timer = self._loop.call_later(TICK, self._look)

    def close(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = self._loop.call_later(TICK, self._look) if self._watched else None
        now = self._loop.time()
        for exchange in self._watched:
            if exchange.until <= now and exchange.wire is not None:
                exchange.wire.give_up(TimeoutError())
