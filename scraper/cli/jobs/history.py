"""`scraper jobs runs`: planned runs and how each ended, or all about one."""

from __future__ import annotations

import sys
import textwrap
from zoneinfo import ZoneInfo

import click

from ...errors import UsageError
from ...jobs.desk import Desk
from ...jobs.record import Attempt, JobRun, State
from ...jobs.shown import RunPage
from ...logs import clean
from ...words import count, size
from .. import options
from ..project import shown
from ..table import labelled
from ..terminal import columns
from .moments import at, changes, exactly, state_of, took, why, zone_of
from .place import as_json, done, number_of, opened, print_json, print_table

LABEL = 11  # columns
RIGHT = ("run", "took", "pages", "items")


@click.command(name="runs")
@click.argument("job", metavar="[JOB|RUN]", default="")
@click.option(
    "--state", "states", multiple=True, type=click.Choice([each.value for each in State]),
    help="Only those that stand so. May be repeated.",
)  # fmt: skip
@click.option("--limit", default=20, type=click.IntRange(1, 500), show_default=True, help="How many, the newest.")
@click.option("--before", type=click.IntRange(1), metavar="RUN", help="Only those before this one.")
@as_json
@options.folder
def runs(job: str, states: tuple[str, ...], limit: int, before: int | None, as_json: bool, root: str | None) -> int:
    """Planned runs of all jobs, or of JOB, newest last; with the number of a RUN all about that one.

    Times are in the zone of the job. `scraper runs`, `explain`, `export` and `diff` tell more of a crawl, by its
    id.
    """
    with opened(root) as desk:
        if (number := number_of(job)) is not None:
            return _one(desk, number, as_json=as_json)
        name = desk.store.job(job).job.name if job and not _known(desk, job) else job
        page = done(desk.runs(name, states, before, limit))
        if as_json:
            print_json(page)
            return 0
        if not page.runs:
            click.echo("no runs", err=True)
            return 0
        zones = {kept.job.name: zone_of(kept.job) for kept in desk.store.jobs()}
        rows = [_row(run, zones.get(run.job) or zone_of(None), named=not name) for run in reversed(page.runs)]
        print_table(("run", "job", "state", "planned", "took", "pages", "items", "result"), rows, RIGHT)
        if page.next is not None:
            click.echo(f"there are earlier ones: --before {page.next}", err=True)
    return 0


def _known(desk: Desk, job: str) -> bool:
    """Whether there are runs of a job, which may be gone."""
    return bool(desk.store.last(job, (), 1))


def _row(run: JobRun, zone: ZoneInfo, *, named: bool) -> tuple[str, ...]:
    numbers = ("-", "-") if run.open else (f"{run.pages:,}", f"{run.items:,}")  # counted when a crawl ends
    if not run.began:
        numbers = ("", "")
    job = run.job if named else ""
    return str(run.id), job, state_of(run), at(run.planned, zone), took(run), *numbers, why(run)


def _one(desk: Desk, number: int, *, as_json: bool) -> int:
    page = done(desk.run(number))
    if as_json:
        print_json(page)
        return 0
    try:
        zone = zone_of(desk.store.job(page.run.job).job)
    except UsageError:  # its job is gone
        zone = zone_of(None)
    for text in _told(page, desk, zone):
        click.echo(text)
    return 0


def _told(page: RunPage, desk: Desk, zone: ZoneInfo) -> list[str]:
    run = page.run
    cause = f", by {clean(run.by)}" if run.by else f", after run {run.parent}" if run.parent else ""
    facts: list[tuple[str, list[str]]] = [
        ("run", [f"{run.id} of job {run.job}"]),
        ("planned", [f"{exactly(run.planned, zone)} ({run.cause.value.replace('_', ' ')}{cause})"]),
        ("state", _wrapped(", ".join(filter(None, [state_of(run), clean(run.why)])))),
    ]
    if run.began:
        facts.append(("began", [exactly(run.began, zone)]))
        facts.append(("took", [took(run)]))
    if run.began and not run.open:
        numbers = [count(run.pages, "page"), count(run.items, "item"), f"{run.failed:,} failed", size(run.bytes)]
        facts.append(("came to", [", ".join(numbers)]))
    if run.open and run.due > run.planned:
        facts.append(("due", [exactly(run.due, zone)]))
    if run.count > 1:
        facts.append(("stands for", [f"{run.count:,} planned times, the last at {exactly(run.due, zone)}"]))
    if run.args:
        facts.append(("arguments", _wrapped("  ".join(f"{key}={clean(str(v))}" for key, v in run.args.items()))))
    old = page.compared.get("old") if isinstance(page.compared, dict) else ""
    if said := changes(run):
        against = f" against run {clean(str(old))}" if old else ""
        facts.append(("changes", _wrapped(f"{said}: items added, changed, removed{against}")))
    facts.append(("exit code", [str(run.exit_code)] if run.exit_code is not None else []))
    facts.append(("folder", [str(shown(desk.root / page.folder))] if page.folder else []))
    facts.append(("output", [str(shown(desk.store.log(run.id)))] if "output" in page.has else []))
    if len(page.attempts) > 1:
        tried = [line for each in page.attempts[-5:] for line in _wrapped(_attempt(each, run, zone))]
        facts.append(("processes", tried))
    return [text for label, texts in facts for text in labelled(label, texts, LABEL)]


def _attempt(tried: Attempt, run: JobRun, zone: ZoneInfo) -> str:
    """One process that worked on a run: when it began and how it ended; its crawl where that is another one."""
    crawl = f" of {tried.run}" if tried.run != run.run else ""
    code = f"exit code {tried.exit_code}" if tried.exit_code is not None else ""
    told = ", ".join(filter(None, [code, clean(tried.why)]))
    return f"{at(tried.started, zone)}{crawl}{f': {told}' if told else ''}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, columns(sys.stdout) - LABEL) or [""]
