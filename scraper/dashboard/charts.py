"""Small pictures made here, and the numbers that uPlot draws the large ones from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ..jobs.record import BAD, JobRun
from ..jobs.shown import Dot

BAR, GAP, TALL = 5, 2, 26  # of a sparkline, CSS pixels
LEAST = 2  # height of a bar of nothing, so that the run is seen
MOST = 400  # points of a plot; a table has fewer


class Spark(msgspec.Struct, frozen=True):
    """A sparkline, the last run at the right; `said` tells it without a picture.

    `paths` are the bars of the runs of each state, as one SVG path: a page of many jobs stays small.
    """

    width: int
    height: int
    paths: list[tuple[str, str]]
    said: str


def spark(dots: Sequence[Dot]) -> Spark | None:
    """Items of the last runs, or how long they took where none of them has items; None without runs."""
    if not dots:
        return None
    items = any(dot.items for dot in dots)
    values = [float(dot.items) if items else max(0.0, dot.seconds) for dot in dots]
    top = max(values) or 1.0
    paths: dict[str, str] = {}
    for place, (dot, value) in enumerate(zip(dots, values, strict=True)):
        tall = LEAST + (TALL - LEAST) * value / top
        bar = f"M{place * (BAR + GAP)} {TALL}v-{tall:.3g}h{BAR}V{TALL}z"
        paths[dot.state] = paths.get(dot.state, "") + bar
    unit = "items" if items else "seconds"
    bad = sum(dot.state in BAD for dot in dots)
    ends = f"from {min(values):,.0f} to {max(values):,.0f}, last {values[-1]:,.0f}; {bad} ended badly"
    said = f"{unit} of the last {len(dots)} runs: {ends}"
    return Spark(len(dots) * (BAR + GAP) - GAP, TALL, [*paths.items()], said)


def history(runs: Sequence[JobRun], zone: str) -> str:
    """Pages, items, errors and duration of runs over time, as plots.js reads it."""
    return _plots(
        zone,
        [run.began or run.planned for run in runs],
        ("Items", "", "items", [run.items for run in runs]),
        ("Pages", "", "pages", [run.pages for run in runs]),
        ("Errors", "", "errors", [run.failed for run in runs]),
        ("Duration", "s", "duration", [round(max(0.0, run.ended - run.began), 1) for run in runs]),
    )


def course(moments: Sequence[dict[str, Any]], zone: str) -> str:
    """How a run went: pages a second, what waits, errors, as plots.js reads it."""
    found = rates(thinned(moments, MOST))
    return _plots(
        zone,
        [each["at"] for each in found],
        ("Pages a second", "", "pages", [each["rate"] or 0 for each in found]),
        ("In queue", "", "items", [each["queued"] for each in found]),
        ("Errors", "", "errors", [each["failed"] for each in found]),
    )


def _plots(zone: str, x: list[float], *plots: tuple[str, str, str, list[Any]]) -> str:
    made = [{"title": title, "unit": unit, "kind": kind, "y": y} for title, unit, kind, y in plots]
    return msgspec.json.encode({"zone": zone, "x": x, "plots": made}).decode()


def thinned(found: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most so many of them, evenly, the first and the last among them."""
    if len(found) <= most:
        return list(found)
    step = (len(found) - 1) / (most - 1)
    return [found[round(place * step)] for place in range(most)]


def rates(moments: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Moments with their pages a second since the one before; what is no moment is left out."""
    made: list[dict[str, Any]] = []
    for each in moments:
        row = {name: each.get(name, 0) for name in ("at", "pages", "items", "failed", "queued", "hosts", "bytes")}
        if not all(isinstance(value, int | float) for value in row.values()):
            continue
        before = made[-1] if made else None
        seconds = row["at"] - before["at"] if before else 0.0
        pages = row["pages"] - before["pages"] if before else 0
        row["rate"] = round(max(0.0, pages) / seconds, 2) if seconds > 0 else None
        made.append(row)
    return made
