"""Aligned columns of text."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence

from ..words import cut
from .terminal import columns

GAP = "  "
NARROWEST = 17  # columns of a text that is cut: a time with its zone is not


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> Iterator[str]:
    """Lines under a heading; the columns `right` are aligned at their end.

    Columns that are empty in all rows are left out. On a terminal texts are cut, the longest first, so that each
    column has something to show.
    """
    kept = [at for at in range(len(head)) if any(row[at] for row in rows)]
    widths = {at: max(len(row[at]) for row in [head, *rows]) for at in kept}
    room = columns(sys.stdout) if sys.stdout.isatty() else None
    texts = [at for at in kept if head[at] not in right]
    if room is not None:
        _squeeze(widths, texts, room - len(GAP) * (len(kept) - 1))
    for row in [head, *rows]:
        cells = [f"{row[at]:>{widths[at]}}" for at in kept]
        for place, at in enumerate(kept):
            if at in texts:
                cells[place] = f"{cut(row[at], widths[at]):<{widths[at]}}"
        line = GAP.join(cells).rstrip()
        yield line if room is None else cut(line, room)


def _squeeze(widths: dict[int, int], texts: Sequence[int], room: int) -> None:
    """Make columns of text narrower until all fit, the widest first; NARROWEST each is left."""
    while sum(widths.values()) > room:
        widest = max(texts, key=lambda at: widths[at], default=None)
        if widest is None or widths[widest] <= NARROWEST:
            return
        widths[widest] -= 1


def labelled(label: str, texts: Sequence[str], width: int) -> Iterator[str]:
    """`label  text`, with further texts below the first."""
    for at, text in enumerate(texts):
        yield f"{label if not at else '':<{width}}{text}".rstrip()
