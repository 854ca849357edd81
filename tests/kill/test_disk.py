"""The model of a disk that loses power is neither too kind nor too cruel: SQLite is the judge."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from .disk import Disk

WRITER = """
import os, sqlite3, sys
base = sqlite3.connect("a.sqlite", isolation_level=None)
base.execute("PRAGMA journal_mode = " + sys.argv[1])
base.execute("PRAGMA synchronous = " + sys.argv[2])
base.execute("PRAGMA wal_autocheckpoint = 20")
base.execute("CREATE TABLE IF NOT EXISTS a (n INTEGER, text TEXT)")
n = base.execute("SELECT count(*) FROM a").fetchone()[0]
while True:
    with open("plain", "ab", buffering=0) as file:
        file.write(b"x")
    base.execute("BEGIN")
    for _ in range(5):
        n += 1
        base.execute("INSERT INTO a VALUES (?, ?)", (n, "x" * 300))
    base.execute("COMMIT")
    print(n, flush=True)
"""


def _run(disk: Disk, shim: Path, mode: str, lines: int) -> int:
    """Let it commit so many times, kill it; gives the last number it was promised."""
    env = os.environ | {
        "LD_PRELOAD": str(shim),
        "SHIM_BELOW": str(disk.folder),
        "SHIM_LOG": str(disk.log),
        "SHIM_DATA": "1",
    }
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, *mode.split()], cwd=disk.folder, env=env, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    with child:
        last = [int(child.stdout.readline()) for _ in range(lines)][-1]
        child.kill()
        rest = child.stdout.read().split(b"\n")[:-1]
    return int(rest[-1]) if rest else last


@pytest.mark.parametrize("mode", ["WAL FULL", "DELETE EXTRA"])
@pytest.mark.parametrize("everything", [True, False], ids=["all", "some"])
def test_what_sqlite_has_committed_stays(
    tmp_path: Path, shim: Path, chance: random.Random, mode: str, everything: bool
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    disk = Disk(folder, tmp_path / "shim.bin")
    promised = 0
    for _ in range(6):
        promised = max(promised, _run(disk, shim, mode, chance.randint(1, 30)))
        disk.lose(chance, everything=everything)
        with closing(sqlite3.connect(folder / "a.sqlite")) as base:
            assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            numbers = [n for (n,) in base.execute("SELECT n FROM a ORDER BY n")]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= promised
        promised = len(numbers)
        disk = Disk(folder, _fresh(tmp_path))
    if everything:
        assert (folder / "plain").read_bytes() == b""  # it was never synced; its name was, with the folder


def _fresh(folder: Path) -> Path:
    log = folder / "shim.bin"
    log.unlink()
    return log
