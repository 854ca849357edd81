"""Makes responses readable: a small page at once, a large one in a thread, so that it holds up nobody."""

from __future__ import annotations

import asyncio
import ctypes
import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from .page import OPEN_PAGE
from .parse.reader import Reader, large, prepare
from .response import Response
from .settings import Settings

TREE = 20  # bytes of a page's tree for each of its own, at most: 234 for each element or text (measured)
TOGETHER = 96 * 2**20  # bytes of the trees of large pages that are there at once; a larger one is there alone
PATIENCE = 10.0  # seconds a page waits for others to go, which a spider may keep
RETURNED = 64 * 2**20  # bytes of a tree whose memory is given back to the system; it costs a tenth of the parse


class Reading:
    """One thread of its own: pages that are slow to parse hold up neither file writes nor name look-ups.

    `note` is told the token of the page that the thread is about to work on, and 0 when it has none.
    """

    def __init__(self, settings: Settings, note: Callable[[int], None]) -> None:
        self._reader = Reader(nofollow=settings.nofollow, max_links=settings.max_links)
        self._thread = ThreadPoolExecutor(1, "parse")
        self._note = note
        self._trees = Trees(self._thread)

    async def open(self, response: Response) -> Response:
        """Make a response readable; what a callback has fetched itself is noted as its page."""
        response.reader = self._reader
        if large(response):
            page = OPEN_PAGE.get()
            token = (response.request if page is None else page.request).token
            # A callback that waits for its own fetch may hold what that would wait for.
            room = await self._trees.room(TREE * len(response.body), wait=page is None)
            response.cached("room", lambda: room)
            await asyncio.get_running_loop().run_in_executor(self._thread, self._prepare, response, token)
        return response

    def _prepare(self, response: Response, token: int) -> None:
        self._note(token)  # here, not in the loop: others may wait for the thread too
        try:
            prepare(response)
        finally:
            self._note(0)

    def close(self) -> None:
        """Take nothing more."""
        self._trees.close()
        self._thread.shutdown(wait=False, cancel_futures=True)


class Trees:
    """How many bytes the trees of large pages may take together: from their parse until their response is gone."""

    def __init__(self, thread: ThreadPoolExecutor, most: int = TOGETHER) -> None:
        self._thread = thread
        self._most = most
        self._used = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._closed = False

    async def room(self, size: int, *, wait: bool = True) -> Room:
        """Room for a tree, in the order of asking; after PATIENCE even where there is none."""
        if wait and (self._waiting or not self._fits(size)):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            place = (size, turn)
            self._waiting.append(place)
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE):
                        await turn
            except BaseException:
                if turn.done() and not turn.cancelled():
                    self._used -= size
                raise
            finally:
                with suppress(ValueError):
                    self._waiting.remove(place)
                self._admit()
            if not turn.cancelled():
                return Room(self, size)
        self._used += size
        return Room(self, size)

    def _fits(self, size: int) -> bool:
        return not self._used or self._used + size <= self._most

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._used += size
                turn.set_result(None)

    def gone(self, size: int) -> None:
        """A tree has been freed."""
        self._used -= size
        if size > RETURNED and not self._closed:
            self._thread.submit(_give_back)
        self._admit()

    def close(self) -> None:
        """Nobody waits any more."""
        self._closed = True


class Room:
    """Kept by a response: as it goes, so does its tree."""

    __slots__ = ("_loop", "_size", "_trees")

    def __init__(self, trees: Trees, size: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._trees = trees
        self._size = size

    def __del__(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._trees.gone, self._size)


def _give_back() -> None:
    """Let the C library return freed memory to the system: glibc keeps what was allocated in small pieces."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
