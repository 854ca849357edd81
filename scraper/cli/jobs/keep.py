"""`scraper jobs backup` and `restore`: the store of jobs as one file."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from ...errors import UsageError
from ...jobs.store import Jobs
from ...logs import clean
from ...words import count, size
from .. import options
from ..project import output_folder, shown
from .place import home_of, opened, there, who


@click.command(name="backup")
@click.argument("path", type=click.Path(path_type=Path))
@options.folder
def backup(path: Path, root: str | None) -> int:
    """Copy jobs, history, users and tokens to PATH, a new file, while a server goes on.

    Items and logs are not in it: these are the folders of the runs.
    """
    with opened(root) as desk:
        desk.store.backup(path)
    click.echo(f"{clean(str(path))}  {size(path.stat().st_size)}")
    return 0


@click.command(name="restore")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@options.folder
def restore(path: Path, yes: bool, root: str | None) -> int:
    """Put a copy of `backup` in the place of the store, while no server runs; the one before is kept beside it.

    No time that has passed is run again, and runs that were open in the copy have ended.
    """
    if there(root) and not yes:
        if not sys.stdin.isatty():
            raise UsageError("nothing was put back: there is nobody to ask; give --yes")
        if not click.confirm(f"put {path} in the place of the jobs in {shown(home_of(root))}?", err=True):
            click.echo("nothing was put back", err=True)
            return 1
    output_folder(root).mkdir(parents=True, exist_ok=True)
    before = Jobs.restore(path, home_of(root), now=time.time(), who=who())
    with opened(root) as desk:
        click.echo(f"put back {count(len(desk.store.jobs()), 'job')}")
    if before is not None:
        click.echo(f"the store before is {shown(before)}", err=True)
    return 0
