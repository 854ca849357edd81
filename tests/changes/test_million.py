"""A million items in each run: counts exact, memory bounded."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scraper.folder import RunFolder
from scraper.frontier.store import Step
from scraper.outcome import End, Outcome
from scraper.reasons import Reason
from tests.frontier.state import HOST, State, page

from .runs import plain

PAGES, EACH = 100_000, 10
MOST = 200  # MB
CODE = """
import re, sys, time
from pathlib import Path
from scraper.changes.keep import keep
from scraper.folder import RunFolder
began = time.monotonic()
done = keep(RunFolder(Path(sys.argv[1])), RunFolder(Path(sys.argv[2])), ["id"])
took = time.monotonic() - began
print(done.added, done.changed, done.removed, done.same, done.unseen)
memory = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024
print(f"{took:.1f} s, {time.process_time():.1f} s of the processor, {memory} MB", file=sys.stderr)
print(memory)
"""


def fails(number: int, new: bool) -> bool:
    return new and number % 50 == 0


def lines(number: int, new: bool) -> list[bytes]:
    """Of the items of a page the new run has lost the first and won one more on each tenth page."""
    first = int(new and number % 10 == 1)
    last = EACH + int(new and number % 10 == 2)
    return [
        json.dumps({
            "id": f"{number}-{n}", "title": f"The book with number {number} and a title of usual length",
            "price": n + int(new and n == 5 and number % 10 == 3), "url": f"https://{HOST}/{number}",
            "text": "word " * 30,
        }).encode()
        for n in range(first, last)
    ]  # fmt: skip


async def big(root: Path, name: str, *, new: bool) -> RunFolder:
    folder = plain(root, name, ())
    position = 0
    async with State(folder.state) as state:
        (seed,) = await state.seed(page("/"))
        await state.commit(Step(Outcome(request=seed, end=End.DONE, status=200)), seeds_done=True)
        with folder.items.open("wb") as file:
            for start in range(0, PAGES, 1000):
                numbers = range(start, start + 1000)
                added = state.store.add([page(f"/{n}", parent=seed.token, depth=1, scope=HOST) for n in numbers])
                steps, sources = [Step(None, tuple(added))], []
                for number, request in zip(numbers, added, strict=True):
                    if fails(number, new):
                        lost = Outcome(request=request, end=End.FAILED, reason=Reason.STATUS, status=500)
                        steps.append(Step(lost))
                        continue
                    items = lines(number, new)
                    steps.append(Step(Outcome(request=request, end=End.DONE, status=200, items=items)))
                    sources.append((position, request.token))
                    position += file.write(b"\n".join(items) + b"\n")
                await state.commit(*steps, sources=sources, positions={"items": position})
    return folder


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_million_items_are_compared_exactly_and_in_bounded_memory(tmp_path: Path) -> None:
    old = asyncio.run(big(tmp_path, "20260101-000000-aaa1", new=False))
    new = asyncio.run(big(tmp_path, "20260102-000000-aaa2", new=True))
    command = [sys.executable, "-c", CODE, str(old.path), str(new.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": "."})
    print(done.stderr)
    counts, memory = done.stdout.splitlines()
    unseen = PAGES // 50 * EACH
    added, removed, changed = PAGES // 10, PAGES // 10, PAGES // 10
    same = PAGES * EACH - unseen - removed - changed
    assert [*map(int, counts.split())] == [added, changed, removed, same, unseen]
    assert (new.path / "changes.jsonl").read_bytes().count(b"\n") == added + changed + removed
    assert int(memory) < MOST
