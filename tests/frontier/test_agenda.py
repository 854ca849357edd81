"""An agenda against a plain list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scraper.frontier.agenda import Agenda
from scraper.frontier.host import Host

HOSTS = [Host(f"h{i}", 0.0, 1, False) for i in range(6)]
STEPS = st.lists(
    st.tuples(st.sampled_from(("put", "put", "drop", "pop", "wait")), st.sampled_from(HOSTS), st.integers(-3, 5)),
    max_size=400,
)


@given(STEPS)
def test_an_agenda_gives_whoever_has_been_due_longest(steps: list[tuple[str, Host, int]]) -> None:
    agenda, now, line = Agenda(), 0.0, list[tuple[float, Host]]()
    for verb, host, number in steps:
        stands = next((place for place in line if place[1] is host), None)
        if verb == "put":
            agenda.put(host, now + number, now)
            if stands is None:
                line.append((max(now + number, now), host))
            elif now + number > stands[0]:
                line.remove(stands)
                line.append((now + number, host))
        elif verb == "drop":
            agenda.drop(host)
            line = [place for place in line if place[1] is not host]
        elif verb == "wait":
            now += max(0, number)
        else:
            first = min((place for place in line if place[0] <= now), key=lambda place: place[0], default=None)
            assert agenda.pop(now) is (first[1] if first else None)
            if first:
                line.remove(first)
        assert agenda.first() == min((place[0] for place in line), default=None)


def test_the_places_that_were_left_do_not_pile_up() -> None:
    agenda = Agenda()
    for due in range(10_000):
        agenda.put(HOSTS[due % 6], float(due), 0.0)
    assert len(agenda._heap) < 100


def test_a_host_that_leaves_and_comes_back_at_the_same_time_stands_last() -> None:
    agenda = Agenda()
    first, second, third, *_ = HOSTS
    for host in (first, second, third):
        agenda.put(host, 1.0, 1.0)
    agenda.drop(first)
    agenda.put(first, 1.0, 1.0)
    assert [agenda.pop(1.0) for _ in range(4)] == [second, third, first, None]
