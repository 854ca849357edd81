"""Two runs compared by the values of their items."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from scraper.changes import compare as module
from scraper.changes import pile
from scraper.changes.coverage import MOST_FIELDS, coverage
from scraper.changes.keep import keep, kept
from scraper.errors import UsageError
from scraper.folder import INTERRUPTED

from .runs import Item, compared, plain

A, B = "20260101-000000-aaa1", "20260102-000000-aaa2"


def diff(path: Path, old: list[Item], new: list[Item], *key: str) -> tuple[module.Compared, list[Item]]:
    return compared(plain(path, A, old), plain(path, B, new), *key)


def test_items_are_added_changed_and_removed(tmp_path: Path) -> None:
    old: list[Item] = [{"id": 1, "price": 2}, {"id": 2, "price": 2}, {"id": 3, "price": 2}]
    new: list[Item] = [{"id": 4, "price": 2}, {"id": 2, "price": 3}, {"id": 3, "price": 2}]
    done, lines = diff(tmp_path, old, new)
    assert lines == [
        {"_change": "added", "_key": {"id": 4}, "id": 4, "price": 2},
        {"_change": "changed", "_key": {"id": 2}, "id": 2, "price": 3, "_old": {"price": 2}},
        {"_change": "removed", "_key": {"id": 1}, "id": 1, "price": 2, "_why": "its page is not found any more"},
    ]
    assert (done.added, done.changed, done.removed, done.same, done.unseen) == (1, 1, 1, 1, 0)
    assert (done.items, done.old_items, done.fields) == (3, 3, {"price": 1})


def test_fields_of_objects_are_compared_one_by_one_and_lists_as_a_whole(tmp_path: Path) -> None:
    old = {"id": 1, "size": {"eu": 40, "us": 7, "uk": 6}, "tags": ["a", "b"], "gone": 1}
    new = {"id": 1, "size": {"eu": 41, "us": 7, "jp": 25}, "tags": ["b", "a"], "new": None}
    done, (line,) = diff(tmp_path, [old], [new])
    changed = {"size.eu": 40, "size.uk": 6, "size.jp": None, "tags": ["a", "b"], "gone": 1, "new": None}
    assert line["_old"] == changed
    assert done.fields == dict.fromkeys(changed, 1)


@pytest.mark.parametrize(
    ("old", "new", "equal"),
    [
        ("1", "1.0", True),
        ("1e2", "100", True),
        ("-0.0", "0", True),
        ("1", "true", False),
        ("0", "false", False),
        ("[1]", "[true]", False),
        ("1", '"1"', False),
        ("null", '""', False),
        ('{"a": 1, "b": [2]}', '{"b": [2.0], "a": 1}', True),
        ("[1, 2]", "[2, 1]", False),
        ("123456789012345678901234567890", "123456789012345678901234567891", False),
        ("9007199254740993", "9007199254740992.0", False),
    ],
)
def test_values_are_compared_as_json_values(tmp_path: Path, old: str, new: str, equal: bool) -> None:
    runs = plain(tmp_path, A, []), plain(tmp_path, B, [])
    for run, value in zip(runs, (old, new), strict=True):
        run.items.write_text(f'{{"id": 1, "value": {value}}}\n')
    done, _ = compared(*runs)
    assert (done.same, done.changed) == (int(equal), int(not equal))
    for run, value in zip(runs, (old, new), strict=True):
        run.items.write_text(f'{{"id": {value}}}\n')
    done, _ = compared(*runs)
    if old != "null":
        assert (done.same, done.added, done.removed) == ((1, 0, 0) if equal else (0, 1, 1))


def test_a_line_has_the_values_of_an_item_as_they_were_spelt(tmp_path: Path) -> None:
    runs = plain(tmp_path, A, []), plain(tmp_path, B, [])
    runs[1].items.write_text('{"id":1,"big":123456789012345678901234567890,"exact":1.10}\n{}\n{"id":2}\n')
    compared(*runs)
    lines = (runs[1].path / "changes.jsonl").read_text().splitlines()
    assert (
        lines[0] == '{"_change":"added","_key":{"id":1},"id":1,"big":123456789012345678901234567890,"exact":1.10}'
    )


def test_what_an_item_calls_like_a_member_of_ours_is_left_out(tmp_path: Path) -> None:
    _, (line,) = diff(tmp_path, [], [{"id": 1, "_change": "mine", "_why": 2, "_mine": 3}])
    assert line == {"_change": "added", "_key": {"id": 1}, "id": 1, "_mine": 3}


def test_of_items_with_one_key_the_last_one_counts(tmp_path: Path) -> None:
    old: list[Item] = [{"id": 1, "n": 1}, {"id": 2, "n": 1}, {"id": 1, "n": 2}]
    done, (line,) = diff(
        tmp_path, old, [{"id": 1, "n": 3}, {"id": 1, "n": 4}, {"id": 2, "n": 1}, {"id": 2, "n": 1}]
    )
    assert (line["n"], line["_old"]) == (4, {"n": 2})
    assert (done.old_duplicates, done.duplicates, done.changed, done.same) == (1, 2, 1, 1)


def test_items_with_one_key_that_come_in_another_order_are_the_same(tmp_path: Path) -> None:
    done, lines = diff(tmp_path, [{"id": 1, "n": 1}, {"id": 1, "n": 2}], [{"id": 1, "n": 2}, {"id": 1, "n": 1}])
    assert (done.same, done.duplicates, lines) == (1, 1, [])


def test_items_without_the_key_are_counted_and_left_out(tmp_path: Path) -> None:
    new: list[Item] = [{"id": 1}, {"n": 1}, {"id": None}, {"id": ""}, {"id": []}, {"id": 0}, {"id": False}]
    done, _ = diff(tmp_path, [{"id": 9}, {}], new)
    assert (done.keyless, done.old_keyless, done.added, done.removed) == (4, 1, 3, 1)


def test_a_key_of_several_fields_may_have_some_that_are_null(tmp_path: Path) -> None:
    new: list[Item] = [{"id": 1, "size": None}, {"id": 1, "size": "M"}, {"id": 1}, {"id": None, "size": None}]
    done, lines = diff(tmp_path, [], new, "id", "size")
    assert (done.added, done.duplicates, done.keyless) == (2, 0, 2)
    assert lines[0]["_key"] == {"id": 1, "size": None}


def test_a_key_may_be_a_field_of_an_object_or_have_a_dot_in_its_name(tmp_path: Path) -> None:
    new: list[Item] = [{"a": {"b": {"c": 1}}}, {"a": {"b.c": 2}}, {"a.b": {"c": 3}}, {"a.b.c": 4}, {"a": {"b": 5}}]
    done, lines = diff(tmp_path, [], new, "a.b.c")
    assert [line["_key"]["a.b.c"] for line in lines] == [1, 2, 3, 4]
    assert done.keyless == 1


def test_a_field_that_no_item_has_is_told_with_what_is_near(tmp_path: Path) -> None:
    old, new = plain(tmp_path, A, [{"sku": 1}]), plain(tmp_path, B, [{"sku": 1, "name": "a"}])
    with pytest.raises(UsageError, match=rf"no item of run {B} has the field 'skuu'.*'sku'"):
        keep(old, new, ["skuu"])
    with pytest.raises(UsageError, match=rf"no item of run {A} has the field 'name'"):
        keep(old, new, ["name"])
    assert not [*new.path.glob("changes*")]


def test_only_runs_of_one_spider_are_compared(tmp_path: Path) -> None:
    one, other = plain(tmp_path, A, [{"id": 1}]), plain(tmp_path, B, [{"id": 1}], spider="books")
    with pytest.raises(UsageError, match=r"is of spider 'shop'.*of 'books'"):
        keep(one, other, ["id"])
    with pytest.raises(UsageError, match=f"both are run {A}"):
        keep(one, one, ["id"])


def test_an_unfinished_run_is_compared_with_a_note(tmp_path: Path) -> None:
    old = plain(tmp_path, B, [{"id": 1}], state=INTERRUPTED, why="max_pages")
    done, _ = compared(old, plain(tmp_path, A, [{"id": 1}]))
    assert [note.partition(":")[0] for note in done.notes] == [
        f"{B}, given as the old run, was started after {A}",
        f"run {B} is interrupted (max_pages)",
    ]


def test_without_an_old_run_everything_is_added(tmp_path: Path) -> None:
    done, lines = compared(None, plain(tmp_path, A, [{"id": 1}, {"id": 2}]))
    assert (done.old, done.added, len(lines)) == ("", 2, 2)


def test_without_a_key_only_the_coverage_is_kept(tmp_path: Path) -> None:
    folder = plain(tmp_path, A, [{"id": 1, "a": {"b": ""}}, {"id": 0, "a": None, "t": [1]}, {"id": False, "t": []}])
    (folder.path / "changes.jsonl").write_text("of a comparison with a key\n")
    done = keep(None, folder, ())
    assert done.coverage == {"id": 3, "a": 1, "a.b": 0, "t": 1}
    assert kept(folder) == done
    assert coverage(folder) == done.coverage
    assert (folder.path / "changes.jsonl").read_bytes() == b""


def test_names_of_fields_that_are_data_do_not_fill_the_memory(tmp_path: Path) -> None:
    folder = plain(tmp_path, A, [{f"field {n} {m}": 1 for n in range(100)} for m in range(20)])
    done = keep(None, folder, ())
    assert len(done.coverage) == MOST_FIELDS
    assert "there are more fields" in done.notes[0]


def test_a_journal_that_was_cut_or_is_none_is_told_of(tmp_path: Path) -> None:
    old, new = plain(tmp_path, A, [{"id": 1}]), plain(tmp_path, B, [{"id": 1}])
    old.items.write_bytes(b'{"id": 1}\n["no item"]\n')
    with pytest.raises(UsageError, match="what is at byte 10 is no item"):
        keep(old, new, ["id"])
    old.items.write_bytes(b'{"id": 1}\n{"id": 2')  # half a line, as a kill leaves it
    assert compared(old, new)[0].old_items == 1


VALUES = some.recursive(
    some.none() | some.booleans() | some.sampled_from([-1, 0, 1, 2, 0.5, 1.0, 2.0]) | some.text("ab", max_size=2),
    lambda inner: some.lists(inner, max_size=2) | some.dictionaries(some.sampled_from("xyz"), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
ITEMS = some.lists(
    some.fixed_dictionaries({}, optional={"id": some.integers(0, 6) | VALUES, "a": VALUES, "b": VALUES}),
    max_size=14,
)


def form(value: Any) -> str:
    """A JSON value in one form, with numbers by their value."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{form(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(form, value)) + "]"
    return json.dumps(value)


