"""The files of a run, read a part at a time."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.jobs import files
from scraper.jobs.files import NotThere, folder_of, last, lines, opened, text
from scraper.jobs.record import JobRun

LINE = st.dictionaries(st.sampled_from(["a", "title"]), st.text(max_size=20) | st.integers(), max_size=2)


@settings(max_examples=60, deadline=None)
@given(st.lists(LINE, max_size=30), st.integers(1, 7), st.binary(max_size=10))
def test_pages_give_each_whole_line_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, items: list[object], most: int, rest: bytes
) -> None:
    path = tmp_path_factory.mktemp("run") / "items.jsonl"
    data = b"".join(json.dumps(each).encode() + b"\n" for each in items)
    path.write_bytes(data + rest.replace(b"\n", b""))
    found: list[object] = []
    at: int | None = 0
    while at is not None:
        page = lines(path, at, most)
        assert len(page.lines) <= most
        found += [json.loads(bytes(each)) for each in page.lines]
        at = page.next
        if rest and at is not None and at >= len(data):
            break
    assert found == items
    tail = last(path, most)
    assert [json.loads(bytes(each)) for each in tail.lines] == items[-most:]
    assert tail.end == len(data)


@settings(max_examples=60, deadline=None)
@given(st.lists(LINE, max_size=30), st.text('abTÄ"\\', min_size=1, max_size=3), st.integers(1, 40))
def test_a_search_finds_what_a_look_at_each_line_finds(
    tmp_path_factory: pytest.TempPathFactory, items: list[object], word: str, part: int
) -> None:
    path = tmp_path_factory.mktemp("run") / "items.jsonl"
    written = [json.dumps(each, ensure_ascii=False).encode("utf-8", "surrogatepass") for each in items]
    path.write_bytes(b"".join(each + b"\n" for each in written))
    before = files.PART
    files.PART = part  # so that lines lie across parts
    try:
        page = lines(path, 0, 100, search=word)
    finally:
        files.PART = before
    needles = [word.encode().lower(), json.dumps(word, ensure_ascii=False).encode()[1:-1].lower()]
    assert len(page.lines) == sum(any(each in line.lower() for each in needles) for line in written)
    assert page.next is None


def test_a_place_in_the_midst_of_a_line_goes_on_with_the_next(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_bytes(b'{"n":1}\n{"n":2}\n{"n":3}\n')
    for at, seen in ((0, 1), (1, 2), (7, 2), (8, 2), (9, 3), (17, None), (24, None), (10**12, None)):
        page = lines(path, at, 1)
        assert [json.loads(bytes(each))["n"] for each in page.lines] == ([seen] if seen else [])


def test_a_line_that_is_too_long_or_no_json_is_told_and_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LONGEST", 50)
    path = tmp_path / "items.jsonl"
    path.write_bytes(b'{"n":1}\n"' + b"x" * 200 + b'"\n<script>\n{"n":2}\n')
    page = lines(path, 0, 10)
    assert [json.loads(bytes(each)) for each in page.lines] == [
        {"n": 1}, {"_too_long": 203}, {"_unreadable": "<script>\n"}, {"n": 2},
    ]  # fmt: skip


def test_one_request_reads_its_share_and_says_where_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BUDGET", 1000)
    monkeypatch.setattr(files, "PART", 100)
    path = tmp_path / "items.jsonl"
    path.write_bytes(b'{"n":1}\n' * 1000 + b'{"n":"needle"}\n')
    at: int | None = 0
    pages = found = 0
    while at is not None:
        page = lines(path, at, 10, search="NEEDLE")
        assert page.looked < 1200
        found += len(page.lines)
        at = page.next
        pages += 1
    assert (found, pages) == (1, 8)


def test_what_is_no_file_of_ours_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("x\n")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "moved").symlink_to(tmp_path)
    for name in ("link", "pipe", "folder", "none", "moved/real"):
        with pytest.raises(NotThere):
            opened(tmp_path / name)
    assert text(tmp_path / "real", 100) == "x\n"


@pytest.mark.parametrize("name", ["", "..", ".", "a/b", "a\0b"])
def test_a_name_in_the_store_is_no_path(tmp_path: Path, name: str) -> None:
    for run in (
        JobRun(id=1, job="x", spider=name, planned=0.0, run="r"),
        JobRun(id=1, job="x", spider="s", planned=0.0, run=name),
    ):
        with pytest.raises(NotThere):
            folder_of(tmp_path, run)
