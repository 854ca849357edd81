"""What is tried again, and when."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.frontier.retry import RETRIED, backoff, http_date, may_resend, retried, retry_after
from scraper.reasons import Reason

NO_FAILURE = {
    Reason.OK,
    Reason.BAD_URL,
    Reason.BAD_SCHEME,
    Reason.URL_TOO_LONG,
    Reason.OUT_OF_SCOPE,
    Reason.NOFOLLOW,
    Reason.TOO_MANY_LINKS,
    Reason.DUPLICATE,
    Reason.TOO_DEEP,
    Reason.HOST_LIMIT,
    Reason.ROBOTS,
    Reason.SKIPPED,
}
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()


def test_every_reason_is_placed() -> None:
    assert set(RETRIED) == set(Reason) - NO_FAILURE
    assert not any(retried(reason) for reason in NO_FAILURE)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520, 524])
def test_a_passing_status_is_tried_again(status: int) -> None:
    assert retried(Reason.STATUS, status)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 410, 451, 501, 505, 999])
def test_a_lasting_status_is_not(status: int) -> None:
    assert not retried(Reason.STATUS, status)


def test_a_wrong_certificate_is_not_tried_again_but_a_broken_handshake_is() -> None:
    assert not retried(Reason.TLS_CERTIFICATE)
    assert retried(Reason.TLS)


def test_an_unsafe_method_is_sent_again_only_when_it_cannot_have_arrived() -> None:
    assert may_resend(True, Reason.PARTIAL)
    assert may_resend(False, Reason.CONNECT_TIMEOUT)
    assert may_resend(False, Reason.ASKED)
    for reason in (Reason.RESET, Reason.STALE, Reason.TIMEOUT, Reason.HEADER_TIMEOUT, Reason.STATUS):
        assert not may_resend(False, reason)


@given(st.integers(-5, 10**9), st.floats(0, 100), st.floats(0, 1000), st.floats(0, 1, exclude_max=True))
def test_the_back_off_lies_between_nothing_and_its_cap(tries: int, base: float, cap: float, r: float) -> None:
    assert 0 <= backoff(tries, base, cap, r) <= cap


def test_the_back_off_doubles_with_every_try() -> None:
    assert [backoff(tries, 1.0, 10.0, 0.5) for tries in (1, 2, 3, 4, 5, 99)] == [0.5, 1, 2, 4, 5, 5]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("99999999999999999999999999", 3600.0),
        ("9" * 5000, 3600.0),
        ("86400", 3600.0),
        ("Sat, 21 Nov 2026 12:01:00 GMT", 60.0),
        ("Saturday, 21-Nov-26 12:01:00 GMT", 60.0),
        ("Sat Nov 21 12:01:00 2026", 60.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
    ],
)
def test_retry_after_is_read_in_all_its_forms(value: str, seconds: float) -> None:
    assert retry_after(value, NOW, 3600.0) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "", "-5", "+5", "1.0", "1e3", "soon", "٣", "²", "120, 120", "120s", "nan",
        "Sat, 31 Feb 2026 12:00:00 GMT", "Sat, 21 Nov 2026 25:00:00 GMT", "Sat, 21 Foo 2026 12:00:00 GMT",
        "Sat, 21 Nov 2026 12:00:00 +0100", "Sat, 00 Nov 0000 12:00:00 GMT",
    ],
)  # fmt: skip
def test_a_retry_after_that_is_junk_says_nothing(value: str) -> None:
    assert retry_after(value, NOW, 3600.0) is None


@pytest.mark.parametrize(
    "value",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
def test_the_three_dates_of_the_rfc_are_one_instant(value: str) -> None:
    assert http_date(value, NOW) == 784111777.0


@pytest.mark.parametrize(("year", "meant"), [("26", 2026), ("76", 2076), ("77", 1977), ("00", 2000)])
def test_a_year_of_two_digits_is_at_most_fifty_years_ahead(year: str, meant: int) -> None:
    at = datetime(meant, 1, 1, tzinfo=UTC).timestamp()
    assert http_date(f"Monday, 01-Jan-{year} 00:00:00 GMT", NOW) == at


def test_a_leap_second_is_a_time() -> None:
    at = datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
    assert http_date("Sat, 31 Dec 2016 23:59:60 GMT", NOW) == at


@given(st.text(max_size=40), st.floats(0, 4e9))
def test_no_text_raises(value: str, now: float) -> None:
    seconds = retry_after(value, now, 100.0)
    assert seconds is None or 0 <= seconds <= 100
