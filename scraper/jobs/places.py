"""Where in a jobs.toml something is wrong: the table, the key, and the line that has it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import UsageError
from .secret import is_secret

Place = tuple[str, ...]  # ("jobs", "shop", "alerts", "failed")
NAMED = frozenset({"jobs", "channels"})  # tables of named tables
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_PART = re.compile(r"""\s*(?:([A-Za-z0-9_-]+)|"((?:[^"\\]|\\.)*)"|'([^']*)')\s*(\.|=|\])""")


class Wrong(UsageError):
    """Something in a declaration is wrong: "[jobs.shop] overlp: unknown key".

    `inside` is where in the value: `[2]`. A value that may be secret is left out: this is shown on pages.
    """

    def __init__(self, place: Place, text: str, inside: str = "") -> None:
        depth = 2 if place[0] in NAMED else 1
        table, key = dotted(place[:depth]), dotted(place[depth:]) + inside
        if is_secret(".".join(place[depth:])):
            text = text.partition(", not ")[0]
        super().__init__(f"[{table}] {key}: {text}" if key else f"[{table}]: {text}")
        self.place = place


def dotted(names: Sequence[str]) -> str:
    """Names as TOML writes them: `jobs."my shop"`."""
    return ".".join(name if _PLAIN.fullmatch(name) else f'"{name}"' for name in names)


def line_of(text: str, place: Place) -> int | None:
    """The number of the line that gives a key, or, when it is missing, that begins its table; None: not found."""
    best, found = 0, None
    table: Place = ()
    inside = ""  # the quotes of a text of several lines
    for number, line in enumerate(text.splitlines(), 1):
        if inside:
            inside = "" if inside in line else inside
            continue
        bare = line.strip()
        if bare.startswith("["):
            table = names = _names(bare.lstrip("["), "]")
        else:
            names = (*table, *given) if (given := _names(bare, "=")) else ()
        depth = min(len(names), len(place))
        if depth > best and names[:depth] == place[:depth]:
            best, found = depth, number
        for quotes in ('"""', "'''"):
            if line.count(quotes) == 1:
                inside = quotes
    return found


def _names(text: str, end: str) -> Place:
    """The dotted name that a line begins with, up to `=` or `]`; none when it begins with something else."""
    names, at = [], 0
    while part := _PART.match(text, at):
        names.append(next(each for each in part.groups()[:3] if each is not None))
        at = part.end()
        if part[4] != ".":
            return tuple(names) if part[4] == end else ()
    return ()
