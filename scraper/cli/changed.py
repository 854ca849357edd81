"""What comparing two runs came to, in lines to be read at any width."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
import msgspec

from ..changes.compare import OURS, Compared
from ..changes.values import MISSING, value
from ..logs import clean
from ..words import count, cut

MOST = 5  # changes shown of each kind, and fields of one change
MOST_WHY = 5  # reasons, fields
LABEL = 12  # columns of the words at the left
NARROW = 60  # columns; below that the words stand above
SIGNS = {"added": ("+", "green"), "changed": ("~", "yellow"), "removed": ("-", "red")}

Change = Mapping[str, Any]


def told(done: Compared, first: Sequence[Change], width: int, *, colour: bool = False) -> Iterator[str]:
    """The counts, then the first changes. `first` are as in changes.jsonl."""
    yield from _wrapped(f"{done.spider}  {done.old or 'nothing'} -> {done.run}", width, "  ")
    yield ""
    for label, text in _counts(done):
        yield from _row(label, text, width)
    for note in done.notes:
        yield from _wrapped(f"note: {clean(note)}", width, "  ", "    ")
    for kind, number in (("added", done.added), ("changed", done.changed), ("removed", done.removed)):
        shown = [each for each in first if each["_change"] == kind]
        if not shown:
            continue
        yield ""
        yield kind
        for each in shown:
            yield from _change(each, width, colour)
        if number > len(shown):
            yield f"    and {count(number - len(shown), 'more item')}"


def _counts(done: Compared) -> Iterator[tuple[str, str]]:
    """What there is to say of the whole, as words and numbers."""
    if not done.key:
        yield "items", f"{done.items:,}, not compared: there is no key"
        return
    unsure = f"{done.unsure:,} of them on pages that were not read in the old run" if done.unsure else ""
    yield "added", _with(done.added, unsure)
    yield "changed", _with(done.changed, _few({clean(field): n for field, n in done.fields.items()}))
    yield "removed", f"{done.removed:,}"
    yield "same", f"{done.same:,}"
    if len(done.why) == 1:
        yield "unseen", f"{done.unseen:,}, as {clean(next(iter(done.why)))}"
    elif done.why:
        yield "unseen", f"{done.unseen:,}"
        for why, number in list(done.why.items())[:MOST_WHY]:
            yield "", f"{number:,} as {clean(why)}"
    for label, old, new, what in (
        ("duplicates", done.old_duplicates, done.duplicates, "have the key of a later item, which counts"),
        ("keyless", done.old_keyless, done.keyless, "have no key and were left out"),
    ):
        if old or new:
            yield label, f"{old:,} in the old run, {new:,} in the new one: they {what}"


def _with(number: int, more: str) -> str:
    return f"{number:,} ({more})" if more else f"{number:,}"


def _few(numbers: Mapping[str, int]) -> str:
    """The greatest ones."""
    ordered = sorted(numbers.items(), key=lambda pair: -pair[1])
    rest = f", and {len(ordered) - MOST_WHY} more" if len(ordered) > MOST_WHY else ""
    return ", ".join(f"{name} {number:,}" for name, number in ordered[:MOST_WHY]) + rest


def _row(label: str, text: str, width: int) -> list[str]:
    if width < NARROW:
        return _wrapped(f"{label}: {text}" if label else f"  {text}", width, "  ", "    ")
    return _wrapped(text, width, f"  {label:<{LABEL}}", " " * (2 + LABEL))


def _wrapped(text: str, width: int, first: str, more: str = "    ") -> list[str]:
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=more, break_on_hyphens=False)


def _change(each: Change, width: int, colour: bool) -> Iterator[str]:
    """The key, then the fields: old and new ones of a changed item, all of another."""
    sign, paint = SIGNS[each["_change"]]
    name = ", ".join(f"{clean(field)} {_shown(part)}" for field, part in each["_key"].items())
    why = clean(each.get("_why", ""))
    head = cut(f"  {sign} {name}", width)
    beside = bool(why) and len(head) + 2 + len(why) <= width
    if beside:
        head += f"  {why}"
    yield head.replace(sign, click.style(sign, fg=paint, bold=True), 1) if colour else head
    if why and not beside:
        yield from _wrapped(why, width, "      ", "      ")
    if each["_change"] == "changed":
        yield from _fields(each, width)
    elif each["_change"] == "added":
        rest = {n: p for n, p in each.items() if n not in OURS and n not in each["_key"]}
        text = ", ".join(f"{clean(field)} {_shown(part)}" for field, part in rest.items())
        if text:
            yield cut(f"      {text}", width)


def _fields(each: Change, width: int) -> Iterator[str]:
    old = each["_old"]
    for field, before in list(old.items())[:MOST]:
        name = cut(clean(field), max(8, width // 3))
        room = max(8, (width - 6 - len(name) - 2 - 4) // 2)
        after = value(dict(each), field)
        now = "nothing" if after is MISSING else _shown(after)
        yield cut(f"      {name}  {cut(_shown(before), room)} -> {cut(now, room)}", width)
    if len(old) > MOST:
        yield cut(f"      and {count(len(old) - MOST, 'more field')}", width)


def _shown(part: Any) -> str:
    """A value on one line: text as it is, anything else as JSON."""
    return clean(part) if isinstance(part, str) else clean(msgspec.json.encode(part).decode())
