"""How often each field of a run's items is filled in."""

from __future__ import annotations

from typing import Any

from ..folder import RunFolder
from .items import Items
from .values import Item

MOST_FIELDS = 1_000  # counted; items whose names of fields are data must not fill the memory


class Coverage:
    """Counts, for each field, the items in which it is not empty; those of objects within by dotted path.

    Empty is null, "", [] and {}; a field that is missing is not there at all. O(values).
    """

    def __init__(self) -> None:
        self.items = 0
        self.filled: dict[str, int] = {}
        self.left_out = False  # there were more than MOST_FIELDS names

    def add(self, item: Item) -> None:
        """Count an item."""
        self.items += 1
        self._count(item, "")

    def _count(self, part: dict[str, Any], above: str) -> None:
        filled = self.filled
        for name, inner in part.items():
            path = above + name if above else name
            says = inner is not None and (bool(inner) or not isinstance(inner, str | list | dict))
            if path in filled:
                filled[path] += says
            elif len(filled) < MOST_FIELDS:
                filled[path] = int(says)
            else:
                self.left_out = True
                continue
            if says and isinstance(inner, dict):
                self._count(inner, f"{path}.")


def coverage(folder: RunFolder) -> dict[str, int]:
    """How many items of a run have something in each field. Raises UsageError, StoreError."""
    counts = Coverage()
    with Items(folder) as items:
        for each in items:
            counts.add(each.item)
    return counts.filled
