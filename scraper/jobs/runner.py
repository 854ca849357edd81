"""What works on a planned run: the contract between the scheduler and the processes of crawls. Values only."""

from __future__ import annotations

from collections.abc import Awaitable
from enum import StrEnum
from typing import Protocol

import msgspec

from .job import Job
from .record import JobRun


class Ask(StrEnum):
    """How a process is asked to end; the second is stronger."""

    CANCEL = "cancel"  # in good order: SIGTERM, after which a crawl commits and exits 130
    KILL = "kill"  # at once: SIGKILL to its whole group


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How the process of a run ended, and how its crawl stands then.

    `exit_code` is the process's, negative for a signal, or what run.json says when nobody saw the end; None when
    that does not say it either. `state` is the state in run.json ("" where there is none): "running" is a crawl
    that was cut off. Counts are of the whole crawl as it is durable, with the processes before this one; those
    of a crawl that was killed are to be looked up in its state, since the growth of `pages` tells a crawl that
    comes forward from one that only dies. `at` is when it ended, wall-clock seconds.
    """

    at: float
    exit_code: int | None = None
    state: str = ""
    why: str = ""
    pages: int = 0
    items: int = 0
    failed: int = 0  # pages
    bytes: int = 0
    added: int | None = None
    changed: int | None = None
    removed: int | None = None
    told: str = ""  # see JobRun


class Process(Protocol):
    """A process that works on a planned run, or did. `birth` tells it from a later one of the same `pid`."""

    pid: int
    birth: str

    @property
    def ended(self) -> Awaitable[Ended]:
        """Done when the process is gone and all that follows a crawl (its comparison) is over too."""

    def go(self) -> None:
        """Tell it what to crawl, and it begins; a process that is never told ends and has done nothing."""

    def ask(self, how: Ask) -> None:
        """Ask it to end; nothing happens when it is gone."""

    def memory(self) -> int:
        """Bytes that it and its children have in memory, 0 when it is gone."""


class Runner(Protocol):
    """Starts the processes of planned runs, and finds them again."""

    async def start(self, run: JobRun, job: Job) -> Process:
        """A process for crawl `run.run`, waiting for `go`.

        It is told nothing before its pid is on record: should the server die between the two, the process reads
        the end of its input instead of an order and ends. So what is not on record has crawled nothing.
        The arguments are those of the job, with `run.args` over them. Raises UsageError when it never can be
        started, OSError when it cannot be now.
        """

    async def adopt(self, run: JobRun) -> Process:
        """The process of a run that was begun by an earlier server, found by `run.pid` and `run.birth`.

        When it is gone, one that has ended, as run.json says it.
        """
