"""Pages that a process has died of are worked on alone, so that nothing else dies with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

MOST_KILLS = 3  # processes that died of one page, after which it fails


class Quarantine:
    """`open_pages` tells how many pages are worked on; while `wanted`, the line begins no other."""

    def __init__(self, open_pages: Callable[[], int]) -> None:
        self.wanted = 0
        self._open_pages = open_pages
        self._turn = asyncio.Lock()
        self._quiet = asyncio.Event()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Wait until all other pages are done, but for those that wait here too."""
        self.wanted += 1
        self._quiet.set()  # whoever waits here already waits for one less
        try:
            async with self._turn:
                while self._open_pages() > self.wanted:
                    self._quiet.clear()
                    await self._quiet.wait()
                yield
        finally:
            self.wanted -= 1

    def tell(self) -> None:
        """A page is done."""
        self._quiet.set()
