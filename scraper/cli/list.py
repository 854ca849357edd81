"""`scraper list`: the spiders of a project, read from their files without importing any."""

from __future__ import annotations

import sys
from collections import Counter

import click

from ..discover import FOLDER, listed, unreadable
from ..words import cut
from .project import project, shown
from .terminal import columns


@click.command(name="list")
def command() -> int:
    """The spiders of this project: name, file and line, first line of the docstring. Nothing is imported."""
    place = project()
    found = listed(place)
    for wrong in unreadable(place):
        click.echo(f"warning: {shown(place / FOLDER)}/{wrong}", err=True)
    if not found:
        click.echo(f"no spiders in {shown(place / FOLDER)}/; `scraper new spider NAME URL` writes one", err=True)
        return 0
    rows = [(each.name, f"{shown(each.path)}:{each.line}", each.summary) for each in found]
    name, where = max(len(row[0]) for row in rows), max(len(row[1]) for row in rows)
    for row in rows:
        line = f"{row[0]:<{name}}  {row[1]:<{where}}  {row[2]}".rstrip()
        click.echo(cut(line, columns(sys.stdout)) if sys.stdout.isatty() else line)
    for twice in [each for each, number in Counter(row[0] for row in rows).items() if number > 1]:
        click.echo(f"warning: two spiders are named {twice!r}", err=True)
    return 0
