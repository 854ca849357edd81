"""The options that say what a job is: one for each key of its table in jobs.toml."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click

from ...convert import among
from ...errors import UsageError
from ...jobs.job import CatchUp, Job, Overlap
from ...settings import from_pairs, resolve
from .. import options

C = TypeVar("C", bound=Callable[..., Any])
TABLES = ("args", "settings", "alerts")  # of pairs; what is given is added to them
MANY = ("key", "after", "blackout")
OVERLAPS, CATCH_UPS = (click.Choice([each.value for each in kind]) for kind in (Overlap, CatchUp))
# option, metavar, what it says; each is a key of the table with the same name
PLAIN = (
    ("--schedule", "WHEN", "When it runs: cron as in '30 8 * * mon-fri', 'every 30 minutes', 'every day at 8:30', "
     "@daily, 'once 2027-01-31 12:00'. Without: by hand, or --after others."),
    ("--timezone", "ZONE", "The zone of its times, as Europe/Berlin.  [default: UTC]"),
    ("--catch-up-within", "TIME", "What was missed longer ago is not made up for.  [default: 1 day]"),
    ("--jitter", "TIME", "It begins up to so much later than planned."),
    ("--start", "DATE", "Nothing is planned before."),
    ("--end", "DATE", "Nothing is planned after."),
    ("--timeout", "TIME", "A run that takes longer is ended, and has failed."),
    ("--memory", "SIZE", "A run that needs more, as '500 MB', is ended, and has failed."),
    ("--retries", "N", "How often a failed run is tried again."),
    ("--retry-delay", "TIME", "Before the first retry; doubles with each.  [default: 1 minute]"),
    ("--priority", "N", "Higher first, where runs wait for one another."),
    ("--parallel", "N", "Runs of this job at once, with --overlap allow."),
    ("--group", "NAME", "Jobs of one group share a limit: they visit the same hosts."),
    ("--keep", "N", "Ended runs kept in history; 0: all.  [default: 100]"),
    ("--note", "TEXT", "For people."),
)  # fmt: skip
LISTS = (
    ("--key", "FIELD", "A field that tells one item from another between runs. May be repeated."),
    ("--after", "JOB", "Run when JOB has finished. May be repeated."),
    ("--blackout", "TIMES", "Times in which no run begins, as '22:00-06:00'. May be repeated."),
)


def of_job(command: C) -> C:
    """Give a command the options of a job."""
    plain = {name: click.option(name, metavar=metavar, help=text) for name, metavar, text in PLAIN}
    lists = [click.option(name, multiple=True, metavar=metavar, help=text) for name, metavar, text in LISTS]
    made: list[Callable[[C], C]] = [
        click.option("--spider", metavar="SPIDER", help="The spider, by its name: see `scraper list`."),
        plain.pop("--schedule"), plain.pop("--timezone"), options.arguments, options.settings, options.outputs,
        click.option("--changes", multiple=True, metavar="PATH", help="Write only what has changed since the last "
                     "good run there; needs --key."),
        click.option("--append", is_flag=True, help="Add to what these paths hold already."),
        *lists,
        click.option("--overlap", type=OVERLAPS, help="What becomes of a run whose job has an "
                     "unfinished one.  [default: skip]"),
        click.option("--catch-up", type=CATCH_UPS, help="Which runs that were missed while no "
                     "server ran are made up for.  [default: latest]"),
        plain.pop("--catch-up-within"),
        click.option("--resume/--no-resume", default=None, help="Go on with an interrupted crawl, or begin anew."),
        click.option("--alert", "alerts", multiple=True, metavar="KEY=VALUE", help="When somebody is told, as "
                     "items_below=0.5 or to=ops. May be repeated."),
        *plain.values(),
    ]  # fmt: skip
    for option in reversed(made):
        command = option(command)
    return command


def anything(given: Mapping[str, Any]) -> bool:
    """Whether any option was given."""
    return any(
        value not in (None, (), False) or (name == "resume" and value is False) for name, value in given.items()
    )


def data_of(given: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the options say as the table of a job, over what it was before. Raises UsageError."""
    data = dict(before or {})
    for option, _, _ in PLAIN:
        name = option[2:].replace("-", "_")
        if given[name] is not None:
            data[name] = given[name]
    for name in ("spider", "overlap", "catch_up", "resume"):
        if given[name] is not None:
            data[name] = given[name]
    for name in MANY:
        if given[name]:
            data[name] = [*given[name]]
    pairs = {
        "args": from_pairs(given["arguments"], "-a")[1],
        "settings": _settings(given["pairs"]),
        "alerts": from_pairs(given["alerts"], "--alert")[1],
    }
    for name in TABLES:
        if pairs[name]:
            data[name] = {**data.get(name, {}), **pairs[name]}
    if outputs := _outputs(given["outputs"], given["changes"], append=given["append"]):
        data["output"] = outputs
    return data


def _settings(words: Iterable[str]) -> dict[str, Any]:
    """Settings as what they are, not as text, where they are no tables."""
    found: dict[str, Any] = {}
    for name, text in from_pairs(words)[1].items():
        value = getattr(resolve([("-s", {name: text})]), name)
        found[name] = value if isinstance(value, str | int | float) else text
    return found


def _outputs(paths: Sequence[str], changes: Sequence[str], *, append: bool) -> list[dict[str, Any]]:
    if append and not paths and not changes:
        raise UsageError("--append is for -o and --changes: give them too")
    made: list[dict[str, Any]] = [{"path": path, "append": append} for path in paths]
    return made + [{"path": path, "append": append, "only": "changes"} for path in changes]


def without(data: dict[str, Any], names: Iterable[str]) -> None:
    """Take keys away, which are then as they are by default: `timeout`, `args.shelf`. Raises UsageError."""
    for name in names:
        table, _, key = name.replace("-", "_").partition(".")
        known = [each for each in Job.__struct_fields__ if each not in ("name", "spider")]
        if table not in known:
            raise UsageError(f"--unset {name}: a job has no such key{among(table, known)}")
        inner = data.get(table, {})
        if not key:
            data.pop(table, None)
        elif table in TABLES and key in inner:
            data[table] = {each: value for each, value in inner.items() if each != key}
        else:
            raise UsageError(f"--unset {name}: {table} has no {key!r}{among(key, inner)}")
