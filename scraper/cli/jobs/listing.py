"""`scraper jobs list`, `show` and `next`: which jobs there are, and when they run."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Iterator
from heapq import merge
from itertools import islice

import click
import msgspec

from ...errors import UsageError
from ...jobs.desk import Desk
from ...jobs.job import Job
from ...jobs.outlook import FOREVER
from ...jobs.record import Kept, State
from ...jobs.schedule import Schedule
from ...jobs.shown import JobLine, JobPage
from ...jobs.toml import job_text
from ...logs import clean
from ...words import count
from .. import options
from ..group import told
from ..table import labelled
from ..terminal import columns
from .moments import at, exactly, short, state_of, why, zone_of
from .place import NONE_YET, as_json, done, idle, opened, print_json, print_table, there

LABEL = 11  # columns


@click.command(name="list")
@as_json
@options.folder
def command(as_json: bool, root: str | None) -> int:
    """The jobs by name: when each runs next, how it ran last, and its schedule. Times are in the job's zone."""
    if not there(root):
        click.echo("[]" if as_json else f"no jobs yet: {NONE_YET}", err=not as_json)
        return 0
    with opened(root) as desk:
        lines = done(desk.jobs())
        if as_json:
            print_json(lines)
            return 0
        if not lines:
            click.echo(f"no jobs yet: {NONE_YET}", err=True)
            return 0
        zones = {kept.job.name: kept.job for kept in desk.store.jobs()}
        rows = [_row(line, zones.get(line.name)) for line in lines]
        print_table(("job", "next", "last", "alerts", "schedule"), rows, ("alerts",))
        if idle(desk):
            click.echo("\nno server runs: `scraper serve` runs jobs at their times", err=True)
    return 0


def _row(line: JobLine, job: Job | None) -> tuple[str, ...]:
    alerts = f"{line.alerts:,}" if line.alerts else ""
    return line.name, _next(line, job), _last(line, job), alerts, line.trouble or line.said


def _next(line: JobLine, job: Job | None) -> str:
    if line.paused:
        return "paused"
    return at(line.next, zone_of(job)) if line.next else "-"


def _last(line: JobLine, job: Job | None) -> str:
    """The run that goes on, else the last one."""
    working = [run for run in line.open if run.state is State.RUNNING]
    run = working[0] if working else line.last
    if run is None:
        return "-"
    since = run.ended or run.began or run.planned
    return f"{state_of(run)} {short(since, zone_of(job))}"


@click.command(name="show")
@click.argument("job")
@click.option("--toml", "as_toml", is_flag=True, help="Only the job, as it would stand in jobs.toml.")
@click.option("--secrets", is_flag=True, help="Show what may be secret, instead of ***.")
@as_json
@options.folder
def show(job: str, as_toml: bool, secrets: bool, as_json: bool, root: str | None) -> int:
    """All about one job: when it runs, how it ran, and what is declared."""
    with opened(root) as desk:
        page = done(desk.job(job))
        kept = desk.store.job(job)
        if secrets:
            page = msgspec.structs.replace(page, job=kept.job)
        if as_json:
            print_json(page)
        elif as_toml:
            click.echo(job_text(page.job), nl=False)
        else:
            for text in _told(page, kept, desk):
                click.echo(text)
    return 0


def _told(page: JobPage, kept: Kept, desk: Desk) -> list[str]:
    line, zone = page.line, zone_of(page.job)
    source = "declared in jobs.toml" if kept.source == "file" else "made by hand"
    facts: list[tuple[str, list[str]]] = [
        ("job", [f"{line.name}, {source}, changed {exactly(page.changed, zone)}"]),
        ("schedule", _wrapped(line.trouble or line.said)),
    ]
    if kept.paused:
        facts.append(("paused", _wrapped(clean(kept.paused_why) or "yes")))
    elif page.upcoming:
        facts.append(("next", [at(t, zone) for t in page.upcoming[:3]]))
    if line.open:
        facts.append(("now", [f"run {run.id} {state_of(run)}" for run in line.open[:3]]))
    if line.last is not None:
        run = line.last
        ended = f" {at(run.ended, zone)}" if run.ended else ""
        told = f"run {run.id} {state_of(run)}{ended}, {count(run.pages, 'page')}, {count(run.items, 'item')}"
        facts.append(("last", _wrapped(", ".join(filter(None, [told, why(run)])))))
    if page.counts:
        facts.append(("runs", [", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in page.counts.items())]))
    if page.alerts:
        facts.append(("alerts", [f"{at(each.at, zone)}  {clean(each.text)}" for each in page.alerts[:5]]))
    if idle(desk):
        facts.append(("server", ["none runs: `scraper serve` runs jobs at their times"]))
    lines = [text for label, texts in facts for text in labelled(label, texts, LABEL)]
    return [*lines, "", *job_text(page.job).splitlines()]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, columns(sys.stdout) - LABEL) or [""]


@click.command(name="next")
@click.argument("job", default="")
@click.option(
    "--count", "most", default=10, type=click.IntRange(1, 1000), show_default=True, help="How many times."
)
@as_json
@options.folder
def upcoming(job: str, most: int, as_json: bool, root: str | None) -> int:
    """The next planned times of JOB, or of all jobs that are not paused, in the zone of each.

    Jitter and blackout hours are in `begins`, the time at which the run is to begin; a job that runs by hand or
    after others has no planned times. Exit code 2 when the schedule of a job cannot be read: it is left out.
    """
    with opened(root) as desk:
        chosen = [desk.store.job(job)] if job else [kept for kept in desk.store.jobs() if not kept.paused]
    jobs = {kept.job.name: kept.job for kept in chosen}
    wrong: list[str] = []
    times = merge(*[_times(each, most, wrong) for each in jobs.values()])
    found = [(t, jobs[name], begins) for t, name, begins in islice(times, most)]
    if as_json:
        print_json([{"job": each.name, "planned": t, "begins": begins} for t, each, begins in found])
        return _left_out(wrong)
    if not found:
        if not wrong:
            click.echo("nothing is planned", err=True)
        return _left_out(wrong)
    rows = [
        (exactly(t, zone := zone_of(each)), "" if begins == t else exactly(begins, zone), "" if job else each.name)
        for t, each, begins in found
    ]
    print_table(("planned", "begins", "job"), rows)
    if job and chosen[0].paused:
        click.echo("it is paused: none of them takes place", err=True)
    return _left_out(wrong)


def _left_out(wrong: list[str]) -> int:
    """Say which jobs cannot be read, and why; gives the exit code."""
    for each in wrong:
        told(each, 2)
    return 2 if wrong else 0


def _times(job: Job, most: int, wrong: list[str]) -> Iterator[tuple[float, str, float]]:
    """The planned times of a job with its name and when each begins; of one that cannot be read none."""
    try:
        schedule = Schedule.parse(job)
    except UsageError as error:
        wrong.append(f"job {job.name!r}: {error}")
        return
    for t in schedule.between(time.time(), FOREVER, most):
        yield t, job.name, schedule.begins(t)
