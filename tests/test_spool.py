from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.errors import OutputError
from scraper.spool import CHUNK, Spool

from .outputs.disks import small_disk

LINE = st.binary(max_size=40).map(lambda data: data.replace(b"\n", b""))


def everything(spool: Spool, limit: int | None = None) -> list[bytes]:
    return [line for chunk in spool.chunks(limit) for line in chunk]


@given(st.lists(LINE), st.integers(0, 200), st.none() | st.integers(-1, 60))
def test_it_gives_back_what_it_took_in_order_from_memory_or_from_a_file(
    lines: list[bytes], most: int, limit: int | None
) -> None:
    spool = Spool(Path("/tmp"), most)
    for line in lines:
        spool.append(line)
    assert len(spool) == len(lines)
    assert spool.size == sum(map(len, lines))
    expected = lines if limit is None else lines[: max(limit, 0)]
    assert everything(spool, limit) == everything(spool, limit) == expected
    spool.close()
    assert (len(spool), spool.size, everything(spool)) == (0, 0, [])


@pytest.mark.parametrize("most", [0, 10**9])
def test_a_chunk_has_about_a_quarter_of_a_megabyte(tmp_path: Path, most: int) -> None:
    spool = Spool(tmp_path, most)
    for _ in range(1000):
        spool.append(b"x" * 1000)
    spool.append(b"y" * 3 * CHUNK)
    sizes = [sum(map(len, chunk)) for chunk in spool.chunks()]
    assert all(0.9 * CHUNK < size < 1.1 * CHUNK for size in sizes[:-1])
    assert sum(sizes) == spool.size
    spool.close()


@pytest.mark.parametrize("most", [0, 10**9])
def test_items_may_be_appended_while_they_are_read(tmp_path: Path, most: int) -> None:
    spool = Spool(tmp_path, most)
    spool.append(b"first" * CHUNK)
    spool.append(b"second" * CHUNK)
    reading: Iterator[list[bytes]] = spool.chunks()
    found = next(reading)
    spool.append(b"third")
    for chunk in reading:
        found += chunk
    assert found == [b"first" * CHUNK, b"second" * CHUNK]
    assert len(everything(spool)) == 3
    spool.close()


def test_many_items_take_little_memory_and_leave_no_name(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        spool = Spool(tmp_path, 2**20)
        for number in range(20_000):
            spool.append(b"%d" % number * 500)
        assert list(tmp_path.iterdir()) == []
        assert sum(len(chunk) for chunk in spool.chunks()) == 20_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert spool.size > 30_000_000
    assert peak < 5_000_000
    spool.close()


def test_what_the_disk_refuses_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "gone", 10)
    spool.append(b"x")
    with pytest.raises(OutputError, match=r"in .*gone: No such file or directory"):
        spool.append(b"x" * 10)
    spool.close()


def test_a_full_disk_is_an_error_and_closing_is_not(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as folder:
        spool = Spool(folder, 10)
        with pytest.raises(OutputError, match=r"in .*disk: No space left on device"):
            for _ in range(100):
                spool.append(os.urandom(10_000).replace(b"\n", b""))
        spool.close()
