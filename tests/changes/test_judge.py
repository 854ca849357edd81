"""An item counts as removed only when its page says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scraper.changes.compare import Compared
from scraper.changes.items import Items
from scraper.changes.judge import Judge, Side
from scraper.folder import INTERRUPTED
from scraper.outcome import End
from scraper.reasons import Reason

from .runs import Node, compared, failed, made, plain

OLD, NEW = "20260101-000000-aaa1", "20260102-000000-aaa2"
ITEM = {"id": 1, "name": "one"}
OTHER = {"id": 2, "name": "two"}
STAYS = Node([OTHER])


async def after(path: Path, old: dict[str, Node], new: dict[str, Node], **more: Any) -> Compared:
    return compared(await made(path, OLD, old), await made(path, NEW, new, **more))[0]


CASES: dict[str, tuple[Node | None, str, bool]] = {
    "fetched": (Node(), "its page was fetched without it", True),
    "gone": (failed(404), "its page is gone: status 404", True),
    "gone for good": (failed(410), "its page is gone: status 410", True),
    "answered with an accepted 404": (Node(status=404), "its page was fetched without it", True),
    "not found": (None, "its page is not found any more", True),
    "refused": (failed(503), "its page failed: status 503", False),
    "late": (failed(reason=Reason.HEADER_TIMEOUT), "its page failed: header timeout", False),
    "broken": (failed(reason=Reason.CALLBACK_ERROR, status=200), "its page failed: callback error", False),
    "forbidden": (Node(end=End.DROPPED, reason=Reason.ROBOTS), "its page was dropped: robots", False),
    "skipped": (Node(end=End.DROPPED, reason=Reason.SKIPPED), "its page was dropped: skipped", False),
    "cut": (Node(cut=True), "its page was cut by max_items", False),
}


@pytest.mark.parametrize("name", CASES)
async def test_a_missing_item_is_judged_by_what_became_of_its_page(tmp_path: Path, name: str) -> None:
    node, why, gone = CASES[name]
    new = {"/stays": STAYS} | ({} if node is None else {"/item": node})
    runs = await made(tmp_path, OLD, {"/stays": STAYS, "/item": Node([ITEM])}), await made(tmp_path, NEW, new)
    done, lines = compared(*runs)
    assert (done.removed, done.unseen, done.same) == (int(gone), int(not gone), 1)
    assert [line["_why"] for line in lines] == ([why] if gone else [])
    assert done.why == ({} if gone else {why: 1})


async def test_an_item_that_moved_to_another_page_is_the_same(tmp_path: Path) -> None:
    done = await after(tmp_path, {"/a": Node([ITEM])}, {"/a": Node(), "/b": Node([ITEM])})
    assert (done.same, done.removed, done.unseen) == (1, 0, 0)


async def test_a_page_that_was_not_visited_says_nothing(tmp_path: Path) -> None:
    cut = {"state": INTERRUPTED, "why": "max_pages"}
    done = await after(tmp_path, {"/a": Node([ITEM])}, {"/a": Node(end=None)}, **cut)
    assert done.why == {"its page was not visited: max_pages": 1}
    (tmp_path / "b").mkdir()
    done = await after(tmp_path / "b", {"/a": Node([ITEM])}, {"/b": Node(end=None)}, **cut)
    assert done.why == {"its page was not found: the run did not come to its end (max_pages)": 1}


async def test_a_run_whose_seeds_were_not_read_to_their_end_finds_nothing_gone(tmp_path: Path) -> None:
    done = await after(tmp_path, {"/a": Node([ITEM])}, {}, seeds_done=False, why="stopped")
    assert done.why == {"its page was not found: the run did not come to its end (stopped)": 1}


async def test_a_page_that_was_answered_after_the_items_were_read_says_nothing(tmp_path: Path) -> None:
    old = await made(tmp_path, OLD, {"/a": Node([ITEM])})
    new = await made(tmp_path, NEW, {"/b": Node([OTHER]), "/a": Node([ITEM])})
    with Items(old) as theirs, Items(new) as ours:
        assert ours.fates is not None
        ours.fates.items_end -= len(json.dumps(ITEM)) + 1  # as if it had been read before
        judge = Judge(Side(old, old.read(), theirs.fates), Side(new, new.read(), ours.fates), tmp_path)
        (given,) = theirs
        judge.add(given.start, len(given.line), given.token)
        ((*_, sure, why),) = judge.verdicts()
        judge.close()
    assert (sure, why) == (False, "its page was not visited: finished")


LISTED = {"/list": Node(), "/list/2": Node(parent="/list"), "/item": Node([ITEM], parent="/list/2")}
LEAF = {"/leaf": Node([OTHER])}
HIDDEN = "its page was not found: 1 page that may lead to it was not read"


async def test_a_listing_that_failed_hides_what_it_led_to(tmp_path: Path) -> None:
    done = await after(tmp_path, LISTED, {"/list": failed(500)})
    assert done.why == {HIDDEN: 1}


async def test_a_listing_that_is_gone_hides_nothing(tmp_path: Path) -> None:
    done = await after(tmp_path, LISTED, {"/list": failed(404)})
    assert done.removed == 1


async def test_a_failed_page_that_led_to_nothing_hides_nothing(tmp_path: Path) -> None:
    done = await after(tmp_path, LISTED | LEAF, LISTED | {"/item": failed(404), "/leaf": failed(500)})
    assert (done.removed, done.why) == (1, {"its page failed: status 500": 1})
    (tmp_path / "b").mkdir()
    new = {"/list": Node(), "/list/2": Node(parent="/list"), "/leaf": failed(500)}
    done = await after(tmp_path / "b", LISTED | LEAF, new)
    assert (done.removed, done.why) == (1, {"its page failed: status 500": 1})


async def test_a_failed_page_that_was_not_there_before_may_hide_it(tmp_path: Path) -> None:
    done = await after(tmp_path, LISTED, {"/list": Node(), "/list/2": Node(), "/list/3": failed(500)})
    assert done.why == {HIDDEN: 1}


async def test_a_page_that_failed_each_time_hides_nothing(tmp_path: Path) -> None:
    always = {"/always": failed(500)}
    done = await after(tmp_path, LISTED | always, {"/list": Node(), "/list/2": Node()} | always)
    assert done.removed == 1


@pytest.mark.parametrize(("reason", "before", "hides"), [
    (Reason.ROBOTS, False, False), (Reason.ROBOTS, True, True), (Reason.SKIPPED, True, False),
    (Reason.HOST_LIMIT, False, True),
])  # fmt: skip
async def test_a_page_that_was_dropped_may_hide_it(
    tmp_path: Path, reason: Reason, before: bool, hides: bool
) -> None:
    dropped = {"/more": Node(end=End.DROPPED, reason=reason)}
    more = {"/more": Node(), "/more/a": Node(parent="/more")} if before else {}
    done = await after(tmp_path, {"/item": Node([ITEM])} | more, dropped)
    assert (done.removed, done.why) == ((0, {HIDDEN: 1}) if hides else (1, {}))


async def test_a_page_that_is_redirected_now_is_judged_by_where_that_leads(tmp_path: Path) -> None:
    for name, target, removed in (("a", Node(), 1), ("b", failed(500), 0), ("c", Node(end=None), 0)):
        done = await after(tmp_path / name, {"/item": Node([ITEM])}, {"/item": Node(to="/other"), "/other": target})
        assert (done.removed, done.unseen) == (removed, 1 - removed)


async def test_a_page_that_was_redirected_to_is_judged_by_what_led_there(tmp_path: Path) -> None:
    old = {"/item": Node(to="/real"), "/real": Node([ITEM])}
    for name, node, removed in (("a", Node(), 1), ("b", failed(500), 0), ("c", failed(404), 1)):
        done = await after(tmp_path / name, old, {"/item": node})
        assert (done.removed, done.unseen) == (removed, 1 - removed)


async def test_an_item_that_several_pages_gave_is_gone_when_all_of_them_say_so(tmp_path: Path) -> None:
    old = {"/a": Node([ITEM]), "/b": Node([ITEM])}
    assert (await after(tmp_path / "a", old, {"/a": Node(), "/b": failed(500)})).unseen == 1
    assert (await after(tmp_path / "b", old, {"/a": failed(500), "/b": Node()})).unseen == 1
    assert (await after(tmp_path / "c", old, {"/a": failed(404), "/b": Node()})).removed == 1


async def test_an_item_that_was_rejected_or_is_too_deep_now_is_not_gone(tmp_path: Path) -> None:
    done = await after(tmp_path / "a", {"/item": Node([ITEM])}, {"/item": Node()}, rejected=["/item"])
    assert done.why == {"an item of its page was rejected": 1}
    deep = {"too_deep": {"https://h.example/item": {"parent": 1, "depth": 9}}}
    done = await after(tmp_path / "b", {"/item": Node([ITEM])}, {}, facts=deep)
    assert done.why == {"its page was too deep (max_depth)": 1}


async def test_runs_that_were_asked_for_different_things_find_nothing_gone(tmp_path: Path) -> None:
    old = await made(tmp_path, OLD, {"/item": Node([ITEM])}, digests={"arguments": "a", "source": "a"})
    new = await made(tmp_path, NEW, {}, digests={"arguments": "b", "source": "b"})
    assert compared(old, new)[0].why == {"its page was not found: the runs have different arguments": 1}


async def test_an_added_item_whose_page_was_not_read_before_may_have_been_there(tmp_path: Path) -> None:
    old = {"/a": failed(503), "/b": Node(), "/list": Node()}
    runs = await made(tmp_path, OLD, old), await made(tmp_path, NEW, {"/a": Node([ITEM]), "/b": Node([OTHER])})
    done, lines = compared(*runs)
    assert (done.added, done.unsure) == (2, 1)
    assert [line.get("_why") for line in lines] == ["its page failed: status 503", None]


async def test_without_a_state_items_are_gone_when_the_run_had_no_failure(tmp_path: Path) -> None:
    old = await made(tmp_path, OLD, {"/item": Node([ITEM])})
    assert compared(old, plain(tmp_path, NEW, []))[0].removed == 1
    done, _ = compared(old, plain(tmp_path / "b", NEW, [], failed=1))
    assert done.why == {"nothing is known of the pages of the run (durability = none)": 1}
    done, _ = compared(plain(tmp_path / "c", OLD, [ITEM]), await made(tmp_path / "c", NEW, {"/new": failed(500)}))
    assert done.why == {"nobody knows its page, and not all pages were read (1)": 1}
