"""What became of a URL in a run, and why: looked up in the run's ledger, or worked out from its rules."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from . import url as urls
from .errors import StoreError, UsageError
from .folder import ENDED, RunFolder, RunInfo, age, all_runs, find
from .frontier.entries import QUEUED, WAITING, Story
from .frontier.ledger import Ledger
from .frontier.verdict import forbidding, outside, unfit
from .identity import NOT_KEPT
from .logs import clean
from .reasons import Reason
from .resume import resumable
from .settings import NAMES, Settings, resolve
from .story import lines, named, said, standing
from .url import printable
from .words import count

NEVER = "never found"


class Explanation(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is known of a URL. `known`: it has a row, or a rule leaves it out; times are wall-clock seconds."""

    url: str
    run: str = ""
    spider: str = ""
    state: str = ""  # of the run
    known: bool = True
    reason: str = ""  # of a URL without a row
    said: str = ""
    stories: list[Story] = []
    notes: list[str] = []
    text: list[str] = []


def explained(text: str, root: Path, run: str, spider: str, typed: Callable[[RunFolder], str]) -> Explanation:
    """Look a URL up in a run, or in the newest that has met its host; `typed` is how a command names a run.

    Raises UsageError when there is no run to look in, StoreError.
    """
    bad = refused(text)
    if bad is not None:
        return bad
    host = urls.netloc(urls.canonical(text))
    return in_run(text, find(root, run) if run else _newest(root, host, spider), typed)


def refused(text: str) -> Explanation | None:
    """What is said of a text that is no URL to crawl, None for one that is."""
    bad = unfit(text)
    if bad is None:
        return None
    shown = printable(text)
    first = f"{shown}: dropped, {bad.reason.value}: {bad.said}"
    return Explanation(url=shown, reason=bad.reason.value, said=bad.said, text=[first])


def in_run(text: str, folder: RunFolder, typed: Callable[[RunFolder], str]) -> Explanation:
    """Look a URL up in one run. O(requests). Raises UsageError when it kept no state, StoreError."""
    bad = refused(text)
    if bad is not None:
        return bad
    info = folder.read()
    check_state(folder)
    with Ledger(folder.state, time.time()) as ledger:
        return _Telling(urls.canonical(text), folder, info, ledger, typed).explanation()


def check_state(folder: RunFolder) -> None:
    """Raise UsageError when a run has kept nothing of its requests."""
    if not folder.state.is_file():
        raise UsageError(f"run {folder.run} kept no state (durability = none): nothing is known of its requests")


def _newest(root: Path, host: str, spider: str) -> RunFolder:
    """The newest run that has met a host, else the newest one."""
    every = sorted(all_runs(root), key=age, reverse=True)
    kept = [each for each in every if each.state.is_file() and spider in ("", each.path.parent.name)]
    if not kept:
        of = f" of spider {spider!r}" if spider else ""
        raise UsageError(f"no run{of} in {root} has kept its state, so nothing is known (durability = none?)")
    for each in kept:
        try:
            with Ledger(each.state, 0.0) as ledger:
                if ledger.knows(host):
                    return each
        except StoreError:
            continue
    return kept[0]


