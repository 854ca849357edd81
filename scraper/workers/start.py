"""How a worker process is begun: a socket and the shared board as inherited files, the rest as a first message."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from ..errors import UsageError
from ..identity import source_file
from ..settings import Settings
from ..spider import Spider, arguments
from .messages import Begin, Heard
from .wire import Wire


class Child:
    """A process that was begun, and the wire to it."""

    def __init__(self, process: asyncio.subprocess.Process, wire: Wire) -> None:
        self.process = process
        self.wire = wire


def told(spider: Spider, settings: Settings, *, folder: str, alarm: bool, resolves: bool) -> Begin:
    """What every worker of a crawl is told. Raises UsageError for a spider that no other process can import."""
    kind = type(spider)
    file = source_file(kind)
    if "<locals>" in kind.__qualname__ or not file or file.startswith("<"):
        raise UsageError(
            f"spider {spider.name!r} cannot be run in {settings.processes} processes: a process of its own imports "
            "it, so it must be at the top level of a file"
        )
    values = {name: msgspec.to_builtins(getattr(spider, name), enc_hook=str) for name in arguments(kind)}
    module = "" if kind.__module__ in ("__main__", "__mp_main__") or _by_file(kind.__module__) else kind.__module__
    return Begin(
        number=0, module=module, file=file, name=kind.__qualname__, arguments=values,
        settings=msgspec.to_builtins(settings), folder=folder, paths=sys.path[:], alarm=alarm, resolves=resolves,
    )  # fmt: skip


def _by_file(module: str) -> bool:
    return module.startswith("scraper_spider_")


async def start(begin: Begin, board: int, told: Callable[[Any], None], lost: Callable[[], None]) -> Child:
    """A new process; `board` is the open file of what it shares. Raises OSError."""
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "scraper.workers.process", str(theirs.fileno()), str(board),
            pass_fds=(theirs.fileno(), board), stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    ours.setblocking(False)
    _, wire = await loop.create_unix_connection(lambda: Wire(Heard, told, lost), sock=ours)
    wire.send(begin)
    wire.flush()
    return Child(process, wire)
