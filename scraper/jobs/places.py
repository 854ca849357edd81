"""Where in a jobs.toml something is wrong: the table, the key, and the line that has it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ..errors import Mistakes, UsageError
from .secret import is_secret

Place = tuple[str, ...]  # ("jobs", "shop", "alerts", "failed"), of one of several outputs "output[1]"
DEEPEST = 32  # names of a key by which its line is looked for
NAMED = frozenset({"jobs", "channels"})  # tables of named tables
_PLAIN = re.compile(r"[A-Za-z0-9_-]+(?:\[\d+\])?")
_PART = re.compile(r"""\s*(?:([A-Za-z0-9_-]+)|"((?:[^"\\]|\\.)*)"|'([^']*)')\s*(\.|=|\])""")


class Wrong(UsageError):
    """One thing in a declaration is wrong: "[jobs.shop] overlp: unknown key".

    `where` is the key in its table, with `inside`, where in the value: `key[2]`; `before` is what the text begins
    with: of what is wrong `in_file` its line, which is in `where` too. A value that may be secret is left out, as
    this is shown on pages.
    """

    def __init__(
        self, place: Place, what: str, inside: str = "", before: str = "", *, in_file: bool = False
    ) -> None:
        depth = 2 if place[0] in NAMED else 1
        if is_secret(".".join(place[depth:])):
            what = what.partition(", not ")[0]
        self.place, self.what, self.inside = place, what, inside
        self.where = dotted(place[depth:]) + inside
        table = dotted(place[:depth] if all(place[:depth]) else place[:1])
        whole = f"[{table}] {self.where}".rstrip()
        super().__init__(f"{before}: {whole}: {what}" if before else f"{whole}: {what}")
        if in_file:
            self.where = f"{before}: {whole}"

    def after(self, before: str, *, in_file: bool = False) -> Wrong:
        """The same with other words before it."""
        return Wrong(self.place, self.what, self.inside, before, in_file=in_file)


class Found:
    """Gathers what is wrong, to tell it at once: what raises Wrong or Mistakes `with` it is noted, and left."""

    def __init__(self) -> None:
        self.each: list[Wrong] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> bool:
        if isinstance(error, Wrong):
            self.each.append(error)
        elif isinstance(error, Mistakes):
            self.each += [each for each in error.each if isinstance(each, Wrong)]
        return isinstance(error, Wrong | Mistakes)

    def keys(self, depth: int) -> set[str]:
        """The names at that depth of the places where something is wrong."""
        return {each.place[depth].partition("[")[0] for each in self.each if len(each.place) > depth}

    def tell(self, before: str = "") -> None:
        """Raise Mistakes, each of which begins with `before`, when something is wrong."""
        if self.each:
            raise Mistakes([each.after(before) if before else each for each in self.each])


def dotted(names: Sequence[str]) -> str:
    """Names as TOML writes them: `jobs."my shop"`."""
    return ".".join(name if _PLAIN.fullmatch(name) else f'"{name}"' for name in names)


class Lines:
    """The lines of a jobs.toml that give its keys, found in one pass: thousands of keys may be wrong."""

    def __init__(self, text: str) -> None:
        self._own: dict[Place, int] = {}  # the first line that names exactly this
        self._within: dict[Place, int] = {}  # or something in it
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
            if names:
                self._own.setdefault(names, number)
            for depth in range(1, min(len(names), DEEPEST) + 1):
                self._within.setdefault(names[:depth], number)
            for quotes in ('"""', "'''"):
                if line.count(quotes) == 1:
                    inside = quotes

    def of(self, place: Place) -> int:
        """The number of the line that gives a key, or, when it is missing, that begins its table; 0: not found."""
        place = tuple(name.partition("[")[0] if name.endswith("]") else name for name in place)[:DEEPEST]
        tables = (self._own.get(place[:depth], 0) for depth in range(len(place) - 1, 0, -1))
        return self._within.get(place, 0) or next(filter(None, tables), 0)


def lined(path: Path, text: str, wrong: Sequence[Wrong]) -> list[Wrong]:
    """What is wrong in a file of this text with its place in it, "jobs.toml:3", in the order of the lines."""
    found = Lines(text)
    lines = {id(each): found.of(each.place) for each in wrong}
    return [
        each.after(f"{path}:{number}" if (number := lines[id(each)]) else str(path), in_file=True)
        for each in sorted(wrong, key=lambda each: lines[id(each)])
    ]


def _names(text: str, end: str) -> Place:
    """The dotted name that a line begins with, up to `=` or `]`; none when it begins with something else."""
    names, at = [], 0
    while part := _PART.match(text, at):
        names.append(next(each for each in part.groups()[:3] if each is not None))
        at = part.end()
        if part[4] != ".":
            return tuple(names) if part[4] == end else ()
    return ()
