"""How people hear that a server has ended by itself: once, without the store or the disk, which may be full.

What is told otherwise is written into the store first (telling.py). Here nothing can be: so each channel is tried
once. When a server that ends is started again and again, people are told at most every so often, by the time of a
file that was made while there was room: to change that takes no more of it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from ..clock import Clock
from ..errors import OutputError, ScraperError
from . import channels
from .job import HOUR, Server
from .message import Message, Told, Untold, text_of

NAME = "ended"
RULE = "ended"
PATIENCE = 10.0  # seconds for all channels together
AGAIN = HOUR  # seconds in which nobody is told twice
GOES_ON = "crawls go on, and the next server finds them"

log = logging.getLogger("scraper.jobs.telling")


def prepare(home: Path) -> None:
    """Make the file whose time says when people were told last. Raises OutputError."""
    path, beside = home / NAME, home / f"{NAME}.new"
    try:
        if not path.exists():
            os.close(os.open(beside, os.O_WRONLY | os.O_CREAT, 0o600))
            os.utime(beside, (0, 0))
            beside.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


def due(home: Path, now: float) -> bool:
    """Whether people were not told just now, `now` being a wall-clock second."""
    try:
        return not 0 <= now - (home / NAME).stat().st_mtime < AGAIN
    except OSError:
        return True


async def tell(server: Server, error: Exception, *, home: Path, project: Path, clock: Clock) -> None:
    """Tell all channels of `server` that the server of the folder `home` ends; takes PATIENCE at most."""
    now = clock.wall()
    if not server.channels or not due(home, now):
        return
    body, key = msgspec.json.encode(written(server, error, now)), f"ended-{os.getpid()}-{int(now * 1000)}"
    arrived: list[str] = []

    async def hand_over(name: str) -> None:
        try:
            await channels.hand_over(server, name, body, key, project=project, clock=clock)
            arrived.append(name)
        except (Untold, OSError) as why:
            log.error("channel %r was not told that the server ends: %s", name, why)

    try:
        async with asyncio.timeout(PATIENCE):
            found = await asyncio.gather(*map(hand_over, server.channels), return_exceptions=True)
            for bug in filter(None, found):  # the error that ends the server is the one to be raised
                log.error("a channel was not told that the server ends", exc_info=bug)
    except TimeoutError:
        log.error("not every channel was told in %g s that the server ends", PATIENCE)
    if arrived:
        with suppress(OSError):
            os.utime(home / NAME, (now, now))


def written(server: Server, error: Exception, now: float) -> Message:
    """What people are told. The text of an error that is not ours may hold anything: only its name is said."""
    why = str(error) if isinstance(error, ScraperError) else type(error).__name__
    told = Told(
        id=0, job="", rule=RULE, state="open", text=f"the server has ended: {why}; {GOES_ON}", at=round(now, 3),
        type="scraper serve",
    )  # fmt: skip
    return Message(delivery=0, at=round(now, 3), title=f"server: {RULE}", text=text_of([told]), alerts=(told,))
