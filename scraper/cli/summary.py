"""How a run ended, in lines to be read at 80 columns: after a crawl, and later for `scraper runs RUN`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click
import msgspec

from ..folder import BROKE_RULE, FAILED, FINISHED, INTERRUPTED, RunFolder
from ..frontier.host import Proof
from ..logs import clean
from ..outputs.registry import STDOUT
from ..stats import Cause
from ..url import printable
from ..words import count, cut, duration, middle, size
from .project import run_word, shown

MOST = 10  # groups of errors, hosts
TABLE = 76  # columns that the table of hosts needs
LABEL = 11  # columns of the words at the left
STATES = {FINISHED: "finished", FAILED: "failed", BROKE_RULE: "broke a rule", INTERRUPTED: "interrupted"}
NO_RESUME = "its state was kept in memory: it cannot be continued, only begun anew"
WHOLE: Any = {"break_long_words": False, "break_on_hyphens": False}  # words that are copied
COLOURS = {FINISHED: "green", INTERRUPTED: "yellow"}


class Told(msgspec.Struct, kw_only=True):
    """stats.json, as `Report.as_data` makes it."""

    state: str
    why: str = ""
    said: list[str] = []
    seconds: float = 0.0
    pages: dict[str, int] = {}
    reasons: dict[str, int] = {}
    items: int = 0
    rejected: int = 0
    bytes: int = 0
    wire_bytes: int = 0
    errors: list[Cause] = []
    dropped: dict[str, int] = {}
    politeness: dict[str, Proof] = {}
    outputs: dict[str, str] = {}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Told:
        """From plain data. Raises msgspec.ValidationError."""
        return msgspec.convert(data, cls)

    @property
    def complete(self) -> bool:
        """Whether the outputs that did not fail have their final names: the crawl itself ended well."""
        broken = sum(bool(error) for error in self.outputs.values())
        return self.state == FINISHED or (self.state == FAILED and len(self.said) == broken > 0)

    def because(self, end: str) -> dict[str, int]:
        """The reasons of one kind of end."""
        return {key.partition(":")[2]: number for key, number in self.reasons.items() if key.startswith(f"{end}:")}


def kept(proof: Proof) -> bool:
    """Whether a host was never contacted before its time."""
    gap = proof.least_gap
    return proof.early == 0 and (gap is None or gap >= proof.delay) and proof.most_parallel <= proof.per_host


def summary(told: Told, folder: RunFolder | None, width: int, *, colour: bool = False) -> Iterator[str]:
    """The lines, each at most `width` columns but for addresses and paths, which stay whole."""
    yield ""
    yield _head(told, folder, colour)
    for each in told.said:
        yield from textwrap.wrap(clean(each), width, initial_indent="  ", subsequent_indent="    ")
    if told.state == INTERRUPTED:
        yield from textwrap.wrap(_next(folder), width, initial_indent="  ", subsequent_indent="    ", **WHOLE)
    yield ""
    yield from _numbers(told, width)
    yield from _errors(told.errors, width)
    yield from _politeness(told.politeness, width, colour)
    yield from _results(told, folder, width)


def _next(folder: RunFolder | None) -> str:
    """How an interrupted run goes on."""
    if folder is None or not folder.state.is_file():
        return NO_RESUME
    return f"the same command goes on with it, or: scraper crawl --resume {run_word(folder)}"


def _head(told: Told, folder: RunFolder | None, colour: bool) -> str:
    name = folder.path.parent.name if folder else "crawl"
    state = STATES.get(told.state, told.state)
    why = f" ({clean(told.why)})" if told.why not in ("", "finished", "interrupted", "broken") else ""
    return f"{name} {_coloured(state, COLOURS.get(told.state, 'red'), colour)}{why} after {duration(told.seconds)}"


def _coloured(text: str, name: str, colour: bool) -> str:
    return click.style(text, fg=name, bold=True) if colour else text


def _numbers(told: Told, width: int) -> Iterator[str]:
    pages = told.pages
    done = pages.get("done", 0)
    parts = [f"{done:,} done"]
    parts += [f"{pages[e]:,} {word}" for e, word in ENDS if pages.get(e)]
    yield from _wrapped("pages", ", ".join(parts), width)
    rejected = f", {told.rejected:,} rejected (rejected.jsonl)" if told.rejected else ""
    yield from _wrapped("items", f"{told.items:,}{rejected}", width)
    rate = f"{done / told.seconds:,.1f} pages/s" if told.seconds > 0 else "-"
    wire = f" ({size(told.wire_bytes)} on the wire)" if told.wire_bytes != told.bytes else ""
    yield from _wrapped("received", f"{size(told.bytes)}{wire}, {rate}", width)
    for end, label in (("failed", "failed"), ("retry", "retried"), ("dropped", "dropped")):
        if told.because(end):
            yield from _wrapped(label, _counted(told.because(end)), width)
    left_out = {reason: number for reason, number in told.dropped.items() if number}
    if left_out:
        yield from _wrapped("left out", "links: " + _counted(left_out), width)


ENDS = (("failed", "failed"), ("dropped", "dropped"), ("redirected", "redirected"), ("retry", "retried"))


def _counted(reasons: Mapping[str, int]) -> str:
    ordered = sorted(reasons.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{number:,} {reason.replace('_', ' ')}" for reason, number in ordered)


def _wrapped(label: str, text: str, width: int) -> list[str]:
    indent = " " * (2 + LABEL) if width >= 60 else "    "
    first = f"  {label:<{LABEL}}" if width >= 60 else f"  {label}: "
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _errors(causes: list[Cause], width: int) -> Iterator[str]:
    """Grouped by cause, those in the spider's own code first; one address each to look at."""
    if not causes:
        return
    yield ""
    yield "errors"
    ordered = sorted(causes, key=lambda cause: (not cause.where, -cause.count))
    for cause in ordered[:MOST]:
        number = f"{cause.count:,} x"
        detail = clean(cause.detail)
        if cause.where:
            yield cut(f"  {number:>7}  {clean(cause.where)}", width)
            yield from _told("           ", cause.reason.value, detail, width)
        else:
            yield from _told(f"  {number:>7}  ", cause.reason.value, detail, width)
        yield f"           {printable(cause.url)}"
    if len(causes) > MOST:
        yield f"  and {count(len(causes) - MOST, 'more kind', 'more kinds')} in stats.json"


