"""The output of a run's processes: one file of bounded length."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from scraper.jobs import said


def lines(first: int, last: int) -> bytes:
    return b"".join(b"line %06d\n" % number for number in range(first, last))


def test_it_is_nobody_elses_to_read(tmp_path: Path) -> None:
    path = said.path_of(tmp_path, 7)
    os.close(said.opened(path))
    assert path == tmp_path / "runs" / "7.log"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_long_one_keeps_its_head_and_its_tail_in_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "1.log"
    path.write_bytes(lines(0, 1000))
    assert said.cut(path, most=10_000, head=1_000, kept=4_000)
    left = path.read_bytes()
    assert len(left) < 4_200
    head, _, tail = left.partition(b"[")
    note, _, tail = tail.partition(b"]\n")
    assert head == lines(0, 84)
    assert tail == lines(1000 - tail.count(b"\n"), 1000)
    assert note == b"%s bytes were left out here" % f"{12_000 - len(head) - len(tail):,}".encode()


def test_who_writes_on_meanwhile_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "1.log"
    file = said.opened(path)
    for number in range(20):
        os.write(file, lines(number * 100, number * 100 + 100))
        said.cut(path, most=5_000, head=1_000, kept=3_000)
    os.close(file)
    assert path.read_bytes().endswith(lines(1900, 2000))
    assert path.stat().st_size < 6_200
    assert path.read_bytes().count(b"were left out here") >= 1


def test_a_short_one_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "1.log"
    path.write_bytes(b"x" * 100)
    assert not said.cut(path, most=100)
    assert not said.cut(tmp_path / "2.log")
    assert said.tail(path, 7) == b"x" * 7
    assert said.tail(tmp_path / "2.log", 7) == b""


def test_without_ends_of_lines_it_is_cut_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "1.log"
    path.write_bytes(b"x" * 300_000)
    assert said.cut(path, most=200_000, head=10_000, kept=50_000)
    assert 50_000 <= path.stat().st_size < 50_100
