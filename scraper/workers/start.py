"""How a worker process is begun: a socket and the shared board as inherited files, the rest as a first message."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from ..errors import UsageError
from ..identity import source_file
from ..settings import Settings
from ..spider import Spider, arguments, attributes
from .messages import Begin, Heard
from .wire import Wire

# Modules are looked for where the crawl itself has found them, and nowhere before: not in the folder it runs in.
PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); from scraper.workers.process import main; main()"
)


class Child:
    """A process that was begun, and the wire to it."""

    def __init__(self, process: asyncio.subprocess.Process, wire: Wire) -> None:
        self.process = process
        self.wire = wire

    def kill(self) -> None:
        """End it now."""
        with suppress(ProcessLookupError):
            self.process.kill()


def told(spider: Spider, settings: Settings, *, folder: str, resolves: bool) -> Begin:
    """What every worker of a crawl is told. Raises UsageError for a spider that no other process can import."""
    kind = type(spider)
    file, (script, module) = source_file(kind), _module(kind)
    if os.name != "posix":
        raise UsageError(f"processes = {settings.processes} needs a system like Linux or macOS")
    if "<locals>" in kind.__qualname__ or not (module or (file and os.path.isfile(file))):
        raise UsageError(
            f"spider {spider.name!r} cannot be run in {settings.processes} processes: each of them imports it, so "
            "it must stand at the top level of a file, not in a function, a notebook or at a prompt"
        )
    values = {name: msgspec.to_builtins(getattr(spider, name), enc_hook=str) for name in arguments(kind)}
    return Begin(
        number=0, module=module, file=file, name=kind.__qualname__, arguments=values,
        settings=msgspec.to_builtins(settings), folder=folder, resolves=resolves, script=script,
        state=attributes(spider)[0],
    )  # fmt: skip


def _module(kind: type[Spider]) -> tuple[bool, str]:
    """Whether a class is of the program itself, and the name of the module to import, "" to load its file."""
    name = kind.__module__
    if name in ("__main__", "__mp_main__"):
        spec = getattr(sys.modules[name], "__spec__", None)  # of `python -m shop.crawl`
        return True, spec.name if spec is not None else ""
    return False, "" if name.startswith("scraper_spider_") else name


async def start(board: int, told: Callable[[Any], None], lost: Callable[[], None]) -> Child:
    """A new process, which waits for its `Begin`; `board` is the open file of what it shares. Raises OSError.

    It has a session of its own: what is sent to a terminal's processes, Ctrl-C, is the crawl's to hear.
    """
    ours, theirs = socket.socketpair()
    process = None
    try:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-c", PROGRAM, str(theirs.fileno()), str(board), json.dumps(sys.path),
                pass_fds=(theirs.fileno(), board), stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        finally:
            theirs.close()
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_unix_connection(lambda: Wire(Heard, told, lost), sock=ours)
    except BaseException:
        ours.close()
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()  # its place in the event loop ends with it
        raise
    return Child(process, wire)