def _told(head: str, reason: str, detail: str, width: int) -> list[str]:
    """What an error says, in three lines at most."""
    text = f"{reason}: {detail}" if detail else reason
    indent = " " * len(head)
    return textwrap.wrap(text, width, initial_indent=head, subsequent_indent=indent, max_lines=3, placeholder=" …")


def _politeness(proofs: Mapping[str, Proof], width: int, colour: bool) -> Iterator[str]:
    """What every host has seen of us, and whether that was as promised; broken promises first."""
    if not proofs:
        return
    ordered = sorted(proofs.items(), key=lambda pair: (kept(pair[1]), -pair[1].departures))
    yield ""
    if width >= TABLE:
        yield f"{'politeness':<30}{'sent':>7}{'delay':>8}{'least gap':>11}{'at once':>10}{'rests':>7}"
    else:
        yield "politeness"
    for host, proof in ordered[:MOST]:
        good = kept(proof)
        verdict = _coloured("kept" if good else "BROKEN", "green" if good else "red", colour)
        yield from (_row if width >= TABLE else _block)(clean(host), proof, verdict, width)
    if len(ordered) > MOST:
        yield f"  and {count(len(ordered) - MOST, 'more host')} in stats.json"
    broken = sum(not kept(proof) for proof in proofs.values())
    if broken:
        yield f"  the promise was BROKEN at {count(broken, 'host')}"


def _gap(proof: Proof) -> str:
    return "-" if proof.least_gap is None else f"{proof.least_gap:.3f} s"


def _row(host: str, proof: Proof, verdict: str, width: int) -> Iterator[str]:
    at_once = f"{proof.most_parallel} of {proof.per_host}"
    yield (
        f"  {middle(host, 27):<28}{proof.departures:>7,}{f'{proof.delay:g} s':>8}{_gap(proof):>11}"
        f"{at_once:>10}{proof.rests:>7}  {verdict}"
    )


def _block(host: str, proof: Proof, verdict: str, width: int) -> Iterable[str]:
    yield f"  {host}  {verdict}"
    facts = (
        f"{proof.departures:,} sent, delay {proof.delay:g} s, least gap {_gap(proof)}, "
        f"{proof.most_parallel} of {proof.per_host} at once, {count(proof.rests, 'rest')}"
    )
    yield from textwrap.wrap(facts, width, initial_indent="    ", subsequent_indent="    ")


def _results(told: Told, folder: RunFolder | None, width: int) -> Iterator[str]:
    """Every place with what it holds."""
    rows: list[tuple[str, str]] = []
    if folder is not None:
        rows.append((str(shown(folder.items)), count(told.items, "item")))
    for name, error in told.outputs.items():
        place = "standard output" if name == STDOUT else name
        if error:
            rows.append((place, f"failed: {clean(error).removeprefix(place + ': ')}"))
        elif name == STDOUT:
            rows.append((place, count(told.items, "item")))
        elif not told.complete:
            rows.append((f"{name}.part", f"{count(told.items, 'item')}, not finished"))
        else:
            rows.append((name, count(told.items, "item")))
    if not rows:
        return
    yield ""
    yield "results"
    column = max(len(name) for name, _ in rows)
    for name, what in rows:
        if 2 + column + 2 + len(what) <= width:
            yield f"  {name:<{column}}  {what}"
        else:
            yield f"  {name}"
            yield f"    {what}"
