"""The hosts that the gate knows: in full while something is under way for them, by a short record afterwards.

A host is let go when nothing is queued, out or waited for, nothing unsaved, no rest and no delay runs: then there
is no difference between it and a host that is new, but for what its record keeps. The records of the MOST_LISTED
hosts that were contacted most, and of all that were treated worse than promised, are whole; of the others only
what bears on how they may be contacted is kept, and their proofs are summed. So memory grows with what is under
way, and with the hosts that are ill, not with all that were ever met.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from ..errors import StoreError
from ..settings import HostRules
from ..url import netloc
from .agenda import Agenda
from .host import NO_ORIGIN, Host, Kept, Proof
from .robots import LIFETIME, Robots

MOST_LISTED = 10_000  # hosts that were let go and have a proof of their own
MOST_BYTES = 2**24  # of robots.txt of hosts that were let go
ENTRY = 200  # bytes that one of them costs beside its rules

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Kept).decode
_read = lru_cache(maxsize=256)(Robots.from_bytes)  # many are the same
FREE = Robots().to_bytes()


class Others(msgspec.Struct):
    """The proofs of many hosts in one: sums, and of gaps and of requests at once those of the worst host."""

    hosts: int = 0  # one that was met again counts again
    proof: Proof = msgspec.field(default_factory=Proof)

    def add(self, proof: Proof) -> None:
        """One more host."""
        mine = self.proof
        mine.departures += proof.departures
        mine.rests += proof.rests
        mine.rested += proof.rested
        mine.early += proof.early
        mine.browser += proof.browser
        beyond, before = proof.most_parallel - proof.per_host, mine.most_parallel - mine.per_host
        if not self.hosts or (beyond, proof.most_parallel) > (before, mine.most_parallel):
            mine.most_parallel, mine.per_host = proof.most_parallel, proof.per_host
        if proof.least_gap is not None and (mine.least_gap is None or _spare(proof) < _spare(mine)):
            mine.least_gap, mine.delay = proof.least_gap, proof.delay
        self.hosts += 1


def _spare(proof: Proof) -> float:
    """Seconds by which the least gap is longer than was promised."""
    return (proof.least_gap or 0.0) - proof.delay


def broken(proof: Proof) -> bool:
    """Whether a host was treated worse than promised."""
    short = proof.least_gap is not None and proof.least_gap < proof.delay
    return bool(proof.early) or short or proof.most_parallel > proof.per_host


class Files:
    """The robots.txt of hosts that were let go, as bytes; of too many those are forgotten that came first."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._size = 0
        self._kept: dict[str, tuple[bytes | None, float]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, place: str, data: bytes | None, until: float) -> None:
        """Keep the rules of an origin, None for a file that is unreachable, until then (monotonic seconds)."""
        self._take(place)
        if data == FREE:
            data = FREE
        self._kept[place] = data, until
        self._size += _cost(data)
        while self._size > self._most:
            self._take(next(iter(self._kept)))

    def take(self, place: str) -> tuple[Robots | None, float]:
        """Give the rules of an origin back, and until when they are good: 0 where they must be fetched."""
        data, until = self._take(place)
        try:
            return (None if data is None else _read(data)), until
        except StoreError:  # of another version
            return None, 0.0

    def _take(self, place: str) -> tuple[bytes | None, float]:
        found = self._kept.pop(place, None)
        if found is None:
            return None, 0.0
        self._size -= _cost(found[0])
        return found


def _cost(data: bytes | None) -> int:
    return ENTRY if data is None or data is FREE else ENTRY + len(data)


class Past(NamedTuple):
    """A host that was let go, and what only this process knows of it."""

    kept: Kept
    last_departure: float | None = None
    silent: bool = True


