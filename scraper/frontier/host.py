"""What the gate knows of one host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ..request import Request
from .robots import Robots

Entry = tuple[int, int, Request]  # rank, number, request
NO_ORIGIN = "\0"  # what no URL begins with


class Permit:
    """The right to send one request once. `waiter` is told of it instead of a worker, when there is one."""

    __slots__ = ("boarding", "departed", "host", "released", "request", "reused", "waiter")

    def __init__(self, host: Host, request: Request, waiter: Waiter | None = None) -> None:
        self.host = host
        self.request = request
        self.waiter = waiter
        self.boarding = True  # until its headers are out
        self.departed = False
        self.reused = True  # whether it went over a connection that had served before
        self.released = False


class Waiter:
    """A task that waits for a permit of its own: a callback's fetch, a robots.txt fetch.

    `exempt` skips the robots rules (for robots.txt itself); `told` gets the permit, or None with `refused`.
    """

    __slots__ = ("exempt", "refused", "request", "told")

    def __init__(self, request: Request, told: Callable[[Permit | None], None], *, exempt: bool = False) -> None:
        self.request = request
        self.told = told
        self.exempt = exempt
        self.refused: Any = None


class Proof(msgspec.Struct):
    """What one host has seen of us, measured at departure. Times in seconds."""

    delay: float = 0.0
    per_host: int = 0
    departures: int = 0
    least_gap: float | None = None
    most_parallel: int = 0
    rests: int = 0
    rested: float = 0.0
    early: int = 0  # departures before their time; the promise is 0
    browser: int = 0  # a browser page's own sub-requests, which pass no gate


class Kept(msgspec.Struct, omit_defaults=True):
    """What a store keeps of a host between two processes.

    `delay` is what robots.txt asks for, `rest` the wall-clock second its rest ends.
    """

    delay: float = 0.0
    rest: float = 0.0
    failures: int = 0
    trips: int = 0
    strikes: int = 0
    trial: bool = False
    down: bool = False
    pages: int = 0
    proof: Proof = msgspec.field(default_factory=Proof)


class Host:
    """Queue, pace and health of one host, and its robots.txt."""

    __slots__ = (
        "answered", "asked", "boarding", "changed", "delay", "down", "failures", "files", "last_departure", "name",
        "next_at", "out", "pages", "parked", "per_host", "places", "prefix", "proof", "queue", "rest_until",
        "robots", "rules", "silent", "strikes", "trial", "tried", "trips", "until", "waiters", "well",
    )  # fmt: skip

    def __init__(self, name: str, delay: float, per_host: int, robots: bool) -> None:
        self.name = name
        self.delay = delay
        self.asked = 0.0  # of the delay, what robots.txt has asked for
        self.per_host = per_host
        self.robots = robots
        self.queue: list[Entry] = []
        self.waiters: list[Waiter] = []
        self.next_at = 0.0  # no departure before this
        self.rest_until = 0.0
        self.out = 0  # admitted and not released
        self.boarding = 0  # admitted, and the headers not out
        self.pages = 0  # that hold a place under `max_pages_per_host`
        self.answered = 0  # of those the ones with an outcome, which may be that another try follows
        self.failures = 0  # connection failures in a row
        self.trips = 0  # rests of the breaker in a row
        self.strikes = 0  # rests asked for in a row
        self.tried = False  # something was admitted since the last rest began: answers are news
        self.trial = False  # after the breaker's rest: one request at a time
        self.silent = True  # it has not answered yet, or its last connection failed: one at a time as well
        self.places = 1  # how many may be out, by these two
        self.well = False  # nothing of all this counts against it
        self.down = False
        self.parked = ""  # the origin whose robots.txt it waits for
        self.files: dict[str, tuple[Robots | None, float]] = {}  # origin -> rules or unreachable, until when
        self.prefix = NO_ORIGIN  # of those the one that was asked last, with "/": its rules, and until when
        self.rules: Robots | None = None
        self.until = 0.0
        self.last_departure: float | None = None
        self.changed = False  # since what is to be known of it later was asked for
        self.proof = Proof(delay=delay, per_host=per_host)

    def kept(self, now: float, wall: float) -> Kept:
        """What is to be known of it later; `now` and `wall` are the same moment."""
        rest = wall + self.rest_until - now if self.rest_until > now else 0.0
        health = self.failures, self.trips, self.strikes, self.trial, self.down
        return Kept(self.asked, rest, *health, self.answered, self.proof)

    def restore(self, kept: Kept) -> None:
        """Be again what was kept, its rest apart, at the pace that the settings of now and robots.txt ask."""
        self.asked = kept.delay
        self.delay = max(self.delay, kept.delay)
        self.failures, self.trips, self.strikes = kept.failures, kept.trips, kept.strikes
        self.trial, self.down = kept.trial, kept.down
        self.pages = self.answered = kept.pages
        proof = kept.proof
        if self.delay > proof.delay:
            proof.least_gap = None  # the gaps before were under another promise
        proof.per_host, proof.delay = self.per_host, self.delay
        self.proof = proof
        self.weigh()

    def weigh(self) -> None:
        """Count its places, after its health has changed."""
        self.well = not (self.silent or self.trial or self.failures or self.strikes or self.trips)
        self.places = 1 if self.silent or self.trial else self.per_host

    def left(self, now: float, parallel: int) -> None:
        """A request went out to it, when so many were."""
        proof, last = self.proof, self.last_departure
        proof.departures += 1
        if parallel > proof.most_parallel:
            proof.most_parallel = parallel
        if last is not None:
            gap = abs(now - last)  # of several processes one may tell later
            if proof.least_gap is None or gap < proof.least_gap:
                proof.least_gap = gap
            proof.early += gap < self.delay

    def rests(self, until: float, now: float) -> None:
        """It is left alone until then, or longer."""
        if until > self.rest_until:
            self.proof.rests += self.rest_until <= now
            self.proof.rested += until - max(now, self.rest_until)
            self.rest_until = until
        self.tried = False

    def free(self) -> bool:
        """Whether one more may be admitted, time apart."""
        return self.out < self.places and (self.boarding == 0 or self.delay == 0)

    def earliest(self) -> float:
        """When the next may be admitted, and depart."""
        return self.next_at if self.next_at > self.rest_until else self.rest_until

    def idle(self) -> bool:
        """Whether nothing is under way for it."""
        return not (self.out or self.queue or self.waiters or self.parked) and self.pages <= self.answered
