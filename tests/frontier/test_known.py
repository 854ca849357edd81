"""What is kept of hosts: all while something is under way, little afterwards; nothing that matters is lost."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from scraper.frontier.gate import Gate
from scraper.frontier.host import Host, Permit, Proof
from scraper.frontier.known import ENTRY, Files, Known, Others, broken
from scraper.frontier.limits import Limits
from scraper.frontier.robots import Robots
from scraper.reasons import Reason
from scraper.request import raw
from scraper.settings import HostRules, Settings

RULES = Robots.parse(b"User-agent: *\nDisallow: /private\nCrawl-delay: 7", "scraper")


def gate(listed: int = 10, files: int = 2**20, **fields: Any) -> Gate:
    rules = HostRules(Settings(**{"robots": False, "delay": 0.5, "per_host": 4, **fields}))
    return Gate(rules, Limits(rules.settings, 0.0), Known(rules, listed=listed, files=files))


def visit(line: Gate, host: str, now: float, pages: int = 1) -> None:
    """Some pages, there and back."""
    for number in range(pages):
        line.hold(host, [raw(url=f"http://{host}/{number}")], now)
        permit = line.next(now)
        assert isinstance(permit, Permit)
        assert line.depart(permit, now)
        line.sent(permit, now)
        line.healthy(permit.host)
        line.release(permit, now)
        line.answered(host)
        now += 1.0


def test_a_crawl_of_many_hosts_keeps_those_that_something_is_under_way_for() -> None:
    line = gate()
    for number in range(3_000):
        visit(line, f"h{number}.example", float(number))
        line.changes(float(number), 0.0)
    line.changes(3_000.0, 0.0)
    assert not line.hosts
    gc.collect()
    assert sum(isinstance(each, Host) for each in gc.get_objects()) < 20
    assert sum(isinstance(each, Proof) for each in gc.get_objects()) < 50
    proofs = line.proofs()
    assert len(proofs) <= 11
    assert sum(proof.departures for proof in proofs.values()) == 3_000
    assert line.known.met == 3_000
    assert not any(map(broken, proofs.values()))


def test_a_host_is_kept_while_its_delay_runs_and_its_pages_have_no_outcome() -> None:
    line = gate()
    line.hold("a.example", [raw(url="http://a.example/")], 0.0)
    permit = line.next(0.0)
    assert isinstance(permit, Permit)
    line.depart(permit, 0.0)
    line.release(permit, 0.1)
    line.changes(9.0, 0.0)
    assert line.hosts  # its callback runs
    line.answered("a.example")
    line.changes(0.2, 0.0)
    assert line.hosts  # its delay runs
    line.changes(0.6, 0.0)
    assert not line.hosts


def test_a_host_that_is_met_again_is_the_same_as_before() -> None:
    line = gate(robots=True, backoff=4.0)
    line.learn("http://a.example", RULES, 1e6, 0.0)
    visit(line, "a.example", 0.0)
    before = line.host("a.example")
    assert line.overloaded(before, None, 10.0) == 14.0
    line.changes(11.0, 0.0)
    assert line.hosts  # it rests
    line.changes(15.0, 0.0)
    assert not line.hosts
    again = line.host("a.example")
    assert again is not before
    assert (again.delay, again.strikes, again.last_departure) == (7.0, 1, 0.0)
    line.hold("a.example", [raw(url="http://a.example/private")], 15.0)
    refused = line.next(15.0)
    assert isinstance(refused, tuple)
    assert refused[1] is Reason.ROBOTS
    assert line.needs == []
    assert line.proofs()["a.example"].departures == 1


def test_what_bears_on_a_host_is_known_when_its_proof_was_summed() -> None:
    line = gate(listed=2, max_pages_per_host=1, breaker=1, breaker_trips=1)
    down = line.host("down.example")
    for now in (0.0, 9000.0):
        line.hold("down.example", [raw(url="http://down.example/", counted=True)], now)
        permit = line.next(now)
        assert isinstance(permit, Permit)
        line.unhealthy(down, now)
        line.release(permit, now)
    for number in range(40):
        visit(line, f"h{number}.example", 1e5)
    told: dict[str, Any] = {}
    for now in (1e5 + 1, 1e5 + 2):
        told |= line.changes(now, 0.0)[0]
    assert (len(line.hosts), line.known.others.hosts) == (0, 39)
    assert told["down.example"]["down"]
    for host, reason in (("down.example", Reason.HOST_DOWN), ("h7.example", Reason.HOST_LIMIT)):
        line.hold(host, [raw(url=f"http://{host}/new")], 2e5)
        refused = line.next(2e5)
        assert isinstance(refused, tuple)
        assert refused[1] is reason


def test_the_sums_go_on_in_the_next_process_and_nothing_is_in_them_twice() -> None:
    stored: dict[str, Any] = {}
    line = gate(listed=3)
    for number in range(50):
        visit(line, f"h{number}.example", 10.0 * number, pages=1 + number % 2)
        stored |= line.changes(10.0 * number + 5, 0.0)[0]
    after = gate(listed=3)
    others = {"hosts": line.known.others.hosts, "proof": line.known.others.proof}
    after.reopen(stored, {}, {}, 0.0, 0.0, others=others)
    assert sum(proof.departures for proof in after.proofs().values()) == 75
    assert len(after.hosts) == 0
    assert sum(bool(data) for data in stored.values()) == 50 - line.known.others.hosts


def test_a_host_that_was_treated_worse_than_promised_is_listed_by_name() -> None:
    known = Known(HostRules(Settings()), listed=2)
    stored = {f"h{n}.example": {"proof": {"departures": 100, "per_host": 1}} for n in range(9)}
    stored["bad.example"] = {"proof": {"departures": 1, "early": 1, "per_host": 1}}
    known.reopen(stored, {}, None, 0.0, 0.0)
    proofs = known.proofs()
    assert proofs["bad.example"].early == 1
    assert proofs["(8 more hosts)"].departures == 800


def test_the_sum_of_proofs_tells_the_worst() -> None:
    others = Others()
    for proof in (
        Proof(delay=1.0, per_host=4, departures=2, least_gap=1.5, most_parallel=1),
        Proof(delay=2.0, per_host=1, departures=3, least_gap=2.1, most_parallel=1, rests=1),
        Proof(delay=0.0, per_host=2, departures=1),
    ):
        others.add(proof)
    assert (others.hosts, others.proof.departures, others.proof.rests) == (3, 6, 1)
    assert (others.proof.least_gap, others.proof.delay) == (2.1, 2.0)
    assert (others.proof.most_parallel, others.proof.per_host) == (1, 1)
    assert not broken(others.proof)
    others.add(Proof(delay=3.0, per_host=2, departures=1, least_gap=2.9, most_parallel=3))
    assert broken(others.proof)


def test_of_too_many_robots_files_those_are_forgotten_that_came_first() -> None:
    files = Files(most=20 * ENTRY)
    for number in range(100):
        files.keep(f"http://h{number}.example", Robots().to_bytes(), 100.0)
    assert len(files) == 20
    assert files.take("http://h79.example") == (None, 0.0)
    assert files.take("http://h80.example") == (Robots(), 100.0)
    assert files.take("http://h80.example") == (None, 0.0)
    for _ in range(50):
        files.keep("http://one.example", RULES.to_bytes(), 5.0)
    assert files.take("http://one.example") == (RULES, 5.0)
    assert len(files) == 18  # it costs more than two of the others


def test_stored_rules_of_another_version_are_fetched_anew() -> None:
    files = Files()
    files.keep("http://a.example", Robots(version=99).to_bytes(), 100.0)
    assert files.take("http://a.example") == (None, 0.0)


@pytest.mark.parametrize("same", [Robots(), RULES])
def test_files_that_say_the_same_are_kept_once(same: Robots) -> None:
    line = gate(robots=True)
    for number in range(5):
        line.learn(f"http://h{number}.example", Robots.from_bytes(same.to_bytes()), 1e6, 0.0)
    assert len({id(rules) for state in line.hosts.values() for rules, _ in state.files.values()}) == 1


# -- hosts that do not answer -----------------------------------------------------------------------


def places(line: Gate, now: float) -> int:
    """How many may go at once."""
    found = 0
    while isinstance(line.next(now), Permit):
        found += 1
    return found


def test_a_host_has_one_place_until_it_has_answered() -> None:
    line = gate(delay=0.0)
    line.hold("a.example", [raw(url=f"http://a.example/{n}") for n in range(20)], 0.0)
    first = line.next(0.0)
    assert isinstance(first, Permit)
    assert places(line, 0.0) == 0
    line.healthy(first.host)
    line.release(first, 1.0)
    assert places(line, 1.0) == 4


def test_a_host_whose_connection_failed_has_one_place_until_it_answers_again() -> None:
    line = gate(delay=0.0)
    line.hold("a.example", [raw(url=f"http://a.example/{n}") for n in range(20)], 0.0)
    host = line.host("a.example")
    line.healthy(host)
    out = [line.next(0.0) for _ in range(4)]
    permits = [permit for permit in out if isinstance(permit, Permit)]
    line.unhealthy(host, 1.0)
    line.release(permits[0], 1.0)
    line.release(permits[1], 1.0)
    assert places(line, 1.0) == 0
    line.healthy(host)
    line.release(permits[2], 1.0)
    assert places(line, 1.0) == 3


def test_an_overloaded_host_has_answered() -> None:
    line = gate(delay=0.0, backoff=1.0)
    line.hold("a.example", [raw(url=f"http://a.example/{n}") for n in range(20)], 0.0)
    first = line.next(0.0)
    assert isinstance(first, Permit)
    line.overloaded(first.host, None, 0.0)
    line.release(first, 0.0)
    assert places(line, 2.0) == 4
