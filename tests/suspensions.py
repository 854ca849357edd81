"""Counts where the tasks of a loop suspend, and cancels one of them there."""

from __future__ import annotations

import asyncio
import os.path
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

Place = tuple[str, ...]  # the lines that are awaiting one another, outermost first
Task = asyncio.Task[Any]


class Suspensions:
    """Every suspension of every task begun under `watching`, by place.

    `at(place, number, task)` is called at each, while the task is about to suspend: cancelling it there cancels
    that very await.
    """

    def __init__(self, at: Callable[[Place, int, Task], None] = lambda *_: None) -> None:
        self.total = 0
        self.places: Counter[Place] = Counter()
        self._at = at

    def cancel_all(self) -> None:
        """Cancel every watched task that has not ended, as a program may that wants to end."""
        for task in asyncio.all_tasks():
            if isinstance(task.get_coro(), _Stepped):
                task.cancel()

    @contextmanager
    def watching(self) -> Iterator[Suspensions]:
        """Tasks that are made from now on are watched, to their end."""
        loop = asyncio.get_running_loop()
        before = loop.get_task_factory()
        loop.set_task_factory(self._task)
        try:
            yield self
        finally:
            loop.set_task_factory(before)

    def _task(self, loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> Task:
        return asyncio.Task(work if foreign(work) else _Stepped(work, self._suspended), loop=loop, **more)

    def _suspended(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.current_task()
        assert task is not None
        place = where(work)
        self.total += 1
        self.places[place] += 1
        self._at(place, self.places[place], task)


class _Stepped(Coroutine[Any, Any, Any]):
    """A coroutine of which one hears whenever it suspends."""

    def __init__(self, work: Coroutine[Any, Any, Any], suspended: Callable[[Any], None]) -> None:
        self._work = work
        self._suspended = suspended

    def send(self, value: Any) -> Any:
        waited = self._work.send(value)
        self._suspended(self._work)
        return waited

    def throw(self, *error: Any) -> Any:
        waited = self._work.throw(*error)
        self._suspended(self._work)
        return waited

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Any:
        raise NotImplementedError("only tasks step it")


def foreign(work: Any) -> bool:
    """Whether a coroutine is of the server in this loop, not of the crawl."""
    code = getattr(work, "cr_code", None)
    return code is None or "aiohttp/web" in code.co_filename or code.co_name.startswith("_accept_connection")


def where(work: Any) -> Place:
    """The lines, outermost first; what an asynchronous generator awaits cannot be told."""
    lines = []
    while work is not None:
        frame: FrameType | None = None
        for kind in ("cr", "gi", "ag"):
            frame = frame or getattr(work, f"{kind}_frame", None)
        if frame is not None:
            lines.append(f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}")
        work = next(
            (
                inner
                for name in ("cr_await", "gi_yieldfrom", "ag_await")
                if (inner := getattr(work, name, None)) is not None
            ),
            None,
        )
    return tuple(lines)
