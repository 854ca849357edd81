from __future__ import annotations

import random
import sys
from collections.abc import Callable
from struct import Struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.frontier import seen as rooms
from scraper.frontier.seen import FRONT, FULL, Seen

EDGES = (0, -1, 1, 2**63 - 1, -(2**63), 2**32, -(2**32))
# Bytes of marks that all fall into one bucket for long, and of which two in a row spell many others.
TRICKY = (b"\x00", b"\x00\x40", b"\x00\x40\x80\xc0", b"\xff\x7f", bytes(range(256)))

_unpack = Struct("=q").unpack


def marks(seed: int, number: int, letters: bytes) -> list[int]:
    chance = random.Random(seed)
    return [_unpack(bytes(chance.choices(letters, k=8)))[0] for _ in range(number)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 3 * 16 * FULL), st.sampled_from(TRICKY), st.booleans())
def test_it_holds_what_a_set_holds(seed: int, number: int, letters: bytes, at_once: bool) -> None:
    given, model, others = marks(seed, number, letters), set[int](), marks(seed + 1, 200, letters)
    seen = Seen()
    if at_once:
        seen.update(given, number=len(given))
        model.update(given)
    else:
        for mark in given:
            assert (mark in seen) == (mark in model)
            seen.add(mark)
            model.add(mark)
            assert mark in seen
    assert len(seen) == len(model)
    assert sorted(seen) == sorted(model)
    seen._new.clear()  # so that what is in front does not hide a fault behind
    seen._old.clear()
    assert all((mark in seen) == (mark in model) for mark in (*given, *others, *EDGES))


def test_a_mark_that_two_others_spell_across_their_border_is_not_known() -> None:
    low, high = bytes(8), b"\x00" * 7 + b"\x01"
    (first,), (second,) = _unpack(high), _unpack(low)
    seen = Seen((first, second))
    assert seen._buckets[0] in (high + low, low + high)
    for shift in range(1, 8):
        (spelled,) = _unpack((high + low)[shift : shift + 8])
        assert (spelled in seen) == (spelled in (first, second))
    (behind,) = _unpack(b"\x00" * 6 + b"\x01\x00")
    assert behind not in seen
    seen.add(behind)
    assert behind in seen
    assert len(seen) == 3


def test_an_empty_one_knows_nothing() -> None:
    seen = Seen()
    assert not any(mark in seen for mark in EDGES)
    assert not len(seen)
    assert not [*seen]


def test_what_was_met_last_is_found_in_front_and_the_front_stays_small() -> None:
    seen = Seen()
    for mark in range(3 * FRONT):
        seen.add(mark)
        assert len(seen._new) + len(seen._old) <= 2 * FRONT
    assert 0 not in seen._new | seen._old
    assert 0 in seen
    assert 0 in seen._new


def test_it_grows_one_bucket_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[int] = []

    def counted(half: list[int], pack: Callable[[list[int]], bytes] = rooms._packed) -> bytes:
        packed.append(len(half))
        return pack(half)

    monkeypatch.setattr(rooms, "_packed", counted)
    seen = Seen()
    for mark in marks(1, 20_000, TRICKY[-1]):
        before = len(packed)
        seen.add(mark)
        assert len(packed) - before in (0, 2)
    assert max(packed) < 4 * FULL
    assert abs(len(seen._buckets) - 20_000 // FULL) <= 1


@pytest.mark.parametrize("number", [100_000, 140_000, 200_000])
def test_a_mark_takes_less_than_twelve_bytes(number: int) -> None:
    seen = Seen()
    seen.update(marks(2, number, TRICKY[-1]))
    held = sys.getsizeof(seen._buckets) + sum(map(sys.getsizeof, seen._buckets))
    assert held < 12 * number


def test_room_that_was_made_at_once_is_like_room_that_has_grown() -> None:
    given = marks(3, 10_000, TRICKY[-1])
    grown, made = Seen(given), Seen()
    made.update(given, number=len(given))
    assert abs(len(grown._buckets) - len(made._buckets)) <= 1
    for mark in marks(4, 10_000, TRICKY[-1]):
        grown.add(mark)
        made.add(mark)
    assert abs(len(grown._buckets) - len(made._buckets)) <= 1
    assert sorted(grown) == sorted(made)
