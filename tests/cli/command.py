"""Runs the command as a person does: a process of its own, in a folder of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import forks

ROOT = Path(__file__).parents[2]
BOOKS = str(ROOT / "spiders" / "books.py")
FAST = ("-s", "delay=0")
PIPE = asyncio.subprocess.PIPE
Process = forks.Process | asyncio.subprocess.Process


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours, without the settings that it may hold."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCRAPER_")}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"} | dict(more or {})


async def begin(
    *words: str, cwd: Path, env: Mapping[str, str] | None = None, under: Sequence[str] = (),
    out: int = PIPE, err: int = PIPE,
) -> Process:  # fmt: skip
    """Start `scraper WORDS`, `under` another command; its streams are piped, or go to the descriptors given."""
    if forks.FORKS and not under:
        return await forks.begun(words, cwd, environment(env), out, err)
    return await asyncio.create_subprocess_exec(
        *under, sys.executable, "-m", "scraper", *words,
        cwd=cwd, env=environment(env), stdin=PIPE, stdout=out, stderr=err,
    )  # fmt: skip


async def scraper(*words: str, cwd: Path, env: Mapping[str, str] | None = None, typed: str = "") -> Done:
    """Run `scraper WORDS` to its end."""
    return await ended(await begin(*words, cwd=cwd, env=env), typed)


async def ended(process: Process, typed: str = "") -> Done:
    """Wait for a command that was begun; it is killed when the test gives up."""
    try:
        out, err = await process.communicate(typed.encode())
    except asyncio.CancelledError:
        process.send_signal(signal.SIGKILL)
        raise
    return Done(process.returncode or 0, (out or b"").decode(), (err or b"").decode())
