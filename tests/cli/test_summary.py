"""How a run ended, in lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from scraper.cli.summary import Told, kept, summary
from scraper.folder import RunFolder
from scraper.frontier.host import Proof
from scraper.reasons import Reason
from scraper.stats import Cause

FOLDER = RunFolder(Path("output/shop/20260101-000000-abcd"))


def told(**fields: object) -> Told:
    return Told.of({"state": "finished", "why": "finished", "seconds": 10.0, **fields})


def lines(given: Told, width: int = 80) -> list[str]:
    return list(summary(given, FOLDER, width))


def cause(reason: Reason, number: int, where: str = "", detail: str = "") -> Cause:
    return Cause(reason, detail, where, "http://a.example/x", number)


def test_a_promise_is_kept_or_broken() -> None:
    assert kept(Proof(delay=0.5, per_host=4, departures=2, least_gap=0.5, most_parallel=4))
    assert kept(Proof(delay=0.5, per_host=4, departures=1))
    assert not kept(Proof(delay=0.5, per_host=4, departures=2, least_gap=0.499))
    assert not kept(Proof(delay=0.5, per_host=4, departures=2, least_gap=0.6, early=1))
    assert not kept(Proof(delay=0.5, per_host=4, departures=2, least_gap=0.6, most_parallel=5))


def test_a_broken_promise_stands_first_and_is_said_again() -> None:
    bad, good = Proof(delay=1, per_host=1, departures=2, least_gap=0.5), Proof(departures=9, per_host=4)
    given = told()
    given.politeness = {f"h{n}.example": good for n in range(12)} | {"bad.example": bad}
    found = lines(given)
    at = next(n for n, line in enumerate(found) if line.startswith("politeness"))
    assert found[at + 1].split()[0] == "bad.example"
    assert found[at + 1].endswith("BROKEN")
    assert "  and 3 more hosts in stats.json" in found
    assert "  the promise was BROKEN at 1 host" in found


def test_errors_in_the_spiders_own_code_stand_first_and_groups_are_ten_at_most() -> None:
    given = told()
    given.errors = [cause(Reason.STATUS, 50 + n, detail=str(400 + n)) for n in range(12)]
    given.errors.append(cause(Reason.CALLBACK_ERROR, 1, "shop.py:12 in parse", "KeyError: 'x'"))
    found = lines(given)
    at = found.index("errors")
    assert found[at + 1] == "      1 x  shop.py:12 in parse"
    assert found[at + 2].strip() == "callback_error: KeyError: 'x'"
    assert found[at + 3].strip() == "http://a.example/x"
    assert "  and 3 more kinds in stats.json" in found


def test_what_a_server_sent_cannot_drive_the_terminal() -> None:
    given = told(outputs={"a.csv": "disk\x1b[2J"}, state="failed", said=["output a.csv: disk\x1b[2J"])
    given.errors = [cause(Reason.DNS, 1, detail="evil\x1b]0;x\x07")]
    given.politeness = {"a\x1b[1m.example": Proof(departures=1, per_host=1)}
    assert "\x1b" not in "".join(lines(given))


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120])
def test_lines_fit_the_terminal(width: int) -> None:
    given = told(
        pages={"done": 1_234_567, "failed": 1234, "dropped": 12_345, "redirected": 1234, "retry": 99_999},
        reasons={"failed:callback_error": 12, "failed:connect_timeout": 1222, "retry:header_timeout": 99_999},
        dropped={"duplicate": 123_456_789, "out_of_scope": 1_234_567, "nofollow": 123_456},
        said=["3 items, fewer than min_items = 1,000,000 which is quite a lot of items to ask for"],
        items=1234,
    )
    given.errors = [cause(Reason.CALLBACK_ERROR, 12, "shop.py:12 in parse", "ValueError: " + "very long " * 30)]
    host = Proof(delay=0.5, per_host=4, departures=123_456, least_gap=0.5012, most_parallel=4, rests=12)
    given.politeness = {"h.example": host}
    for line in lines(given, width):
        assert len(line) <= width or "/" in line


def test_an_output_tells_its_items_or_its_error_and_where_a_part_is() -> None:
    done = lines(told(items=5, outputs={"a.csv": ""}))
    assert any(line.split() == ["a.csv", "5", "items"] for line in done)
    both = lines(told(items=5, state="failed", said=["output b.csv: full"], outputs={"a.csv": "", "b.csv": "full"}))
    assert any(line.split() == ["a.csv", "5", "items"] for line in both)
    assert any(line.split() == ["b.csv", "failed:", "full"] for line in both)
    cut = lines(told(items=5, state="interrupted", outputs={"a.csv": ""}))
    assert any(line.startswith("  a.csv.part ") for line in cut)