class _Telling:
    """One URL in one run."""

    def __init__(
        self, url: str, folder: RunFolder, info: RunInfo, ledger: Ledger, typed: Callable[[RunFolder], str]
    ) -> None:
        self.url = url
        self.folder = folder
        self.info = info
        self.ledger = ledger
        self.now = ledger.now
        self.typed = typed
        self.state = standing(folder, info)

    def explanation(self) -> Explanation:
        stories = self.ledger.story(self.url)
        if not stories and (deep := self.ledger.deep(self.url)) is not None:
            stories = [deep]
        told = Explanation(
            url=self.url, run=self.info.run, spider=self.info.spider, state=self.state, stories=stories
        )
        if stories:
            told.text = [line for story in stories for line in self._lines(story)]
        else:
            self._without_row(told)
            head = f"dropped, {told.reason.replace('_', ' ')}: {told.said}" if told.reason else told.said
            told.text = [f"{printable(self.url)}: {head}", *(f"  {note}" for note in told.notes)]
        why = f" ({clean(self.info.why)})" if self.info.why not in ("", self.state) else ""
        told.text.append(f"  in run {self.info.run} of {self.info.spider}, {self.state.replace('_', ' ')}{why}")
        return told

    def _lines(self, story: Story) -> Iterator[str]:
        entry, rule = story.entry, ""
        if entry.reason == Reason.ROBOTS and (robots := self.ledger.robots(urls.origin(self.url))) is not None:
            rule = forbidding(robots, self.url)
        rest = self.ledger.rest(urls.netloc(self.url))
        yield from lines(story, self.now, self.state, rest=rest, rule=rule)
        if entry.state == "failed":
            option = " --unknown" if entry.reason == Reason.UNKNOWN else ""
            yield f"  to fetch again what has failed: scraper retry {self.info.run}{option}"
        elif entry.state in (QUEUED, WAITING) and resumable(self.folder, self.info):
            yield f"  to continue it: scraper crawl --resume {self.typed(self.folder)}"

    # -- a URL that has no row ----------------------------------------------------------------------

    def _without_row(self, told: Explanation) -> None:
        settings, labels = self._settings(), self.ledger.labels()
        verdict = outside(self.url, settings, labels)
        if verdict is not None:
            told.reason, told.said = verdict.reason.value, verdict.said
        elif settings.robots and (robots := self.ledger.robots(urls.origin(self.url))) is not None:
            rule = forbidding(robots, self.url)
            if rule:
                told.reason, told.said = Reason.ROBOTS.value, f"robots.txt forbids it ({rule})"
        told.known = bool(told.reason)
        told.said = told.said or f"{NEVER}: no page that was read led to it"
        own = "" in labels and not settings.allowed_domains  # of the spider's class, which is not kept
        told.notes = [*self._redirects(), *(() if told.known else self._unread(own))]

    def _settings(self) -> Settings:
        """Those of the run, as far as it kept them."""
        kept = {name: value for name, value in self.info.settings.items() if name in NAMES and value != NOT_KEPT}
        return resolve([("run.json", kept)])

    def _redirects(self) -> Iterator[str]:
        for page in self.ledger.sent_here(self.url):
            yield f"{named(page)} was redirected here"

    def _unread(self, own: bool) -> Iterator[str]:
        """What might have led to it, or be what was meant; the spider may have `own` allowed_domains."""
        if own and not self.ledger.knows(urls.netloc(self.url)):
            yield "its host was never met: the spider's allowed_domains may leave it out"
        for entry in self.ledger.among(_alike(self.url)):
            yield f"but there is {named(entry)}: {said(entry, self.now)}"
        left = self.ledger.left()
        if left:
            yield f"not answered yet, and may lead to it: {count(left, 'request')}"
        numbers = dict.fromkeys(("failed", "too_deep"), 0)
        for each in self.ledger.counts():
            key = each.reason if each.reason == Reason.TOO_DEEP else each.state
            if key in numbers:
                numbers[key] += each.number
        if numbers["failed"]:
            yield f"failed, so that nobody knows what they lead to: {count(numbers['failed'], 'request')}"
        if numbers["too_deep"]:
            yield f"not followed, as too deep: {count(numbers['too_deep'], 'link')}"
        yield from self._left_out()

    def _left_out(self) -> Iterator[str]:
        dropped: Any = self.folder.read_stats().get("dropped", {}) if self.info.state in ENDED else {}
        for reason, why in ((Reason.NOFOLLOW, "nofollow"), (Reason.TOO_MANY_LINKS, "beyond max_links")):
            if dropped.get(reason.value):
                yield f"not looked at, as {why}: {count(dropped[reason.value], 'link')}"


def _alike(url: str) -> list[str]:
    """What is easily typed instead of another URL."""
    other = "http:" + url[6:] if url.startswith("https:") else "https:" + url[5:]
    plain = url.partition("?")[0]
    slashed = url.removesuffix("/") if url.endswith("/") else f"{url}/"
    host = urls.netloc(url)
    moved = url.replace(
        f"//{host}", f"//{host.removeprefix('www.') if host.startswith('www.') else 'www.' + host}", 1
    )
    return [each for each in dict.fromkeys([other, slashed, plain, moved]) if each != url]
