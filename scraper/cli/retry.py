"""`scraper retry`: puts what failed back into the queue of its run, and goes on with the run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import click
from msgspec.structs import replace

from ..errors import ScraperError, UsageError
from ..explain import check_state
from ..folder import ENDED, INTERRUPTED, RunFolder, RunInfo, find
from ..frontier.entries import Selection
from ..frontier.ledger import Ledger
from ..frontier.revival import put_back
from ..reasons import Reason
from ..words import count
from . import options
from .crawl import LEVELS, Order, Plan, prepared
from .project import output_folder, run_word

LIMITS = ("max_pages", "max_pages_per_host", "max_items", "max_depth", "max_seconds", "max_run_bytes")
PACE = ("delay", "per_host", "concurrency")
WHY = "retry"  # of a run that was opened again for this


@click.command(name="retry")
@click.argument("run")
@click.option(
    "--reason", "reasons", multiple=True, metavar="REASON", help="Only what failed so: timeout, status, status:503."
)
@click.option("--unknown", is_flag=True, help="Also a POST that may have arrived when its process died.")
@click.option("--spider", "word", default="", metavar="SPIDER", help="The spider, where the run's own has moved.")
@options.arguments
@options.settings
@options.folder
@click.option("--quiet", "-q", is_flag=True, help="Say nothing unless something is wrong.")
@click.option("--log-level", type=LEVELS, help="Least level that is logged.")
def command(
    run: str,
    reasons: tuple[str, ...],
    unknown: bool,
    word: str,
    arguments: tuple[str, ...],
    pairs: tuple[str, ...],
    root: str | None,
    quiet: bool,
    log_level: str | None,
) -> int:
    """Fetch again what failed in RUN: its id or the beginning of it, SPIDER for its latest, or a folder.

    The run goes on where it ended, with its outputs; no item is repeated.
    """
    wanted = selections(reasons, unknown)
    folder = find(output_folder(root), run)
    info = folder.read()
    if folder.held():
        raise UsageError(folder.busy())
    check_state(folder)
    number = failed(folder, wanted, unknown)
    if not number:
        click.echo(_nothing(folder, info, wanted), err=True)
        return 0
    order = Order(
        word=word, arguments=arguments, pairs=[*_kept(info), *pairs], own=False, resume=str(folder.path), root=root,
        quiet=quiet, log_level=log_level,
    )  # fmt: skip
    plan = opened(folder, info, order, wanted, unknown)
    changed = " and ".join(plan.identity.differences(info))
    said = f"fetching again what failed in run {info.run}{', though ' + changed if changed else ''}: "
    said += count(number, "request")
    from .running import execute

    return execute(replace(plan, choice=replace(plan.choice, said=said)))


def _kept(info: RunInfo) -> Iterator[str]:
    """The limits and the pace of a run as `-s` gives them; with what else it failed may have been mended."""
    for name in LIMITS + PACE:
        if name in info.settings:
            yield f"{name}={info.settings[name]}"


def selections(reasons: Sequence[str], unknown: bool) -> list[Selection]:
    """The failures that are meant; none: all. Raises UsageError."""
    wanted = [Selection.parse(f"failed:{reason}") for reason in reasons]
    if not unknown and any(each.reason == Reason.UNKNOWN for each in wanted):
        raise UsageError("what may have arrived is sent again only with --unknown")
    return wanted


def failed(folder: RunFolder, wanted: Sequence[Selection], unknown: bool) -> int:
    """How many requests would be put back. Raises StoreError."""
    with Ledger(folder.state, time.time()) as ledger:
        return sum(
            each.number
            for each in ledger.counts()
            if each.state == "failed"
            and (unknown or each.reason != Reason.UNKNOWN)
            and (not wanted or any(one.fits(each) for one in wanted))
        )


def _nothing(folder: RunFolder, info: RunInfo, wanted: Sequence[Selection]) -> str:
    with Ledger(folder.state, time.time()) as ledger:
        counts = ledger.counts()
        left = ledger.left()
    others = sum(each.number for each in counts if each.state == "failed")
    unknown = sum(each.number for each in counts if each.state == "failed" and each.reason == Reason.UNKNOWN)
    said = f"nothing{' of that kind' if wanted and others else ''} failed in run {info.run}"
    if unknown and unknown == others and not wanted:
        said = f"{count(unknown, 'request')} of run {info.run} may have arrived: --unknown sends them again"
    if left:
        how = (
            f"scraper crawl --resume {run_word(folder)}" if info.state not in ENDED else f"it ended with {info.why}"
        )
        said += f"; not answered yet: {count(left, 'request')} ({how})"
    return said


def opened(folder: RunFolder, info: RunInfo, order: Order, wanted: Sequence[Selection], unknown: bool) -> Plan:
    """Make the run one that can be continued, check that it will be, and only then put the requests back.

    Killed at any point it is a run as it was, or one that `crawl --resume` continues. Raises ScraperError.
    """
    before = _reopened(folder, info)
    try:
        plan = prepared(order)
        with folder.hold():
            put_back(folder.state, wanted, unknown=unknown)
    except ScraperError:
        _closed(folder, before)
        raise
    return plan


def _reopened(folder: RunFolder, info: RunInfo) -> RunInfo | None:
    """Let a run that has ended be an interrupted one; gives what its record said."""
    with folder.hold():
        if info.state not in ENDED:
            return None
        before = folder.read()
        info.state, info.why, info.exit_code, info.ended = INTERRUPTED, WHY, None, time.time()
        info.retried = True
        folder.write(info)
    return before


def _closed(folder: RunFolder, before: RunInfo | None) -> None:
    """Take that back."""
    if before is not None and folder.read().why == WHY:
        folder.write(before)
