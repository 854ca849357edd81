"""Makes responses readable: a small page at once, a large one in a thread, so that it holds up nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from .page import OPEN_PAGE
from .parse.reader import Reader, large, prepare
from .response import Response
from .settings import Settings


class Reading:
    """One thread of its own: pages that are slow to parse hold up neither file writes nor name look-ups.

    `note` is told the token of the page that the thread is about to work on, and 0 when it has none.
    """

    def __init__(self, settings: Settings, note: Callable[[int], None]) -> None:
        self._reader = Reader(nofollow=settings.nofollow, max_links=settings.max_links)
        self._thread = ThreadPoolExecutor(1, "parse")
        self._note = note

    async def open(self, response: Response) -> Response:
        """Make a response readable; what a callback has fetched itself is noted as its page."""
        response.reader = self._reader
        if large(response):
            page = OPEN_PAGE.get()
            token = (response.request if page is None else page.request).token
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
        self._thread.shutdown(wait=False, cancel_futures=True)
