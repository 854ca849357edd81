"""`scraper jobs log`: what a run has logged, or what its processes have printed; also while it goes on."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import click
import msgspec

from ...jobs.desk import Desk
from ...jobs.files import NotThere
from ...jobs.shown import LinesPage
from ...logs import clean
from .. import options
from .place import as_json, done, opened, run_named

TICK = 0.5  # seconds between two looks at a file that another process writes
MOST = 500  # lines read at once


@click.command(name="log")
@click.argument("run")
@click.option("--follow", "-f", is_flag=True, help="Go on until the run is over.")
@click.option("--output", "printed", is_flag=True, help="What its processes have printed, instead of its log.")
@click.option(
    "--lines", "-n", default=50, type=click.IntRange(1, 1000), show_default=True, help="The last so many."
)
@as_json
@options.folder
def command(run: str, follow: bool, printed: bool, lines: int, as_json: bool, root: str | None) -> int:
    """The end of what RUN has logged: its number, or a job for its newest run.

    Of a run that has not come so far as to log anything, what its processes have printed.
    """
    with opened(root) as desk:
        number = run_named(desk, run).id
        if printed:
            click.echo(done(desk.output(number)), nl=False)
            return 0
        found = _first(desk, number, lines)
        if found is None:
            click.echo(done(desk.output(number)), nl=False)
        else:
            _print(found, as_json=as_json)
        if follow:
            _follow(desk, number, found, as_json=as_json)
    return 0


def _first(desk: Desk, number: int, lines: int) -> LinesPage | None:
    """The last lines; None when there is no log (yet)."""
    try:
        found = done(desk.log(number, -1, lines))
    except NotThere:
        return None
    return found if found.end else None


def _follow(desk: Desk, number: int, before: LinesPage | None, *, as_json: bool) -> None:
    """Print what comes until the run is over. A run that is begun anew has another file."""
    crawl, at = desk.planned(number).run, before.end if before is not None else 0
    going = True
    while going:
        run = desk.planned(number)
        going = run.open
        if run.run != crawl:
            crawl, at = run.run, 0
        at = _rest(lambda place: desk.log(number, place, MOST), at, as_json=as_json)
        if going:
            time.sleep(TICK)
    click.echo(f"run {number} is over: {desk.planned(number).state.value.replace('_', ' ')}", err=True)


def _rest(read: Callable[[int], Awaitable[Any]], at: int, *, as_json: bool) -> int:
    """Print all lines from a byte on; gives where to go on."""

    async def page() -> LinesPage:
        found: LinesPage = await read(at)
        return found

    while True:
        try:
            found = done(page())
        except NotThere:
            return at
        _print(found, as_json=as_json)
        at = found.end if found.next is None else found.next
        if found.next is None:
            return at


def _print(found: LinesPage, *, as_json: bool) -> None:
    for line in found.lines:
        click.echo(bytes(line) if as_json else _said(msgspec.json.decode(line)))


def _said(entry: Any) -> str:
    """A line of the log as it is on a terminal."""
    if not isinstance(entry, dict) or "message" not in entry:
        return clean(str(entry))
    moment = entry.get("time")
    at = time.strftime("%m-%d %H:%M:%S", time.localtime(moment)) if isinstance(moment, int | float) else ""
    level = entry.get("level", "info")
    parts = [at, str(level) if level != "info" else "", clean(str(entry["message"])), str(entry.get("url", ""))]
    trace = [clean(line) for line in str(entry.get("trace", "")).splitlines()]
    return "\n".join([" ".join(filter(None, map(clean, parts))), *trace])
