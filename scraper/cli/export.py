"""`scraper export`: the journal of a run, written in any format."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import click

from ..errors import OutputError, StoreError, UsageError
from ..explain import check_state
from ..folder import RUNNING, RunFolder, find
from ..frontier.entries import Selection
from ..frontier.ledger import Ledger
from ..outputs.follow import Follower
from ..outputs.journal import Journal
from ..outputs.registry import STDOUT, VARIABLE, expand, open_output
from ..resume import variables
from ..settings import resolve
from ..words import count
from . import options
from .crawl import check_outputs
from .project import layers, output_folder
from .requests import COLUMNS, Rows

CHUNK = 1 << 20  # bytes read at once
ENDLESS = 1 << 62  # a position behind all rows, however many


@click.command(name="export")
@click.argument("run")
@options.outputs
@click.option(
    "--requests",
    "selection",
    metavar="STATE",
    help="Its requests instead of its items: all, failed, done, dropped, redirected, queued, waiting, or a reason: "
    "failed:status, status:404.",
)
@options.append
@options.settings
@options.folder
def command(
    run: str,
    outputs: tuple[str, ...],
    selection: str | None,
    append: bool,
    pairs: tuple[str, ...],
    root: str | None,
) -> int:
    """Write the items of RUN (its id or the beginning of it, SPIDER for its latest, or a folder) to PATHs.

    A run that died or was interrupted gives what it had.
    """
    if not outputs:
        raise UsageError("where to? give -o PATH, or -o - for standard output")
    wanted = None if selection is None else Selection.parse(selection)
    folder = find(output_folder(root), run)
    info = folder.read()
    if wanted is None and info.state == RUNNING and folder.held():
        raise UsageError(f"run {info.run} is still running; its items so far are in {folder.items}")
    if wanted is not None:
        check_state(folder)
    settings = resolve(layers(None, pairs))
    check_outputs(outputs, info.spider, append=append)
    names = variables(info.spider, info.run, info.started)
    for path in outputs:
        where = expand(path, names)
        if wanted is None:
            position, number = committed(folder)
            made = open_output(path, append=append, variables=names, csv_safe=settings.csv_safe)
            told = count(number, "item")
            _follow(Follower(Journal(folder.items), made, name=where, committed=position))
        else:
            known = {name: f"{{{name}}}" for name in VARIABLE.findall(where)}  # it is filled in already
            known["run"] = ""  # a database must not take these rows for the run's items
            made = open_output(where, append=append, variables=known, columns=COLUMNS, csv_safe=settings.csv_safe)
            with Ledger(folder.state, time.time()) as ledger:
                rows = Rows(ledger, wanted)
                _follow(Follower(rows, made, name=where, committed=ENDLESS))
            told = count(rows.number, "request")
        if path != STDOUT:
            click.echo(f"{where}  {told}", err=True)
    return 0


def _follow(follower: Follower) -> None:
    """Write everything. Raises OutputError, StoreError."""
    follower.end(finished=True)
    asyncio.run(follower.run())
    if follower.error is not None:
        said = str(follower.error).removeprefix(f"{follower.name}: ")
        raise OutputError(f"{follower.name}: {said}") from follower.error


def committed(folder: RunFolder) -> tuple[int, int]:
    """Where the items of a run end, in bytes, and how many there are: no further than its state knows of them.

    Of a run without state, or with one that cannot be read, all whole lines count. Raises UsageError.
    """
    if folder.state.is_file():
        with suppress(StoreError), Ledger(folder.state, 0.0) as ledger:
            position = ledger.position("items")
            end, lines = whole_lines(folder.items, position)
            if end < position:
                raise UsageError(
                    f"{folder.items} has {end} bytes of whole items where {position} were recorded: it was cut, or "
                    "removed. Put the file back"
                )
            return end, lines
    return whole_lines(folder.items)


def whole_lines(path: Path, most: int | None = None) -> tuple[int, int]:
    """Where the last whole line within `most` bytes of a file ends, and how many lines there are.

    Raises UsageError.
    """
    end = lines = at = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK if most is None else min(CHUNK, most - at)):
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