class Known:
    """Every host that something is under way for (`active`), and what is to be known of the others.

    `listed` and `files` bound what is remembered: hosts, bytes of robots.txt.
    """

    def __init__(self, rules: HostRules, *, listed: int = MOST_LISTED, files: int = MOST_BYTES) -> None:
        self.active: dict[str, Host] = {}
        self.opened: float | None = None  # when a process goes on with the crawl of an earlier one
        self.leaving = Agenda()  # hosts that were idle when they were last looked at, by when they may go
        self.others = Others()
        self._rules = rules
        self._limited = bool(rules.settings.max_pages_per_host)
        self._listed = listed
        self._past: dict[str, Past] = {}
        self._wary: dict[str, bytes] = {}  # of those that are not listed
        self._files = Files(files)
        self._changed: list[Host] = []  # since `changes` was asked for
        self._learned: dict[str, tuple[bytes | None, float]] = {}  # origins, likewise
        self._summed: dict[str, Any] = {}  # hosts, likewise: what is left of their records

    @property
    def met(self) -> int:
        """How many hosts there were; one that was met again may count again."""
        return len(self.active) + len(self._past) + self.others.hosts

    def meet(self, name: str) -> Host:
        """The state of a host: as it was, or new."""
        state = self.active.get(name)
        if state is None:
            state = self.active[name] = self._made(name)
            self.leaving.put(state, state.next_at, state.next_at)
        return state

    def _made(self, name: str) -> Host:
        rule = self._rules[name]
        state = Host(name, rule.delay or 0.0, rule.per_host or 1, bool(rule.robots))
        if name in self._past:
            kept, state.last_departure, state.silent = self._past.pop(name)
            state.restore(kept)
        elif name in self._wary:
            state.restore(_unpack(self._wary.pop(name)))
        if self.opened is not None:
            state.next_at = self.opened + state.delay
        return state

    def note(self, state: Host) -> None:
        """Something of a host has changed that is to be known later."""
        if not state.changed:
            state.changed = True
            self._changed.append(state)

    # -- robots.txt ---------------------------------------------------------------------------------

    def learn(self, place: str, rules: Robots | None, until: float) -> Host:
        """The rules of an origin, None when they are unreachable, good until then; gives its host."""
        state = self.meet(netloc(place))
        data = None if rules is None else rules.to_bytes()
        state.files[place] = (None if data is None else _read(data)), until
        state.prefix = NO_ORIGIN
        self._learned[place] = data, until
        self.note(state)
        return state

    def turn(self, state: Host, place: str) -> None:
        """Lay the rules of one of a host's origins ready; they are good until 0 when they were never learned."""
        found = state.files.get(place)
        if found is None:
            found = state.files[place] = self._files.take(place)
        state.prefix = place + "/"
        state.rules, state.until = found

    # -- what is kept of them -----------------------------------------------------------------------

    def changes(self, now: float, wall: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """What `reopen` needs of hosts and of origins that changed since the last call; lets idle hosts go.

        O(changes x log(hosts)). `now` and `wall` are the same moment.
        """
        for state in self._changed:
            state.changed = False
        hosts = {state.name: msgspec.to_builtins(state.kept(now, wall)) for state in self._changed}
        robots = {place: (data, wall + until - now) for place, (data, until) in self._learned.items()}
        self._changed.clear()
        self._learned.clear()
        self._let_go(now)
        hosts |= self._summed
        self._summed.clear()
        return hosts, robots

    def _let_go(self, now: float) -> None:
        """Reduce every host to its record that nothing is under way for, and nothing runs."""
        while (state := self.leaving.pop(now)) is not None:
            if not state.idle():
                continue  # it comes back here when it is
            if state.earliest() > now:
                self.leaving.put(state, state.earliest(), now)
                continue
            del self.active[state.name]
            for place, (rules, until) in state.files.items():
                if until > now:
                    self._files.keep(place, None if rules is None else rules.to_bytes(), until)
            kept = state.kept(now, now)
            if kept.proof.departures or kept.proof.rests or kept.pages or self._matters(kept):
                self._past[state.name] = Past(kept, state.last_departure, state.silent)
        self._shorten()

    def _matters(self, kept: Kept) -> bool:
        """Whether a host must not be taken for a new one."""
        ill = kept.failures or kept.trips or kept.strikes or kept.trial or kept.down
        return bool(ill or kept.delay or (kept.pages and self._limited))

    def _shorten(self) -> None:
        """Sum the proofs of the least of too many hosts; many at once, so that sorting costs little."""
        if len(self._past) <= self._listed:
            return
        ordered = sorted(self._past, key=self._weight)
        for name in ordered[: len(ordered) - self._listed + self._listed // 4]:
            kept = self._past.pop(name).kept
            self.others.add(kept.proof)
            kept.proof = Proof()
            if self._matters(kept):
                self._wary[name] = _pack(kept)
                self._summed[name] = msgspec.to_builtins(kept)
            else:
                self._summed[name] = {}

    def _weight(self, name: str) -> tuple[bool, int]:
        proof = self._past[name].kept.proof
        return broken(proof), proof.departures

    # -- from one process to the next ---------------------------------------------------------------

    def reopen(
        self,
        kept: Mapping[str, Any],
        robots: Mapping[str, Any],
        others: Mapping[str, Any] | None,
        now: float,
        wall: float,
    ) -> None:
        """Take up what an earlier process has told with `changes`; `others` is what it has summed.

        Nobody knows when that process contacted a host last: none is contacted before now plus its delay.
        No rest is longer than the longest, whatever has become of the machine's clock.
        """
        self.opened = now
        if others:
            self.others = msgspec.convert(others, Others)
        settings = self._rules.settings
        longest = max(settings.breaker_rest, settings.max_rest)
        for name, data in kept.items():
            if data:
                known = msgspec.convert(data, Kept)
                self._past[name] = Past(known)
                if known.rest > wall:
                    self.meet(name).rest_until = now + min(known.rest - wall, longest)
                self._shorten()
        for place, (rules, until) in robots.items():
            if until > wall:  # a clock that was set back must not make it live for years
                self._files.keep(place, rules, now + min(until - wall, LIFETIME))

    # -- the proof ----------------------------------------------------------------------------------

    def proofs(self) -> dict[str, Proof]:
        """What every host that was contacted has seen of us; the least contacted of very many in one."""
        found = {name: past.kept.proof for name, past in self._past.items()}
        found |= {name: state.proof for name, state in self.active.items()}
        found = {name: proof for name, proof in found.items() if proof.departures}
        if self.others.hosts:
            found[f"({self.others.hosts:,} more hosts)"] = self.others.proof
        return found