def naive(items: list[Item]) -> dict[str, list[Item]]:
    """By key; only items that have something there."""
    found: dict[str, list[Item]] = {}
    for item in items:
        if "id" in item and item["id"] not in (None, "", [], {}):
            found.setdefault(form(item["id"]), []).append(item)
    return found


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(ITEMS, ITEMS)
def test_it_is_what_two_tables_in_memory_say(
    tmp_path_factory: pytest.TempPathFactory, old: list[Item], new: list[Item]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Pile", lambda size, folder: pile.Pile(size, folder, most=3))
        if any("id" in item for item in old) != bool(old) or any("id" in item for item in new) != bool(new):
            return
        done, lines = diff(tmp_path_factory.mktemp("runs"), old, new)
    before, after = naive(old), naive(new)
    same = {
        key for key in before.keys() & after.keys()
        if form(before[key][-1]) == form(after[key][-1])
        or sorted(map(json.dumps, before[key])) == sorted(map(json.dumps, after[key]))
    }  # fmt: skip
    by = {
        kind: [form(line["_key"]["id"]) for line in lines if line["_change"] == kind]
        for kind in ("added", "changed", "removed")
    }
    assert sorted(by["added"]) == sorted(after.keys() - before.keys())
    assert sorted(by["changed"]) == sorted((before.keys() & after.keys()) - same)
    assert sorted(by["removed"]) == sorted(before.keys() - after.keys())
    assert (done.same, done.keyless) == (len(same), len(new) - sum(map(len, after.values())))
    assert done.duplicates == sum(len(each) - 1 for each in after.values())
    for line in lines:
        item = {name: value for name, value in line.items() if name[0] != "_"}
        assert item == (before if line["_change"] == "removed" else after)[form(line["_key"]["id"])][-1]
