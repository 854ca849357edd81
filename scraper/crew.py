"""Tasks that begin and end together; the first error of one of them comes out as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any

from .errors import first

Step = Coroutine[Any, Any, None]
Task = asyncio.Task[None]


class Crew:
    """A task group that loses no task.

    `lost` hears of a task that was cancelled and not by us: by a spider, or by what it uses. A group takes that
    for a good end, and whoever waits for what the task was to do would wait for ever. Its tasks know the context of
    the crew, not of the task that begins them: a page whose fetch makes room for another is not open in that.
    """

    def __init__(self, lost: Callable[[Task], None]) -> None:
        self._group = asyncio.TaskGroup()
        self._lost = lost
        self._tasks: set[Task] = set()
        self._ended: set[Task] = set()  # those that we have cancelled
        self._failed = False
        self._parent: asyncio.Task[object] | None = None
        self._context = Context()
        self._before = 0  # cancellations that the parent has outlived

    async def __aenter__(self) -> Crew:
        self._context = copy_context()
        self._parent = parent = asyncio.current_task()
        self._before = parent.cancelling() if parent is not None else 0
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for all tasks; on an error they are cancelled before."""
        self._failed = self._failed or error is not None
        try:
            await self._group.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            raise first(group) from group

    def go(self, step: Step, name: str | None = None) -> Task:
        """Begin a task, named as its coroutine is unless it is given a name."""
        try:
            name = name or getattr(step, "__name__", None)
            task = self._group.create_task(step, name=name, context=self._context.copy())
        except RuntimeError:  # another task has failed, and all are being cancelled
            step.close()
            raise asyncio.CancelledError from None
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def drop(self, task: Task) -> None:
        """Cancel one task."""
        self._ended.add(task)
        task.cancel()

    def end(self, *, but: Task | None = None) -> None:
        """Cancel all tasks but one."""
        self._ended |= self._tasks - {but}
        for task in self._ended:
            task.cancel()

    def _over(self, task: Task) -> None:
        self._tasks.discard(task)
        ended = task in self._ended
        self._ended.discard(task)
        if not task.cancelled():
            self._failed = self._failed or task.exception() is not None
        elif not (self._failed or ended or self._cancelled()):
            self._lost(task)

    def _cancelled(self) -> bool:
        """Whether all of us are, with the task that waits for us."""
        return self._parent is not None and self._parent.cancelling() > self._before
