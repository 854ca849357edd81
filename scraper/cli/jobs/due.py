"""`scraper jobs run-due`: one look at what is due, for plain cron."""

from __future__ import annotations

import os

import click

from ...errors import UsageError
from ...jobs.record import BAD, OPEN, JobRun, State
from ...words import count
from .. import options
from ..extra import SCHEDULER, need
from ..project import output_folder, project
from ..terminal import Terminal, logged
from .place import home_of, there
from .work import told

INTERRUPTED = 130


@click.command(name="run-due")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing unless a run goes wrong.")
@options.folder
def command(quiet: bool, root: str | None) -> int:
    """Run what is due now, and end when no run is open: for cron, in the place of a server.

    What came due since the last look is run as `catch_up` says. When a server runs, it is left to that. Exit code
    1 when a run has failed, 2 when the extra `server` is missing, 130 when a signal came before all were over.
    """
    if os.name != "posix":
        raise UsageError("`scraper jobs run-due` needs Linux or macOS")
    need("jobs run-due", *SCHEDULER)
    if not there(root):
        raise UsageError("there are no jobs yet; see `scraper jobs --help`")
    from ...jobs.due import run_due
    from ...jobs.serving import running
    from ...runner import runner

    if (server := running(home_of(root))) is not None:
        if not quiet:
            click.echo(f"the server with pid {server.pid} runs the jobs", err=True)
        return 0

    def tell(run: JobRun) -> None:
        if run.state in BAD or not (quiet or run.state is State.MISSED):
            click.echo(told(run))

    with logged(Terminal(), "info", quiet=True), runner() as loop:
        runs = loop.run(run_due(output_folder(root).absolute(), project(), tell=tell, last=True))
    if waiting := [run for run in runs if run.state in OPEN]:
        click.echo(f"{count(len(waiting), 'run')} not over: the next server or `run-due` goes on", err=True)
        return INTERRUPTED
    return 1 if any(run.state in BAD for run in runs) else 0
