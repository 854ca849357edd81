"""Compares the items of two runs by a key. Streaming: memory does not grow with the number of items.

Both journals are read once and each item becomes a record (digest of its key, place in the journal, digest of its
line, page). The records are sorted on disk and joined. What only one of the runs has is judged by its pages. What
came of it is written in the order of the new journal, removed items last, in that of the old one.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

import msgspec

from ..errors import UsageError
from ..folder import FINISHED, RunFolder, RunInfo
from ..settings import near
from .coverage import Coverage
from .items import Items
from .judge import Judge, Side
from .pile import Pile
from .values import KEY_SIZE, MISSING, Item, Key, differences

OURS = ("_change", "_key", "_old", "_why")  # members of a line that an item cannot have itself
MOST_FIELDS = 1_000  # whose changes are counted one by one
OTHERS = "(others)"
MOST_PAGES = 100  # that gave an item of one key: so many are asked whether it is gone

RECORD = Struct(f">{KEY_SIZE}sQQ8sQ")  # key, start and size of the line, its digest, token of the page
PAIR = Struct(">QQQQ")  # start and size of the new line and of the old one; of an old one none: added

_raw = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Compared(msgspec.Struct, kw_only=True):
    """What comparing two runs came to; changes.json. Counts are of items, the old run's where the name says so.

    `unseen` are in the old run and not in the new one, and may be there still: `why` says how many for which
    reason. `unsure` of the added ones may have been there before, as their pages were not read in the old run.
    `duplicates` had the key of an earlier item, `keyless` had none: these are compared with nothing. `fields` are
    how many items have changed in each, `coverage` how many of the new run have something in it.
    """

    run: str
    spider: str
    old: str = ""  # "" when there was no run to compare with
    key: tuple[str, ...] = ()  # (): not compared
    items: int = 0
    old_items: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    same: int = 0
    unseen: int = 0
    unsure: int = 0
    duplicates: int = 0
    old_duplicates: int = 0
    keyless: int = 0
    old_keyless: int = 0
    why: dict[str, int] = {}
    fields: dict[str, int] = {}
    coverage: dict[str, int] = {}
    notes: list[str] = []


def compare(
    old: RunFolder | None, new: RunFolder, key: Sequence[str], write: Callable[[bytes], object], *, scratch: Path,
    most: int | None = None,
) -> Compared:  # fmt: skip
    """Compare two runs of one spider; without an old one everything is added, without a key nothing is compared.

    Of the old one only the first `most` items count. Each change is given to `write` as a line with its end. Files
    to sort in are made in `scratch`, without names. Raises UsageError for runs that cannot be compared and for a
    field of the key that no item of a run has, StoreError, OutputError.
    """
    info = new.read()
    before = old.read() if old is not None else None
    done = Compared(run=info.run, spider=info.spider, key=tuple(key), old=before.run if before else "")
    done.notes += _notes(info, before)
    with ExitStack() as open_:
        _Comparison(old, before, new, info, done, scratch, open_).compare(write, most)
    return done


def _notes(info: RunInfo, before: RunInfo | None) -> Iterator[str]:
    """What a reader of the result should know of the runs. Raises UsageError where they cannot be compared."""
    if before is not None:
        if before.spider != info.spider:
            raise UsageError(
                f"run {before.run} is of spider {before.spider!r}, run {info.run} of {info.spider!r}: "
                "only runs of one spider can be compared"
            )
        if before.run == info.run:
            raise UsageError(f"both are run {info.run}; give an older run first, then a newer one")
        if before.started > info.started:
            yield f"{before.run}, given as the old run, was started after {info.run}"
    for each in (before, info):
        if each is not None and each.state != FINISHED:
            why = f" ({each.why})" if each.why not in ("", each.state) else ""
            yield f"run {each.run} is {each.state.replace('_', ' ')}{why}: what it has so far is compared"


class _Comparison:
    """One comparison; its files are closed with `open_`."""

    def __init__(
        self, old: RunFolder | None, before: RunInfo | None, new: RunFolder, info: RunInfo, done: Compared,
        scratch: Path, open_: ExitStack,
    ) -> None:  # fmt: skip
        self.done = done
        self.key = Key(done.key)
        self.scratch = scratch
        self.open = open_
        self.new = open_.enter_context(Items(new))
        self.old = open_.enter_context(Items(old)) if old is not None else None
        self.new_side = Side(new, info, self.new.fates)
        self.old_side = Side(self.old.folder, before, self.old.fates) if self.old and before else None
        self.fields: Counter[str] = Counter()
        self.why: Counter[str] = Counter()

    def compare(self, write: Callable[[bytes], object], most: int | None) -> None:
        done, covered = self.done, Coverage()
        news = self._pile(RECORD)
        done.items, done.keyless = self._scan(self.new, news, covered)
        done.coverage = covered.filled
        if covered.left_out:
            done.notes.append(
                f"there are more fields than {len(covered.filled):,}: the coverage of others is not counted"
            )
        if not done.key:
            return
        olds = self._pile(RECORD)
        if self.old is not None:
            done.old_items, done.old_keyless = self._scan(self.old, olds, most=most)
        pairs = self._pile(PAIR)
        missing = added = None
        if self.old_side is not None:
            missing = self._judge(self.old_side, self.new_side)
            added = self._judge(self.new_side, self.old_side)
        self._join(olds, news, pairs, missing, added)
        for pile in (olds, news):
            pile.close()
        self._write_new(pairs, added, write)
        if missing is not None:
            self._write_removed(missing, write)
        done.fields = dict(self.fields.most_common())
        done.why = dict(self.why.most_common())
        done.unseen = self.why.total()

    def _pile(self, record: Struct) -> Pile:
        pile = Pile(record.size, self.scratch)
        self.open.callback(pile.close)
        return pile

    def _judge(self, here: Side, there: Side) -> Judge:
        judge = Judge(here, there, self.scratch)
        self.open.callback(judge.close)
        return judge

    # -- read and join ------------------------------------------------------------------------------

    def _scan(
        self, items: Items, pile: Pile, covered: Coverage | None = None, most: int | None = None
    ) -> tuple[int, int]:
        """Read a journal into records; gives how many items there are, and how many without the key."""
        key, number, keyless = self.key, 0, 0
        item: Item = {}
        key.having = [0] * len(key.fields)
        pack, blake = RECORD.pack, hashlib.blake2b
        for start, line, item, token in islice(items, most):
            number += 1
            if covered is not None:
                covered.add(item)
            if not key.fields:
                continue
            mark = key.of(item)
            if mark is None:
                keyless += 1
            else:
                pile.add(pack(mark, start, len(line), blake(line, digest_size=8).digest(), token))
        for field, having in zip(key.fields, key.having, strict=True):
            if number and not having:
                hint = near(field, [*covered.filled] if covered is not None else [*item])
                raise UsageError(f"no item of run {items.folder.run} has the field {field!r} of the key{hint}")
        return number, keyless

    def _join(self, olds: Pile, news: Pile, pairs: Pile, missing: Judge | None, added: Judge | None) -> None:
        """Put together what has the same key. O(items)."""
        done, old_number, new_number = self.done, 0, 0
        old_keys, new_keys = _grouped(olds), _grouped(news)
        old, new = next(old_keys, None), next(new_keys, None)
        while old is not None or new is not None:
            order = _order(old, new)
            if old is not None and new is not None and not order:
                if old.digest == new.digest or old.all == new.all:
                    done.same += 1
                else:
                    pairs.add(PAIR.pack(new.start, new.size, old.start, old.size))
            elif order < 0 and old is not None and missing is not None:
                for token in old.pages:
                    missing.add(old.start, old.size, token)
            elif new is not None:
                pairs.add(PAIR.pack(new.start, new.size, 0, 0))
                if added is not None:
                    for token in new.pages:
                        added.add(new.start, new.size, token)
            if order <= 0:
                old, old_number = next(old_keys, None), old_number + 1
            if order >= 0:
                new, new_number = next(new_keys, None), new_number + 1
        done.duplicates = len(news) - new_number
        done.old_duplicates = len(olds) - old_number

    # -- write --------------------------------------------------------------------------------------

    def _write_new(self, pairs: Pile, added: Judge | None, write: Callable[[bytes], object]) -> None:
        """What was added and changed."""
        done = self.done
        judged = added.verdicts() if added is not None else iter(())
        for start, size, old_start, old_size in map(PAIR.unpack, pairs):
            line = self.new.line(start, size)
            if old_size:
                self._write_changed(line, start, old_start, old_size, write)
                continue
            done.added += 1
            why = ""
            if added is not None:
                _, _, sure, text = next(judged)
                why = "" if sure else text
                done.unsure += not sure
            write(_line("added", self.key, self.new.at(start, size), line, why=why))

    def _write_changed(
        self, line: bytes, start: int, old_start: int, old_size: int, write: Callable[[bytes], object]
    ) -> None:
        assert self.old
        item, before = self.new.at(start, len(line)), self.old.at(old_start, old_size)
        found = {path: None if old is MISSING else old for path, old, _ in differences(before, item)}
        if not found:  # spelt in another way
            self.done.same += 1
            return
        self.done.changed += 1
        for path in found:
            self.fields[path if path in self.fields or len(self.fields) < MOST_FIELDS else OTHERS] += 1
        write(_line("changed", self.key, item, line, old=found))

    def _write_removed(self, missing: Judge, write: Callable[[bytes], object]) -> None:
        assert self.old
        for start, size, sure, why in missing.verdicts():
            if sure:
                self.done.removed += 1
                write(_line("removed", self.key, self.old.at(start, size), self.old.line(start, size), why=why))
            else:
                self.why[why] += 1


class _Keyed(NamedTuple):
    """The items of one key: its last one, that one's digest, the sum of the digests of all, the pages of all."""

    key: bytes
    start: int
    size: int
    digest: bytes
    all: int
    pages: Sequence[int]


