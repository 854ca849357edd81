"""Where the jobs are, and who asks: what every command of `scraper jobs` begins with."""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import Collection, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from ...discover import listed
from ...errors import UsageError
from ...jobs.desk import Desk
from ...jobs.owned import Destinations
from ...jobs.record import JobRun
from ...jobs.schema import NAME
from ...jobs.schema import there as in_place
from ...jobs.serving import HOME, prepared, running
from ...jobs.store import Jobs
from ..project import output_folder, project, shown
from ..table import table

T = TypeVar("T")
NONE_YET = "`scraper jobs add NAME --spider SPIDER` makes one, or write jobs.toml and `scraper jobs apply`"
as_json = click.option("--json", "as_json", is_flag=True, help="The same as JSON.")


def home_of(root: str | None) -> Path:
    """The folder of the server for an output folder."""
    return output_folder(root).absolute() / HOME


def destinations(root: str | None) -> Destinations:
    """Checks where jobs write that run below an output folder."""
    spiders = [each.name for each in listed(project())]
    return Destinations(output_folder(root).absolute(), home_of(root), project(), spiders)


def there(root: str | None) -> bool:
    """Whether there is a store of jobs."""
    return in_place(home_of(root) / NAME)


@contextmanager
def opened(root: str | None, *, change: bool = False, new: bool = False) -> Iterator[Desk]:
    """The desk of an output folder. Raises UsageError when nothing is there, unless it may be `new`."""
    folder = output_folder(root).absolute()
    if not new and not there(root):
        raise UsageError(f"there are no jobs in {shown(folder)}/ yet: {NONE_YET}")
    with Jobs(prepared(folder) if new else folder / HOME, read_only=not (change or new)) as store:
        yield Desk(store, root=folder, project=project())


def done(verb: Coroutine[Any, Any, T]) -> T:
    """What a verb of the desk gives."""
    return asyncio.run(verb)


def who() -> str:
    """The name of the user whose process this is, for the audit log; not what the environment claims."""
    if not hasattr(os, "getuid"):
        return getpass.getuser()
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def idle(desk: Desk) -> bool:
    """Whether no server runs the jobs."""
    return running(desk.store.home) is None


def say_idle(desk: Desk, what: str) -> None:
    """Say what waits for a server, when none runs."""
    if idle(desk):
        click.echo(f"no server runs: {what} when `scraper serve` runs", err=True)


def run_named(desk: Desk, word: str) -> JobRun:
    """The planned run of a number, or the newest one of a job. Raises UsageError."""
    if (number := number_of(word)) is not None:
        return desk.planned(number)
    name = desk.store.job(word).job.name
    found = desk.store.last(name, (), 1)
    if not found:
        raise UsageError(f"job {name!r} has not run yet")
    return found[0]


def number_of(word: str) -> int | None:
    """The number of a run that a word is, None for the name of a job, or what no run can have."""
    return int(word) if word.isascii() and word.isdigit() and len(word) < 19 else None


def all_said(found: Sequence[Any], nothing: str, *, as_json: bool) -> bool:
    """Print a list as JSON, or say that there is `nothing`; false where it is to be shown as a table."""
    if as_json:
        print_json(found)
    elif not found:
        click.echo(nothing, err=True)
    return as_json or not found


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> None:
    """Aligned columns; those in `right` at their end."""
    for text in table(head, rows, right):
        click.echo(text)


def print_json(value: Any) -> None:
    """A value as one line of JSON."""
    click.echo(msgspec.json.encode(value))
