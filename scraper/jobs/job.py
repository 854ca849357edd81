"""What a job is: a spider with arguments, settings, outputs and a schedule. Values only; times are in seconds."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

import msgspec

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


class Overlap(StrEnum):
    """What becomes of a planned run whose job has an unfinished one."""

    SKIP = "skip"  # it does not take place
    QUEUE_ONE = "queue_one"  # it waits, when none waits yet
    QUEUE_ALL = "queue_all"  # it waits
    CANCEL = "cancel"  # it waits, and the one before is ended in good order
    KILL = "kill"  # it waits, and the one before is ended at once
    ALLOW = "allow"  # both run


class CatchUp(StrEnum):
    """Which of the runs that were missed while no server ran are made up for; the others stay on record."""

    NONE = "none"
    LATEST = "latest"
    ALL = "all"


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where items go besides the run folder, as `-o` writes it; `only` the changes, with `_change` in each."""

    path: str
    only: Literal["items", "changes"] = "items"
    append: bool = False


class Alerts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When somebody is told, and who: `to` names channels. None and false: not at all.

    Usual is the median of the last good runs. Rates and shares are 0 to 1, times seconds.
    """

    failed: bool = True
    items_below: float | None = None  # less than so many times the usual
    items_above: float | None = None
    coverage_drop: float | None = None  # a field is filled in so much less often than usual
    error_rate: float | None = None  # more than this share of the pages has failed
    block_pages: bool = False  # hosts answer 401, 403, 407, 429 or 503 that did not in the last good run
    longer_than: float | None = None  # a run lasts longer; told while it runs
    no_run_in: float | None = None  # no run has ended well for so long, be the job paused or no server there
    to: tuple[str, ...] = ()  # empty: every channel
    quiet: tuple[str, ...] = ()  # times of day in which nobody is told until they end: "22:00-07:00"
    every: float = HOUR  # the same rule is told at most so often


class Job(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One job as declared. Every field but `name` is a key of its table in jobs.toml.

    `schedule` "" runs by hand or `after` other jobs only. `args` and `settings` are those of the spider. `key`
    are the fields that tell one item from another between runs. Durations in seconds, sizes in bytes.
    """

    name: str
    spider: str
    schedule: str = ""
    timezone: str = "UTC"
    args: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    output: tuple[Output, ...] = ()
    key: tuple[str, ...] = ()
    overlap: Overlap = Overlap.SKIP
    catch_up: CatchUp = CatchUp.LATEST
    catch_up_within: float = DAY  # what was missed longer ago is not made up for
    resume: bool = True  # an interrupted crawl is gone on with; false: it is begun anew
    alerts: Alerts = Alerts()
    after: tuple[str, ...] = ()  # it also runs when one of these has finished
    jitter: float = 0.0  # a run begins up to so much later than planned, each job by its own part of it
    start: str = ""  # no run is planned before this date or time (ISO 8601, in `timezone`)
    end: str = ""  # nor after this one
    blackout: tuple[str, ...] = ()  # times in which no run begins: "22:00-06:00", "sat 00:00-24:00"
    timeout: float | None = None
    memory: int | None = None  # of all processes of a run
    retries: int = 0  # of a failed run
    retry_delay: float = MINUTE  # before the first of them; it doubles with each
    priority: int = 0  # higher first, where runs wait for one another
    parallel: int = 1  # runs of this job at once, with overlap = "allow"
    group: str = ""  # jobs of one group share a limit: they visit the same hosts
    keep: int = 100  # ended runs kept in history with their logs; 0: all
    note: str = ""  # for people


class Channel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to tell somebody: exactly one of `webhook` (a URL), `email` (addresses), `command` (words).

    `secret` signs a webhook; "env:NAME", in a header too, is taken from the environment when it is used.
    `allow_private` lets a webhook be on this machine or in its network.
    """

    webhook: str = ""
    secret: str = ""
    headers: dict[str, str] = {}
    allow_private: bool = False
    email: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


class Mail(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The server that sends mail; `password` may be "env:NAME"."""

    host: str
    port: int = 587
    sender: str
    user: str = ""
    password: str = ""
    tls: Literal["starttls", "tls", "none"] = "starttls"


class Server(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for all jobs: `[server]`, `[groups]`, `[channels.NAME]` and `[mail]` of jobs.toml."""

    parallel: int = 4  # runs at once
    groups: dict[str, int] = {}  # runs at once of the jobs of a group, 1 where it is not named
    channels: dict[str, Channel] = {}
    mail: Mail | None = None
    keep_days: float = 365.0  # history older than this is deleted; 0: never
    address: str = ""  # what links in alerts begin with
    # People are told when less than each of these is free: sizes, and shares of the disk; empty: never
    free_space: tuple[str, ...] = ("1 GiB", "5 %")
