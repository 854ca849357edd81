"""The gate keeps its promises whatever servers, tasks and times do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.frontier.world import Site, World

MODEST = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
@given(SEED, sites(), CONCURRENCY, st.integers(1, 60), st.integers(0, 9))
def test_limits_are_exact_at_any_concurrency(
    seed: int, hosts: list[Site], concurrency: int, most: int, per_host: int
) -> None:
    world = World(
        seed, hosts, concurrency=concurrency, max_pages=most, max_pages_per_host=per_host, max_rest=20.0
    )
    world.run()
    world.check_the_end()
