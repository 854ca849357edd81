"""`scraper jobs add`, `edit`, `remove`, `pause` and `unpause`."""

from __future__ import annotations

import sys
import time
import tomllib
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

import click
import msgspec

from ...errors import UsageError
from ...jobs.checking import check, declares
from ...jobs.declared import Declared, declared_from, job_from, right_of
from ...jobs.desk import Desk
from ...jobs.difference import difference, text
from ...jobs.job import Job
from ...jobs.places import Found
from ...jobs.record import Kept
from ...jobs.sealed import Declares
from ...jobs.secret import Veil
from ...jobs.toml import job_text
from ...logs import clean
from .. import options
from ..project import project
from . import given as from_options
from .moments import at, zone_of
from .place import destinations, done, opened, say_idle, who


@click.command(name="add")
@click.argument("name")
@from_options.of_job
@options.folder
def add(name: str, root: str | None, **given: Any) -> int:
    """Add a job NAME: at least its --spider, and mostly a --schedule.

    TIME is a duration such as '90 seconds', '1h30m' or '2 days'.
    """
    job, declared = _job(name, from_options.data_of(given), "not added", root)
    with opened(root, new=True) as desk:
        if any(kept.job.name == name for kept in desk.store.jobs()):
            raise UsageError(f"there is a job {name!r} already: `scraper jobs edit {name}` changes it")
        desk.store.put(job, now=time.time(), who=who(), version=0, declares=declared)
        _say(desk, name, "added")
    return 0


@click.command(name="edit")
@click.argument("name", metavar="JOB")
@from_options.of_job
@click.option(
    "--unset", multiple=True, metavar="KEY", help="Make KEY what it is by default, as timeout, args.shelf."
)
@options.folder
def edit(name: str, unset: tuple[str, ...], root: str | None, **given: Any) -> int:
    """Change what the options say of JOB, as `add` has them; without any, in your editor.

    -a, -s and --alert are added to what there is, every other option replaces.
    """
    with opened(root, change=True) as desk:
        kept = desk.store.job(name)
        before = {key: value for key, value in msgspec.to_builtins(kept.job).items() if key != "name"}
        data = from_options.data_of(given, before)
        from_options.without(data, unset)
        if unset or from_options.anything(given):
            job, declared = _job(name, data, "not changed", root)
        else:
            found = _edited(kept.job, root)
            if found is None:
                click.echo("nothing has changed", err=True)
                return 0
            job, declared = found
        _put(desk, kept, job, declared)
    return 0


def _put(desk: Desk, kept: Kept, job: Job, declared: Declares) -> None:
    veil = Veil(desk.store.sealed(declared))
    changes = difference(Declared(jobs={job.name: kept.job}), Declared(jobs={job.name: job}), veil)
    if not changes:
        click.echo("nothing has changed", err=True)
        return
    desk.store.put(job, now=time.time(), who=who(), version=kept.version, declares=declared)
    for line in text(changes).splitlines():
        click.echo(clean(line))
    if kept.source == "file":
        click.echo("it is made by hand from now on; the next `scraper jobs apply` takes it back", err=True)
    _say(desk, job.name, "changed")


def _edited(job: Job, root: str | None) -> tuple[Job, Declares] | None:
    """A job as it comes out of the user's editor, and what its spider declares; None when that is the same.

    Raises UsageError.
    """
    if not sys.stdin.isatty():
        raise UsageError("what is to be changed? give an option, as --schedule '@daily'")
    before = shown = job_text(job)
    while True:
        shown = click.edit(shown, extension=".toml") or before
        if shown == before:
            return None
        try:
            made = _read(job.name, shown)
            return made, _check(made, root)
        except UsageError as error:
            for line in str(error).splitlines():
                click.echo(f"error: {clean(line)}", err=True)
            if not click.confirm("edit it again?", default=True, err=True):
                raise UsageError("nothing was changed") from error


def _read(name: str, shown: str) -> Job:
    try:
        data: Mapping[str, Any] = tomllib.loads(shown)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"this is no TOML: {error}") from error
    jobs = declared_from(data).jobs
    if [*jobs] != [name]:
        raise UsageError(f"there must be exactly the job {name!r}; another name is another job")
    return jobs[name]


def _job(name: str, data: Mapping[str, Any], where: str, root: str | None) -> tuple[Job, Declares]:
    """A job that goes with its spider, and what that declares. Raises Mistakes, each after `where`."""
    found, job = Found(), None
    declared: Declares = {}
    with found:
        job = job_from(name, data, "")
    with found:
        if asked := job or right_of(name, data, found):
            declared = _check(asked, root)
    found.tell(where)
    assert job is not None
    return job, declared


def _check(job: Job, root: str | None) -> Declares:
    """See that it goes with its spider, and may write where it does; gives what the spider declares.

    What spiders print is no result. Raises Mistakes.
    """
    found = Found()
    declared: Declares = {}
    with redirect_stdout(sys.stderr), found:
        declared = declares(check(job, project()))
    with found:
        destinations(root).check(job)
    found.tell()
    return declared


def _say(desk: Desk, name: str, what: str) -> None:
    page = done(desk.job(name))
    if page.line.paused:
        upcoming = "it is paused"
    elif page.line.trouble:
        upcoming = f"nobody knows its times: {page.line.trouble}"
    elif page.upcoming:
        upcoming = f"next: {at(page.upcoming[0], zone_of(page.job))}"
    else:
        upcoming = "" if page.job.after else f"it has no planned times: `scraper jobs run {name}`"
    click.echo(f"{what} job {name}: {'; '.join(filter(None, [page.line.said, upcoming]))}")
    say_idle(desk, "it runs")


@click.command(name="remove")
@click.argument("job")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@options.folder
def remove(job: str, yes: bool, root: str | None) -> int:
    """Take JOB away. Its history stays, runs that wait are cancelled, one that runs goes on to its end."""
    with opened(root, change=True) as desk:
        kept = desk.store.job(job)
        if not yes and sys.stdin.isatty() and not click.confirm(f"remove job {job}?", err=True):
            click.echo("nothing was removed", err=True)
            return 1
        done(desk.remove(job, who()))
        click.echo(f"removed job {job}")
        if kept.source == "file":
            click.echo("it is still in jobs.toml: `scraper jobs apply` would bring it back", err=True)
    return 0


@click.command(name="pause")
@click.argument("job")
@click.option("--why", default="", metavar="TEXT", help="Why, for people.")
@options.folder
def pause(job: str, why: str, root: str | None) -> int:
    """Plan no more runs of JOB, until `unpause`. What runs goes on; `run` and the dashboard may still start it."""
    with opened(root, change=True) as desk:
        done(desk.pause(job, why, who()))
        click.echo(f"paused job {job}")
        if desk.store.open_runs(job):
            click.echo("a run of it is not over: `scraper jobs cancel` ends it", err=True)
    return 0


@click.command(name="unpause")
@click.argument("job")
@options.folder
def unpause(job: str, root: str | None) -> int:
    """Plan runs of JOB again, from now on; times that have passed meanwhile are not made up for."""
    with opened(root, change=True) as desk:
        done(desk.unpause(job, who()))
        _say(desk, job, "unpaused")
    return 0
