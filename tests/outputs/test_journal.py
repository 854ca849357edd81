from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.errors import StoreError
from scraper.outputs import Followed
from scraper.outputs.journal import Journal, MemoryJournal, read

LINES = [b'{"n":%d}' % number for number in range(1000)]


async def test_what_is_appended_is_read_up_to_the_end_given(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "items.jsonl", chunk=100)
    await journal.open(0)
    middle = await journal.append(LINES[:500])
    end = await journal.append(LINES[500:])
    assert end == journal.position == journal.path.stat().st_size
    assert [line async for batch in read(journal.path, 0, middle, 64) for line in batch] == LINES[:500]
    assert [line async for batch in read(journal.path, middle, end) for line in batch] == LINES[500:]
    await journal.sync()
    await journal.close()


async def test_what_was_not_committed_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    journal = Journal(path)
    await journal.open(0)
    committed = await journal.append(LINES[:3])
    await journal.append(LINES[3:6])
    await journal.close()
    with path.open("ab") as file:
        file.write(b'{"torn": ')
    await journal.open(committed)
    await journal.append(LINES[3:5])
    await journal.close()
    assert path.read_bytes().split() == LINES[:5]


async def test_a_shorter_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "items.jsonl")
    for content in (None, b"{}\n"):
        if content is not None:
            journal.path.write_bytes(content)
        with pytest.raises(StoreError, match=r"items\.jsonl has \d bytes where 100 were committed.*--fresh"):
            await journal.open(100)
    assert journal.path.read_bytes() == b"{}\n"


async def test_a_full_disk_and_a_missing_folder_are_store_errors(tmp_path: Path) -> None:
    journal = Journal(Path("/dev/full"))
    await journal.open(0)
    with pytest.raises(StoreError, match="No space left"):
        await journal.append(LINES)
    await journal.close()
    with pytest.raises(StoreError, match="No such file"):
        await Journal(tmp_path / "no/items.jsonl").open(0)
    with pytest.raises(StoreError, match="not open"):
        await Journal(tmp_path / "items.jsonl").append(LINES)


async def test_a_journal_that_was_cut_while_it_is_read_is_a_store_error(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "items.jsonl", chunk=100)
    await journal.open(0)
    end = await journal.append(LINES)
    await journal.close()
    os.truncate(journal.path, 150)
    with pytest.raises(StoreError, match="ends before"):
        await everything(journal, end)


@given(
    st.lists(st.binary(max_size=300).map(lambda data: data.replace(b"\n", b"")), max_size=30),
    st.integers(1, 400),
)
async def test_every_journal_gives_back_every_line_once(lines: list[bytes], chunk: int) -> None:
    path = Path(f"/tmp/scraper-journal-{os.getpid()}.jsonl")
    file, memory = Journal(path, chunk), MemoryJournal(chunk)
    try:
        for journal in (file, memory):
            await journal.open(0)
            end = await journal.append(lines)
            assert await everything(journal, end) == lines
            await journal.close()
    finally:
        os.unlink(path)


async def everything(journal: Followed, end: int) -> list[bytes]:
    found: list[bytes] = []
    position = 0
    while position < end:
        batch, position = await journal.read(position, end)
        assert batch
        found += batch
    return found


async def test_memory_lets_go_of_what_all_have_read() -> None:
    journal = MemoryJournal()
    await journal.open(0)
    await journal.append(LINES)
    journal.drop(600)
    await journal.append(LINES[:10])
    assert (await journal.read(600, 1010))[0] == [*LINES[600:], *LINES[:10]]
    with pytest.raises(StoreError, match="let go"):
        await journal.read(599, 1010)
    journal.drop(5000)
    assert await journal.read(1010, 1010) == ([], 1010)
