"""Hosts by the time they are due: a heap in which a host stands once."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from .host import Host

Place = tuple[float, int, Host]  # due, number


class Agenda:
    """O(log n) to put and to pop; a place that was left stays behind and is passed over. Seconds."""

    def __init__(self) -> None:
        self._heap: list[Place] = []
        self.places: dict[Host, Place] = {}  # who stands here; nobody else writes to it
        self._number = 0

    def put(self, host: Host, due: float, now: float) -> None:
        """Let a host be due then, or now if that is past; one that stands here keeps its place, or falls back.

        Work that comes in for a host must not send it to the end of the line, or busy hosts would starve.
        """
        place = self.places.get(host)
        if place is None:
            if due < now:
                due = now
        elif due <= place[0]:
            return
        self._number += 1
        place = self.places[host] = (due, self._number, host)
        heappush(self._heap, place)
        if len(self._heap) > 64 + 4 * len(self.places):
            self._heap = list(self.places.values())
            heapify(self._heap)

    def drop(self, host: Host) -> None:
        """Take a host off."""
        self.places.pop(host, None)

    def pop(self, now: float) -> Host | None:
        """The host that has been due longest, taken off; None when none is due."""
        heap, places = self._heap, self.places
        while heap:
            place = heap[0]
            host = place[2]
            if places.get(host) is not place:
                heappop(heap)
            elif place[0] > now:
                return None
            else:
                heappop(heap)
                del places[host]
                return host
        return None

    def first(self) -> float | None:
        """When the next host is due; None when there is none."""
        heap = self._heap
        while heap:
            place = heap[0]
            if self.places.get(place[2]) is place:
                return place[0]
            heappop(heap)
        return None
