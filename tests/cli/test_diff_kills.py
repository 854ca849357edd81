"""A comparison that is killed beside any file that takes its place, and begun again, as a server does it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from scraper.changes.keep import kept
from scraper.cli.diff import command
from scraper.folder import RunFolder
from tests.changes.runs import plain
from tests.killed import FORKS

A, B = "20260101-000000-aaa1", "20260102-000000-bbb2"
CHANGES = 6
WORDS = ("--key", "id", "--into", "--quiet")
OUTPUTS = (("-o", "last.csv"), ("--add", "all.jsonl"), ("--add", "all.sqlite"))
MOST = 30

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills processes as Linux does")


def compare(root: Path) -> int:
    """Compare, as a server wants it."""
    folder = root / "output" / "shop"
    outputs = [word for option, name in OUTPUTS for word in (option, str(root / name))]
    code = command.main([str(folder / A), str(folder / B), *WORDS, *outputs], standalone_mode=False)
    assert isinstance(code, int)
    return code


def dying(root: Path, at: int, before: bool) -> None:
    """Compare, and die before or after the file that is given its name as the `at`th."""
    place, number = os.replace, 0

    def last(*given: Any, **more: Any) -> None:
        nonlocal number
        number += 1
        if number == at and before:
            os.kill(os.getpid(), signal.SIGKILL)
        place(*given, **more)
        if number == at:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = last
    compare(root)


@pytest.mark.parametrize("before", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_killed_at_any_file_and_begun_again_it_tells_each_change_once(tmp_path: Path, before: bool) -> None:
    for at in range(1, MOST):
        root = tmp_path / str(at)
        plain(root / "output", A, [{"id": n, "price": 1} for n in range(CHANGES)])
        new = plain(root / "output", B, [{"id": n, "price": 2} for n in range(CHANGES)])
        (root / "all.jsonl").write_text('{"_change": "earlier"}\n')
        process = FORKS.Process(target=dying, args=(root, at, before))
        process.start()
        process.join()
        done = kept(new)
        if done is not None and done.told:  # then all of it is everywhere
            check(root, new)
        assert compare(root) == 0
        check(root, new)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert 6 < at < MOST - 1


def check(root: Path, new: RunFolder) -> None:
    """Everything is told, and once."""
    done = kept(new)
    assert done is not None
    assert done.told
    files = sorted(path.name for path in new.path.iterdir())
    assert files == ["changes.json", "changes.jsonl", "items.jsonl", "outputs", "run.json"]
    assert (new.path / "changes.jsonl").read_bytes().count(b"\n") == done.changed == CHANGES
    lines = [json.loads(line) for line in (root / "all.jsonl").read_text().splitlines()]
    assert [line["_change"] for line in lines] == ["earlier", *["changed"] * CHANGES]
    assert (root / "last.csv").read_text().count("changed") == CHANGES
    with closing(sqlite3.connect(root / "all.sqlite")) as base:
        assert base.execute("SELECT count(*) FROM items").fetchone() == (CHANGES,)
