"""The window of a durable queue: which requests are held in memory, and which wait on the disk.

A lane is what is queued for one host, or all that waits for its time. It holds so many requests in memory and
takes others from the disk when half of them are answered, so memory does not grow with the queue.
"""

from __future__ import annotations

from ..request import Request

WINDOW = 100_000  # requests in memory, over all lanes
LEAST = 16  # a lane may always hold so many
LATER = 10_000  # held of those that wait for their time
NOTHING = 1 << 62  # the rank of nothing


class Lane:
    """One lane: `held` in memory, `stored` on the disk only, of which `best` is the lowest rank."""

    __slots__ = ("best", "held", "number", "stored")

    def __init__(self, number: int, stored: int = 0, best: int = NOTHING) -> None:
        self.number = number
        self.held = 0
        self.stored = stored
        self.best = best

    def takes(self, rank: int, most: int) -> bool:
        """Whether a new request can be held: there is room, and it comes before all that is stored."""
        return self.held < most and (not self.stored or rank < self.best)

    def store(self, rank: int) -> None:
        """A request stays on the disk only."""
        self.stored += 1
        self.best = min(self.best, rank)


def rank(request: Request) -> int:
    """The order within a host, lowest first: what holds a place, then by priority, then by depth."""
    return (not request.counted) << 56 | (2**31 - request.priority) << 20 | min(request.depth, 2**20 - 1)


def moment(due: float) -> int:
    """The order of what waits for its time: microseconds."""
    return int(due * 1e6)


def share(lanes: int) -> int:
    """How many requests each of so many lanes may hold: half of the window is left to hosts that are new."""
    return max(LEAST, WINDOW // max(4, 2 * lanes))
