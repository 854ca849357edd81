"""What every file output promises, on every format."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from scraper.errors import OutputError
from scraper.outputs import CursorLost

from .formats import ENDINGS, fill, lines, output, read, written

BATCHES = [lines(20, start) for start in range(0, 120, 20)]
ALL = [line for batch in BATCHES for line in batch]
END = len(ALL)  # committed; positions are numbers of items here

pytestmark = pytest.mark.parametrize("ending", ENDINGS)


def part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


async def test_another_reader_finds_every_item(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"new folder/out{ending}"
    await written(path, BATCHES)
    found = read(path, ending)
    assert [str(item["n"]).strip("</n>") for item in found] == [str(number) for number in range(120)]
    assert [name.name for name in path.parent.iterdir()] == [path.name]


async def test_killed_after_any_flush_it_goes_on_as_if_nothing_was(tmp_path: Path, ending: str) -> None:
    whole = tmp_path / f"whole{ending}"
    await written(whole, BATCHES)
    first = tmp_path / f"0/out{ending}"
    out = output(first)
    await out.open(None, 0)
    for number, batch in enumerate(BATCHES):
        position = (number + 1) * 20
        cursor = await fill(out, batch, position)
        await out.write([b'{"n": -1, "unflushed": 1}'] * 5)  # rendered, perhaps written, never in a cursor
        killed = tmp_path / f"{number + 1}/out{ending}"
        shutil.copytree(first.parent, killed.parent)
        with part(killed).open("ab") as file:
            file.write(b'\x1f\x8b torn, "')
        again = output(killed)
        assert await again.open(cursor, END) in (None, position)
        for rest in BATCHES[number + 1 :]:
            await again.write(rest)
        await again.flush(END)
        await again.close(finished=True)
        assert read(killed, ending) == read(whole, ending)
        if not ending.endswith((".gz", ".sqlite")):
            assert killed.read_bytes() == whole.read_bytes()
        await out.close(finished=False)
        out = output(first)
        await out.open(cursor, END)
    await out.close(finished=True)
    assert read(first, ending) == read(whole, ending)


async def test_an_unfinished_end_leaves_a_valid_part_and_no_result(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    out = output(path)
    await out.open(None, 0)
    await fill(out, ALL[:60])
    await out.close(finished=False)
    assert not path.exists()
    assert len(read(part(path), ending)) == 60


async def test_a_finished_file_goes_on_from_its_cursor_and_stays_whole(tmp_path: Path, ending: str) -> None:
    path, whole = tmp_path / f"out{ending}", tmp_path / f"whole{ending}"
    few = [line for line in ALL if b"extra" not in line]
    out = output(path)
    await out.open(None, 0)
    cursor = await fill(out, few[:30])
    await out.close(finished=True)
    again = output(path)
    await again.open(cursor, END)
    assert len(read(path, ending)) == 30
    await fill(again, few[30:], 2)
    await again.close(finished=True)
    await written(whole, [few])
    assert read(path, ending) == read(whole, ending)


@pytest.mark.parametrize("fate", ["gone", "shorter", "another", "garbage"])
async def test_a_cursor_whose_file_is_not_there_is_lost(tmp_path: Path, ending: str, fate: str) -> None:
    path = tmp_path / f"out{ending}"
    out = output(path)
    await out.open(None, 0)
    cursor = await fill(out, ALL)
    await out.close(finished=False)
    if fate == "gone":
        part(path).unlink()
    elif fate == "shorter":
        os.truncate(part(path), 100)
    elif fate == "another":
        part(path).write_bytes(os.urandom(part(path).stat().st_size))
    else:
        cursor = b"not a cursor"
    again = output(path)
    if ending == ".sqlite" and fate == "garbage":
        assert await again.open(cursor, END) == 1  # a database knows by itself
        await again.close(finished=False)
        return
    with pytest.raises(CursorLost):
        await again.open(cursor, END)
    await again.open(None, 0)
    await fill(again, ALL)
    await again.close(finished=True)
    assert len(read(path, ending)) == 120


async def test_append_adds_to_what_is_there_even_when_it_is_begun_again(tmp_path: Path, ending: str) -> None:
    path, whole = tmp_path / f"out{ending}", tmp_path / f"whole{ending}"
    await written(whole, [ALL])
    await written(path, [ALL[:40]])
    before = read(path, ending)
    out = output(path, append=True)
    await out.open(None, 0)
    await out.write(ALL[40:])
    await out.close(finished=False)
    assert read(path, ending) == before
    again = output(path, append=True)
    await again.open(None, 0)
    cursor = await again.flush(0)
    await again.close(finished=False)
    last = output(path, append=True)
    await last.open(cursor, END)
    await fill(last, ALL[40:])
    await last.close(finished=True)
    assert read(path, ending) == read(whole, ending)


async def test_append_goes_on_after_what_others_have_added_meanwhile(tmp_path: Path, ending: str) -> None:
    path, whole = tmp_path / f"out{ending}", tmp_path / f"whole{ending}"
    few = [line for line in ALL if b"extra" not in line]
    await written(whole, [few])
    out = output(path, append=True)
    await out.open(None, 0)
    cursor = await fill(out, few[:20])
    await out.close(finished=True)
    await written(path, [few[20:50]], "r2", append=True)
    again = output(path, append=True)
    if ending in {".json.gz", ".xml.gz"}:  # their end tag lies within what had to be compressed anew
        for _ in range(2):
            with pytest.raises(OutputError, match="nobody can tell what is missing"):
                await again.open(cursor, END)
            assert not part(path).exists()
        return
    await again.open(cursor, END)
    await fill(again, few[50:], 2)
    await again.close(finished=True)
    assert read(path, ending) == read(whole, ending)


async def test_append_to_nothing_and_to_an_empty_result(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    await written(path, [], append=True)
    assert read(path, ending) == []
    await written(path, [ALL[:3]], "r2", append=True)
    assert len(read(path, ending)) == 3


async def test_no_items_make_a_valid_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    await written(path, [[]], columns=["n", "title"])
    assert read(path, ending) == []
    if ending in {".csv", ".tsv"}:
        assert path.read_text().split() in (["n,title"], ["n", "title"])


async def test_two_outputs_at_once_but_one_writer_a_file(tmp_path: Path, ending: str) -> None:
    one, two, same = (output(tmp_path / f"{name}{ending}") for name in ("1", "2", "1"))
    await one.open(None, 0)
    await two.open(None, 0)
    with pytest.raises(OutputError, match="another run"):
        await same.open(None, 0)
    for line in ALL[:50]:
        await one.write([line])
        await two.write([line])
    await one.flush(1)
    await two.flush(1)
    await one.close(finished=True)
    await two.close(finished=True)
    assert read(tmp_path / f"1{ending}", ending) == read(tmp_path / f"2{ending}", ending)


async def test_a_full_disk_is_an_error_that_names_the_path(tmp_path: Path, ending: str) -> None:
    if ending == ".sqlite":
        pytest.skip("a database is no stream; test_trouble.py fills a disk")
    path = tmp_path / f"out{ending}"
    part(path).symlink_to("/dev/full")
    out = output(path)
    await out.open(None, 0)
    with pytest.raises(OutputError, match=r"out.*\.part: No space left"):
        await fill(out, lines(2000))
    with suppress(OutputError):  # a table is empty and valid again, an array cannot write its brackets
        await out.close(finished=False)
    assert not path.exists()


async def test_a_disk_that_fills_up_leaves_what_was_flushed(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    out = output(path)
    await out.open(None, 0)
    cursor = await fill(out, ALL)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (part(path).stat().st_size + 5_000, limit[1]))
        noise = [json.dumps({"n": os.urandom(500).hex()}).encode() for _ in range(100)]
        with pytest.raises(OutputError):
            await fill(out, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    await out.close(finished=False)
    assert len(read(part(path), ending)) == 120
    again = output(path)
    await again.open(cursor, END)
    await again.close(finished=False)


async def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path, ending: str) -> None:
    (tmp_path / "file").touch()
    out = output(tmp_path / f"file/sub/out{ending}")
    with pytest.raises(OutputError, match=r"file/sub/out.*Not a directory"):
        await out.open(None, 0)


async def test_a_part_that_vanished_is_an_error(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    out = output(path)
    await out.open(None, 0)
    await out.write([b'{"n": 1}'])
    part(path).unlink()
    with pytest.raises(OutputError, match="removed while it was written"):
        await out.flush(1)
    with pytest.raises(OutputError, match=r"No such file|removed while"):
        await out.close(finished=True)


async def test_unicode_nul_and_huge_values_survive(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    text = "é\U0001f600\u2028 a,b\t" + ("" if ".xml" in ending else "\x00\x1f\ufffe")
    items: list[dict[str, str]] = [
        {"value": text},
        {"value": "x" * 100_000},
        {"value": "line\n" * 10_000, "new": ""},
    ]
    await written(path, [[json.dumps(item).encode()] for item in items])
    found = [item["value"] for item in read(path, ending)]
    if ".xml" in ending:
        found = [value.removeprefix("<value>").removesuffix("</value>") for value in found]
    assert found == [item["value"] for item in items]
