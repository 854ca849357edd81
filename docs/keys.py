"""What each key of jobs.toml means, for docs/generate.py: unit and meaning; defaults are those of the code."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from scraper.jobs.job import Alerts, Channel, Job, Mail, Output, Server
from scraper.jobs.toml import SPANS
from scraper.jobs.words import spell

Meanings = Mapping[str, tuple[str, str]]
TIME, SIZE, SHARE = "time", "size", "0 to 1"
JOB: Meanings = {
    "spider": ("", "the spider, by its name (`scraper list`); required"),
    "schedule": ("", "when it runs, see [Schedules](#schedules); empty: by hand, or `after` other jobs"),
    "timezone": ("", "the zone of its times, by its IANA name; `local` is the machine's"),
    "args": ("", "arguments of the spider, as `-a` of `crawl`"),
    "settings": (
        "",
        "[settings](settings.md) of the crawl, as `-s`; stronger than those of files and of the spider",
    ),
    "output": ("", "where items go besides the run's folder: a path, a table of [`output`](#output), or a list"),
    "key": ("", "the fields that tell one item from another; with it each good run is compared with the last one"),
    "overlap": ("", "what becomes of a run whose job has an unfinished one, see [Overlap](../jobs.md#overlap)"),
    "catch_up": ("", "which runs that were missed are made up for, see [Catch-up](../jobs.md#catch-up)"),
    "catch_up_within": (TIME, "what was missed longer ago is not made up for"),
    "resume": ("", "whether an interrupted crawl is gone on with, or begun anew"),
    "alerts": ("", "the table [`alerts`](#alerts)"),
    "after": ("", "jobs after which it runs, each time one of them has finished"),
    "jitter": (TIME, "it begins up to so much later than planned: the same for the same planned time"),
    "start": ("", "nothing is planned before this date or time"),
    "end": ("", "nothing is planned after it; a date is all of that day"),
    "blackout": ("", "times in which no run begins, as `22:00-06:00`, `sat, sun`, `mon-fri 09:00-17:00`"),
    "timeout": (TIME, "a run that takes longer is ended, and has failed"),
    "memory": (SIZE, "a run whose processes need more is ended, and has failed"),
    "retries": ("runs", "how often a failed run is tried again"),
    "retry_delay": (TIME, "before the first retry; it doubles with each"),
    "priority": ("", "higher first, where runs wait for one another"),
    "parallel": ("runs", 'of this job at once, with `overlap = "allow"`'),
    "group": ("", "jobs of one group share a limit: they visit the same hosts"),
    "keep": ("runs", "that have ended and are kept with their logs; 0: all"),
    "note": ("", "for people; at most 10,000 characters"),
}
OUTPUT: Meanings = {
    "path": (
        "",
        "as `-o` of `crawl`; `{date}`, `{run}` and `{spider}` are filled in; "
        "not where runs and the server keep their files; required",
    ),
    "only": (
        "",
        "all items, or only what has changed since an earlier good run, with `_change` in each; needs `key`",
    ),
    "append": ("", "add to what is there already"),
}
ALERTS: Meanings = {
    "failed": ("", "a run has failed or broken a rule"),
    "items_below": (SHARE, "a run has less than so many times the usual items"),
    "items_above": ("1 and more", "a run has more than so many times the usual items"),
    "coverage_drop": (SHARE, "a field is filled in so much less often than usual"),
    "error_rate": (SHARE, "more than this share of the pages has failed"),
    "block_pages": ("", "hosts answer 401, 403, 407, 429 or 503 that did not in the last good run"),
    "longer_than": (TIME, "a run lasts longer; told while it runs"),
    "no_run_in": (TIME, "no run has ended well for so long, be the job paused or no server there"),
    "to": ("", "names of channels; empty: all of them"),
    "quiet": ("", "times in which nobody is told until they end, as `22:00-07:00`"),
    "every": (TIME, "the same rule is told at most so often"),
}
SERVER: Meanings = {
    "parallel": ("runs", "at once, of all jobs"),
    "keep_days": ("days", "history that is older is deleted; 0: never"),
    "address": (
        "",
        "of the dashboard as people reach it: what links in alerts begin with, and a host it answers to",
    ),
    "free_space": (
        "",
        "people are told when less than this is free on the disk of the output folder: a size, a share as `5 %`, "
        'or a list of them, of which the least counts; by default `["1 GiB", "5 %"]`, `[]`: never',
    ),
}
CHANNEL: Meanings = {
    "webhook": ("", "a URL, which gets the message as JSON by POST"),
    "secret": ("", "signs what goes to the webhook; `env:NAME` takes it from the environment"),
    "headers": ("", "more header fields for the webhook; a value may be `env:NAME`"),
    "allow_private": ("", "lets the webhook be on this machine or in its network"),
    "email": ("", "addresses, which get the message by mail; needs `[mail]`"),
    "command": ("", "a command and its arguments, which gets the message as JSON on standard input"),
}
MAIL: Meanings = {
    "host": ("", "the server that sends mail; required"),
    "port": ("", "its port"),
    "sender": ("", "the address the mail is from; required"),
    "user": ("", "to log in with; empty: without"),
    "password": ("", "may be `env:NAME`"),
    "tls": ("", "how the connection is made safe"),
}
TABLES: Mapping[str, tuple[type[msgspec.Struct], Meanings, tuple[str, ...]]] = {
    "job": (Job, JOB, ("name",)),
    "output": (Output, OUTPUT, ()),
    "alerts": (Alerts, ALERTS, ()),
    "server": (Server, SERVER, ("groups", "channels", "mail")),  # these are tables of their own
    "channel": (Channel, CHANNEL, ()),
    "mail": (Mail, MAIL, ()),
}


def table(name: str) -> str:
    """The keys of one table of jobs.toml. Raises KeyError for one that has no meaning here."""
    kind, meanings, left_out = TABLES[name]
    hints = typing.get_type_hints(kind)
    rows = []
    for field in msgspec.structs.fields(kind):
        if field.name not in left_out:
            unit, meaning = meanings[field.name]
            rows.append(f"| `{field.name}` | {_default(field)} | {unit} | {meaning}{_choices(hints[field.name])} |")
    lines = "\n".join(rows).replace("|  |", "| |").replace("|  |", "| |")
    return f"| key | default | unit | meaning |\n|---|---|---|---|\n{lines}"


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default
    if field.required or value in (None, "", ()) or not isinstance(value, str | int | float):
        return ""
    if field.name in SPANS:
        return f"`{spell(value)}`" if value else "0"
    return f"`{msgspec.json.encode(value).decode()}`"


def _choices(kind: Any) -> str:
    words: tuple[str, ...] = ()
    if typing.get_origin(kind) is typing.Literal:
        words = typing.get_args(kind)
    elif isinstance(kind, type) and issubclass(kind, StrEnum):
        words = tuple(each.value for each in kind)
    return f"; one of {', '.join(f'`{word}`' for word in words)}" if words else ""
