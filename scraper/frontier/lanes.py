"""The window of a durable queue: which requests are held in memory, and which wait on the disk.

A lane is what is queued for one host, or all that waits for its time. A request is in one of three states: held
in memory until its outcome is committed, on its way to the disk with the next commit, or stored there only.
A lane takes stored ones into memory when half of its room is free, so memory does not grow with the queue.
"""

from __future__ import annotations

import msgspec

from ..request import Request

Place = tuple[int, int]  # rank and token: the order within a lane, lowest first
NOWHERE: Place = (1 << 62, 0)  # comes after everything
DEEPEST = 2**20 - 1
COUNTED = 1 << 56  # ranks below it hold a place under `max_pages`


class Window(msgspec.Struct, frozen=True):
    """How many requests may be in memory.

    All hosts together have `whole`; half of what is free of it is the room of each, so that a few slow hosts can
    never take all of it; `least` is always there for a host. `later` of those that wait for their time are
    held, and `chunk` are read at once.
    """

    whole: int = 50_000
    least: int = 16
    later: int = 10_000
    chunk: int = 2_000

    def room(self, held: int) -> int:
        """How many a lane may hold, when all of them hold so many."""
        room = (self.whole - held) // 2
        return room if room > self.least else self.least


class Lane:
    """One lane: how many are `held`, `coming` to the disk, `stored` there.

    None that is coming or stored is before `best`, none that is held has a higher rank than `worst`.
    """

    __slots__ = ("best", "coming", "held", "number", "stored", "worst")

    def __init__(self, number: int, stored: int = 0, best: int = 0) -> None:
        self.number = number
        self.held = 0
        self.coming = 0
        self.stored = stored
        self.best: Place = (best, 0) if stored else NOWHERE
        self.worst = -1

    def takes(self, place: Place, room: int) -> bool:
        """Whether a new request can be held: it comes before all that is not, and there is room.

        What comes before some that are held finds twice the room: it must not wait until half of them are
        answered.
        """
        if place >= self.best:
            return False
        return self.held < room or (place[0] < self.worst and self.held < 2 * room)

    def wants(self, room: int) -> int:
        """How many stored ones it should take into memory now."""
        if not self.stored:
            return 0
        if self.held <= room // 2:
            return room - self.held
        return max(0, 2 * room - self.held) if self.best[0] < self.worst else 0

    def hold(self, rank: int) -> None:
        """One more is held."""
        self.held += 1
        if rank > self.worst:
            self.worst = rank

    def free(self) -> None:
        """One less is held."""
        self.held -= 1
        if not self.held:
            self.worst = -1

    def got(self, number: int, last: Place) -> None:
        """So many stored ones, up to this place, were taken into memory."""
        self.stored -= number
        if not self.coming:
            self.best = last if self.stored else NOWHERE


def rank(request: Request) -> int:
    """The order within a host, lowest first: what holds a place, then by priority, then by depth."""
    depth = request.depth
    order = (2**31 - request.priority) << 20 | (depth if depth < DEEPEST else DEEPEST)
    return order if request.counted else COUNTED | order
