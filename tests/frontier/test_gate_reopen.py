"""What the gate of one process tells the gate of the next. Two clocks: monotonic, and the wall's."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.frontier.gate import Gate
from scraper.frontier.host import Permit
from scraper.frontier.limits import Limits
from scraper.frontier.robots import Robots
from scraper.reasons import Reason
from scraper.request import Request, raw
from scraper.settings import HostRules, Settings

HOST = "h.example"
ORIGIN = "http://h.example"
WALL = 1_800_000_000.0
SLOW = Robots(crawl_delay=7.0)


class Life:
    """A gate, and what a store has been told by it and those before."""

    def __init__(self, **fields: Any) -> None:
        rules = HostRules(Settings(**{"robots": False, "delay": 0.0, "per_host": 4, **fields}))
        self.gate = Gate(rules, Limits(rules.settings, 0.0))
        self.hosts: dict[str, Any] = {}
        self.robots: dict[str, Any] = {}

    @property
    def host(self) -> Any:
        return self.gate.host(HOST)

    def commit(self, now: float, wall: float) -> None:
        """As plain data, which a store makes bytes of."""
        hosts, robots = self.gate.changes(now, wall)
        self.hosts |= msgspec.msgpack.decode(msgspec.msgpack.encode(hosts))
        self.robots |= msgspec.msgpack.decode(msgspec.msgpack.encode(robots))

    def next(self, now: float, wall: float, sent: dict[str, int] | None = None, **fields: Any) -> Life:
        """The process after this one, which knows only what was committed."""
        life = Life(**fields)
        life.hosts, life.robots = self.hosts, self.robots
        life.gate.reopen(self.hosts, self.robots, sent or {}, now, wall)
        return life


def page(number: int = 0, **fields: Any) -> Request:
    return raw(url=f"{ORIGIN}/{number}", **fields)


def sent(life: Life, now: float, number: int = 0) -> Permit:
    """One page, there and back."""
    life.gate.hold(HOST, [page(number)], now)
    permit = life.gate.next(now)
    assert isinstance(permit, Permit)
    assert life.gate.depart(permit, now)
    life.gate.release(permit, now)
    return permit


def first_time(life: Life, now: float) -> float:
    """When the next page may go."""
    life.gate.hold(HOST, [page(99)], now)
    assert life.gate.next(now) is None or life.host.earliest() <= now
    return float(life.host.earliest())


def test_a_rest_ends_when_it_was_to_end_whatever_the_monotonic_clock_begins_at() -> None:
    life = Life()
    life.gate.overloaded(life.host, 100.0, 50.0)
    life.commit(50.0, WALL)
    assert first_time(life.next(9000.0, WALL + 30), 9000.0) == pytest.approx(9070.0)
    assert first_time(life.next(1.0, WALL + 99), 1.0) == pytest.approx(2.0)
    assert first_time(life.next(1.0, WALL + 101), 1.0) <= 1.0


def test_a_clock_that_was_set_back_makes_no_rest_longer_than_the_longest() -> None:
    life = Life()
    life.gate.overloaded(life.host, 100.0, 0.0)
    life.gate.learn(ORIGIN, SLOW, 86_400.0, 0.0)
    life.commit(0.0, WALL)
    late = life.next(0.0, WALL - 10 * 365 * 86_400.0, max_rest=120.0)
    assert first_time(late, 0.0) == 120.0
    late.gate.known.turn(late.host, ORIGIN)
    assert late.host.until == 86_400.0


def test_no_host_known_or_not_is_contacted_before_the_opening_plus_its_delay() -> None:
    life = Life(delay=0.5)
    sent(life, 10.0)
    life.commit(10.0, WALL)
    after = life.next(20.0, WALL + 1, delay=0.5)
    assert first_time(after, 20.0) == 20.5
    assert after.gate.host("new.example").earliest() == 20.5


def test_a_crawl_delay_holds_from_the_first_request_also_when_its_file_is_too_old_to_be_used() -> None:
    life = Life(robots=True, delay=0.5)
    life.gate.learn(ORIGIN, SLOW, 100.0, 0.0)
    life.commit(0.0, WALL)
    soon = life.next(0.0, WALL + 10, robots=True, delay=0.5)
    assert first_time(soon, 0.0) == 7.0
    assert soon.gate.needs == []
    late = life.next(0.0, WALL + 101, robots=True, delay=0.5)
    late.gate.hold(HOST, [page()], 0.0)
    assert late.gate.next(7.0) is None
    assert late.gate.needs == [ORIGIN]
    assert late.host.delay == 7.0


def test_what_a_file_allows_and_that_none_could_be_had_are_known() -> None:
    life = Life(robots=True)
    life.gate.learn(ORIGIN, Robots.parse(b"User-agent: *\nDisallow: /1", "scraper"), 100.0, 0.0)
    life.gate.learn("http://no.example", None, 100.0, 0.0)
    life.commit(0.0, WALL)
    after = life.next(0.0, WALL, robots=True)
    after.gate.hold(HOST, [page(1)], 0.0)
    after.gate.hold("no.example", [raw(url="http://no.example/")], 0.0)
    refused = [after.gate.next(0.0), after.gate.next(0.0)]
    assert [each[1] for each in refused if isinstance(each, tuple)] == [Reason.ROBOTS, Reason.ROBOTS_UNREACHABLE]
    assert after.gate.needs == []


def test_the_pace_of_the_settings_in_force_counts_but_never_below_that_of_robots_txt() -> None:
    life = Life(robots=True, delay=3.0)
    sent_at = [0.0, 3.1]
    life.gate.learn(ORIGIN, Robots(), 1000.0, 0.0)
    for number, at in enumerate(sent_at):
        sent(life, at, number)
    life.commit(5.0, WALL)
    assert life.next(0.0, WALL, robots=True, delay=0.1).host.delay == 0.1
    slower = life.next(0.0, WALL, robots=True, delay=9.0)
    assert (slower.host.delay, slower.host.proof.delay, slower.host.proof.least_gap) == (9.0, 9.0, None)
    same = life.next(0.0, WALL, robots=True, delay=3.0)
    assert same.host.proof.least_gap == pytest.approx(3.1)
    assert same.host.proof.departures == 2
    life.gate.learn(ORIGIN, SLOW, 1000.0, 5.0)
    life.commit(5.0, WALL)
    assert life.next(0.0, WALL, robots=True, delay=0.1).host.delay == 7.0


def test_strikes_go_on_so_that_each_rest_is_longer() -> None:
    life, rests = Life(backoff=2.0), []
    for _ in range(4):
        sent(life, 1000.0)
        rests.append(life.gate.overloaded(life.host, None, 1000.0) - 1000.0)
        life.commit(1000.0, WALL)
        life = life.next(0.0, WALL + 100, backoff=2.0)
    assert rests == [2.0, 4.0, 8.0, 16.0]


def test_the_breaker_counts_on_over_processes_that_never_reached_the_host() -> None:
    life, wall = Life(breaker=3, breaker_trips=1), WALL
    for failures in range(1, 5):
        assert not life.host.down
        life.gate.hold(HOST, [page(failures)], 1000.0)
        permit = life.gate.next(1000.0)
        assert isinstance(permit, Permit)
        life.gate.unhealthy(life.host, 1000.0)
        life.gate.release(permit, 1000.0)
        life.commit(1000.0, wall)
        wall += 10_000.0
        life = life.next(0.0, wall, breaker=3, breaker_trips=1)
    assert life.host.down
    life.gate.hold(HOST, [page()], 0.0)
    refused = life.gate.next(0.0)
    assert isinstance(refused, tuple)
    assert refused[1] is Reason.HOST_DOWN


def test_a_host_that_has_come_back_is_known_as_well() -> None:
    life = Life(breaker=1, breaker_trips=3)
    sent(life, 0.0)
    life.gate.unhealthy(life.host, 0.0)
    life.commit(0.0, WALL)
    assert life.hosts[HOST]["trial"]
    life = life.next(0.0, WALL + 10_000)
    sent(life, 0.0)
    life.commit(0.0, WALL + 10_000)
    life.gate.healthy(life.host)
    life.commit(0.0, WALL + 10_000)
    assert "trial" not in life.hosts[HOST]


def test_pages_of_a_host_count_by_their_first_outcome_whenever_that_is_committed() -> None:
    life = Life(max_pages_per_host=2)
    sent(life, 0.0)
    life.commit(0.0, WALL)  # it has departed, and is not answered yet
    assert life.next(0.0, WALL).host.pages == 0
    assert life.next(0.0, WALL, {HOST: 1}).host.pages == 1
    life.gate.answered(HOST)
    life.commit(0.0, WALL)
    after = life.next(0.0, WALL, max_pages_per_host=2)
    assert after.host.pages == 1
    after.gate.healthy(after.host)
    after.gate.hold(HOST, [page(1), page(2)], 0.0)
    assert isinstance(after.gate.next(0.0), Permit)
    refused = after.gate.next(0.0)
    assert isinstance(refused, tuple)
    assert refused[1] is Reason.HOST_LIMIT


@given(st.lists(st.tuples(st.sampled_from("rhuda"), st.floats(0, 50)), max_size=30), st.booleans())
def test_nothing_that_changed_is_left_out(events: list[tuple[str, float]], often: bool) -> None:
    """Whatever happens between two commits, what a store has is what the gate knows."""
    life, now = Life(delay=1.0, breaker=2), 0.0
    for what, wait in events:
        now += wait
        host = life.host
        if what == "r":
            life.gate.overloaded(host, wait, now)
        elif what == "h":
            life.gate.healthy(host)
        elif what == "u":
            life.gate.unhealthy(host, now)
        elif what == "a":
            life.gate.answered(HOST)
        elif host.earliest() <= now and not host.queue and not host.down:
            sent(life, now)
        if often:
            life.commit(now, WALL + now)
    life.commit(now, WALL + now)
    kept = msgspec.to_builtins(life.host.kept(now, WALL + now))
    stored = life.hosts.get(HOST) or msgspec.to_builtins(Life(delay=1.0).host.kept(now, WALL))
    rest, kept_rest = stored.pop("rest", 0.0), kept.pop("rest", 0.0)
    assert stored == kept
    assert kept_rest == 0.0 or rest == pytest.approx(kept_rest)


def test_the_limits_go_on_with_what_had_an_outcome_and_what_was_sent_for_certain() -> None:
    limits = Limits(Settings(max_pages=10), 0.0)
    limits.restore(begun=6, sent=2, open_=3, items=4)
    assert (limits.pages_left, limits.begun, limits.items) == (2, 6, 4)
    assert limits.reserve()
    assert limits.reserve()
    assert not limits.reserve()
    for _ in range(5):
        assert not limits.spent()
        limits.settle()
    assert limits.spent()
    limits.over = "seen enough"
    assert limits.reached(0.0) == "seen enough"
