"""What is kept in the folder of a run is whole, or as it was."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from scraper.changes import compare as module
from scraper.changes import keep as module_keep
from scraper.changes import pile
from scraper.changes.keep import keep, kept
from scraper.changes.pile import Pile
from scraper.errors import OutputError
from scraper.outputs.disk import owned

from .runs import Item, plain

A, B = "20260101-000000-aaa1", "20260102-000000-aaa2"


def many(number: int, price: int) -> list[Item]:
    return [{"id": n, "price": price, "text": "x" * 40} for n in range(number)]


@pytest.mark.parametrize("most", [100_000, 50])
def test_a_full_disk_is_told_of_and_leaves_the_folder_as_it_was(
    small: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    old, new = plain(small, A, many(4_000, 1)), plain(small, B, many(4_000, 2))
    (new.path / "changes.json").write_text("of an earlier one")
    before = sorted(path.name for path in new.path.iterdir())
    filler = small / "filler"
    filler.write_bytes(bytes(100_000))
    monkeypatch.setattr(module, "Pile", lambda size, folder: Pile(size, folder, most=most))
    with pytest.raises(OutputError, match="No space left on device; make room"):
        keep(old, new, ["id"])
    assert sorted(path.name for path in new.path.iterdir()) == before
    assert (new.path / "changes.json").read_text() == "of an earlier one"


def test_a_folder_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    old, new = plain(tmp_path, A, many(2, 1)), plain(tmp_path, B, many(2, 2))
    (new.path / "changes.jsonl.new").mkdir()
    with pytest.raises(OutputError, match=r"changes\.jsonl cannot be written: Is a directory"):
        keep(old, new, ["id"])


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    old, new = plain(tmp_path, A, many(2, 1)), plain(tmp_path, B, many(2, 2))
    first = owned(new.path / "changes.jsonl.new")
    with pytest.raises(OutputError, match=r"changes\.jsonl is being written by another"):
        keep(old, new, ["id"])
    first.close()
    assert keep(old, new, ["id"]).changed == 2


def test_comparing_again_gives_the_very_same_lines(tmp_path: Path) -> None:
    old, new = plain(tmp_path, A, many(500, 1)[100:]), plain(tmp_path, B, many(400, 2))
    first = keep(old, new, ["id"]), (new.path / "changes.jsonl").read_bytes()
    assert (keep(old, new, ["id"]), (new.path / "changes.jsonl").read_bytes()) == first
    assert [json.loads(line)["id"] for line in first[1].splitlines()] == [*range(500)]


def test_what_a_retry_has_added_to_the_old_run_since_was_never_told(tmp_path: Path) -> None:
    old, new = plain(tmp_path, A, many(3, 1)), plain(tmp_path, B, many(5, 1))
    assert keep(None, old, ["id"]).items == 3
    with old.items.open("ab") as file:
        file.write(json.dumps(many(5, 1)[3]).encode() + b"\n")
    done = keep(old, new, ["id"])
    assert (done.old_items, done.added, done.same) == (3, 2, 3)


def test_counts_never_stand_beside_the_lines_of_another_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = plain(tmp_path, A, many(2, 1)), plain(tmp_path, B, many(2, 2))
    keep(None, new, ["id"])
    monkeypatch.setattr(module_keep, "_write", lambda *given: 1 / 0)  # as a kill before the counts
    with pytest.raises(ZeroDivisionError):
        keep(old, new, ["id"])
    assert (kept(new), (new.path / "changes.jsonl").read_bytes().count(b'"changed"')) == (None, 2)


def test_what_was_kept_and_cannot_be_read_is_nothing(tmp_path: Path) -> None:
    run = plain(tmp_path, A, [])
    assert kept(run) is None
    (run.path / "changes.json").write_text("{")
    assert kept(run) is None


@pytest.mark.parametrize("number", [0, 1, 7, 1000])
def test_a_pile_is_read_in_order_as_often_as_wanted(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pile, "READ", 64)
    found = Pile(8, tmp_path, most=10)
    records = [random.Random(n).randbytes(8) for n in range(number)]
    for record in records:
        found.add(record)
    assert [*found] == [*found] == sorted(records)
    assert len(found) == number
    assert not [*tmp_path.iterdir()]  # the file has no name
    found.close()
