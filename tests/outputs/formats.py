"""Every file format, with a reader of it that is not ours: one line here, and the contract runs on it."""

from __future__ import annotations

import csv
import gzip
import json
import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from scraper.outputs import Output
from scraper.outputs.registry import open_output

Reader = Callable[[bytes], list[Any]]


def _jsonl(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.decode().split("\n") if line]


def _csv(data: bytes) -> list[Any]:
    return list(csv.DictReader(data.decode().splitlines(keepends=True), strict=True))


def _tsv(data: bytes) -> list[Any]:
    return list(csv.DictReader(data.decode().splitlines(keepends=True), delimiter="\t", strict=True))


def _xml(data: bytes) -> list[Any]:
    return [
        {child.get("name", child.tag): ET.tostring(child, "unicode") for child in item}
        for item in ET.fromstring(data)
    ]


READERS: dict[str, Reader] = {
    ".jsonl": _jsonl,
    ".jsonl.gz": _jsonl,
    ".json": json.loads,
    ".json.gz": json.loads,
    ".csv": _csv,
    ".csv.gz": _csv,
    ".tsv": _tsv,
    ".xml": _xml,
    ".xml.gz": _xml,
}
ENDINGS = [*READERS, ".sqlite"]


def read(path: Path, ending: str) -> list[Any]:
    """The items of a file, whatever it is called."""
    if ending == ".sqlite":
        return rows(path)
    data = path.read_bytes()
    return READERS[ending](gzip.decompress(data) if ending.endswith(".gz") else data)


def rows(path: Path, query: str = "SELECT * FROM items ORDER BY _rowid_") -> list[dict[str, Any]]:
    """What a query finds in a database, read by a connection of its own; nothing when there is no table."""
    with closing(sqlite3.connect(path, timeout=0.2)) as db:
        db.row_factory = sqlite3.Row
        if query.startswith("SELECT * FROM items") and not db.execute("PRAGMA table_info(items)").fetchall():
            return []
        return [dict(row) for row in db.execute(query)]


def output(path: Path, run: str = "r1", **options: Any) -> Output:
    """An output by its path."""
    return open_output(str(path), variables={"run": run}, **options)


def lines(count: int, start: int = 0) -> list[bytes]:
    """Items that are a little different from each other; a new column comes at each of some 50ths."""
    items: list[dict[str, Any]] = []
    for number in range(start, start + count):
        item: dict[str, Any] = {
            "n": number,
            "title": f'Ünïcode "{number}", <b>&amp;\nline',
            "tags": ["a", number],
        }
        if number % 50 == 49:
            item[f"extra {number // 50 % 7}"] = {"deep": [None, True, 1.5]}
        items.append(item)
    return [json.dumps(item).encode() for item in items]


async def fill(out: Output, batch: Sequence[bytes], position: int = 1) -> bytes:
    """Items written and flushed; answers the cursor."""
    await out.write(batch)
    return await out.flush(position)


async def written(path: Path, batches: Sequence[Sequence[bytes]], run: str = "r0", **options: Any) -> None:
    """A file written without interruption."""
    out = output(path, run, **options)
    await out.open(None, 0)
    for number, batch in enumerate(batches, 1):
        await fill(out, batch, number)
    await out.close(finished=True)
