"""Every error of the project, in one tree.

ScraperError
├── UsageError             the command, a setting, a spider file or an argument is wrong (exit code 2)
│   └── Mistakes(each)     several of these at once
├── SpiderError            a spider did what it must not do: an unknown callback, junk yielded
│   └── SelectorError      `one()` found none or several, or the selector itself is wrong
├── FetchError(reason)     a request got no usable response; `reason` says why
│   └── StatusError        a response came, with a status nobody accepts
├── NotNow                 the host was sent to rest between admission and departure: give the request back
├── ItemError(field)       an item that cannot be encoded
├── OutputError            a place for results cannot be written
├── StoreError             the crawl's state cannot be read or written
└── Signal                 raised by a callback on purpose: Retry, Skip, Stop
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .reasons import Reason

TOLD = 100  # of several mistakes
LONGEST = 1e9  # seconds that a request may wait


class ScraperError(Exception):
    """Anything this project raises on purpose."""


class UsageError(ScraperError):
    """A command, setting, spider file or argument is wrong; the text says what and what is near it."""


class Mistakes(UsageError):
    """All that is wrong with what somebody gave, so that it can be mended at once.

    The text has a line for each of the first, which are `told`, and one for how many more there are: `more`, or "".
    """

    def __init__(self, each: Sequence[UsageError]) -> None:
        self.each, self.told = tuple(each), tuple(each[:TOLD])
        self.more = f"and {len(each) - TOLD:,} more" if len(each) > TOLD else ""
        lines = [" ".join(str(one).split()) for one in self.told]
        super().__init__("\n".join(filter(None, [*lines, self.more])))


class SpiderError(ScraperError):
    """A spider did something it must not do."""


class SelectorError(SpiderError):
    """A selector is wrong, or `one()` found no element or several."""


def writable(text: object) -> str:
    """As text that UTF-8 can hold: half a surrogate pair, which a page's JSON may have, as an escape."""
    plain = str(text)
    return plain if plain.isascii() else plain.encode("utf-8", "backslashreplace").decode()


class FetchError(ScraperError):
    """A request got no usable response.

    `reason` is the kind of failure, `detail` what a person needs to know of it (never a secret),
    `after` the seconds the server asked to be left alone, if it did, `partial` the response
    whose body was too large, with what came of it.
    """

    partial: Any = None

    def __init__(self, reason: Reason, detail: str = "", *, after: float | None = None) -> None:
        detail = writable(detail)
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail
        self.after = after


class StatusError(FetchError):
    """A whole response came, with a status that the request does not accept."""

    def __init__(self, status: int, *, after: float | None = None) -> None:
        super().__init__(Reason.STATUS, str(status), after=after)
        self.status = status


class NotNow(ScraperError):
    """A send was called off at departure, nothing has been sent; or the worker process that had it died.

    `request` is what goes back, where that is not the very request of the permit.
    """

    request: Any = None


class ItemError(ScraperError):
    """An item cannot be written; `field` names the part that is at fault, "" when it is the whole."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class OutputError(ScraperError):
    """A place for results cannot be written."""


class StoreError(ScraperError):
    """The crawl's state cannot be read or written."""


class Signal(ScraperError):
    """Base of what a callback raises to say what shall become of its page."""

    def __init__(self, reason: str = "") -> None:
        self.reason = writable("" if reason is None else reason)
        super().__init__(self.reason)


class Retry(Signal):
    """Fetch the page again, `after` seconds from now (None: the usual back-off); counts as a try.

    Raises SpiderError for what are no seconds, or more than LONGEST.
    """

    def __init__(self, reason: str = "", after: float | None = None) -> None:
        super().__init__(reason)
        if after is not None and (not isinstance(after, int | float) or after > LONGEST):
            raise SpiderError(f"`after` of a Retry must be seconds, at most {LONGEST:g}, not {after!r}")
        self.after = after


class Skip(Signal):
    """Drop the page, its items and its links, and go on."""


class Stop(Signal):
    """Finish the whole crawl in good order after this page."""


def first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that a task group ended with first."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
