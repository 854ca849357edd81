"""`scraper export`: the journal of a run, written in any format."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from ..errors import OutputError, UsageError
from ..folder import RUNNING, find
from ..outputs.follow import Follower
from ..outputs.journal import Journal
from ..outputs.registry import STDOUT, expand, open_output
from ..resume import variables
from ..settings import resolve
from . import options
from .crawl import check_outputs
from .project import layers, output_folder
from .words import count

CHUNK = 1 << 20  # bytes read at once


@click.command(name="export")
@click.argument("run")
@options.outputs
@options.append
@options.settings
@options.folder
def command(run: str, outputs: tuple[str, ...], append: bool, pairs: tuple[str, ...], root: str | None) -> int:
    """Write the items of RUN (its id or the beginning of it, SPIDER for its latest, or a folder) to PATHs.

    A run that died or was interrupted gives what it had.
    """
    if not outputs:
        raise UsageError("where to? give -o PATH, or -o - for standard output")
    folder = find(output_folder(root), run)
    info = folder.read()
    if info.state == RUNNING and folder.held():
        raise UsageError(f"run {info.run} is still running; its items so far are in {folder.items}")
    settings = resolve(layers(None, pairs))
    check_outputs(outputs, info.spider, append=append)
    names = variables(info.spider, info.run, info.started)
    position, number = whole_lines(folder.items)
    for path in outputs:
        made = open_output(path, append=append, variables=names, csv_safe=settings.csv_safe)
        where = expand(path, names)
        follower = Follower(Journal(folder.items), made, name=where, committed=position)
        asyncio.run(_follow(follower))
        if follower.error is not None:
            raise OutputError(f"{where}: {str(follower.error).removeprefix(where + ': ')}") from follower.error
        if path != STDOUT:
            click.echo(f"{where}  {count(number, 'item')}", err=True)
    return 0


async def _follow(follower: Follower) -> None:
    follower.end(finished=True)
    await follower.run()


def whole_lines(path: Path) -> tuple[int, int]:
    """Where the last whole line of a file ends, in bytes, and how many lines there are. Raises UsageError."""
    end = lines = at = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                found = chunk.rfind(b"\n")
                if found >= 0:
                    end = at + found + 1
                    lines += chunk.count(b"\n")
                at += len(chunk)
    except FileNotFoundError:
        return 0, 0
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    return end, lines
