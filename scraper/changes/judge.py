"""Whether an item that a run does not have is really not there, or was only not looked for.

It is judged by the page that gave it in the other run. It is gone when that page was fetched and did not give it,
when the page itself is gone (404, 410), or when a run that came to its end does not find the page any more. Where
the page failed, was not visited or not allowed, or where a page failed that may lead to it, nobody knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from struct import Struct
from typing import NamedTuple

import msgspec

from ..folder import FINISHED, RunFolder, RunInfo
from ..frontier.fates import Fates, Page
from ..outcome import End
from ..reasons import Reason
from ..url import fingerprint
from .items import NOBODY
from .pile import Pile

GONE = frozenset({404, 410})
MOST_UNREAD = 100_000  # pages that were not read, of which it is looked up whether they can lead to others
SIEVE = 2**25  # bits: which pages are looked for
ASKED = {"seeds": "start URLs", "arguments": "arguments", "settings": "settings"}  # digests of what was crawled

UNMET, SURE, UNSURE = 0, 1, 2  # what a page says; the higher one counts
UNKNOWN = 1  # instead of why: an item whose page nobody knows
MARKED = Struct(">qQQQ")  # fingerprint, start and size of the item, token of the page that gave it
MET = Struct(">qBH")  # fingerprint, what it says, why
SAYS = Struct(">QQQBH")  # start and size of the item, token of the page, what it says, why

FOUND_NO_MORE = "its page is not found any more"
NO_STATE = "nothing is known of the pages of the run (durability = none)"


class _Rejected(msgspec.Struct):
    url: str = ""


class Side(NamedTuple):
    """A run as it stands, with its state if it has one."""

    folder: RunFolder
    info: RunInfo
    fates: Fates | None


class Judge:
    """Judges items that `here` has and `there` has not. Files to sort in are made in `scratch`.

    Raises StoreError, OutputError.
    """

    def __init__(self, here: Side, there: Side, scratch: Path) -> None:
        self._here = here
        self._there = there
        self._wanted = Pile(MARKED.size, scratch)
        self._met = Pile(MET.size, scratch)
        self._says = Pile(SAYS.size, scratch)
        self._sieve = bytearray(SIEVE // 8)
        self._texts: dict[str, int] = {}

    def close(self) -> None:
        """Let go of the files."""
        for pile in (self._wanted, self._met, self._says):
            pile.close()

    def add(self, start: int, size: int, token: int) -> None:
        """Take an item (its line in the journal of `here`) and a page that gave it; once for each such page."""
        fates = self._here.fates
        page = fates.page(token) if fates is not None and token != NOBODY else None
        self._says.add(SAYS.pack(start, size, token, UNMET, 0 if page is not None else UNKNOWN))
        if fates is None or page is None or self._there.fates is None:
            return
        for each in (page, *fates.before(page)):  # what was redirected to it may lead somewhere else today
            self._wanted.add(MARKED.pack(each.mark, start, size, token))
            bit = each.mark % SIEVE
            self._sieve[bit >> 3] |= 1 << (bit & 7)

    def verdicts(self) -> Iterator[tuple[int, int, bool, str]]:
        """(start, size, whether it is gone for sure, why) of each item, in the order of the journal."""
        if len(self._wanted) and self._there.fates is not None:
            self._look(self._there.fates)
            self._join()
        if not len(self._says):
            return
        unmet: dict[int, str] = {}
        texts = list(self._texts)
        for (start, size), records in groupby(map(SAYS.unpack, self._says), itemgetter(0, 1)):
            sure, why = True, ""
            for _, pages in groupby(records, itemgetter(2)):
                *_, (_, _, _, says, code) = pages  # they are in order: the last one is what counts
                if says == UNMET:
                    if code not in unmet:
                        unmet[code] = self._hidden(unknown=code == UNKNOWN)
                    says, text = (UNSURE, unmet[code]) if unmet[code] else (SURE, FOUND_NO_MORE)
                else:
                    text = texts[code]
                if sure and (says == UNSURE or not why):
                    sure, why = says == SURE, text
            yield start, size, sure, why

    # -- the pages of the other run -----------------------------------------------------------------

    def _look(self, fates: Fates) -> None:
        """Note what became of the pages that are looked for, and of a few others."""
        late = {token for _, token in fates.sources(fates.items_end)}
        for pages in fates.pages():
            for page in pages:
                if self._passes(page.mark):
                    self._note(page.mark, *self._fate(fates, page, late))
        for url in fates.too_deep():
            self._note(fingerprint(url), UNSURE, "its page was too deep (max_depth)")
        for url in _rejected(self._there.folder.rejected):
            self._note(fingerprint(url), UNSURE, "an item of its page was rejected")

    def _passes(self, mark: int) -> int:
        bit = mark % SIEVE
        return self._sieve[bit >> 3] & (1 << (bit & 7))

    def _note(self, mark: int, says: int, why: str) -> None:
        if self._passes(mark):
            self._met.add(MET.pack(mark, says, self._texts.setdefault(why, len(self._texts))))

    def _fate(self, fates: Fates, page: Page, late: set[int]) -> tuple[int, str]:
        """What a page says of an item that it gave in the other run and that is nowhere in this one.

        Those that are `late` have been answered since the items were read.
        """
        if page.end == End.REDIRECTED:
            page = fates.last(page)
        if not page.end or page.token in late:
            return UNSURE, f"its page was not visited: {_ended(self._there.info)}"
        if page.end == End.DONE:
            if page.cut:
                return UNSURE, "its page was cut by max_items"
            return SURE, "its page was fetched without it"
        if _gone(page):
            return SURE, f"its page is gone: status {page.status}"
        if page.end == End.FAILED:
            why = f"status {page.status}" if page.reason == Reason.STATUS else _spelt(page.reason)
            return UNSURE, f"its page failed: {why}"
        return UNSURE, f"its page was dropped: {_spelt(page.reason)}"

    def _join(self) -> None:
        """Tell each item that is looked for what its pages say."""
        met = iter(self._met)
        record = next(met, b"")
        said, best = b"", b""
        for wanted in self._wanted:
            mark = wanted[:8]
            if mark != said:
                said, best = mark, b""
                while record and record[:8] < mark:
                    record = next(met, b"")
                while record and record[:8] == mark:
                    best = max(best, record[8:])
                    record = next(met, b"")
            if best:
                self._says.add(wanted[8:] + best)

    # -- pages that were not met at all -------------------------------------------------------------

    def _hidden(self, *, unknown: bool) -> str:
        """Why a page may be there though this run has not met it; "" when it had met it then.

        Of an `unknown` page nothing is known but that it gave an item, so that every page may be it.
        """
        here, there = self._here.info, self._there.info
        asked = [
            word for part, word in ASKED.items()
            if here.digests and there.digests and here.digests.get(part) != there.digests.get(part)
        ]  # fmt: skip
        if asked:
            return f"its page was not found: the runs have different {' and '.join(asked)}"
        fates = self._there.fates
        if fates is None:
            good = there.state == FINISHED and there.why == "finished" and not there.failed
            return "" if good else NO_STATE
        if not fates.whole:
            return f"its page was not found: the run did not come to its end ({_ended(there)})"
        if unknown:
            number = sum(not _gone(page) for page in fates.unread()) + any(_rejected(self._there.folder.rejected))
            return f"nobody knows its page, and not all pages were read ({number:,})" if number else ""
        number = self._unread(fates)
        if number:
            pages = (
                "1 page that may lead to it was" if number == 1 else f"{number:,} pages that may lead to it were"
            )
            return f"its page was not found: {pages} not read"
        return ""

    def _unread(self, fates: Fates) -> int:
        """How many pages were not read that may have led to others.

        None that was not read in the other run either, and none that led to nothing there. A rule of robots.txt
        counts where it is new, a limit of pages always.
        """
        number = 0
        marks: dict[int, bool] = {}  # fingerprint -> whether it counts when the other run did not meet it
        for page in fates.unread():
            if _gone(page) or page.reason == Reason.SKIPPED:
                continue
            if page.reason == Reason.HOST_LIMIT:
                number += 1
                continue
            *_, first = (page, *fates.before(page))
            marks[first.mark] = page.end == End.FAILED
            if len(marks) > MOST_UNREAD:
                break
        here = self._here.fates
        if here is None or len(marks) > MOST_UNREAD:
            return number + len(marks)
        return number + (self._leading(here, marks) if marks else 0)

    def _leading(self, fates: Fates, marks: dict[int, bool]) -> int:
        """How many of these pages led to others in the other run, or may do so as it did not meet them."""
        parents = fates.parents()
        leads: dict[int, bool] = {}
        for pages in fates.pages():
            for page in pages:
                if page.mark in marks:
                    last = fates.last(page)
                    read = last.end == End.DONE
                    leads[page.mark] = leads.get(page.mark, False) or (read and bool(parents[last.token]))
        return sum(leads.get(mark, strict) for mark, strict in marks.items())


def _rejected(path: Path) -> Iterator[str]:
    """The pages whose items were rejected, as often as that was."""
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    yield msgspec.json.decode(line, type=_Rejected).url
                except (msgspec.MsgspecError, UnicodeDecodeError):  # half a line: not committed
                    continue
    except FileNotFoundError:
        return


def _gone(page: Page) -> bool:
    return page.end == End.FAILED and page.reason == Reason.STATUS and page.status in GONE


def _ended(info: RunInfo) -> str:
    return info.why or info.state


def _spelt(reason: str) -> str:
    return reason.replace("_", " ")