def _grouped(pile: Pile) -> Iterator[_Keyed]:
    """By key, in the order of keys; within one the records are in the order of the journal."""
    for mark, records in groupby(map(RECORD.unpack, pile), itemgetter(0)):
        total, pages = 0, list[int]()
        last: tuple[Any, ...] = ()
        for last in records:
            *_, digest, token = last
            total += int.from_bytes(digest)
            if token not in pages and len(pages) < MOST_PAGES:
                pages.append(token)
        _, start, size, digest, _ = last
        yield _Keyed(mark, start, size, digest, total, pages)


def _order(old: _Keyed | None, new: _Keyed | None) -> int:
    """Which key comes first: below 0 the old one's, above 0 the new one's."""
    if old is None or new is None:
        return 1 if old is None else -1
    return (old.key > new.key) - (old.key < new.key)


def _line(change: str, key: Key, item: Item, line: bytes, **more: Any) -> bytes:
    """An item's line with what became of it put in; its own members are spelt as they were."""
    head = msgspec.json.encode({"_change": change, "_key": key.values(item)})
    if b'"_' in line and any(name in item for name in OURS):
        line = msgspec.json.encode({name: raw for name, raw in _raw.decode(line).items() if name not in OURS})
    tail = msgspec.json.encode({f"_{name}": what for name, what in more.items() if what})
    return b"{%b}\n" % b",".join(part[1:-1] for part in (head, line, tail) if len(part) > 2)
