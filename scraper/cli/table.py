"""Aligned columns of text."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence

from ..words import cut
from .terminal import columns

GAP = "  "


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> Iterator[str]:
    """Lines under a heading; the columns `right` are aligned at their end.

    Columns that are empty in all rows are left out. On a terminal the last one is cut to its width.
    """
    kept = [at for at in range(len(head)) if any(row[at] for row in rows)]
    widths = {at: max(len(row[at]) for row in [head, *rows]) for at in kept}
    room = columns(sys.stdout) if sys.stdout.isatty() else None
    for row in [head, *rows]:
        cells = [f"{row[at]:>{widths[at]}}" if head[at] in right else f"{row[at]:<{widths[at]}}" for at in kept]
        line = GAP.join(cells).rstrip()
        yield line if room is None else cut(line, room)


def labelled(label: str, texts: Sequence[str], width: int) -> Iterator[str]:
    """`label  text`, with further texts below the first."""
    for at, text in enumerate(texts):
        yield f"{label if not at else '':<{width}}{text}".rstrip()
