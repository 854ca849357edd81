"""Hosts by the time they are due: a heap in which a host stands once."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from .host import Host


class Agenda:
    """O(log n) to put and to pop; an entry that was moved stays behind and is passed over. Seconds."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Host]] = []
        self._due: dict[Host, float] = {}
        self._number = 0

    def put(self, host: Host, due: float) -> None:
        """Let a host be due then, and at no other time."""
        if self._due.get(host) == due:
            return
        self._due[host] = due
        self._number += 1
        heappush(self._heap, (due, self._number, host))
        if len(self._heap) > 64 + 4 * len(self._due):
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
            heapify(self._heap)

    def drop(self, host: Host) -> None:
        """Take a host off."""
        self._due.pop(host, None)

    def pop(self, now: float) -> Host | None:
        """The host that has been due longest, taken off; None when none is due."""
        if self.first() is None or self._heap[0][0] > now:
            return None
        host = heappop(self._heap)[2]
        del self._due[host]
        return host

    def first(self) -> float | None:
        """When the next host is due; None when there is none."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None
