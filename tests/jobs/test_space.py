"""Room on the disk: how little is little, and whether anything can be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from scraper.convert import Unfit
from scraper.errors import StoreError
from scraper.jobs.job import Server
from scraper.jobs.space import Space, check_writable, judged, least, limit
from tests.outputs.disks import small_disk

GIB = 2**30
USUAL = Server().free_space


@pytest.mark.parametrize(
    ("free", "total", "little"),
    [
        (GIB - 1, 100 * GIB, True),
        (GIB, 100 * GIB, False),
        (GIB - 1, 2 * GIB, False),  # most of a small disk is free
        (GIB // 20, 2 * GIB, True),
        (0, 0, False),  # a file system that does not know
    ],
)
def test_little_is_less_than_each_of_the_limits(free: int, total: int, little: bool) -> None:
    found = judged(Space(free, total), USUAL, opened=False)
    assert (found is not None and found.fires) == little


def test_it_is_enough_again_when_a_tenth_more_is_free() -> None:
    assert judged(Space(105, 10_000), ("100 bytes",), opened=True) is None
    again = judged(Space(111, 10_000), ("100 bytes",), opened=True)
    assert again is not None
    assert (again.fires, again.text) == (False, "111 bytes of 10.0 kB are free on the disk of the output folder")
    assert judged(Space(111, 10_000), ("100 bytes",), opened=False) is None
    turned_off = judged(Space(0, 10_000), (), opened=True)
    assert turned_off is not None
    assert not turned_off.fires


@pytest.mark.parametrize("text", ["0 %", "100 %", "-1 %", "5 percent", "much", ""])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(Unfit):
        limit(text, 1000)


def test_a_share_and_a_size_are_bytes() -> None:
    assert (limit("5 %", 1000), limit("0.5%", 1000), limit("2 kB", 1000)) == (50, 5, 2000)


def test_a_folder_on_a_full_disk_cannot_be_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        check_writable(disk)
        assert list(disk.iterdir()) == []
        assert least([tmp_path, disk]) == Space(65536, 65536)
        with (disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
            while True:
                filler.write(bytes(4096))
        assert least([disk]).free == 0
        with pytest.raises(StoreError, match="No space left"):
            check_writable(disk)
