"""`scraper runs`: what ran, when, and how it ended."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from ..errors import StoreError, UsageError
from ..folder import RUNNING, RunFolder, RunInfo, age, all_runs, find
from ..frontier.entries import ENDS, QUEUED, WAITING, Count
from ..logs import clean
from ..reasons import Reason
from ..resume import resumable
from ..story import DIED, at, named, resting, said, standing
from ..words import count, duration
from . import options
from .project import output_folder, run_word, shown
from .terminal import columns

MOST = 8  # reasons of a state, hosts
LABEL = 11  # columns


@click.command(name="runs")
@click.argument("run", default="")
@options.folder
def command(run: str, root: str | None) -> int:
    """Earlier runs, newest last; or all about one RUN: its id or the beginning of it, SPIDER, or a folder."""
    place = output_folder(root)
    if run:
        return _one(find(place, run))
    rows = [_row(each) for each in sorted(all_runs(place), key=age)]
    if not rows:
        click.echo(f"no runs in {place}/", err=True)
        return 0
    head = ("run", "spider", "state", "started", "took", "pages", "failed", "items")
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    for row in [head, *rows]:
        cells = [f"{c:>{w}}" if at > 3 else f"{c:<{w}}" for at, (c, w) in enumerate(zip(row, widths, strict=True))]
        click.echo("  ".join(cells).rstrip())
    return 0


def _row(folder: RunFolder) -> tuple[str, ...]:
    try:
        info = folder.read()
    except UsageError:
        return folder.run, folder.path.parent.name, "unreadable", "", "", "", "", ""
    now = standing(folder, info)
    ended = info.ended or (time.time() if now == RUNNING else 0.0)
    shown_state = f"{now}, resumable" if resumable(folder, info) else now
    started = time.strftime("%m-%d %H:%M", time.localtime(info.started))
    took = duration(ended - info.started) if ended else "-"
    numbers = [f"{n:,}" if info.ended else "-" for n in (info.pages, info.failed, info.items)]
    return info.run, info.spider, shown_state, started, took, *numbers


def _one(folder: RunFolder) -> int:
    from .summary import Told, summary

    info = folder.read()
    now = standing(folder, info)
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
        _ledger(folder, info)
        return 0
    click.echo(f"state      {now}")
    _ledger(folder, info)
    if now == DIED:
        click.echo(f"           its process ended without closing it; {_left(folder)}")
    if resumable(folder, info):
        click.echo(f"           to continue it: scraper crawl --resume {run_word(folder)}")
    return 0


def _ledger(folder: RunFolder, info: RunInfo) -> None:
    """What has become of its requests, and what is still to be done."""
    from ..frontier.ledger import Ledger

    click.echo()
    if info.starts > 1:
        click.echo(f"processes  {info.starts:,} have worked on it")
    if not folder.state.is_file():
        click.echo("requests   not kept (durability = none)")
        return
    now = time.time()
    try:
        with Ledger(folder.state, now) as ledger:
            numbers, oldest, rests = counted(ledger.counts()), ledger.oldest(), ledger.resting()
    except StoreError as error:
        click.echo(f"requests   {error}")
        return
    width = columns(sys.stdout)
    for text in numbers or ["none yet"]:
        for line in textwrap.wrap(text, width - LABEL, subsequent_indent="  "):
            click.echo(f"{'requests' if text is numbers[0] and not line.startswith(' ') else '':<{LABEL}}{line}")
    if oldest is not None:
        click.echo(f"{'oldest':<{LABEL}}{said(oldest, now)}, found {at(oldest.found, now)}")
        click.echo(f"{'':<{LABEL}}{named(oldest)}")
    for rest in rests[:MOST]:
        click.echo(f"{'host':<{LABEL}}{clean(rest.host)} {resting(rest, now)}")
    if len(rests) > MOST:
        click.echo(f"{'':<{LABEL}}and {count(len(rests) - MOST, 'more host')}")


def counted(counts: Sequence[Count]) -> list[str]:
    """One line a state, with its reasons; most first."""
    found = []
    for state in (*ENDS, QUEUED, WAITING):
        own = sorted((each for each in counts if each.state == state), key=lambda each: -each.number)
        if not own:
            continue
        reasons = [
            f"{each.number:,} {f'status {each.status}' if each.status else each.reason.replace('_', ' ')}"
            for each in own
            if each.reason not in ("", Reason.OK)
        ]
        few = ", ".join(reasons[:MOST]) + (", ..." if len(reasons) > MOST else "")
        told = f"{sum(each.number for each in own):,} {state}"
        found.append(f"{told}: {few}" if reasons and state not in ("done", "redirected") else told)
    return found


def _left(folder: RunFolder) -> str:
    from .export import committed

    _, lines = committed(folder)
    return f"{count(lines, 'item')} can be exported: scraper export {folder.run} -o PATH"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
