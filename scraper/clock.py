"""Time, in one place, so that a test can hand in another."""

from __future__ import annotations

import asyncio
import time


class Clock:
    """The machine's clock: `monotonic` for delays and timeouts, `wall` for dates. Seconds."""

    monotonic = staticmethod(time.monotonic)  # seconds that never jump; asked for several times a page
    wall = staticmethod(time.time)  # seconds since 1970, as the machine believes

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds of this clock."""
        await asyncio.sleep(max(0.0, seconds))

    async def wait(self, event: asyncio.Event, until: float | None) -> None:
        """Wait for the event, at most until `until` (monotonic seconds; None: for ever)."""
        if until is None:
            await event.wait()
            return
        left = until - self.monotonic()
        if left <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(self.real(left)):
                await event.wait()
        except TimeoutError:
            return

    def real(self, seconds: float) -> float:
        """How many seconds of the machine so many seconds of this clock are."""
        return seconds


class FastClock(Clock):
    """A clock that runs `factor` times as fast as the machine's: an hour's rest in a short test."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self._start = time.monotonic()
        self._wall = time.time()

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return self._start + (time.monotonic() - self._start) * self.factor

    def wall(self) -> float:
        """Seconds since 1970, running as fast as `monotonic`."""
        return self._wall + (time.monotonic() - self._start) * self.factor

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds of this clock."""
        await asyncio.sleep(max(0.0, seconds) / self.factor)

    def real(self, seconds: float) -> float:
        """How many seconds of the machine so many seconds of this clock are."""
        return seconds / self.factor
