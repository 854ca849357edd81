"""The gate keeps its promises whatever servers, tasks and times do."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scraper.frontier.gate import Gate
from scraper.frontier.host import Permit, Waiter
from scraper.frontier.limits import Limits
from scraper.frontier.robots import Robots
from scraper.reasons import Reason
from scraper.request import Request, raw
from scraper.settings import HostRules, HostSettings, Settings
from tests.frontier.world import Site, World

MODEST = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WELL = {"ok": 1.0}
ILL = {"ok": 6.0, "fetch": 1.0, "429": 1.0, "wait": 1.0, "refused": 1.0, "cancelled": 1.0, "reset": 1.0}
BUSY = {"ok": 6.0, "fetch": 2.0, "429": 0.3, "wait": 0.3, "cancelled": 1.0}


@st.composite
def sites(draw: st.DrawFn, troubles: tuple[dict[str, float], ...] = (WELL, ILL, BUSY)) -> list[Site]:
    return [
        Site(
            f"h{number}.example",
            delay=draw(st.sampled_from((0.0, 0.0, 0.05, 0.5, 2.0))),
            per_host=draw(st.integers(1, 4)),
            robots=draw(st.sampled_from(("off", "free", "delay", "unreachable", "closed"))),
            pages=draw(st.integers(0, 25)),
            trouble=draw(st.sampled_from(troubles)),
            connect=draw(st.sampled_from((0.0, 0.1, 3.0))),
            answer=draw(st.sampled_from((0.0, 0.2, 5.0))),
        )
        for number in range(draw(st.integers(1, 12)))
    ]


CONCURRENCY = st.sampled_from((1, 7, 64, 200))
SEED = st.integers(0, 2**32 - 1)


@MODEST
@given(SEED, sites(), CONCURRENCY, st.booleans())
def test_every_promise_holds_in_a_crawl(seed: int, hosts: list[Site], concurrency: int, pauses: bool) -> None:
    world = World(seed, hosts, pauses=pauses, concurrency=concurrency, max_rest=20.0)
    world.run()
    world.check_the_end()
    assert world.held == 0


@MODEST
@given(SEED, sites(), CONCURRENCY, st.integers(0, 60), st.integers(0, 9))
def test_every_promise_holds_where_little_is_remembered(
    seed: int, hosts: list[Site], concurrency: int, most: int, per_host: int
) -> None:
    world = World(
        seed,
        hosts,
        forgets=True,
        concurrency=concurrency,
        max_pages=most,
        max_pages_per_host=per_host,
        max_rest=20.0,
    )
    world.run()
    world.check_the_end()


@MODEST
@given(SEED, sites(), CONCURRENCY, st.integers(1, 60), st.integers(0, 9))
def test_limits_are_exact_at_any_concurrency(
    seed: int, hosts: list[Site], concurrency: int, most: int, per_host: int
) -> None:
    world = World(seed, hosts, concurrency=concurrency, max_pages=most, max_pages_per_host=per_host, max_rest=20.0)
    world.run()
    world.check_the_end()


# -- one rule at a time -----------------------------------------------------------------------------

HOST = "h.example"
ORIGIN = "http://h.example"


def gate(**fields: Any) -> Gate:
    """One to which HOST is known to answer."""
    rules = HostRules(Settings(**{"robots": False, "delay": 0.0, "per_host": 4, **fields}))
    made = Gate(rules, Limits(rules.settings, 0.0))
    made.healthy(made.host(HOST))
    return made


def pages(number: int, host: str = HOST, **fields: Any) -> list[Request]:
    return [raw(url=f"http://{host}/{i}", **fields) for i in range(number)]


def admitted(gate: Gate, now: float) -> Permit:
    permit = gate.next(now)
    assert isinstance(permit, Permit)
    return permit


def fail(gate: Gate, now: float) -> None:
    """One request that cannot connect."""
    permit = admitted(gate, now)
    gate.unhealthy(permit.host, now)
    gate.release(permit, now)


def test_hosts_are_served_in_the_order_they_became_due() -> None:
    """However much work comes in for the others meanwhile, nobody passes a host twice."""
    line = gate(concurrency=1, per_host=1)
    names = [f"h{i}.example" for i in range(9)]
    for name in names:
        line.hold(name, pages(3, name), 0.0)
    served: list[str] = []
    for step in range(18):
        permit = admitted(line, float(step))
        served.append(permit.host.name)
        for name in names:
            line.hold(name, pages(2, name), step + 0.5)
        line.release(permit, step + 0.9)
    assert served == names * 2


@given(st.lists(st.integers(0, 8), min_size=1, max_size=60), st.integers(1, 4))
def test_no_host_is_passed_twice_by_another_while_it_waits(noise: list[int], places: int) -> None:
    line = gate(concurrency=places, per_host=2)
    names = [f"h{i}.example" for i in range(9)]
    for name in names:
        line.healthy(line.host(name))
        line.hold(name, pages(200, name), 0.0)
    passed: dict[str, Counter[str]] = {name: Counter() for name in names}
    out = [admitted(line, 0.0) for _ in range(places)]
    for step, number in enumerate(noise):
        line.hold(names[number], pages(1, names[number]), step + 0.1)
        line.release(out.pop(number % len(out)), step + 0.2)
        out.append(admitted(line, step + 0.3))
        host = out[-1].host.name
        passed[host].clear()
        for name in names:
            passed[name][host] += name != host
            waits = sum(permit.host.name == name for permit in out) < 2
            assert not waits or passed[name][host] <= 2


def test_retries_and_redirects_go_first_then_priority_then_depth() -> None:
    line = gate()
    order = [
        raw(url=f"{ORIGIN}/retry", counted=True),
        raw(url=f"{ORIGIN}/dear", priority=2, depth=9),
        raw(url=f"{ORIGIN}/near"),
        raw(url=f"{ORIGIN}/next"),
        raw(url=f"{ORIGIN}/far", depth=1),
    ]
    for request in (order[4], order[2], order[1], order[3], order[0]):
        line.hold(HOST, (request,), 0.0)
    assert [admitted(line, 0.0).request.url for _ in range(4)] == [r.url for r in order[:4]]


def test_a_waiting_task_goes_before_pages_and_robots_before_tasks() -> None:
    line = gate(per_host=1, robots=True)
    told: list[str] = []
    line.hold(HOST, pages(1), 0.0)
    for name in ("task", "robots.txt", "second.txt"):
        request = raw(url=f"http://h.example/{name}")
        line.ask(Waiter(request, lambda permit: None, exempt=name != "task"), 0.0)
    line.learn(ORIGIN, Robots(), 1e9, 0.0)
    for now in range(4):
        permit = admitted(line, now)
        told.append(permit.request.url.rpartition("/")[2])
        line.release(permit, now)
    assert told == ["robots.txt", "second.txt", "task", "0"]


def test_the_delay_runs_from_when_the_headers_are_out() -> None:
    line = gate(delay=1.0)
    line.hold(HOST, pages(3), 0.0)
    first = admitted(line, 0.0)
    assert line.depart(first, 3.0)
    assert line.next(4.5) is None
    line.sent(first, 5.0)
    assert line.wake_at() == pytest.approx(6.0, abs=0.01)
    assert line.next(5.9) is None
    assert line.depart(admitted(line, 6.1), 6.1)


def test_what_was_admitted_before_a_crawl_delay_was_learned_does_not_depart_too_early() -> None:
    line = gate(robots=True)
    line.hold(HOST, pages(3), 0.0)
    line.learn(ORIGIN, Robots(), 1e9, 0.0)
    first, second = admitted(line, 0.0), admitted(line, 0.0)
    assert line.depart(first, 1.0)
    line.learn("https://h.example", Robots((), 10.0), 1e9, 2.0)
    assert not line.depart(second, 3.0)
    line.release(second, 3.0)
    assert line.proofs()[HOST].delay == 10.0


def test_rules_learned_before_any_request_count() -> None:
    line = gate(robots=True)
    line.learn(ORIGIN, Robots((), 5.0), 1e9, 0.0)
    line.hold(HOST, pages(2), 0.0)
    permit = admitted(line, 0.0)
    line.depart(permit, 0.0)
    line.release(permit, 0.0)
    assert line.wake_at() == pytest.approx(5.0, abs=0.01)


def test_rules_are_asked_for_once_and_again_when_they_are_old() -> None:
    line = gate(robots=True)
    line.hold(HOST, pages(2), 0.0)
    line.ask(Waiter(raw(url="http://h.example/own"), lambda permit: None), 0.0)
    assert line.next(0.0) is None
    assert line.next(0.0) is None
    assert line.needs == [ORIGIN]
    line.needs.clear()
    line.learn(ORIGIN, Robots(), 100.0, 1.0)
    admitted(line, 2.0)
    assert line.next(101.0) is None
    assert line.needs == [ORIGIN]


def test_no_rules_are_fetched_when_no_more_pages_may_be() -> None:
    line = gate(robots=True, max_pages=1, hosts={HOST: HostSettings(robots=False)})
    line.hold(HOST, pages(1), 0.0)
    line.hold("b.example", pages(1, "b.example"), 1.0)
    admitted(line, 2.0)
    assert line.next(2.0) is None
    assert line.needs == []


def test_a_host_that_fails_rests_longer_each_time_and_is_then_down() -> None:
    line = gate(breaker=3, breaker_rest=10.0, breaker_trips=2)
    line.hold(HOST, pages(9), 0.0)
    for _ in range(3):
        fail(line, 0.0)
    assert line.wake_at() == 10.0
    fail(line, 10.0)
    assert line.wake_at() == 30.0
    fail(line, 30.0)
    refused = [line.next(30.0) for _ in range(5)]
    assert {decided[1] for decided in refused[:4] if isinstance(decided, tuple)} == {Reason.HOST_DOWN}
    assert refused[4] is None
    assert (line.queued, line.out) == (0, 0)


def test_what_waits_for_a_host_that_goes_down_is_refused_at_once() -> None:
    line = gate(breaker=1, breaker_rest=10.0, breaker_trips=1)
    line.hold(HOST, pages(5), 0.0)
    first, second = admitted(line, 0.0), admitted(line, 0.0)
    line.unhealthy(first.host, 0.0)
    line.release(first, 0.0)
    line.release(second, 0.0)
    waiter = Waiter(raw(url="http://h.example/own"), lambda permit: None)
    permit = admitted(line, 10.0)
    line.ask(waiter, 10.0)
    line.unhealthy(permit.host, 10.0)
    line.release(permit, 10.0)
    assert {decided[1] for decided in (line.next(10.0), line.next(10.0)) if isinstance(decided, tuple)} == {
        Reason.HOST_DOWN
    }
    assert waiter.refused is Reason.HOST_DOWN


def test_after_its_rest_a_host_is_tried_with_one_request() -> None:
    line = gate(breaker=1, breaker_rest=10.0)
    line.hold(HOST, pages(9), 0.0)
    fail(line, 0.0)
    trial = admitted(line, 10.0)
    assert line.next(10.0) is None
    line.healthy(trial.host)
    line.release(trial, 11.0)
    assert [line.next(11.0) is None for _ in range(5)].count(False) == 4


def test_answers_to_what_was_out_before_a_rest_change_nothing() -> None:
    line = gate(breaker=1, breaker_rest=10.0, backoff=1.0)
    line.hold(HOST, pages(9), 0.0)
    out = [admitted(line, 0.0) for _ in range(4)]
    host = out[0].host
    line.unhealthy(host, 0.0)
    line.unhealthy(host, 1.0)
    assert line.overloaded(host, None, 1.0) == 10.0
    line.healthy(host)
    for permit in out:
        line.release(permit, 2.0)
    assert line.wake_at() == 10.0
    admitted(line, 10.0)
    assert line.next(10.0) is None


def test_an_overloaded_host_rests_twice_as_long_each_time_until_it_answers() -> None:
    line = gate(backoff=1.0, max_backoff=5.0)
    line.hold(HOST, pages(99), 0.0)
    now, rests = 0.0, []
    for status in (429, 429, 429, 429, 200, 429):
        permit, late = admitted(line, now), admitted(line, now)
        if status == 200:
            line.healthy(permit.host)
        else:
            until = line.overloaded(permit.host, None, now)
            assert line.overloaded(permit.host, None, now) == until
            rests.append(until - now)
            line.healthy(permit.host)
            now = until
        line.release(permit, now)
        line.release(late, now)
    assert rests == [1.0, 2.0, 4.0, 5.0, 1.0]


@pytest.mark.parametrize(("after", "rest"), [(7.0, 7.0), (1e9, 60.0), (0.0, 1.0), (None, 1.0)])
def test_a_retry_after_is_kept_within_bounds(after: float | None, rest: float) -> None:
    line = gate(backoff=1.0, max_rest=60.0)
    line.hold(HOST, pages(1), 0.0)
    assert line.overloaded(admitted(line, 0.0).host, after, 0.0) == rest


def test_a_rest_is_never_shortened() -> None:
    line = gate()
    line.rest(line.host(HOST), 9.0, 0.0)
    assert line.rest(line.host(HOST), 1.0, 0.0) == 9.0
    assert line.resting(HOST, 4.0) == 5.0
    assert line.resting("other.example", 4.0) == 0.0
