"""The fingerprints of all URLs of a crawl: 12 bytes each, where a set of integers takes 70 to 90.

Buckets by the low bits of a mark, each a `bytes` of 8-byte marks in which the interpreter's own search looks. They
grow by linear hashing (Litwin, VLDB 1980): every so many marks one bucket is split, so no moment has to pay for
the whole. Beyond the processor's caches a look-up is waits for memory, as it is in a plain set; but most links
lead to what was met just now, so those marks are in two small sets too, of which the older is dropped as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct, pack
from typing import Any

FULL = 32  # marks a bucket has on average
FRONT = 16_384  # marks of a small set: forgetting it takes less than a millisecond

_key = Struct("=q").pack


class Seen:
    """A set of signed integers of 64 bits that only grows. O(1) to look up and to add, no step takes long."""

    __slots__ = ("_buckets", "_left", "_length", "_low", "_new", "_old", "_split", "_wide")

    def __init__(self, marks: Iterable[int] = ()) -> None:
        self._new: set[int] = set()  # both are of marks that are in a bucket too
        self._old: set[int] = set()
        self._length = 0
        self._shape(16)
        self.update(marks)

    def _shape(self, buckets: int) -> None:
        """So many empty buckets; a power of two and those of them that are split already."""
        self._low = (1 << buckets.bit_length() - 1) - 1
        self._wide = 2 * self._low + 1
        self._split = buckets - self._low - 1
        self._buckets = [b""] * buckets
        self._left = buckets * FULL  # marks until the next bucket is split

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        for bucket in self._buckets:
            yield from memoryview(bucket).cast("q")

    def __contains__(self, mark: Any) -> bool:
        if mark in self._new or mark in self._old:
            return True
        at = mark & self._low
        if at < self._split:
            at = mark & self._wide
        bucket, key = self._buckets[at], _key(mark)
        found = bucket.find(key)
        while found & 7:  # across two marks, or nowhere: -1
            if found < 0:
                return False
            found = bucket.find(key, found + 1)
        self._new.add(mark)
        if len(self._new) >= FRONT:
            self._turn()
        return True

    def add(self, mark: int) -> None:
        """Put one in, known or not."""
        at = mark & self._low
        if at < self._split:
            at = mark & self._wide
        bucket, key = self._buckets[at], _key(mark)
        found = bucket.find(key)
        while found & 7:
            if found < 0:
                self._buckets[at] = bucket + key
                self._length += 1
                self._left -= 1
                if not self._left:
                    self._grow()
                break
            found = bucket.find(key, found + 1)
        new = self._new
        new.add(mark)
        if len(new) >= FRONT:
            self._turn()

    def _turn(self) -> None:
        """Forget the older half of what is in front."""
        self._old, self._new = self._new, set()

    def update(self, marks: Iterable[int], *, number: int = 0) -> None:
        """Put many in, none of them in front; `number`, where it is known, saves the growing."""
        if not self._length and number > 16 * FULL:
            self._shape(number // FULL)
        buckets = self._buckets
        for mark in marks:
            at = mark & self._low
            if at < self._split:
                at = mark & self._wide
            bucket, key = buckets[at], _key(mark)
            found = bucket.find(key)
            while found & 7:
                if found < 0:
                    buckets[at] = bucket + key
                    self._length += 1
                    self._left -= 1
                    if not self._left:
                        self._grow()
                    break
                found = bucket.find(key, found + 1)

    def _grow(self) -> None:
        """Split the next bucket by one more bit."""
        bit = self._low + 1
        marks = memoryview(self._buckets[self._split]).cast("q")
        self._buckets[self._split] = _packed([mark for mark in marks if not mark & bit])
        self._buckets.append(_packed([mark for mark in marks if mark & bit]))
        self._left = FULL
        self._split += 1
        if self._split == bit:
            self._split, self._low, self._wide = 0, self._wide, 2 * self._wide + 1


def _packed(marks: list[int]) -> bytes:
    return pack(f"={len(marks)}q", *marks)
