"""What a page, the API and a command are shown. Values only; times are wall-clock seconds, 0 or None for none."""

from __future__ import annotations

from typing import Any

import msgspec

from ..frontier.entries import Count, Entry, Rest
from .job import Job
from .record import Alert, Attempt, JobRun


class Dot(msgspec.Struct, frozen=True):
    """An earlier run in a sparkline; `seconds` it took."""

    id: int
    state: str
    pages: int
    items: int
    failed: int
    seconds: float


class JobLine(msgspec.Struct, frozen=True, kw_only=True):
    """A job in a list. `said` is its schedule in words, `next` when it runs next, `recent` its last runs that
    crawled, oldest first; `open` those that are not over."""

    name: str
    spider: str
    said: str
    source: str
    paused: bool = False
    paused_why: str = ""
    note: str = ""
    group: str = ""
    priority: int = 0
    version: int = 1
    next: float | None = None
    last: JobRun | None = None
    open: list[JobRun] = []
    recent: list[Dot] = []
    alerts: int = 0  # that have not recovered
    trouble: str = ""  # why its schedule cannot be read


class JobPage(msgspec.Struct, frozen=True, kw_only=True):
    """All about one job; in `job` what may be secret is "***", which `put` takes for what it was."""

    line: JobLine
    job: Job
    changed: float
    upcoming: list[float] = []
    counts: dict[str, int] = {}  # runs by state
    alerts: list[Alert] = []  # that have not recovered


class RunsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some planned runs, newest first; `next` is the `before` of the next page, None when there is none."""

    runs: list[JobRun]
    next: int | None = None


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """All about one planned run. `info` is its run.json, `stats` its stats.json; `has` says what can be looked at:
    items, requests, log, output, moments, changes."""

    run: JobRun
    attempts: list[Attempt] = []
    info: dict[str, Any] = {}
    stats: dict[str, Any] = {}
    compared: dict[str, Any] = {}  # changes.json
    has: list[str] = []
    folder: str = ""


class LinesPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some lines of a file of a run, each a JSON value.

    `at` is the byte of the file at which each begins; `next` is the byte to go on at, None at the end for now;
    `end` is where the file ends for now, `looked` how many bytes were read for it (a search may find nothing in
    its share of them, and yet have a `next`).
    """

    lines: list[msgspec.Raw]
    at: list[int]
    next: int | None
    end: int
    looked: int = 0


class RequestsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some requests of a run's ledger, in the order in which they were found; `next` is the `after` to go on."""

    requests: list[Entry]
    next: int | None = None


class Ledgered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the requests of a run, in numbers; and the hosts that are left alone now."""

    counts: list[Count]
    hosts: list[Rest]
    oldest: Entry | None = None


class SpiderLine(msgspec.Struct, frozen=True, kw_only=True):
    """A spider that a job can be of."""

    name: str
    file: str
    said: str = ""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the server works; `trouble` is empty when it does. `lag` is by how many seconds the scheduler is
    late, `running` and `queued` are planned runs, `free` the bytes that are free on the disk."""

    ok: bool
    trouble: list[str] = []
    lag: float = 0.0
    running: int = 0
    queued: int = 0
    free: int = 0
