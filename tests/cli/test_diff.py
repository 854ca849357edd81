"""`scraper diff` as a person types it, and as a scheduled job does."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from scraper.changes.compare import Compared
from scraper.cli.changed import told
from tests.changes.runs import Item, plain

from .command import Done, scraper

A, B = "20260101-000000-aaa1", "20260102-000000-bbb2"
OLD: list[Item] = [{"sku": f"A-{n}", "price": n, "size": {"eu": n}} for n in range(20)]
NEW: list[Item] = [{"sku": f"A-{n}", "price": n, "size": {"eu": n + (n % 5 == 0)}} for n in range(2, 23)]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    plain(tmp_path / "output", A, OLD)
    plain(tmp_path / "output", B, NEW)
    return tmp_path


async def diff(runs: Path, *words: str) -> Done:
    return await scraper("diff", *words, cwd=runs)


async def test_it_says_what_has_changed(runs: Path) -> None:
    done = await diff(runs, "20260101", B, "--key", "sku")
    assert (done.code, done.err) == (0, "")
    for line in (
        f"  shop  {A} -> {B}",
        "  added       3",
        "  changed     3 (size.eu 3)",
        "  removed     2",
        "  same        15",
        "  + sku A-20",
        "      price 20, size {\"eu\":21}",
        "  ~ sku A-5",
        "      size.eu  5 -> 6",
        "  - sku A-0  its page is not found any more",
    ):  # fmt: skip
        assert line in done.out.splitlines()
    assert all(len(line) <= 80 for line in done.out.splitlines())
    assert sorted(path.name for path in (runs / "output" / "shop" / B).iterdir()) == ["items.jsonl", "run.json"]


async def test_json_has_everything(runs: Path) -> None:
    done = await diff(runs, A, B, "--key", "sku", "--json")
    found = json.loads(done.out)
    assert [change["_change"] for change in found["changes"]].count("changed") == found["changed"] == 3
    assert found["coverage"] == {"sku": 21, "price": 21, "size": 21, "size.eu": 21}
    assert len(found["changes"]) == 8


async def test_changes_are_written_in_any_format(runs: Path) -> None:
    done = await diff(runs, A, B, "--key", "sku", "-o", "c-{date}.csv", "-o", "c.sqlite", "-o", "-")
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert "c.sqlite  8 changes" in done.err
    (table,) = (name for name in done.err.split() if name.startswith("c-"))
    rows = [*csv.DictReader((runs / table).read_text().splitlines())]
    assert [*rows[0]] == ["_change", "_key", "sku", "price", "size", "_why", "_old"]
    with closing(sqlite3.connect(runs / "c.sqlite")) as base:
        kinds = [kind for (kind,) in base.execute("SELECT _change FROM items")]
    assert kinds == [row["_change"] for row in rows] == [line["_change"] for line in lines]
    assert len(kinds) == 8


BAD: dict[str, tuple[list[str], str]] = {
    "no key": ([A, B], "give --key FIELD; its items have sku, price, size"),
    "one run": ([A, "--key", "sku"], "give two runs"),
    "unknown field": ([A, B, "--key", "skuu"], "no item of run .* 'skuu' of the key; did you mean 'sku'"),
    "unknown run": ([A, "20270101", "--key", "sku"], "no run '20270101'"),
    "one run twice": ([A, A, "--key", "sku"], "both are run"),
    "two on standard output": ([A, B, "--key", "sku", "--json", "-o", "-"], "--json and -o -"),
    "unknown format": ([A, B, "--key", "sku", "-o", "a.xls"], "names no format"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_wrong_is_told_in_one_line(runs: Path, name: str) -> None:
    words, text = BAD[name]
    done = await diff(runs, *words)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert re.search(text, done.err)


async def test_runs_of_two_spiders_are_not_compared(runs: Path) -> None:
    plain(runs / "output", "20260103-000000-ccc3", NEW, spider="books")
    done = await diff(runs, A, "20260103", "--key", "sku")
    assert done.code == 2
    assert "only runs of one spider can be compared" in done.err


async def test_no_old_run_makes_everything_new(runs: Path) -> None:
    done = await diff(runs, "-", B, "--key", "sku")
    assert "  added       21" in done.out.splitlines()


async def test_into_keeps_the_result_and_adds_to_outputs_once(runs: Path) -> None:
    (runs / "all.jsonl").write_text('{"_change": "earlier"}\n')
    words = (A, B, "--key", "sku", "--into", "--add", "all.jsonl", "--add", "all.sqlite", "-o", "last.csv")
    for _ in range(2):
        assert (await diff(runs, *words)).code == 0
    folder = runs / "output" / "shop" / B
    assert json.loads((folder / "changes.json").read_bytes())["removed"] == 2
    assert (folder / "changes.jsonl").read_bytes().count(b"\n") == 8
    assert (runs / "all.jsonl").read_bytes().count(b"\n") == 9
    with closing(sqlite3.connect(runs / "all.sqlite")) as base:
        assert base.execute("SELECT count(*) FROM items").fetchone() == (8,)


async def test_what_was_found_is_kept_though_an_output_cannot_be_written_and_no_other_is(runs: Path) -> None:
    (runs / "data").touch()
    words = (A, B, "--key", "sku", "--into", "-o", "last.csv", "--add", "data/all.jsonl")
    done = await diff(runs, *words)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert re.search("error: data/all.jsonl cannot be written: .*data is not a folder", done.err)
    folder = runs / "output" / "shop" / B
    found = json.loads((folder / "changes.json").read_bytes())
    assert (found["removed"], found["told"]) == (2, False)
    assert not (runs / "last.csv").exists()
    (runs / "data").unlink()
    plain_old = runs / "output" / "shop" / A / "items.jsonl"
    plain_old.write_text("")  # what was found once stays, outputs may have some of it
    assert (await diff(runs, *words)).code == 0
    assert json.loads((folder / "changes.json").read_bytes()) == found | {"told": True}
    assert (runs / "data" / "all.jsonl").read_bytes().count(b"\n") == 8


async def test_a_run_whose_tables_are_guarded_has_its_changes_guarded(tmp_path: Path) -> None:
    items = [{"sku": "=1+1"}]
    plain(tmp_path / "output", B, items, settings={"csv_safe": True})
    assert (await diff(tmp_path, "-", B, "--key", "sku", "--into", "-o", "c.csv")).code == 0
    assert "'=1+1" in (tmp_path / "c.csv").read_text()


@pytest.mark.parametrize("words", [["-", B, "--into"], [B, "--into", "--quiet"]])
async def test_into_without_a_key_keeps_the_coverage(runs: Path, words: list[str]) -> None:
    done = await diff(runs, *words)
    assert (done.code, bool(done.out), done.err) == (0, "--quiet" not in words, "")
    found = json.loads((runs / "output" / "shop" / B / "changes.json").read_bytes())
    assert (found["key"], found["coverage"]["price"], "added" in found) == ([], 21, False)


def change(**more: Any) -> dict[str, Any]:
    text = {"text": "new " * 90, "_old": {"text": "old " * 90}}
    return {"_change": "changed", "_key": {"id": "a\x1b[31m"}, "id": 1} | text | more


@pytest.mark.parametrize("width", [24, 40, 80, 200])
def test_lines_keep_to_the_width_and_to_printable_text(width: int) -> None:
    done = Compared(
        run=B, spider="shop", old=A, key=("id",), added=2_000, changed=1, removed=3, unseen=7, unsure=1,
        duplicates=2, keyless=3, why={"its page failed: status 503": 7},
        fields={f"field number {n}": n for n in range(20)},
        notes=["something to know of these runs, at length"],
    )  # fmt: skip
    gone = change(_change="removed", _why="its page is gone: status 404", _old=None)
    lines = [*told(done, [change(_change="added"), change(), gone], width)]
    assert all(len(line) <= width or " " not in line.strip() for line in lines)
    assert all(line.isprintable() for line in lines)
    assert any("and 1,999 more items" in line for line in lines)
