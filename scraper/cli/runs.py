"""`scraper runs`: what ran, when, and how it ended."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
import msgspec

from ..errors import UsageError
from ..folder import RUNNING, RunFolder, RunInfo, all_runs, find
from ..resume import progress, resumable
from . import options
from .project import output_folder, run_word, shown
from .terminal import columns
from .words import count, duration

DIED = "died"  # its process has ended without saying so


@click.command(name="runs")
@click.argument("run", default="")
@options.folder
def command(run: str, root: str | None) -> int:
    """Earlier runs, newest last; or all about one RUN: its id or the beginning of it, SPIDER, or a folder."""
    place = output_folder(root)
    if run:
        return _one(find(place, run))
    rows = [_row(each) for each in sorted(all_runs(place), key=lambda each: each.run)]
    if not rows:
        click.echo(f"no runs in {place}/", err=True)
        return 0
    head = ("run", "spider", "state", "started", "took", "pages", "failed", "items")
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    for row in [head, *rows]:
        cells = [f"{c:>{w}}" if at > 3 else f"{c:<{w}}" for at, (c, w) in enumerate(zip(row, widths, strict=True))]
        click.echo("  ".join(cells).rstrip())
    return 0


def state(folder: RunFolder, info: RunInfo) -> str:
    """How a run stands; one that says it runs, and whose process is gone, has died."""
    return DIED if info.state == RUNNING and not folder.held() else info.state


def _row(folder: RunFolder) -> tuple[str, ...]:
    try:
        info = folder.read()
    except UsageError:
        return folder.run, folder.path.parent.name, "unreadable", "", "", "", "", ""
    now = state(folder, info)
    ended = info.ended or (time.time() if now == RUNNING else 0.0)
    shown_state = f"{now}, resumable" if resumable(folder, info) else now
    started = time.strftime("%m-%d %H:%M", time.localtime(info.started))
    took = duration(ended - info.started) if ended else "-"
    numbers = [f"{n:,}" if info.ended else "-" for n in (info.pages, info.failed, info.items)]
    return info.run, info.spider, shown_state, started, took, *numbers


def _one(folder: RunFolder) -> int:
    from .summary import Told, summary

    info = folder.read()
    now = state(folder, info)
    click.echo(f"run        {info.run}")
    click.echo(f"folder     {shown(folder.path)}")
    click.echo(f"source     {shown(Path(info.source))}")
    for name, values in (("arguments", info.arguments), ("settings", info.settings)):
        if values:
            click.echo(f"{name:<10} {'  '.join(f'{key}={_plain(value)}' for key, value in values.items())}")
    click.echo(f"started    {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(info.started))}")
    stats = folder.read_stats() if info.state != RUNNING else {}  # else they are of an earlier process
    if stats:
        try:
            told = Told.of(stats)
        except msgspec.ValidationError as error:
            raise UsageError(f"{folder.path / 'stats.json'} cannot be read: {error}") from error
        for line in summary(told, folder, columns(sys.stdout), colour=sys.stdout.isatty()):
            click.echo(line)
        return 0
    click.echo(f"state      {now}")
    if folder.state.is_file() and (numbers := progress(folder)):
        click.echo(f"requests   {numbers[0]:,} answered, {numbers[1]:,} to go")
    if now == DIED:
        click.echo(f"           its process ended without closing it; {_left(folder)}")
    if resumable(folder, info):
        click.echo(f"           to continue it: scraper crawl --resume {run_word(folder)}")
    return 0


def _left(folder: RunFolder) -> str:
    from .export import whole_lines

    _, lines = whole_lines(folder.items)
    return f"{count(lines, 'item')} can be exported: scraper export {folder.run} -o PATH"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
