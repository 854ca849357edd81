"""Which arguments are secret, as their spiders declare it: on record since a spider was last imported for a job,
and read from the text of its file, which may have changed since.

Both count: the record knows what only an import can tell (a base class of a library), the text what was declared
after that. Nothing is imported to show a page.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

import msgspec

from ..discover import FOLDER, Class, classes
from .file import File

Declares = Mapping[str, Mapping[str, bool]]  # of spiders by name: their arguments, and whether each is secret
KEY = "secret "  # of a row of meta, before the name of the spider


class Sealed(File):
    """The verbs about arguments that are secret. All raise StoreError."""

    def sealed(self, more: Declares | None = None) -> dict[str, frozenset[str]]:
        """The secret arguments of the spiders on record, with what is known of them besides."""
        rows = self.rows("SELECT key, value FROM meta WHERE key >= ? AND key < ?", KEY, f"{KEY}\U0010ffff")
        found = {key.removeprefix(KEY): frozenset(msgspec.json.decode(value)) for key, value in rows}
        for spider, declares in (more or {}).items():
            found[spider] = _now(found.get(spider, frozenset()), declares)
        return found

    def learn(self, declares: Declares) -> None:
        """Put on record what spiders that were imported declare."""
        if {name: names for name, names in self.sealed(declares).items() if names} != self.sealed():
            with self.change() as base:
                keep(base, declares)


def keep(base: sqlite3.Connection, declares: Declares) -> None:
    """Put on record, within a transaction, what spiders declare."""
    for spider, arguments in declares.items():
        found = base.execute("SELECT value FROM meta WHERE key = ?", (KEY + spider,)).fetchone()
        names = _now(frozenset(msgspec.json.decode(found[0])) if found else frozenset(), arguments)
        if names:
            value = msgspec.json.encode(sorted(names)).decode()
            base.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (KEY + spider, value))
        elif found:
            base.execute("DELETE FROM meta WHERE key = ?", (KEY + spider,))


def _now(before: frozenset[str], declares: Mapping[str, bool]) -> frozenset[str]:
    """An argument that is there no more stays secret: earlier runs still have its value."""
    kept = {name for name in before if declares.get(name, True)}
    return frozenset(kept | {name for name, secret in declares.items() if secret})


class Sources:
    """The files of a project's spiders, read again when they change. Safe between threads."""

    def __init__(self, project: Path) -> None:
        self._folder = project / FOLDER
        self._lock = Lock()
        self._read: dict[Path, tuple[tuple[int, int], list[Class]]] = {}
        self._found: dict[str, dict[str, bool]] = {}

    def declares(self) -> Declares:
        """The arguments that spiders declare secret, as far as the text of their files tells it."""
        with self._lock:
            if self._look():
                everything = [each for _, found in self._read.values() for each in found]
                self._found = {each.spider: dict.fromkeys(_all(each, everything), True) for each in everything}
                self._found.pop("", None)
            return self._found

    def _look(self) -> bool:
        """Read what has changed; whether anything has."""
        there = {path: stamp for path in self._folder.rglob("*.py") if (stamp := _stamp(path)) is not None}
        changed = [path for path, stamp in there.items() if self._read.get(path, (None,))[0] != stamp]
        gone = self._read.keys() - there.keys()
        for path in changed:
            found = classes(path)
            if found is None:  # it is being written: what was known of it still holds
                found = self._read[path][1] if path in self._read else []
            self._read[path] = there[path], found
        for path in gone:
            del self._read[path]
        return bool(changed or gone)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _all(one: Class, everything: list[Class]) -> frozenset[str]:
    """The secret arguments of a class and of those that it may inherit from, which are known by their names."""
    names, waiting, seen = set(one.secret), [*one.bases], set()
    while waiting:
        word = waiting.pop()
        if word not in seen:
            seen.add(word)
            for each in everything:
                if each.word == word:
                    names |= each.secret
                    waiting += each.bases
    return frozenset(names)
