"""The program of a worker process, with SOCKET and BOARD (open files) as its arguments; begun by a crawl only.

It ends when the crawl does, whatever way that ends: signals are the crawl's to hear, a closed socket ends it, and
on Linux the death of its parent kills it.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import logging
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from ..blackbox import Shared
from ..blame import described, frame, isolated
from ..clock import Clock
from ..errors import UsageError, writable
from ..fetch.guard import Guard
from ..fetch.http import Http
from ..fetch.stack import build
from ..frontier.scope import Scope
from ..logs import clean
from ..page import OPEN_PAGE, Pages
from ..reading import Reading
from ..runner import runner, settle
from ..settings import HostRules, Settings, proxies
from ..spider import Spider
from ..stats import Stats
from ..url import netloc, printable
from .hand import Given, Hand
from .load import spider_of
from .messages import Begin, Broken, Close, Log, Print, Ready, Seed, Told
from .resolve import Resolver
from .wire import Wire

PR_SET_PDEATHSIG = 1  # prctl(2)


class Worker:
    """The process: what it hears first makes its parts, the rest goes to them."""

    def __init__(self, board: int) -> None:
        self._board = board
        self._begin: asyncio.Future[Begin] = asyncio.get_running_loop().create_future()
        self._closing: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._early: list[Any] = []
        self._seed: Callable[[Seed], None] | None = None
        self._hand: Hand | None = None
        self.gone = False

    def told(self, message: Any) -> None:
        """Hear the crawl."""
        if isinstance(message, Begin):
            self._begin.set_result(message)
        elif isinstance(message, Close):
            self._closing.set_result(message.why)
            if not self._begin.done():
                self.lost()  # it has nothing to close
        elif self._hand is None or self._seed is None:
            self._early.append(message)
        elif isinstance(message, Seed):
            self._seed(message)
        else:
            self._hand.told(message)

    def lost(self) -> None:
        """The crawl is gone."""
        self.gone = True
        for future in (self._begin, self._closing):
            if not future.done():
                future.cancel()

    async def run(self, wire: Wire) -> None:
        """Work until the crawl closes."""
        begin = await self._begin
        settings = msgspec.convert(begin.settings, Settings)
        _speak(_sayer(wire), settings.log_level)
        try:
            spider = spider_of(begin)
        except UsageError as error:
            wire.send(Broken(str(error), "usage"))
            await self._closing
            return
        rules, guard = HostRules(settings), Guard(allow_private=settings.allow_private)
        board = Shared(self._board, begin.number)
        for proxy in proxies(settings):
            guard.trust(netloc(proxy))

        def seed(message: Seed) -> None:
            rules.seed(message.origin)
            guard.trust(message.host)

        stats = Stats(0.0)
        pages = Pages(
            spider, settings, stats, note=lambda token: board.note(token, 0), folder=Path(begin.folder),
            alarm=True,  # the process is ours, and this its main thread
        )  # fmt: skip
        reading = Reading(settings, lambda token: board.note(token, 1))
        resolver = Resolver() if begin.resolves else None
        async with Http(rules, guard, resolver) as http:
            fetch, scope = build(http, rules, Given(), Clock()), Scope.of(settings, spider.allowed_domains)
            hand = Hand(wire, board, spider, settings, fetch, pages, reading, stats, scope)
            if resolver is not None:
                resolver.ask = hand.ask
            spider._line = hand
            self._hand, self._seed = hand, seed
            for message in self._early:
                self.told(message)
            opening = asyncio.create_task(_open(wire, spider, begin.left))
            try:
                why = await self._closing
                opening.cancel()  # it may wait for what the crawl will not fetch any more
                await asyncio.wait((opening,))
                spider._line = None
                await _hooked(wire, spider.closed, why)
            finally:
                reading.close()


async def _open(wire: Wire, spider: Spider, left: dict[str, Any] | None) -> None:
    if not await _hooked(wire, spider.opened):
        return
    for name, value in (left or {}).items():
        setattr(spider, name, value)
    if left is not None or await _hooked(wire, spider.login):
        wire.send(Ready())


async def _hooked(wire: Wire, work: Callable[..., Any], *given: str) -> bool:
    """Run a piece of the spider outside any page; false when it broke, which the crawl is told."""
    try:
        done = work(*given)
        if inspect.isawaitable(done):
            await done
    except BaseException as error:  # a spider may raise anything
        if not isolated(error):
            raise
        wire.send(Broken(described(error)))
        place = f" at {where}" if (where := frame(error)) else ""
        logging.getLogger("scraper.crawl").error(
            "the spider broke in a worker process%s: %s", place, described(error)
        )
        return False
    return True


class Saying(logging.Handler):
    """Log records go to the crawl, which has the log of the run."""

    def __init__(self, say: Callable[[msgspec.Struct], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Say one line."""
        page, trace = OPEN_PAGE.get(), ""
        if record.exc_info and record.exc_info[1] is not None:
            trace = writable("".join(traceback.format_exception(record.exc_info[1])))
        url = printable(page.request.url) if page is not None else ""
        try:
            text = clean(record.getMessage())
        except Exception:  # noqa: BLE001  a message that does not fit its arguments: told as `logging` does
            self.handleError(record)
            return
        self._say(Log(record.levelno, record.name, text, url, trace))


class Printing(io.TextIOBase):
    """Standard output of the spider's own `print`: the crawl shows it where its own goes, line by line."""

    def __init__(self, say: Callable[[msgspec.Struct], None]) -> None:
        super().__init__()
        self._say = say
        self._begun = ""  # of a line

    def write(self, text: str) -> int:
        """Say each line that is whole."""
        whole, end, rest = text.rpartition("\n")
        if end:
            self._say(Print(writable(self._begun + whole + end)))
            self._begun = ""
        self._begun += rest
        return len(text)

    def writable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Say what is left of a line."""
        if self._begun:
            self.write("\n")
        super().close()


def _sayer(wire: Wire) -> Callable[[msgspec.Struct], None]:
    """Says something from whatever thread."""
    own, loop = threading.get_ident(), asyncio.get_running_loop()

    def say(message: msgspec.Struct) -> None:
        if threading.get_ident() == own:
            wire.send(message)
        else:
            with suppress(RuntimeError):  # the crawl is over
                loop.call_soon_threadsafe(wire.send, message)

    return say


def _speak(say: Callable[[msgspec.Struct], None], level: str) -> None:
    root, own = logging.getLogger(), logging.getLogger("scraper")
    root.addHandler(Saying(say))
    own.setLevel(level.upper())
    sys.stdout = Printing(say)


def _bound_to_parent() -> None:
    """Die with the crawl, whatever this process is doing then (Linux)."""
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


async def serve(file: int, board: int) -> None:
    """Be a worker on an inherited socket."""
    worker = Worker(board)
    loop = asyncio.get_running_loop()
    sock = socket.socket(fileno=file)
    sock.setblocking(False)
    _, wire = await loop.create_unix_connection(lambda: Wire(Told, worker.told, worker.lost), sock=sock)
    try:
        await worker.run(wire)
    except asyncio.CancelledError:
        if not worker.gone:
            raise
    finally:
        if isinstance(sys.stdout, Printing):
            sys.stdout.close()
        sys.stdout = sys.stderr  # what is printed from now on nobody listens to
        wire.close()


def main() -> None:
    """Run until the crawl ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which programs that a spider starts would inherit
    _bound_to_parent()
    file, board = map(int, sys.argv[1:])
    settle()
    with runner() as loop:
        loop.run(serve(file, board))
