"""What a process of a crawl is run with: its event loop, and how it deals with memory."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from contextlib import suppress

M_TRIM_THRESHOLD, M_TOP_PAD = -1, -2  # of malloc.h
KEPT = 64 * 2**20  # bytes


def runner() -> asyncio.Runner:
    """On uvloop when it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def settle() -> None:
    """Spare the process work on memory that a crawl, of its own process, can do without.

    The garbage collector finds nothing in what is loaded, and nothing in the many nodes of each page, which
    reference counts free: the collections of the default cost 6 % of a crawl. And glibc gives the memory of a
    page's tree back to the system and asks for it again with the next page; what it may keep is bounded, and
    `Reading` gives back what the largest trees took.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    with suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_TOP_PAD, KEPT // 4)
