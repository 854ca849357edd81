"""`scraper jobs apply`: the jobs become what jobs.toml says, all of it or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from pathlib import Path

import click

from ...errors import Mistakes, UsageError
from ...jobs.admission import FILE
from ...jobs.checking import Checks, declares
from ...jobs.declared import looked
from ...jobs.difference import Change, Declared, difference, text
from ...jobs.job import Job
from ...jobs.places import Found, Wrong, lined
from ...jobs.sealed import Declares
from ...jobs.secret import Veil
from ...jobs.store import Jobs
from ...logs import clean
from ...words import count
from .. import options
from ..project import project, shown
from .place import as_json, destinations, home_of, opened, print_json, say_idle, there, who


@click.command(name="apply")
@click.argument("file", default="", type=click.Path(path_type=Path))
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--check", "only_check", is_flag=True, help="Only check and show; exit code 1 when it would change.")
@as_json
@options.folder
def apply(file: Path, yes: bool, only_check: bool, as_json: bool, root: str | None) -> int:
    """Make the jobs what FILE says, jobs.toml of the project by default.

    Everything is checked first: keys, times, and that each job's spider takes its arguments. Then the difference
    is shown, and you are asked. Jobs that FILE does not have any more are removed; those made by hand stay.
    """
    path = file if str(file) != "." else shown(project() / FILE)
    declared, wrong = looked(path)
    known: dict[str, Mapping[str, bool]] = {}
    wrong += _unfit(declared.jobs.values(), root, known)
    if wrong:
        raise Mistakes(lined(path, path.read_text(encoding="utf-8-sig"), wrong))
    pending = _pending(declared, root, known)
    if as_json:
        print_json(pending)
    else:
        click.echo(clean_lines(text(pending)))
    if only_check or not pending:
        return 1 if pending else 0
    if not yes and not _agreed(pending):
        return 1
    with opened(root, new=True) as desk:
        changed = desk.store.apply(declared, time.time(), who(), known, expected=pending)
        if not as_json:
            click.echo(f"applied {count(len(changed), 'change')}", err=True)
        say_idle(desk, "jobs run")
    return 0


def _pending(declared: Declared, root: str | None, known: Declares) -> list[Change]:
    """What would change; nothing is made for it."""
    if not there(root):
        secret = {spider: [name for name in names if names[name]] for spider, names in known.items()}
        return difference(Declared(), declared, Veil(secret))
    with Jobs(home_of(root), read_only=True) as store:
        return store.pending(declared, known)


def _unfit(jobs: Iterable[Job], root: str | None, known: dict[str, Mapping[str, bool]]) -> list[Wrong]:
    """What is wrong with the spiders and outputs of jobs, and into `known` what the others declare.

    What spiders print is no result.
    """
    found, checks, outputs = Found(), Checks(project()), destinations(root)
    with redirect_stdout(sys.stderr):
        for job in jobs:
            with found:
                known |= declares(checks.check(job))
            with found:
                outputs.check(job)
    return found.each


def _agreed(pending: list[Change]) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("nothing was applied: there is nobody to ask; give --yes")
    if click.confirm(f"apply {count(len(pending), 'change')}?", err=True):
        return True
    click.echo("nothing was applied", err=True)
    return False


def clean_lines(lines: str) -> str:
    """Text of several lines without control characters in them."""
    return "\n".join(map(clean, lines.split("\n")))
