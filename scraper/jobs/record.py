"""What happened: the planned runs of jobs, their attempts, and who did what. Values only.

A planned run is one job at one planned time, and there is never a second one. Times are wall-clock seconds,
0 for none.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

from .job import Job

Facts = dict[str, Any]  # plain data


class State(StrEnum):
    """How a planned run stands."""

    QUEUED = "queued"  # waits for its turn, or until it is due
    RUNNING = "running"  # has a process
    FINISHED = "finished"
    FAILED = "failed"
    RULE_BROKEN = "rule_broken"  # it crawled to the end, and a rule such as `min_items` does not hold
    CANCELLED = "cancelled"  # by a person or a newer run
    SKIPPED = "skipped"  # another run of its job was not over
    MISSED = "missed"  # no server ran at its time


OPEN = frozenset({State.QUEUED, State.RUNNING})
GOOD = frozenset({State.FINISHED})
BAD = frozenset({State.FAILED, State.RULE_BROKEN})


class Cause(StrEnum):
    """Why a run was planned."""

    SCHEDULE = "schedule"
    CATCH_UP = "catch_up"  # its time had passed while no server ran
    HAND = "hand"
    AFTER = "after"  # another job had finished


class JobRun(msgspec.Struct, frozen=True, kw_only=True):
    """One planned run, as it stands.

    `run` is the id of its crawl, whose folder is `<output>/<spider>/<run>`; a retry that cannot go on has a new
    one. `birth` tells its process from another one of the same `pid`. `stop` is what it was asked: "cancel" or
    "kill". `count` is how many planned times one row stands for (what was missed in bulk). `told` is the key by
    which its changes were told completely (see `as_told`), "" for none; None where nobody has kept that.
    """

    id: int
    job: str
    spider: str
    planned: float
    cause: Cause = Cause.SCHEDULE
    state: State = State.QUEUED
    by: str = ""  # who asked for it
    args: Facts = {}  # other arguments than the job's, for this run alone
    parent: int = 0  # the run after which it comes
    due: float = 0.0  # it does not begin earlier
    priority: int = 0
    attempts: int = 0  # processes begun for it
    failures: int = 0  # of these, those that ended badly: what `retries` counts
    deaths: int = 0  # of these, the last that died in a row without a page more
    run: str = ""
    pid: int = 0
    birth: str = ""
    began: float = 0.0  # its first process
    started: float = 0.0  # its last process
    ended: float = 0.0
    exit_code: int | None = None
    why: str = ""
    stop: str = ""
    stopped_by: str = ""
    pages: int = 0
    items: int = 0
    failed: int = 0  # pages
    bytes: int = 0
    added: int | None = None  # items against the run it was compared with; None: not compared
    changed: int | None = None
    removed: int | None = None
    count: int = 1
    told: str | None = ""

    @property
    def open(self) -> bool:
        """Whether it is not over."""
        return self.state in OPEN


def as_told(key: Sequence[str]) -> str:
    """The key of a job as it stands in `told`, "" for none."""
    return msgspec.json.encode(key).decode() if key else ""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One process that worked on a planned run."""

    number: int
    run: str
    pid: int
    started: float
    ended: float = 0.0
    exit_code: int | None = None
    why: str = ""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A job in the store: as declared, and how it stands.

    `source` is "file" for one of jobs.toml, else "hand". Planned times up to `upto` have been accounted for.
    """

    job: Job
    source: str = "hand"
    paused: bool = False
    paused_why: str = ""
    upto: float = 0.0
    changed: float = 0.0
    version: int = 1


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the audit log: who did what to what."""

    id: int = 0
    at: float
    who: str
    what: str
    job: str = ""
    run: int = 0
    detail: str = ""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of a job that does not hold. Of one job and rule at most one is open.

    `run` is the run that raised it, `last` the newest one that it was judged by, `times` how many broke the rule.
    `ended` is when it had recovered, `ending` what that run was like. `told` is when people were, or are to be,
    told last.
    """

    id: int = 0
    job: str
    rule: str
    run: int = 0
    last: int = 0
    times: int = 1
    at: float
    text: str
    ended: float = 0.0
    ending: str = ""
    told: float = 0.0


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one channel, until it is sent or given up.

    `alerts` are those it tells as raised (one that has recovered meanwhile as that too), `recovered` those it tells
    as recovered. `began` is its first try; from then on `body` is what it says, as JSON, and stays so.
    """

    id: int = 0
    channel: str
    alerts: tuple[int, ...] = ()
    recovered: tuple[int, ...] = ()
    due: float
    began: float = 0.0
    tries: int = 0
    sent: float = 0.0
    given_up: float = 0.0
    error: str = ""
    body: str = ""
