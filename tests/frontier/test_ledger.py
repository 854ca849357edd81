"""What a run's state tells of its requests."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from scraper.errors import StoreError, UsageError
from scraper.frontier import schema
from scraper.frontier.entries import Count, Entry, Selection
from scraper.frontier.ledger import Ledger
from scraper.frontier.robots import Robots
from scraper.outcome import End
from scraper.reasons import Reason
from tests.frontier.state import State, page

FAR = 4e9  # a wall-clock second that will not come


def told(path: Path, words: str, now: float = 0.0) -> list[Entry]:
    with Ledger(path, now or time.time()) as ledger:
        return [entry for rows in ledger.rows(Selection.parse(words)) for entry in rows]


async def shop(path: Path) -> None:
    """A seed with pages that end in every way."""
    async with State(path) as state:
        (seed,) = await state.seed(page("/"))
        done, gone, moved, closed, later, _next = await state.end(
            seed, End.DONE, *map(page, ("/done", "/gone", "/moved", "/closed", "/later", "/next")), status=200
        )
        again = await state.retry(done, reason=Reason.TIMEOUT, detail="no body", status=0)
        again = await state.retry(again, reason=Reason.STATUS, detail="503", status=503)
        await state.end(again, End.DONE, status=200, items=(b"{}",), size=120, wire=60, took=0.5)
        await state.end(gone, End.FAILED, reason=Reason.STATUS, detail="404", status=404)
        target = await state.move(moved, page("/target"))
        await state.move(target, page("/end"))
        await state.end(closed, End.DROPPED, reason=Reason.ROBOTS)
        await state.retry(later, reason=Reason.RESET, due=FAR)
        deep = {"https://h.example/deep": {"parent": seed.token, "depth": 9}}
        await state.commit(facts={"too_deep": deep}, seeds_done=True)


async def test_requests_are_counted_by_state_and_reason(tmp_path: Path) -> None:
    await shop(tmp_path / "s")
    with Ledger(tmp_path / "s", time.time()) as ledger:
        counts = {(c.state, c.reason, c.status): c.number for c in ledger.counts()}
        assert ledger.left() == 3
        oldest = ledger.oldest()
    assert counts == {
        ("done", "ok", 0): 2,
        ("failed", "status", 404): 1,
        ("redirected", "ok", 0): 2,
        ("dropped", "robots", 0): 1,
        ("dropped", "too_deep", 0): 1,
        ("queued", "", 0): 2,
        ("waiting", "", 0): 1,
    }
    assert oldest is not None
    assert oldest.url == "https://h.example/later"


@pytest.mark.parametrize(
    ("words", "paths"),
    [
        ("all", ["/", "/done", "/gone", "/moved", "/closed", "/later", "/next", "/target", "/end", "/deep"]),
        ("done", ["/", "/done"]),
        ("failed", ["/gone"]),
        ("failed:status", ["/gone"]),
        ("status:404", ["/gone"]),
        ("status:410", []),
        ("failed:timeout", []),
        ("redirected", ["/moved", "/target"]),
        ("dropped", ["/closed", "/deep"]),
        ("robots", ["/closed"]),
        ("too_deep", ["/deep"]),
        ("queued", ["/later", "/next", "/end"]),
        ("waiting", ["/later"]),
    ],
)
async def test_requests_are_selected_by_state_reason_and_status(
    words: str, paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop(tmp_path / "s")
    monkeypatch.setattr("scraper.frontier.ledger.CHUNK", 2)
    assert [entry.url.removeprefix("https://h.example") for entry in told(tmp_path / "s", words)] == paths


@pytest.mark.parametrize("words", ["faild", "failed:tmieout", "status:x", "timeout:404", "failed:status:404:5"])
def test_what_selects_nothing_known_is_refused(words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Selection.parse(words)


def test_a_misspelt_state_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean 'failed'"):
        Selection.parse("faild")


def test_a_selection_fits_the_counts_of_what_it_selects() -> None:
    count = Count("failed", "status", 404, 3)
    for words in ("all", "failed", "failed:status", "status:404"):
        assert Selection.parse(words).fits(count)
    for words in ("done", "timeout", "status:503"):
        assert not Selection.parse(words).fits(count)
    assert Selection.parse("queued").fits(Count("waiting", "", 0, 1))


async def test_a_page_has_its_tries_and_the_pages_it_was_found_through(tmp_path: Path) -> None:
    await shop(tmp_path / "s")
    with Ledger(tmp_path / "s", time.time()) as ledger:
        (story,) = ledger.story("https://h.example/done")
        assert ledger.story("https://h.example/none") == []
    entry = story.entry
    assert (entry.state, entry.status, entry.tries, entry.items, entry.bytes, entry.wire, entry.seconds) == (
        "done", 200, 3, 1, 120, 60, 0.5,
    )  # fmt: skip
    assert [(each.reason, each.detail, each.status) for each in story.attempts] == [
        ("timeout", "no body", 0), ("status", "503", 503),
    ]  # fmt: skip
    assert [(each.url, each.seed, each.depth) for each in story.chain] == [("https://h.example/", True, 0)]


async def test_redirects_are_told_from_both_ends(tmp_path: Path) -> None:
    await shop(tmp_path / "s")
    with Ledger(tmp_path / "s", time.time()) as ledger:
        (first,) = ledger.story("https://h.example/moved")
        (last,) = ledger.story("https://h.example/end")
    assert [each.url[17:] for each in first.onward] == ["/target", "/end"]
    assert [each.url[17:] for each in last.chain] == ["/target", "/moved", "/"]
    assert last.entry.redirected_from == "https://h.example/target"
    assert first.entry.redirected_to == "https://h.example/target"
    assert last.entry.parent == "https://h.example/"


async def test_a_queued_request_says_how_many_come_before_it(tmp_path: Path) -> None:
    async with State(tmp_path / "s") as state:
        await state.seed(page("/1"), page("/2"), page("/3", priority=5), page("/other", "other.example"))
        with Ledger(state.path, 0.0) as ledger:  # beside the writer
            assert [ledger.story(f"https://h.example/{i}")[0].ahead for i in (1, 2, 3)] == [1, 2, 0]
            assert ledger.story("https://other.example/other")[0].ahead == 0


async def test_a_waiting_request_becomes_a_queued_one_with_time(tmp_path: Path) -> None:
    await shop(tmp_path / "s")
    assert [entry.due for entry in told(tmp_path / "s", "waiting")] == [FAR]
    assert told(tmp_path / "s", "waiting", FAR + 1) == []
    assert len(told(tmp_path / "s", "queued", FAR + 1)) == 3


async def test_a_link_that_was_too_deep_is_told_with_its_page(tmp_path: Path) -> None:
    await shop(tmp_path / "s")
    with Ledger(tmp_path / "s", 0.0) as ledger:
        story = ledger.deep("https://h.example/deep")
        assert ledger.deep("https://h.example/done") is None
    assert story is not None
    assert (story.entry.reason, story.entry.depth, story.entry.parent) == ("too_deep", 9, "https://h.example/")
    assert [each.seed for each in story.chain] == [True]


async def test_hosts_that_rest_or_are_down_are_told(tmp_path: Path) -> None:
    hosts = {
        "a.example": {"rest": 500.0},
        "b.example": {"rest": 50.0},
        "c.example": {"down": True},
        "d.example": {},
    }
    rules = Robots.parse(b"User-agent: *\nDisallow: /x", "bot")
    async with State(tmp_path / "s") as state:
        await state.seed(page("/"))
        robots = {"https://h.example": (rules.to_bytes(), FAR), "https://a.example": (None, FAR)}
        await state.commit(facts={"host": hosts, "robots": robots}, positions={"items": 77})
    with Ledger(tmp_path / "s", 100.0) as ledger:
        assert [(rest.host, rest.until, rest.down) for rest in ledger.resting()] == [
            ("c.example", 0.0, True), ("a.example", 500.0, False),
        ]  # fmt: skip
        assert ledger.rest("b.example") is None
        assert ledger.robots("https://h.example") == rules
        assert ledger.robots("https://a.example") is None
        assert (ledger.position("items"), ledger.position("none")) == (77, 0)
        assert (ledger.knows("h.example"), ledger.knows("x.example")) == (True, False)
        assert ledger.labels() == ["h.example"]


async def test_a_redirect_that_was_not_followed_is_found_by_its_target(tmp_path: Path) -> None:
    async with State(tmp_path / "s") as state:
        (seed,) = await state.seed(page("/"))
        said = "redirected to https://other.example/"
        await state.end(seed, End.DROPPED, reason=Reason.OUT_OF_SCOPE, detail=said)
    with Ledger(tmp_path / "s", 0.0) as ledger:
        assert [entry.url for entry in ledger.sent_here("https://other.example/")] == ["https://h.example/"]


def test_what_is_no_state_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="kept no state"):
        Ledger(tmp_path / "none", 0.0)
    (tmp_path / "text").write_text("no database at all, whatever it is called" * 100)
    with pytest.raises(StoreError, match="text"):
        Ledger(tmp_path / "text", 0.0)


async def test_a_damaged_row_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    await shop(tmp_path / "s")
    base = schema.connect(tmp_path / "s")
    base.execute("UPDATE request SET data = 'x' WHERE id = 3")
    base.close()
    with pytest.raises(StoreError, match="cannot be read"):
        told(tmp_path / "s", "all")
