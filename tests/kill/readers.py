"""Reads every output with a reader of its own, none of this project's: what they hold must be one and the same."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sqlite3
import xml.etree.ElementTree
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

Items = Counter[str]
FIELDS = ("page", "title", "n", "text", "detail", "time", "error")  # all that an item of the trial may have


def dumped(items: Iterable[dict[str, Any]]) -> Items:
    """Items as JSON with sorted keys, and how often each is there."""
    return Counter(json.dumps(item, sort_keys=True, ensure_ascii=False) for item in items)


def flat(items: Items) -> Items:
    """The same items as a table tells them: every value text, what is not there empty."""
    found: Items = Counter()
    for line, number in items.items():
        item = json.loads(line)
        found[json.dumps([str(item.get(field, "")) for field in FIELDS], ensure_ascii=False)] += number
    return found


def _row(item: dict[str, Any]) -> str:
    return json.dumps(["" if item.get(f) is None else str(item[f]) for f in FIELDS], ensure_ascii=False)


def _jsonl(data: bytes) -> Items:
    assert not data or data.endswith(b"\n"), "its last line has no end"
    return dumped(json.loads(line) for line in data.decode().split("\n")[:-1])


def _json(data: bytes) -> Items:
    return dumped(json.loads(data))


def _csv(data: bytes) -> Items:
    rows = csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True)
    found: Items = Counter()
    for row in rows:
        assert None not in row, f"a row longer than the header: {row}"
        assert set(row) <= set(FIELDS), f"columns nobody gave: {set(row)}"
        found[_row(row)] += 1
    return found


def _xml(data: bytes) -> Items:
    root = xml.etree.ElementTree.fromstring(data)
    return Counter(_row({part.tag: part.text or "" for part in item}) for item in root)


def _sqlite(path: Path) -> Items:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        db.row_factory = sqlite3.Row
        tables = [name for (name,) in map(tuple, db.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))]
        holding = [name for name in tables if "page" in _columns(db, name)]
        assert len(holding) == 1, f"tables of items: {tables}"
        return Counter(_row(dict(row)) for row in db.execute(f'SELECT * FROM "{holding[0]}"'))


def _columns(db: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in db.execute(f'PRAGMA table_info("{table}")')}


WHOLE: dict[str, Callable[[bytes], Items]] = {".jsonl": _jsonl, ".json": _json}
TABLES: dict[str, Callable[[bytes], Items]] = {".csv": _csv, ".xml": _xml}


def read(path: Path) -> tuple[Items, bool]:
    """The items of a file, and whether they are `flat`. Raises AssertionError, ValueError for a broken file."""
    ending = Path(path.name.removesuffix(".gz")).suffix
    if ending == ".sqlite":
        return _sqlite(path), True
    data = path.read_bytes()
    if path.name.endswith(".gz"):
        data = gzip.decompress(data)
    return (WHOLE[ending](data), False) if ending in WHOLE else (TABLES[ending](data), True)
