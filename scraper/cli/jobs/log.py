"""`scraper jobs log`: what a run has logged, or what its processes have printed; also while it goes on."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click
import msgspec

from ...errors import UsageError
from ...jobs.desk import Desk
from ...jobs.files import NotThere
from ...jobs.shown import LinesPage
from ...logs import clean
from .. import options
from .moments import zone_of
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
        chosen = run_named(desk, run)
        number = chosen.id
        if printed:
            click.echo(done(desk.output(number)), nl=False)
            return 0
        printer = Printer(_zone(desk, chosen.job), as_json=as_json)
        found = _first(desk, number, lines)
        if found is None:
            click.echo(done(desk.output(number)), nl=False)
        else:
            printer(found)
        if follow:
            _follow(desk, number, found, printer)
    return 0


def _first(desk: Desk, number: int, lines: int) -> LinesPage | None:
    """The last lines; None when there is no log (yet)."""
    try:
        found = done(desk.log(number, -1, lines))
    except NotThere:
        return None
    return found if found.end else None


def _zone(desk: Desk, job: str) -> ZoneInfo:
    try:
        return zone_of(desk.store.job(job).job)
    except UsageError:  # its job is gone
        return zone_of(None)


def _follow(desk: Desk, number: int, before: LinesPage | None, printer: Printer) -> None:
    """Print what comes until the run is over. A run that is begun anew has another file."""
    crawl, at = desk.planned(number).run, before.end if before is not None else 0
    going = True
    while going:
        run = desk.planned(number)
        going = run.open
        if run.run != crawl:
            crawl, at = run.run, 0
        at = _rest(lambda place: desk.log(number, place, MOST), at, printer)
        if going:
            time.sleep(TICK)
    click.echo(f"run {number} is over: {desk.planned(number).state.value.replace('_', ' ')}", err=True)


def _rest(read: Callable[[int], Awaitable[LinesPage]], at: int, printer: Printer) -> int:
    """Print all lines from a byte on; gives where to go on."""

    async def page() -> LinesPage:
        return await read(at)

    while True:
        try:
            found = done(page())
        except NotThere:
            return at
        printer(found)
        at = found.end if found.next is None else found.next
        if found.next is None:
            return at


class Printer:
    """Prints lines of a log: as JSON, or as they are on a terminal, in the zone of the job."""

    def __init__(self, zone: ZoneInfo, *, as_json: bool) -> None:
        self._zone = zone
        self._as_json = as_json

    def __call__(self, found: LinesPage) -> None:
        """Print a page of them."""
        for line in found.lines:
            click.echo(bytes(line) if self._as_json else self._said(msgspec.json.decode(line)))

    def _said(self, entry: Any) -> str:
        if not isinstance(entry, dict) or "message" not in entry:
            return clean(str(entry))
        moment, level = entry.get("time"), entry.get("level", "info")
        at = (
            f"{datetime.fromtimestamp(moment, self._zone):%m-%d %H:%M:%S %Z}"
            if isinstance(moment, int | float)
            else ""
        )
        parts = [at, str(level) if level != "info" else "", str(entry["message"]), str(entry.get("url", ""))]
        trace = [clean(line) for line in str(entry.get("trace", "")).splitlines()]
        return "\n".join([" ".join(filter(None, map(clean, parts))), *trace])
