"""Watches the code of a spider while it does not await: notes whose it is, and interrupts it past its time."""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Callable
from types import FrameType

from .request import Request
from .url import printable

log = logging.getLogger("scraper.page")
BLOCKED = 1.0  # seconds of the loop a callback may hold before it is named in a warning


class CallbackHung(BaseException):
    """Raised in a callback that is past its time; `except Exception` does not hold it."""


class Alarm:
    """One timer for all callbacks: it ticks, and looks how long the present one has been running.

    To set one for each page would cost 4 us each. `seconds` is the time of a callback, 0 for none; `note` is told
    the token of the request whose callback is about to run, and 0 when it does not.
    """

    def __init__(self, seconds: float, note: Callable[[int], None]) -> None:
        self.seconds = seconds
        self.note = note
        self.armed = False
        self.tick = max(seconds / 10, 0.01)
        self.rung = -math.inf  # when it ticked last: a spider may have taken the system's one timer for itself
        self.since = 0.0  # when the code that runs now began, 0 when none does

    def arm(self) -> None:
        """Begin to tick."""
        self.armed = True
        self.rung = time.monotonic()
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, self.tick, self.tick)

    def _ring(self, number: int, stack: FrameType | None) -> None:
        self.rung = time.monotonic()
        if self.since and self.rung - self.since >= self.seconds:
            raise CallbackHung(f"longer than {self.seconds:g} s without an await")

    def close(self) -> None:
        """No callback runs any more."""
        if self.armed:
            self.armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)


class Watch:
    """Around code of the spider's that does not await: notes whose it is, interrupts it past its time, and names
    it when it held the loop. One object for all steps of a callback."""

    __slots__ = ("_alarm", "_request", "_started")

    def __init__(self, alarm: Alarm, request: Request) -> None:
        self._alarm = alarm
        self._request = request
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = time.monotonic()
        alarm = self._alarm
        alarm.note(self._request.token)
        if alarm.seconds:
            alarm.since = self._started
            if self._started - alarm.rung > 2 * alarm.tick:
                alarm.arm()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._alarm.since = 0.0
        self._alarm.note(0)
        held = time.monotonic() - self._started
        if held > BLOCKED:
            log.warning(
                "callback %r held the event loop for %.1f s on %s", self._request.callback, held,
                printable(self._request.url),
            )  # fmt: skip
