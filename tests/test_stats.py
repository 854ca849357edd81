"""Counts: every outcome is in them, and no site can make them grow without end."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from scraper.outcome import End, Outcome, failed
from scraper.reasons import Reason
from scraper.request import Request, raw
from scraper.stats import MAX_GROUPS, Stats


def page(number: int = 0) -> Request:
    return raw(url=f"http://a.test/{number}")


def counted(*outcomes: Outcome) -> Stats:
    stats = Stats(100.0)
    for outcome in outcomes:
        stats.count(outcome)
    return stats


def done(**fields: Any) -> Outcome:
    return Outcome(request=page(), end=End.DONE, **fields)


def test_pages_items_and_bytes_add_up() -> None:
    stats = counted(
        done(items=[b"1", b"2"], rejected=[b"3"], status=200, wire=10, size=30),
        done(items=[b"4"], status=200, wire=5, size=5, cut=True),
        failed(page(), Reason.STATUS, "404", status=404, wire=1),
    )
    assert (stats.done, stats.failed, stats.items, stats.rejected, stats.cut) == (2, 1, 3, 1, 1)
    assert (stats.wire, stats.bytes) == (16, 35)
    assert stats.statuses == {200: 2, 404: 1}
    assert stats.reasons == {(End.FAILED, Reason.STATUS): 1}


def test_the_error_rate_is_of_what_was_answered() -> None:
    retried = Outcome(request=page(), end=End.RETRY, reason=Reason.RESET)
    assert counted().error_rate == 0
    assert counted(retried).error_rate == 0
    assert counted(done(), done(), retried, failed(page(), Reason.DNS)).error_rate == pytest.approx(1 / 3)
    assert counted(failed(page(), Reason.DNS)).error_rate == 1


def test_only_failures_for_good_have_a_cause() -> None:
    retried = Outcome(request=page(), end=End.RETRY, reason=Reason.RESET)
    dropped = Outcome(request=page(), end=End.DROPPED, reason=Reason.ROBOTS)
    assert counted(retried, dropped, done()).causes == {}


def test_failures_of_the_net_are_grouped_by_reason_and_statuses_by_number() -> None:
    stats = counted(
        failed(page(1), Reason.DNS, "a.test"), failed(page(2), Reason.DNS, "b.test"),
        failed(page(3), Reason.STATUS, "404"), failed(page(4), Reason.STATUS, "500"),
        failed(page(5), Reason.STATUS, "404"),
    )  # fmt: skip
    assert [(cause.reason, cause.detail, cause.count, cause.url) for cause in stats.sorted_causes()] == [
        (Reason.DNS, "a.test", 2, "http://a.test/1"),
        (Reason.STATUS, "404", 2, "http://a.test/3"),
        (Reason.STATUS, "500", 1, "http://a.test/4"),
    ]


def test_the_spiders_own_errors_come_first_with_their_line() -> None:
    where = "shop.py:12 in parse"
    stats = counted(
        *(failed(page(), Reason.DNS) for _ in range(9)),
        failed(page(), Reason.CALLBACK_ERROR, "KeyError: 'price'", where=where, trace="..."),
        failed(page(), Reason.CALLBACK_ERROR, "KeyError: 'price'", where=where),
        failed(page(), Reason.CALLBACK_ERROR, "KeyError: 'title'", where=where),
    )
    assert [(cause.where, cause.detail, cause.count) for cause in stats.sorted_causes()] == [
        (where, "KeyError: 'price'", 2),
        (where, "KeyError: 'title'", 1),
        ("", "", 9),
    ]
    assert stats.sorted_causes()[0].trace == "..."


def test_an_error_that_names_its_page_is_one_cause_on_all_pages() -> None:
    stats = counted(
        *(
            failed(
                page(n),
                Reason.CALLBACK_ERROR,
                f"SelectorError: no h1 on {page(n).url}",
                where="shop.py:12 in parse",
            )
            for n in range(9)
        )
    )
    assert [cause.count for cause in stats.sorted_causes()] == [9]


def test_a_site_cannot_make_any_number_of_causes() -> None:
    stats = counted(
        *(failed(page(n), Reason.CALLBACK_ERROR, f"ValueError: {n}", where="x.py:1 in parse") for n in range(1000))
    )
    assert len(stats.causes) == MAX_GROUPS + 1
    assert sum(cause.count for cause in stats.causes.values()) == 1000
    [rest] = [cause for cause in stats.causes.values() if cause.count > 1]
    assert (rest.count, rest.where) == (1000 - MAX_GROUPS, "")


def test_the_data_of_stats_json_is_plain_and_whole() -> None:
    stats = counted(
        done(items=[b"1"], status=200, wire=5, size=9),
        Outcome(request=page(), end=End.BACK, reason=Reason.STALE),
        Outcome(request=page(), end=End.DROPPED, reason=Reason.ROBOTS),
        failed(page(), Reason.STATUS, "404", status=404),
    )
    stats.ended = 102.5
    data = msgspec.json.decode(msgspec.json.encode(stats.as_data()))
    assert (data["started"], data["ended"], data["seconds"]) == (100.0, 102.5, 2.5)
    assert data["pages"] == {"done": 1, "dropped": 1, "failed": 1}
    assert data["reasons"]["failed:status"] == 1
    assert data["statuses"] == {"200": 1, "404": 1}
    assert (data["items"], data["bytes"], data["wire_bytes"]) == (1, 9, 5)
    assert [error["detail"] for error in data["errors"]] == ["404"]
