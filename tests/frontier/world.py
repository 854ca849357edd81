"""Simulated time and servers around a gate, and a record of their own of all that reaches them.

Nothing here reads the gate's state to judge it: what is out, spaced, resting or waiting is counted again.
The gate is asked only when a line would ask it: after a report, and at the time `wake_at` named.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from random import Random
from typing import Any

from scraper.frontier.gate import Gate
from scraper.frontier.host import Permit, Proof, Waiter
from scraper.frontier.known import Known, broken
from scraper.frontier.limits import Limits
from scraper.frontier.robots import Robots
from scraper.reasons import Reason
from scraper.request import Request, raw
from scraper.settings import HostRules, HostSettings, Settings
from scraper.url import netloc, origin

SLACK = 0.003  # seconds: the gate's margin and the rounding of floats
MOST_CALLS = 200_000


@dataclass
class Site:
    """One host: how it behaves, and what it has seen."""

    name: str
    delay: float
    per_host: int
    robots: str  # "off", "free", "delay", "unreachable", "none" (all allowed), "closed"
    pages: int
    trouble: dict[str, float]  # outcome -> weight
    connect: float = 0.0
    answer: float = 0.0
    out: set[Permit] = field(default_factory=set, repr=False)
    boarding: set[Permit] = field(default_factory=set, repr=False)
    last: float | None = field(default=None, repr=False)
    rest_until: float = field(default=0.0, repr=False)
    failed: bool = field(default=False, repr=False)  # a connection failed: the breaker may be at work
    heard: bool = field(default=False, repr=False)  # it has answered
    departures: int = field(default=0, repr=False)
    counted: int = field(default=0, repr=False)
    least_gap: float | None = field(default=None, repr=False)
    known: set[str] = field(default_factory=set, repr=False)  # origins whose robots.txt was learned
    queued: deque[Request] = field(default_factory=deque, repr=False)  # in no order


class World:
    """Runs a crawl of pages without content until nothing moves.

    With `forgets` the gate remembers next to nothing of the hosts that it has let go.
    """

    def __init__(
        self, seed: int, sites: list[Site], *, pauses: bool = False, forgets: bool = False, **settings: Any
    ) -> None:
        self.random = Random(seed)
        self.sites = {site.name: site for site in sites}
        hosts = {
            site.name: HostSettings(delay=site.delay, per_host=site.per_host, robots=site.robots != "off")
            for site in sites
        }
        self.settings = Settings(hosts=hosts, **settings)
        self.limits = Limits(self.settings, 0.0)
        rules = HostRules(self.settings)
        self.forgets = forgets
        self.gate = Gate(rules, self.limits, Known(rules, listed=1, files=0) if forgets else None)
        self.now = 0.0
        self.taking = True
        self.answered: Counter[str] = Counter()
        self.held = 0  # requests given to the gate and not decided yet
        self.uncounted = 0  # pages admitted that held no place before
        self.waiting: set[Waiter] = set()
        self.asked_robots: Counter[str] = Counter()
        self.early_refusals = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._calls = 0
        self._woken: float | None = None
        for site in sites:
            self._arrive(site)
        for _ in range(20):
            self.at(self.random.uniform(0, 30), self._commit)
        if pauses:
            for _ in range(self.random.randint(1, 4)):
                at = self.random.uniform(0, 3)
                self.at(at, self._pause)
                self.at(at + self.random.uniform(0, 2), self._resume)

    # -- time ---------------------------------------------------------------------------------------

    def at(self, when: float, what: Callable[[], None]) -> None:
        self._number += 1
        heappush(self._events, (when, self._number, what))

    def later(self, longest: float, what: Callable[[], None]) -> None:
        wait = self.random.choice((0.0, longest, self.random.uniform(0, longest)))
        self.at(self.now + wait, what)

    def run(self) -> None:
        """Event after event; the gate's own wake-up is one of them."""
        self.feed()
        while self._events or self._woken is not None:
            if self._woken is not None and (not self._events or self._woken <= self._events[0][0]):
                self.now = max(self.now, self._woken)
            else:
                self.now, _, what = heappop(self._events)
                what()
            self.feed()

    def feed(self) -> None:
        """What a line does after each report."""
        while True:
            self._calls += 1
            assert self._calls < MOST_CALLS, "the gate keeps asking to be called for nothing"
            decided = self.gate.next(self.now, pages=self.taking)
            while self.gate.needs:
                place = self.gate.needs.pop()
                self.asked_robots[place] += 1
                self.at(self.now, partial(self._fetch_robots, place))
            if decided is None:
                break
            if isinstance(decided, Permit):
                self._admitted(decided)
            else:
                self._refused(*decided)
        self._woken = self.gate.wake_at(pages=self.taking)
        assert self._woken is None or self._woken > self.now, "what is due now was not served"
        self._nobody_starves()

    def _commit(self) -> None:
        """The gate lets hosts go: here those that are met again must be as they were."""
        self.gate.changes(self.now, self.now)
        waiting = {waiter.request.host for waiter in self.waiting}
        asked = {place: netloc(place) for place in self.asked_robots}  # perhaps again, where rules are forgotten
        asking = {name for place, name in asked.items() if self.forgets or place not in self.sites[name].known}
        for name in self.gate.hosts.keys() - waiting - asking:
            site = self.sites[name]
            paced = site.last is not None and self.now < site.last + site.delay + SLACK
            resting = self.now < site.rest_until or site.failed
            assert site.queued or site.out or paced or resting, f"{name} is kept at {self.now} for nothing"

    def _pause(self) -> None:
        self.taking = False

    def _resume(self) -> None:
        self.taking = True

    # -- the queue ----------------------------------------------------------------------------------

    def _arrive(self, site: Site) -> None:
        left = site.pages
        while left > 0:
            number = min(left, self.random.randint(1, 8))
            scheme = "https" if self.random.random() < 0.2 else "http"
            requests = [raw(url=f"{scheme}://{site.name}/{left - i}", depth=i % 3) for i in range(number)]
            self.at(self.random.choice((0.0, self.random.uniform(0, 4))), partial(self.hold, site, requests))
            left -= number

    def hold(self, site: Site, requests: list[Request]) -> None:
        site.queued.extend(requests)
        self.held += len(requests)
        self.gate.hold(site.name, requests, self.now)

    def _take(self, site: Site, request: Request) -> Request:
        found = next(r for r in site.queued if r.url == request.url)
        site.queued.remove(found)
        self.held -= 1
        return found

    def _refused(self, request: Request, reason: Reason) -> None:
        site = self.sites[request.host]
        before = self._take(site, request)
        self.answered[reason.value] += 1
        self._first_outcome(before)
        if reason is Reason.HOST_DOWN:
            assert site.failed, "a host that never failed is no host that is down"
        if before.counted:
            self.limits.settle()

    # -- admissions and what becomes of them --------------------------------------------------------

    def _admitted(self, permit: Permit) -> None:
        site = self.sites[permit.request.host]
        if permit.waiter is None:
            assert self.taking, "a page was admitted while none was to be taken"
            before = self._take(site, permit.request)
            assert permit.request.counted
            if not before.counted:
                self.uncounted += 1
                site.counted += 1
            if site.robots != "off":
                assert origin(permit.request.url) in site.known, "admitted before its rules were known"
                assert site.robots not in ("closed", "unreachable")
        else:
            assert permit.waiter in self.waiting, "a waiter was served twice, or after it had left"
            self.waiting.discard(permit.waiter)
        assert not (site.delay and site.boarding), "two between admission and departure"
        site.out.add(permit)
        site.boarding.add(permit)
        assert len(site.out) <= (site.per_host if site.heard else 1)
        assert sum(len(s.out) for s in self.sites.values()) <= self.settings.concurrency
        self.later(site.connect, lambda: self._connected(permit, site))

    def _connected(self, permit: Permit, site: Site) -> None:
        outcome = self._outcome(site)
        if outcome == "refused":
            site.failed = True
            self.gate.unhealthy(permit.host, self.now)
            self._over(permit, site)
            self._again(permit)
        elif outcome == "cancelled" or not self._depart(permit, site):
            self._over(permit, site)
            self._back(permit)
        else:
            assert not self.gate.depart(permit, self.now), "one permit, two departures"
            self.later(0.01, lambda: self._sent(permit, site, outcome))

    def _outcome(self, site: Site) -> str:
        return self.random.choices(list(site.trouble), list(site.trouble.values()))[0]

    def _depart(self, permit: Permit, site: Site) -> bool:
        if not self.gate.depart(permit, self.now):
            early = site.last is not None and self.now < site.last + site.delay + SLACK
            assert early or self.now < site.rest_until or site.failed, "called off for nothing"
            self.early_refusals += 1
            return False
        if site.last is not None:
            gap = self.now - site.last
            assert gap >= site.delay, f"{site.name}: {gap} s after the last departure, not {site.delay}"
            site.least_gap = gap if site.least_gap is None else min(gap, site.least_gap)
        assert self.now >= site.rest_until, "departed while its host rests"
        site.last = self.now
        site.departures += 1
        return True

    def _sent(self, permit: Permit, site: Site, outcome: str) -> None:
        if self.random.random() < 0.95:
            site.last = max(site.last or 0.0, self.now)
            site.boarding.discard(permit)
            self.gate.sent(permit, self.now)
        self.later(site.answer, lambda: self._answered(permit, site, outcome))

    def _answered(self, permit: Permit, site: Site, outcome: str) -> None:
        site.heard = site.heard or outcome != "reset"
        if outcome in ("429", "wait"):
            after = self.random.choice((0.0, 0.5, 3.0, 1e9)) if outcome == "wait" else None
            until = self.gate.overloaded(permit.host, after, self.now)
            least = min(after or self.settings.backoff, self.settings.max_rest)
            assert until >= self.now + least
            site.rest_until = max(site.rest_until, self.now + least, until)
        elif outcome == "reset":
            site.failed = True
            self.gate.unhealthy(permit.host, self.now)
        else:
            self.gate.healthy(permit.host)
        self._over(permit, site)
        if outcome in ("ok", "fetch"):
            self._settle(permit, "done")
        else:
            self._again(permit)
        if outcome == "fetch":
            self._own_fetch(site)

    def _over(self, permit: Permit, site: Site) -> None:
        site.boarding.discard(permit)
        site.out.discard(permit)
        self.gate.release(permit, self.now)
        if self.random.random() < 0.1:
            self.gate.release(permit, self.now)
        assert not self.gate.depart(permit, self.now), "departed after its place was given back"

    def _first_outcome(self, request: Request) -> None:
        if request.counted and not request.tries:
            self.gate.answered(request.host)

    def _back(self, permit: Permit) -> None:
        if permit.waiter is None:
            site = self.sites[permit.request.host]
            site.queued.append(permit.request)
            self.held += 1
            self.gate.back(permit.request, self.now)
        else:
            self.ask(permit.waiter.request, permit.waiter.told, exempt=permit.waiter.exempt)

    def _again(self, permit: Permit) -> None:
        request = permit.request
        self._first_outcome(request)
        if permit.waiter is not None:
            self._told_robots(permit.waiter)
        elif request.tries < 2:
            again = request.replace(tries=request.tries + 1)
            self.later(2.0, lambda: self.hold(self.sites[request.host], [again]))
        else:
            self._settle(permit, "failed")

    def _settle(self, permit: Permit, how: str) -> None:
        if permit.waiter is None:
            self.limits.settle()
            self.answered[how] += 1
            if how == "done":
                self._first_outcome(permit.request)
        else:
            self._told_robots(permit.waiter)

    # -- tasks that wait: a callback's own fetches, and robots.txt ----------------------------------

    def ask(self, request: Request, told: Callable[[Any], None], *, exempt: bool = False) -> None:
        waiter = Waiter(request, told, exempt=exempt)
        self.waiting.add(waiter)

        def hear(permit: Permit | None) -> None:
            if permit is None:
                assert waiter.refused is not None
                self.waiting.discard(waiter)
                self._told_robots(waiter)

        waiter.told = hear
        self.gate.ask(waiter, self.now)
        if not exempt and self.random.random() < 0.2:
            self.later(1.0, lambda: self._leave(waiter))

    def _leave(self, waiter: Waiter) -> None:
        if waiter in self.waiting:
            self.waiting.discard(waiter)
            self.gate.forget(waiter, self.now)

    def _own_fetch(self, site: Site) -> None:
        target = self.random.choice((site, *self.sites.values()))
        for number in range(self.random.randint(1, 3)):
            self.ask(raw(url=f"http://{target.name}/own/{number}"), lambda permit: None)

    def _fetch_robots(self, place: str) -> None:
        self.ask(raw(url=f"{place}/robots.txt"), lambda permit: None, exempt=True)

    def _told_robots(self, waiter: Waiter) -> None:
        """A fetch for robots.txt has ended, well or not: its rules are learned a little later."""
        if waiter.exempt:
            self.later(0.2, lambda: self._learn(origin(waiter.request.url)))

    def _learn(self, place: str) -> None:
        site = self.sites[netloc(place)]
        site.known.add(place)
        rules: Robots | None = Robots()
        if site.robots == "unreachable":
            rules = None
        elif site.robots == "closed":
            rules = Robots.disallow_all()
        elif site.robots == "delay" and place.startswith("http:"):
            rules = Robots((), 1.5)
            if site.delay < 1.5:
                site.delay, site.least_gap = 1.5, None
        self.gate.learn(place, rules, self.now + 1e6, self.now)

    # -- what must hold -----------------------------------------------------------------------------

    def _nobody_starves(self) -> None:
        """While places are free, a host that may be contacted and has work has been served."""
        if not self.taking or sum(len(s.out) for s in self.sites.values()) >= self.settings.concurrency:
            return
        for site in self.sites.values():
            places = site.per_host if site.heard and not self.forgets else 1
            if not site.queued or site.failed or len(site.out) >= places:
                continue
            if (site.delay and site.boarding) or self.now < site.rest_until:
                continue
            if site.last is not None and site.delay and self.now < site.last + site.delay + SLACK:
                continue
            origins = {origin(r.url) for r in site.queued}
            origins |= {place for place in self.asked_robots if netloc(place) == site.name}
            if site.robots != "off" and (self.forgets or not origins <= site.known):
                continue
            full = self.settings.max_pages and self.uncounted >= self.settings.max_pages
            if full and not any(r.counted for r in site.queued):
                continue
            raise AssertionError(f"{site.name} waits at {self.now} for nothing")

    def check_the_end(self) -> None:
        """Everything was decided, nothing is out, and the counts agree."""
        gate, most = self.gate, self.settings.max_pages
        assert gate.out == 0
        assert not any(site.out for site in self.sites.values())
        assert self.held == sum(len(site.queued) for site in self.sites.values())
        assert gate.queued == (0 if most and self.uncounted >= most else self.held)  # the rest was let go of
        assert not self.waiting, "a task waits for ever"
        assert self.limits.pages == self.uncounted == sum(site.counted for site in self.sites.values())
        assert self.limits.open == 0
        if self.held:
            assert self.uncounted == most > 0, "requests were lost"
            assert not any(r.counted for site in self.sites.values() for r in site.queued)
        assert not most or self.uncounted <= most
        limit = self.settings.max_pages_per_host
        for site in self.sites.values():
            assert not limit or site.counted <= limit
        gate.changes(self.now + 1e6, self.now)
        assert not gate.hosts, "a host is kept for nothing"
        if self.forgets:
            self._check_sums(gate.proofs())
        else:
            self._check_proofs(gate.proofs())
            assert all(times == 1 for times in self.asked_robots.values()), "rules fetched twice"

    def _check_proofs(self, proofs: dict[str, Proof]) -> None:
        assert proofs.keys() == {site.name for site in self.sites.values() if site.departures}
        for name, proof in proofs.items():
            site = self.sites[name]
            assert (proof.departures, proof.early) == (site.departures, 0)
            assert proof.least_gap == site.least_gap
            assert proof.most_parallel <= site.per_host

    def _check_sums(self, proofs: dict[str, Proof]) -> None:
        assert sum(proof.departures for proof in proofs.values()) == sum(s.departures for s in self.sites.values())
        assert len(proofs) <= 2
        assert not any(map(broken, proofs.values()))
