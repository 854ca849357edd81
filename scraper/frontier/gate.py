"""The gate: which host may be contacted now, and with what. Pure: no I/O, the time is passed in.

An agenda of due times, so a decision costs O(log hosts). A host stands in it at the time of its next
admission, and only while it has work and a free place. Times are monotonic seconds. Rules:

- The delay runs from departure to departure; a host with a delay has at most one request between admission
  and its headers being out, so the next is admitted when the delay after the last departure is over.
- One permit, one send. A place is given back when the body has been read, or the send has failed.
- A host has one place until it has answered, and again after a connection that failed: what does not answer
  holds one place of the crawl, not all that a host may have.
- A resting host (429, 503, breaker) gets nothing. What was admitted before a rest began or a crawl delay was
  learned is refused at departure.
- Hosts are served in the order in which they became due.
- The rules of an origin's robots.txt are a precondition: `needs` names the origins to be fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from ..reasons import Reason
from ..request import Request, altered, raw
from ..settings import HostRules
from ..url import origin
from .agenda import Agenda
from .host import Host, Permit, Proof, Waiter
from .known import Known
from .lanes import COUNTED, rank
from .limits import Limits
from .robots import Robots

Refusal = tuple[Request, Reason]
# Seconds added to a delay, because a server may take the first of two requests up later than the second: most
# of all one on a new connection, which it has to accept first (measured on a busy machine: 8 ms).
MARGIN = 0.002
NEW_CONNECTION = 0.010
PLAIN = rank(raw(url=""))  # of a new request without a priority: plus its depth


def _nobody() -> None:
    """No other process sends."""


class Gate:
    """Paces every request of the crawl: pages, robots.txt, redirect hops, retries, a callback's fetches."""

    def __init__(self, rules: HostRules, limits: Limits, known: Known | None = None) -> None:
        self.needs: list[str] = []  # origins whose robots.txt must be fetched
        self.queued = 0
        self.out = 0
        self.known = Known(rules) if known is None else known
        self.hosts = self.known.active  # those that something is under way for
        self._settings = rules.settings
        self._most = rules.settings.concurrency
        self._most_pages = rules.settings.max_pages_per_host
        self._limits = limits
        self._pages = Agenda()  # hosts with requests to admit
        self._urgent = Agenda()  # hosts that a task waits for
        self._number = 0
        self._last = False  # the last place under `max_pages` is taken
        self.called_off: Callable[[], None] = _nobody  # told when what was `granted` is to be asked about again

    # -- what comes in ------------------------------------------------------------------------------

    def hold(self, host: str, requests: Sequence[Request], now: float) -> None:
        """Take over requests of one host; with `max_pages` used up only those that hold a place already."""
        state = self.host(host)
        if self._limits.full:
            requests = [request for request in requests if request.counted]
        number, queue = self._number, state.queue
        for request in requests:
            number += 1
            order = rank(request) if request.counted or request.priority else PLAIN + request.depth
            heappush(queue, (order, number, request))
        self._number = number
        self.queued += len(requests)
        if state not in self._pages.places:
            self._schedule(state, now)

    def back(self, request: Request, now: float) -> None:
        """Take back a request that was admitted and not sent."""
        self.hold(request.host, (request,), now)

    def ask(self, waiter: Waiter, now: float) -> None:
        """Serve a waiting task ahead of the queue; one that is exempt ahead of the others."""
        state = self.host(waiter.request.host)
        ahead = sum(other.exempt for other in state.waiters) if waiter.exempt else len(state.waiters)
        state.waiters.insert(ahead, waiter)
        self._schedule(state, now)

    def forget(self, waiter: Waiter, now: float) -> None:
        """A waiting task gave up; O(tasks that wait for its host)."""
        state = self.hosts.get(waiter.request.host)
        if state is not None and waiter in state.waiters:
            state.waiters.remove(waiter)
            self._schedule(state, now)

    @property
    def waited_for(self) -> bool:
        """Whether a task waits for a host that has a free place."""
        return bool(self._urgent.places)

    def host(self, name: str) -> Host:
        """The state of a host, as it was when it was last heard of."""
        return self.hosts.get(name) or self.known.meet(name)

    # -- what goes out ------------------------------------------------------------------------------

    def next(self, now: float, *, pages: bool = True) -> Permit | Refusal | None:
        """Admit one request that may go now, refuse one by a rule, or None when nothing is due.

        Tasks that wait go first; with `pages` false only they are served.
        """
        if self.out >= self._most:
            return None
        while self._urgent.places and (state := self._urgent.pop(now)) is not None:
            permit = self._serve(state, now)
            self._schedule(state, now)
            if permit is not None:
                return permit
        while pages and (state := self._pages.pop(now)) is not None:
            decided = self._decide(state, now)
            if decided is not None:
                return decided
        return None

    def _decide(self, state: Host, now: float) -> Permit | Refusal | None:
        """Admit or refuse the first request of a host that is due and has a free place, taken off the agenda."""
        request = state.queue[0][2]
        reason = self._refusal(state, request, now)
        if reason is None and state.parked:
            self._schedule(state, now)
            return None
        heappop(state.queue)
        self.queued -= 1
        if reason is not None:
            self._schedule(state, now)
            return request, reason
        limits = self._limits
        if not request.counted:
            limits.reserve()
            state.pages += 1
            request = altered(request, counted=True)
        if limits.most and limits.full and not self._last:
            self._let_go(now)
        permit = self._admit(state, request, None)
        if state.waiters:
            self._schedule(state, now)
        elif state.queue and not state.delay and state.out < state.places:  # with a delay it is when this is out
            self._pages.put(state, now, now)
        return permit

    def _let_go(self, now: float) -> None:
        """`max_pages` are taken: what has no place must not keep retries and redirects out. O(queued), once."""
        self._last = True
        for state in self.hosts.values():
            state.queue = [entry for entry in state.queue if entry[0] < COUNTED]
            heapify(state.queue)
            self._schedule(state, now)
        self.queued = sum(len(state.queue) for state in self.hosts.values())

    def _refusal(self, state: Host, request: Request, now: float) -> Reason | None:
        if state.down:
            return Reason.HOST_DOWN
        if self._most_pages and state.pages >= self._most_pages and not request.counted:
            return Reason.HOST_LIMIT
        return self._robots_refusal(state, request.url, now) if state.robots else None

    def _robots_refusal(self, state: Host, url: str, now: float) -> Reason | None:
        """Why robots.txt forbids a URL; parks the host while its rules are not known."""
        if not url.startswith(state.prefix):
            self.known.turn(state, origin(url))
        if state.until <= now:
            state.parked = origin(url)
            self.needs.append(state.parked)  # once: a parked host comes here again when the rules are learned
            return None
        rules = state.rules
        if rules is None:
            return Reason.ROBOTS_UNREACHABLE
        return None if not rules.rules or rules.allowed(url) else Reason.ROBOTS

    def _serve(self, state: Host, now: float) -> Permit | None:
        """Admit or refuse the first of the tasks that wait for a host that is due and has a free place."""
        waiter = state.waiters[0]
        reason = Reason.HOST_DOWN if state.down else None
        if reason is None and state.robots and not waiter.exempt:
            reason = self._robots_refusal(state, waiter.request.url, now)
        if reason is None and state.parked and not waiter.exempt:
            return None
        del state.waiters[0]
        if reason is None:
            return self._admit(state, waiter.request, waiter)
        waiter.refused = reason
        waiter.told(None)
        return None

    def _admit(self, state: Host, request: Request, waiter: Waiter | None) -> Permit:
        state.out += 1
        state.boarding += 1
        state.tried = True
        self.out += 1
        return Permit(state, request, waiter)

    # -- what is reported ---------------------------------------------------------------------------

    def depart(self, permit: Permit, now: float, *, reused: bool = True) -> bool:
        """The connection (`reused` or new) is ready, the headers are about to be written; False: give it back."""
        state = permit.host
        if permit.departed or permit.released or state.next_at > now or state.rest_until > now:
            return False
        permit.reused = reused
        self.departed(permit, now, state.out)
        return True

    def granted(self, permit: Permit, now: float) -> bool:
        """Whether a permit holds unasked, until `called_off`: its host is neither paced nor resting."""
        return not permit.host.delay and not permit.host.trial and permit.host.earliest() <= now

    def departed(self, permit: Permit, now: float, parallel: int) -> None:
        """A permit was used, when so many requests to its host were out."""
        permit.departed = True
        state = permit.host
        if not state.changed:
            self.known.note(state)
        state.left(now, parallel)
        self._space(state, now, permit.reused)

    def sent(self, permit: Permit, now: float) -> None:
        """The headers have been written: the delay runs from here, and only now may the next be admitted."""
        if not permit.boarding or not permit.departed:
            return
        permit.boarding = False
        state = permit.host
        state.boarding -= 1
        self._space(state, now, permit.reused)
        if state.delay:
            self._schedule(state, now)

    def release(self, permit: Permit, now: float) -> None:
        """The send is over, well or not. Does nothing the second time."""
        if permit.released:
            return
        permit.released = True
        state = permit.host
        if permit.boarding:
            permit.boarding = False
            state.boarding -= 1
        state.out -= 1
        self.out -= 1
        if state not in self._pages.places or state.waiters:  # one that stands there has its time
            self._schedule(state, now)

    def _space(self, state: Host, now: float, reused: bool) -> None:
        if state.last_departure is None or now > state.last_departure:
            state.last_departure = now
        if state.delay:
            at = now + state.delay + (MARGIN if reused else NEW_CONNECTION)
            if at > state.next_at:
                state.next_at = at

    def rest(self, state: Host, seconds: float, now: float) -> float:
        """Leave a host alone; gives the time until when (a rest is never shortened)."""
        state.rests(now + seconds, now)
        self.called_off()
        self.known.note(state)
        self._schedule(state, now)
        return state.rest_until

    def overloaded(self, state: Host, after: float | None, now: float) -> float:
        """A 429 or 503: rest as long as asked for (clamped), or a step that doubles; gives until when.

        To be asked for no time at all (`after` 0, a date in the past) is to be asked for nothing.
        """
        state.silent = False
        if state.tried:
            state.strikes += 1
        state.weigh()
        step = self._settings.backoff * 2 ** (min(max(state.strikes, 1), 30) - 1)
        seconds = after or min(step, self._settings.max_backoff)
        return self.rest(state, min(seconds, self._settings.max_rest), now)

    def healthy(self, state: Host) -> None:
        """The host answered. What was out since before a rest says nothing about the time after it."""
        if state.well:
            return
        self.known.note(state)
        state.silent = False
        state.failures = 0
        if state.tried:
            state.trips = state.strikes = 0
            state.trial = False
        state.weigh()  # the release that follows takes the new places up

    def unhealthy(self, state: Host, now: float) -> None:
        """A connection failed: after so many in a row the host rests, after so many rests it is down."""
        if not state.tried or state.down:
            return  # one of those that were out when it tripped
        state.failures += 1
        state.silent = True
        state.weigh()
        self.known.note(state)
        settings = self._settings
        if state.failures < settings.breaker and not state.trial:
            self._schedule(state, now)
            return
        state.trips += 1
        state.failures = 0
        state.trial = True
        if state.trips <= settings.breaker_trips:
            longest = max(settings.breaker_rest, settings.max_rest)
            self.rest(state, min(settings.breaker_rest * 2 ** min(state.trips - 1, 30), longest), now)
            return
        state.down = True
        self._schedule(state, now)

    def answered(self, host: str) -> None:
        """A page that holds a place under `max_pages_per_host` has its first outcome."""
        state = self.host(host)
        state.answered += 1
        if not state.changed:
            self.known.note(state)
        if not state.out and state.idle():
            self.known.leaving.put(state, state.next_at, state.next_at)

    def learn(self, place: str, rules: Robots | None, until: float, now: float) -> None:
        """The robots.txt of an origin: its rules, or None when it is unreachable; good until then. O(log hosts)."""
        state = self.known.learn(place, rules, until)
        if state.parked == place:
            state.parked = ""
        delay = rules.crawl_delay if rules is not None and state.robots else None
        if delay is not None and delay > state.delay:
            state.delay = state.asked = state.proof.delay = delay
            self.called_off()
            state.proof.least_gap = None  # the gaps before were under another promise
            since = self.known.opened if state.last_departure is None else state.last_departure
            if since is not None:
                state.next_at = max(state.next_at, since + delay + MARGIN)
        self._schedule(state, now)

    # -- from one process to the next ---------------------------------------------------------------

    def reopen(
        self,
        kept: Mapping[str, Any],
        robots: Mapping[str, Any],
        sent: Mapping[str, int],
        now: float,
        wall: float,
        *,
        others: Mapping[str, Any] | None = None,
    ) -> None:
        """Go on with what `changes` has told an earlier process; `now` and `wall` are the same moment.

        Nobody knows when that process contacted a host last: none is contacted before now plus its delay.
        `sent` pages of a host had no outcome yet; `others` are the hosts it has summed.
        """
        self.known.reopen(kept, robots, others, now, wall)
        for name, pages in sent.items():
            self.host(name).pages += pages

    def changes(self, now: float, wall: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """What `reopen` needs of the hosts, and of the origins, that changed since the last call. O(changes)."""
        return self.known.changes(now, wall)

    # -- when to come back --------------------------------------------------------------------------

    def _schedule(self, state: Host, now: float) -> None:
        """Put a host where it belongs in the agendas: at its next admission, or out of them."""
        down = state.down
        open_ = down or state.free()
        known = down or not state.parked
        if open_ and known and state.queue:
            self._pages.put(state, now if down else state.earliest(), now)
        elif state in self._pages.places:
            self._pages.drop(state)
        if open_ and state.waiters and (known or state.waiters[0].exempt):
            self._urgent.put(state, now if down else state.earliest(), now)
        elif state in self._urgent.places:
            self._urgent.drop(state)
        if not (state.queue or state.out or state.waiters or state.parked):
            self.known.leaving.put(state, state.earliest(), now)

    def wake_at(self, *, pages: bool = True) -> float | None:
        """When `next` is worth another call if nothing is reported before; None: only after a report."""
        if self.out >= self._most:
            return None
        urgent = self._urgent.first()
        due = self._pages.first() if pages else None
        return due if urgent is None else urgent if due is None else min(due, urgent)

    def resting(self, host: str, now: float) -> float:
        """Seconds that a host will still be left alone."""
        state = self.hosts.get(host)
        return max(0.0, state.rest_until - now) if state else 0.0

    def proofs(self) -> dict[str, Proof]:
        """What every host that was contacted has seen of us; the least contacted of very many in one."""
        return self.known.proofs()
