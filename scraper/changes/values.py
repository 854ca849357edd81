"""Items as JSON values: their keys, whether two are equal, and in which fields they are not.

Numbers are equal by their value (RFC 8259 has one kind of number): 1 is 1.0, and neither is true. The order of an
object's members does not count, that of a list's parts does. A field that is null is another value than none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

MISSING: Final = object()
KEY_SIZE = 16  # bytes
WIDEST = 2**63

_encoder = msgspec.json.Encoder(order="deterministic")
Item = dict[str, Any]


def value(item: Item, path: str) -> Any:
    """The value at a path, MISSING when there is none: a field of that very name, else `field.of.objects`."""
    found = item.get(path, MISSING)
    if found is not MISSING or "." not in path:
        return found
    at = path.find(".")
    while at >= 0:
        inner = item.get(path[:at])
        if isinstance(inner, dict) and (found := value(inner, path[at + 1 :])) is not MISSING:
            return found
        at = path.find(".", at + 1)
    return MISSING


def empty(part: Any) -> bool:
    """Whether a value says nothing: null, or text, list or object without content; 0 and false say something."""
    return part is None or (isinstance(part, str | list | dict) and not part)


class Key:
    """The fields that tell one item from another; `having` counts, for each of them, the items that have it."""

    def __init__(self, fields: Sequence[str]) -> None:
        self.fields = tuple(fields)
        self.having = [0] * len(self.fields)

    def of(self, item: Item) -> bytes | None:
        """A digest of its key; None when one of the fields is missing, or nothing is in any of them."""
        values, whole, says = [], True, False
        for number, field in enumerate(self.fields):
            part = value(item, field)
            if part is MISSING:
                whole = False
                continue
            self.having[number] += 1
            says = says or not empty(part)
            values.append(part if type(part) is str else normal(part))
        if not (whole and says):
            return None
        return hashlib.blake2b(_encoder.encode(values), digest_size=KEY_SIZE).digest()

    def values(self, item: Item) -> Item:
        """The fields with their values."""
        return {field: value(item, field) for field in self.fields}


def normal(part: Any) -> Any:
    """The same value in one form: whole numbers as integers, as text where 64 bits do not hold them."""
    if isinstance(part, float) and part.is_integer():
        part = int(part)
    if isinstance(part, int) and not -WIDEST <= part < WIDEST:
        return ["number", str(part)]
    if isinstance(part, dict):
        return {name: normal(inner) for name, inner in part.items()}
    if isinstance(part, list):
        return [normal(inner) for inner in part]
    return part


def same(old: Any, new: Any) -> bool:
    """Whether two JSON values are equal."""
    if isinstance(old, bool) or isinstance(new, bool):
        return old is new
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(same(old[name], new[name]) for name in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(same, old, new))
    return bool(old == new)


def differences(old: Item, new: Item, above: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, old, new) of each field that differs, MISSING where there is none; lists are compared as a whole."""
    for name in [*new, *(name for name in old if name not in new)]:
        before, after = old.get(name, MISSING), new.get(name, MISSING)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from differences(before, after, f"{above}{name}.")
        elif before is MISSING or after is MISSING or not same(before, after):
            yield f"{above}{name}", before, after
