"""A deadline that is moved many times and hardly ever passes: one timer, looked at when it fires."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Deadline:
    """`async with Deadline() as deadline:` raises TimeoutError in the body once `deadline.until` has passed.

    `move(until)` costs an assignment while it moves later (asyncio.timeout's `reschedule` makes a new timer
    each time, measured 2 % of a crawl). Seconds of the loop's clock; None: no deadline.
    """

    __slots__ = ("_before", "_loop", "_passed", "_task", "_timer", "until")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._passed = False
        self._before = 0  # cancellations that the task has outlived
        self.until: float | None = None

    def move(self, until: float | None) -> None:
        """Let it pass then."""
        self.until = until
        if until is not None and (self._timer is None or until < self._timer.when()):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(until, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self._task is None or self.until is None:
            return
        if self._loop.time() < self.until:
            self.move(self.until)
            return
        self._passed = True
        self._task.cancel()

    async def __aenter__(self) -> Deadline:
        self._task = task = asyncio.current_task()
        self._before = task.cancelling() if task is not None else 0
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self._timer is not None:
            self._timer.cancel()
        # As asyncio.timeout does: our own cancellation becomes a TimeoutError, somebody else's stays one.
        if self._passed and task is not None:
            ours = task.uncancel() <= self._before
            if ours and kind is asyncio.CancelledError:
                raise TimeoutError from error
