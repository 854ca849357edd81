"""`scraper jobs run`, `cancel` and `kill`: runs by hand, and the end of runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

import click

from ...errors import UsageError
from ...jobs.access import Role
from ...jobs.desk import Desk
from ...jobs.record import OPEN, JobRun, State
from ...settings import from_pairs
from ...words import count
from .. import options
from .moments import state_of, took, why
from .place import as_json, done, number_of, opened, print_json, say_idle, who

Stop = Callable[[Desk, int, str], Coroutine[Any, Any, JobRun]]
INTERRUPTED = 130
TICK = 0.5  # seconds between two looks at a run that somebody waits for: another process writes how it stands
CODES = {State.FINISHED: 0, State.RULE_BROKEN: 3, State.CANCELLED: INTERRUPTED}


def told(run: JobRun) -> str:
    """A run and how it ended, in a line."""
    numbers = f", {count(run.pages, 'page')}, {count(run.items, 'item')}" if run.began else ""
    after = f" after {took(run)}" if run.began and not run.open else ""
    said = f": {why(run)}" if why(run) else ""
    return f"run {run.id} of job {run.job} {state_of(run)}{after}{numbers}{said}"


@click.command(name="run")
@click.argument("job")
@options.arguments
@click.option("--wait", is_flag=True, help="Wait for its end; the exit code is that of the run.")
@as_json
@options.folder
def run(job: str, arguments: tuple[str, ...], wait: bool, as_json: bool, root: str | None) -> int:
    """Run JOB now, with other arguments than its own where -a says so.

    Blackout hours do not hold it up. Where another run of it is not over, its `overlap` says what becomes of this
    one. Exit codes with --wait: 0 finished, 1 failed, 3 a rule is broken, 130 cancelled.
    """
    with opened(root, change=True) as desk:
        made = done(desk.start(job, who(), from_pairs(arguments, "-a")[1], role=Role.ADMIN))
        if as_json and not wait:
            print_json(made)
        else:
            click.echo(f"run {made.id} of job {job} is planned", err=wait or as_json)
        say_idle(desk, "it starts")
        if not wait:
            return 0
        ended = _awaited(desk, made)
        if as_json:
            print_json(desk.veil().run(ended))
        else:
            click.echo(told(ended))
        return CODES.get(ended.state, 1)


def _awaited(desk: Desk, run: JobRun) -> JobRun:
    """The run when it is over. Ctrl-C ends the waiting, not the run."""
    crawl = ""
    try:
        while run.state in OPEN:
            if run.run != crawl and run.state is State.RUNNING:
                crawl = run.run
                click.echo(f"run {run.id} is {run.spider}/{crawl}", err=True)
            time.sleep(TICK)
            run = desk.planned(run.id)
    except KeyboardInterrupt:
        stands = "goes on" if run.state is State.RUNNING else "is still planned"
        click.echo(f"run {run.id} {stands}: `scraper jobs cancel {run.id}` ends it", err=True)
        raise
    return run


@click.command(name="cancel")
@click.argument("run")
@options.folder
def cancel(run: str, root: str | None) -> int:
    """End RUN in good order: its crawl finishes what is out, and keeps all it has.

    RUN is its number, or the job when only one run of it is not over.
    """
    return _end(run, root, Desk.cancel, "is asked to end")


@click.command(name="kill")
@click.argument("run")
@options.folder
def kill(run: str, root: str | None) -> int:
    """End RUN at once: its processes are killed, and what was recorded stays.

    RUN is its number, or the job when only one run of it is not over.
    """
    return _end(run, root, Desk.kill, "is being killed")


def _end(word: str, root: str | None, stop: Stop, what: str) -> int:
    """End a run by a verb of the desk, and say what becomes of it."""
    with opened(root, change=True) as desk:
        run = _open_run(desk, word)
        done(stop(desk, run.id, who()))
        click.echo(f"run {run.id} of job {run.job} {'will not begin' if run.state is State.QUEUED else what}")
        if run.state is State.RUNNING:
            say_idle(desk, "it ends")
    return 0


def _open_run(desk: Desk, word: str) -> JobRun:
    if (number := number_of(word)) is not None:
        return desk.planned(number)
    name = desk.store.job(word).job.name
    found = desk.store.open_runs(name)
    if not found:
        raise UsageError(f"no run of job {name!r} is to be ended: none goes on or waits")
    if len(found) > 1:
        raise UsageError(f"which run of job {name!r}? {', '.join(str(each.id) for each in found)} are not over")
    return found[0]
