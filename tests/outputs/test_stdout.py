from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from scraper.errors import OutputError
from scraper.outputs.stdout import Stdout

PROGRAM = """
import asyncio
from scraper.outputs.registry import open_output

async def main():
    out = open_output("-", variables={})
    await out.open(None, 0)
    await out.write([b'{"a":1}'] * COUNT)
    assert await out.flush(1) == b"COUNT"
    await out.close(finished=True)
    print("still open")

asyncio.run(main())
"""


def test_items_are_json_lines_on_standard_output() -> None:
    code = PROGRAM.replace("COUNT", "2")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b'{"a":1}\n{"a":1}\nstill open\n'


async def test_a_reader_that_went_away_is_an_output_error() -> None:
    reading, writing = os.pipe()
    out = Stdout(writing)
    await out.open(None, 0)
    os.close(reading)
    with pytest.raises(OutputError, match="closed by its reader"):
        await out.write([b"{}"])
    await out.close(finished=False)
    os.close(writing)


async def test_a_closed_descriptor_and_a_full_disk_are_output_errors() -> None:
    with pytest.raises(OutputError, match="Bad file descriptor"):
        await Stdout(9999).open(None, 0)
    full = os.open("/dev/full", os.O_WRONLY)
    out = Stdout(full)
    await out.open(b"12", 0)
    with pytest.raises(OutputError, match="No space left"):
        await out.write([b"{}"])
    assert await out.flush(1) == b"12"
    await out.close(finished=False)
    os.close(full)


async def test_a_reader_that_stands_still_hangs_nothing_and_then_gets_everything() -> None:
    reading, writing = os.pipe()
    out = Stdout(writing)
    await out.open(None, 0)
    lines = [b'{"n":%d}' % number for number in range(50_000)]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await out.write(lines)
    got = await asyncio.to_thread(os.read, reading, 1 << 20)
    assert b"\n".join(lines).startswith(got)
    task = asyncio.create_task(out.write(lines))
    got = b""
    while len(got) < sum(map(len, lines)) + len(lines):
        got += await asyncio.to_thread(os.read, reading, 1 << 20)
    await task
    assert got.split() == lines
    assert await out.flush(1) == b"50000"
    await out.close(finished=True)
    os.close(reading)
    os.close(writing)


async def printed(lines: list[bytes], run: str, cursor: bytes | None = None) -> tuple[list[bytes], bytes]:
    """What goes out, and the cursor after it."""
    reading, writing = os.pipe()
    out = Stdout(writing, run=run)
    await out.open(cursor, 0)
    await out.write(lines)
    cursor = await out.flush(1)
    await out.close(finished=True)
    os.close(writing)
    found = os.read(reading, 1 << 16)
    os.close(reading)
    return found.splitlines(), cursor


async def test_each_line_ends_with_its_key() -> None:
    lines = [b"{}", b'{"a":{}}', b'{"a":"{"}', b'{"a":"\xc3\xa9}"}']
    found, _ = await printed(lines, 'r "1"')
    assert found == [
        b'{"_key":"r \\"1\\"/1"}',
        b'{"a":{},"_key":"r \\"1\\"/2"}',
        b'{"a":"{","_key":"r \\"1\\"/3"}',
        b'{"a":"\xc3\xa9}","_key":"r \\"1\\"/4"}',
    ]


async def test_a_key_of_the_item_itself_stays_and_one_deeper_down_is_none() -> None:
    found, _ = await printed([b'{"_key":7}', b'{"a":{"_key":7}}', b'{"a":"\\"_key\\""}'], "r")
    assert found == [b'{"_key":7}', b'{"a":{"_key":7},"_key":"r/2"}', b'{"a":"\\"_key\\"","_key":"r/3"}']


async def test_what_comes_again_after_a_kill_has_the_keys_it_had() -> None:
    lines = [b'{"n":%d}' % number for number in range(5)]
    _, cursor = await printed(lines[:2], "r")
    lost, _ = await printed(lines[2:4], "r", cursor)
    again, _ = await printed(lines[2:], "r", cursor)
    assert again[:2] == lost
    assert again[-1] == b'{"n":4,"_key":"r/5"}'


@pytest.mark.parametrize(("variables", "line"), [({"run": "memory"}, b"{}"), ({"run": "r"}, b'{"_key":"r/1"}')])
def test_a_run_in_memory_has_no_keys(variables: dict[str, str], line: bytes) -> None:
    code = PROGRAM.replace("COUNT", "1").replace("variables={}", f"variables={variables}").replace('"a":1', "")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.splitlines()[0] == line
