from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.outputs.csv_table import CsvTable
from scraper.outputs.follow import CursorFile, Follower
from scraper.outputs.journal import Journal

from .disks import small_disk
from .formats import output, written
from .test_trouble import COUNT, Source, Trial, journal_of, numbers

CELL = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def rows(data: bytes, **options: Any) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True, **options))


def encoded(items: Sequence[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(item).encode() for item in items]


def whole(batches: Sequence[Sequence[dict[str, Any]]], **options: Any) -> bytes:
    """What a file would hold, each batch flushed."""
    table = CsvTable(**options)
    data = b"".join(table.render(encoded(batch)) + table.settle() for batch in batches)
    rewrite = table.rewrite()
    if rewrite is not None:
        new = io.BytesIO()
        rewrite(io.BytesIO(data), new)
        data = new.getvalue()
    return data + table.tail()


def test_columns_are_those_of_the_first_batch_in_first_seen_order() -> None:
    data = whole([[{"b": 1, "a": 2}, {"c": 3, "a": 4}]])
    assert data == b"b,a,c\r\n1,2,\r\n,4,3\r\n"


def test_declared_columns_come_first() -> None:
    assert whole([[{"b": 1, "a": 2}]], columns=["a", "z"]) == b"a,z,b\r\n2,,1\r\n"
    assert whole([], columns=["a", "z"]) == b"a,z\r\n"


def test_a_column_that_comes_late_widens_the_table_and_moves_nothing() -> None:
    data = whole([[{"a": 'one, "two"\nthree'}], [{"a": 2, "b": "x"}], [{"c": 3}]])
    assert rows(data) == [["a", "b", "c"], ['one, "two"\nthree', "", ""], ["2", "x", ""], ["", "", "3"]]


def test_items_without_any_field_keep_their_rows() -> None:
    assert rows(whole([[{}, {}], [{"a": 1, "b": None}]])) == [["a", "b"], ["", ""], ["", ""], ["1", ""]]


def test_values_are_their_text_and_nested_ones_their_json() -> None:
    item = {
        "s": "é",
        "i": 12345678901234567890,
        "f": 1.10,
        "t": True,
        "n": None,
        "l": [1, "a,b"],
        "d": {"k": "v"},
    }
    assert rows(whole([[item]]))[1] == [
        "é",
        "12345678901234567890",
        "1.1",
        "true",
        "",
        '[1, "a,b"]',
        '{"k": "v"}',
    ]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("\n=x", "'\n=x"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("-5", "-5"),
        ("+49123", "+49123"),
        ("-1.5e3", "-1.5e3"),
        (-5, "-5"),
        ("a=b", "a=b"),
    ],
)
def test_safe_disarms_formulas_and_leaves_numbers(value: Any, cell: str) -> None:
    assert rows(whole([[{"v": value}]], safe=True))[1] == [cell]
    assert rows(whole([[{"v": value}]]))[1] == [str(value)]


async def test_append_keeps_the_columns_that_are_there_guarded_or_not(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    await written(path, [encoded([{"=a": 1, "b": 2}])], csv_safe=True)
    await written(path, [encoded([{"b": 3, "=a": 4, "c": 5}])], csv_safe=True, append=True)
    assert path.read_bytes() == b"'=a,b,c\r\n1,2,\r\n4,3,5\r\n"


async def test_append_goes_on_with_a_table_from_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_bytes(b'\xef\xbb\xbfa,"b\n2"\n1,"x\ny"')
    await written(path, [encoded([{"b\n2": 3, "c": 5}])], append=True)
    assert rows(path.read_bytes()) == [["a", "b\n2", "c"], ["1", "x\ny", ""], ["", "3", "5"]]


async def test_a_table_that_names_a_column_twice_is_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_bytes(b"a,a\r\n1,2\r\n")
    out = output(path, append=True)
    with pytest.raises(Exception, match="names a column twice"):
        await out.open(None, 0)
    await out.close(finished=False)


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
@pytest.mark.parametrize("finished", [False, True])
async def test_a_late_column_costs_no_replay_after_an_orderly_end(
    tmp_path: Path, ending: str, finished: bool
) -> None:
    journal = Journal(tmp_path / "items.jsonl")
    await journal.open(0)
    middle = await journal.append(encoded([{"a": 'x "y"\n'}] * 2000 + [{"b": 2, "a": 1}]))
    end = await journal.append(encoded([{"c": 3}, {"a": 4}]))
    await journal.close()
    kept = CursorFile(tmp_path / "cursor")
    path = tmp_path / f"out{ending}"
    first = Follower(journal, output(path), committed=middle, save=kept.save)
    first.end(finished=finished)
    await first.run()
    cursor = kept.load()
    second = Follower(Tail(journal, middle), output(path), cursor=cursor, committed=end, save=kept.save)
    second.end(finished=True)
    await second.run()
    assert second.error is None
    data = path.read_bytes()
    found = rows(gzip.decompress(data) if ending == ".csv.gz" else data)
    assert found == [["a", "b", "c"], *[['x "y"\n', "", ""]] * 2000, ["1", "2", ""], ["", "", "3"], ["4", "", ""]]


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
async def test_a_disk_without_room_for_the_wider_table_keeps_the_part_and_its_cursor(
    tmp_path: Path, ending: str
) -> None:
    with small_disk(tmp_path / "disk", 6000) as folder:
        trial = Trial(await journal_of(tmp_path, noise=200), folder / f"out{ending}")
        ballast = folder / "ballast"
        ballast.write_bytes(bytes((6000 - (1500 if ending == ".csv" else 750)) * 1024))
        assert "No space left on device; make room there" in await trial.whole()
        assert sorted(path.name for path in folder.glob("*")) == ["ballast", f"out{ending}.part"]
        ballast.unlink()
        trial.journal = Tail(trial.journal, trial.journal.position)  # nothing of it needs to be read again
        assert await trial.whole() == ""
        assert numbers(trial.path, ending) == list(range(COUNT))


class Tail:
    """A journal of which the beginning must not be read again."""

    def __init__(self, journal: Source, start: int) -> None:
        self.journal = journal
        self.position = journal.position
        self.start = start

    async def read(self, position: int, end: int) -> tuple[list[bytes], int]:
        assert position >= self.start
        return await self.journal.read(position, end)


@given(
    st.lists(st.lists(st.dictionaries(CELL, CELL, max_size=4), max_size=4), max_size=6),
    st.sampled_from(",\t"),
)
def test_every_table_reads_back_as_its_items(batches: list[list[dict[str, str]]], delimiter: str) -> None:
    items = [item for batch in batches for item in batch]
    columns = list(dict.fromkeys(name for item in items for name in item))
    if columns:
        found = rows(whole(batches, delimiter=delimiter), delimiter=delimiter)
        assert found == [columns, *([item.get(name, "") for name in columns] for item in items)]
