"""The tour: opens the demo shop and crawls it with the spider `books`, as a person would on the command line.

python -m scraper.testing.tour        # in the project's folder; items go to output/
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread

from .demo import Demo

DELAY = 0.05  # seconds: long enough to watch, short enough to wait for


@contextmanager
def shop() -> Iterator[str]:
    """The demo shop in a thread of its own, so that Ctrl-C reaches the crawl and nothing is left behind."""
    loop, opened, closing = asyncio.new_event_loop(), SimpleQueue[str](), asyncio.Event()

    async def serve() -> None:
        async with Demo(record=False) as url:
            opened.put(url)
            await closing.wait()

    thread = Thread(target=loop.run_until_complete, args=(serve(),), name="demo shop")
    thread.start()
    try:
        yield opened.get()
    finally:
        loop.call_soon_threadsafe(closing.set)
        thread.join()
        loop.close()


def main(more: list[str]) -> int:
    """Crawl the shop and give the exit code; `more` are further words for `scraper crawl`."""
    from ..cli import main as scraper  # the command's own libraries are not needed to open the shop

    with shop() as url:
        print(f"The demo shop is open at {url} while this runs.", file=sys.stderr)
        return scraper(["crawl", "books", "-a", f"url={url}", "-s", f"delay={DELAY}", *more])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
