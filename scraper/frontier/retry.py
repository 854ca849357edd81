"""Whether, when and how often a failed request is sent again. Pure: time and chance are passed in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from math import ldexp
from types import MappingProxyType

from ..reasons import Reason

RETRIED: Mapping[Reason, bool] = MappingProxyType(
    {
        # Connection and timing: the next try may meet a better moment.
        Reason.DNS: True,
        Reason.REFUSED: True,
        Reason.RESET: True,
        Reason.UNREACHABLE: True,
        Reason.CONNECT_TIMEOUT: True,
        Reason.HEADER_TIMEOUT: True,
        Reason.TIMEOUT: True,
        Reason.SLOW_BODY: True,
        Reason.STALE: True,
        Reason.TLS: True,
        Reason.TLS_CERTIFICATE: False,  # stays wrong until someone mends it
        Reason.PROXY: True,
        Reason.LOCAL: True,
        # What the server sent: what was cut off may come whole, what is too much stays too much.
        Reason.PROTOCOL: True,
        Reason.EMPTY_REPLY: True,
        Reason.HEADERS_TOO_LARGE: False,
        Reason.PARTIAL: True,
        Reason.TOO_LARGE: False,
        Reason.CODING: True,
        Reason.UNKNOWN_CODING: False,
        Reason.STATUS: True,  # those of RETRIED_STATUSES only
        # Redirects and safety.
        Reason.BAD_REDIRECT: False,
        Reason.TOO_MANY_REDIRECTS: False,
        Reason.PRIVATE_ADDRESS: False,
        Reason.BAD_REQUEST: False,
        # The host as a whole: its waits are over when these are given.
        Reason.ROBOTS_UNREACHABLE: False,
        Reason.HOST_DOWN: False,
        Reason.UNKNOWN: False,
        Reason.POISON: False,
        # Reading it: the same page would be the same again.
        Reason.HTML_BOMB: False,
        Reason.NOT_TEXT: False,
        # The spider.
        Reason.CALLBACK_ERROR: False,
        Reason.CALLBACK_TIMEOUT: False,
        Reason.BAD_YIELD: False,
        Reason.ASKED: True,
    }
)

RETRIED_STATUSES = frozenset(
    {
        408,  # Request Timeout
        425,  # Too Early
        429,  # Too Many Requests
        500,  # Internal Server Error
        502,  # Bad Gateway
        503,  # Service Unavailable
        504,  # Gateway Timeout
        *range(520, 525),  # a content network cannot reach its origin
        529,  # overloaded, as some services say it
    }
)

# Failures that come before the first byte of the request is sent. UNREACHABLE is not among them: an
# established connection can end so too.
UNSENT = frozenset({Reason.DNS, Reason.REFUSED, Reason.CONNECT_TIMEOUT, Reason.TLS, Reason.LOCAL})

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_DATES = tuple(
    re.compile(pattern, re.ASCII | re.IGNORECASE)
    for pattern in (
        rf"[a-z]{{3}}, (?P<day>\d\d) (?P<month>[a-z]{{3}}) (?P<year>\d{{4}}) {_TIME} (?:GMT|UTC)",
        rf"[a-z]{{6,9}}, (?P<day>\d\d)-(?P<month>[a-z]{{3}})-(?P<year>\d\d) {_TIME} (?:GMT|UTC)",
        rf"[a-z]{{3}} (?P<month>[a-z]{{3}}) (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})",
    )
)
_MANY_DIGITS = 12  # seconds of 30,000 years; more are not worth converting


def retried(reason: Reason, status: int = 0) -> bool:
    """Whether another try may end better; `status` counts for Reason.STATUS only."""
    if reason is Reason.STATUS:
        return status in RETRIED_STATUSES
    return RETRIED.get(reason, False)


def may_resend(method_is_safe: bool, reason: Reason) -> bool:
    """Whether a failed request may be sent again without doing its work twice (RFC 9110 9.2.2).

    A callback that asks for another try has read the answer, and knows.
    """
    return method_is_safe or reason in UNSENT or reason is Reason.ASKED


def backoff(tries: int, base: float, cap: float, random: float) -> float:
    """Seconds to wait after so many failed tries: anything up to base, 2 base, 4 base ... at most cap.

    `random` is in [0, 1). Full jitter, as in Brooker, "Exponential Backoff And Jitter" (AWS, 2015): it
    spreads requests that failed together best.
    """
    return random * min(cap, ldexp(base, min(max(tries, 1) - 1, 64)))


def retry_after(value: str, now: float, cap: float) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110 10.2.3), at most `cap`; None when it is junk.

    `now` is in seconds since 1970. A date in the past asks for nothing: 0.0.
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return cap if len(value) > _MANY_DIGITS else min(float(value), cap)
    at = http_date(value, now)
    return None if at is None else min(max(0.0, at - now), cap)


def http_date(value: str, now: float) -> float | None:
    """Seconds since 1970 of a date in any of the three forms of RFC 9110 5.6.7; None for anything else.

    A two-digit year that seems more than 50 years ahead of `now` is the last one that ended so.
    """
    for pattern in _DATES:
        found = pattern.fullmatch(value)
        if found is not None:
            break
    else:
        return None
    month = found["month"].lower()
    if month not in _MONTHS:
        return None
    year = int(found["year"])
    second = 59 if found["second"] == "60" else int(found["second"])  # a leap second
    try:
        if len(found["year"]) == 2:
            year = _century(year, datetime.fromtimestamp(now, UTC).year)
        date = datetime(
            year,
            _MONTHS.index(month) + 1,
            int(found["day"]),
            int(found["hour"]),
            int(found["minute"]),
            second,
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return date.timestamp()


def _century(year: int, this_year: int) -> int:
    year += this_year // 100 * 100
    return year - 100 if year > this_year + 50 else year
