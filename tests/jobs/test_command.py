"""Commands that are told: words without a shell, JSON on standard input."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from scraper.jobs.channels import hand_over
from scraper.jobs.command import run
from scraper.jobs.job import Channel, Server
from scraper.jobs.message import Untold

from .place import there


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


async def test_it_reads_the_message_in_the_project(tmp_path: Path) -> None:
    words = python("import shutil, sys; shutil.copyfileobj(sys.stdin, open(sys.argv[1], 'w'))")
    server = Server(channels={"pager": Channel(command=(*words, "told; rm *"))})
    body = b'{"x":"' + b"y" * 300_000 + b'"}'
    assert await hand_over(server, "pager", body, "k", project=tmp_path) == ""
    assert (tmp_path / "told; rm *").read_bytes() == body


async def test_the_end_of_what_it_says_is_kept_when_it_fails(tmp_path: Path) -> None:
    words = python("import sys; print('x' * 10_000_000); print('no pager\\x1b'); sys.exit(3)")
    with pytest.raises(Untold) as caught:
        await run(words, b"{}", tmp_path)
    assert "exited with 3: xxx" in str(caught.value)
    assert str(caught.value).endswith("x\\nno pager\\x1b")
    assert len(str(caught.value)) < 1200


async def test_one_that_takes_too_long_is_killed_with_all_that_it_began(tmp_path: Path) -> None:
    text = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    with pytest.raises(Untold, match=r"took longer than 0\.5 s: \d+") as caught:
        await run(python(text), b"{}", tmp_path, timeout=0.5)
    child = int(str(caught.value).rpartition(" ")[2])
    async with asyncio.timeout(10):
        while there(child):  # noqa: ASYNC110  another process
            await asyncio.sleep(0.01)


async def test_what_it_leaves_behind_holds_nobody_up(tmp_path: Path) -> None:
    begun = time.monotonic()
    text = "import subprocess; print(subprocess.Popen(['sleep', '10']).pid)"
    assert await run(python(text), b"{}", tmp_path) == ""
    assert time.monotonic() - begun < 9


async def test_one_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Untold, match="no-such-pager cannot be run: No such file"):
        await run(["no-such-pager"], b"{}", tmp_path)
    with pytest.raises(Untold, match="was ended by signal 9"):
        await run(python("import os; os.kill(os.getpid(), 9)"), b"{}", tmp_path)


async def test_nothing_is_left_when_we_are_cancelled(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    text = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    task = asyncio.create_task(run(python(text), b"{}", tmp_path))
    async with asyncio.timeout(10):
        while not mark.exists() or not mark.read_text():  # noqa: ASYNC110  another process writes it
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not there(int(mark.read_text()))
