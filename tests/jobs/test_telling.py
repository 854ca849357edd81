"""From the end of a run to what arrives: when, how often, in which message, and across kills."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from scraper.clock import FastClock
from scraper.errors import UsageError
from scraper.jobs.file import Row
from scraper.jobs.job import DAY, HOUR, Alerts, Channel, Job, Server
from scraper.jobs.message import Untold
from scraper.jobs.raising import GROUP
from scraper.jobs.record import JobRun, State
from scraper.jobs.store import Jobs
from scraper.jobs.telling import Telling, back_off

from .hook import Hand, Hook, silent
from .world import planned

START = 1_772_366_400.0  # 2026-03-01 12:00 UTC


class World:
    """A store with a channel, and who tells of it; may be thrown away and opened again."""

    def __init__(self, home: Path, hook: Hook, kind: type[Jobs] = Jobs) -> None:
        self.home, self.hook = home, hook
        self.clock = Hand(START)
        self.open(kind)
        self.channels(ops=Channel(webhook=hook.url, allow_private=True))

    def open(self, kind: type[Jobs] = Jobs) -> None:
        self.store = kind(self.home)
        root = self.home.parent
        self.telling = Telling(self.store, self.clock, root=root, project=root, chance=lambda: 0.5)

    def killed(self, kind: type[Jobs] = Jobs) -> None:
        """As after a kill: all that was in memory is gone."""
        self.store.close()
        self.open(kind)

    def channels(self, *free_space: str, **channels: Channel) -> None:
        server = Server(channels=channels, address="https://desk.test/", free_space=free_space)
        self.store.set_server(server, self.clock.now, "ann")

    def job(self, name: str = "shop", **alerts: Any) -> Job:
        job = Job(name=name, spider="shop", alerts=Alerts(**alerts))
        self.store.put(job, now=self.clock.now, who="ann")
        return job

    def ran(self, state: State, job: str = "shop", **given: Any) -> JobRun:
        """A run that begins and ends now."""
        now = self.clock.now
        made = self.store.plan(planned(now, job=job))
        assert made is not None
        run = replace(made, state=State.RUNNING, began=now - 60, started=now - 60, attempts=1)
        run = self.store.update(run)
        why = "timeout" if state is State.FAILED else ""
        self.clock.now += 0.001
        return self.store.update(replace(run, **{"state": state, "ended": now, "why": why, **given}))

    async def on(self, seconds: float = 0.0) -> list[str]:
        """Let time pass, look and send; gives the titles of what has arrived."""
        before = len(self.hook.requests)
        self.telling.look()
        self.clock.now += seconds
        self.telling.look()
        await self.telling.send_due()
        return self.hook.texts[before:]


@pytest.fixture
async def world(home: Path, hook: Hook) -> AsyncIterator[World]:
    made = World(home, hook)
    yield made
    made.store.close()


async def test_a_failed_run_is_told_once_and_its_recovery_too(world: World) -> None:
    world.job()
    run = world.ran(State.FAILED, items=7)
    assert await world.on(GROUP - 1) == []
    assert await world.on(1) == ["shop: failed"]
    (told,) = world.hook.told[0]["alerts"]
    assert (told["state"], told["run"], told["link"]) == ("open", run.id, f"https://desk.test/runs/{run.id}")
    assert told["text"] == f"run {run.id} failed: timeout; 7 items"
    assert world.hook.told[0]["text"].splitlines() == [
        "shop: failed",
        f"  run {run.id} failed: timeout; 7 items",
        "  since 2026-03-01 12:00 UTC",
        f"  https://desk.test/runs/{run.id}",
        f"  more: scraper jobs log {run.id}",
    ]
    assert await world.on(DAY) == []
    world.ran(State.FINISHED, items=9)
    assert await world.on(GROUP) == ["shop: failed has recovered"]
    (told,) = world.hook.told[1]["alerts"]
    assert (told["state"], told["ending"]) == ("recovered", f"run {run.id + 1} finished with 9 items")
    assert world.store.open_alerts() == []
    assert await world.on(DAY) == []


async def test_what_comes_within_half_a_minute_is_one_message(world: World) -> None:
    for name in ("books", "shop", "wine"):
        world.job(name)
    world.ran(State.FAILED, "wine")
    await world.on(GROUP)
    world.ran(State.FAILED, "shop")
    assert await world.on(20) == []
    world.ran(State.FAILED, "books")
    world.ran(State.FINISHED, "wine")
    assert await world.on(10) == ["2 alerts, 1 recovered: books, shop, wine"]
    world.ran(State.FINISHED, "shop")
    assert await world.on(GROUP) == ["shop: failed has recovered"]


async def test_a_rule_that_stays_broken_is_told_again_at_most_every_so_often(world: World) -> None:
    world.job(every=HOUR)
    told = []
    for _ in range(24):
        world.ran(State.FAILED)
        told += await world.on(10 * 60)
    assert len(told) == 4
    assert [each["alerts"][0]["times"] for each in world.hook.told] == [1, 8, 15, 22]
    assert len(world.store.alerts()) == 1


async def test_one_that_comes_and_goes_is_told_at_most_every_so_often_and_then_all_of_it(world: World) -> None:
    world.job(every=HOUR)
    told = []
    for state in (State.FAILED, State.FINISHED) * 12:
        world.ran(state)
        told += await world.on(5 * 60)
    assert len([title for title in told if "recovered" not in title]) <= 2
    assert len(told) <= 4
    await world.on(HOUR)
    seen = {alert["id"] for each in world.hook.told for alert in each["alerts"]}
    assert seen == {alert.id for alert in world.store.alerts()}
    assert len(seen) == 12


async def test_quiet_hours_hold_messages_until_they_end(world: World) -> None:
    world.job(quiet=("12:00-20:00",))
    world.job("loud")
    world.ran(State.FAILED)
    world.ran(State.FAILED, "loud")
    assert await world.on(60) == ["loud: failed"]
    assert await world.on(7 * HOUR) == []
    assert await world.on(HOUR) == ["shop: failed"]


async def test_what_has_recovered_before_it_was_told_is_told_as_both(world: World) -> None:
    world.job(quiet=("12:00-20:00",))
    world.ran(State.FAILED)
    await world.on(HOUR)
    world.ran(State.FINISHED)
    assert await world.on(HOUR) == []
    assert await world.on(6 * HOUR) == ["shop: failed has recovered"]
    assert "it was: run 1 failed: timeout; 0 items (since 2026-03-01 12:00 UTC" in world.hook.told[0]["text"]
    assert await world.on(DAY) == []


async def test_a_message_that_is_late_waits_for_the_end_of_quiet_hours(world: World) -> None:
    world.job(quiet=("13:00-14:00",))
    world.ran(State.FAILED)
    world.telling.look()
    world.clock.now = START + 1.5 * HOUR  # no server ran until then
    assert await world.on() == []
    assert await world.on(HOUR / 2) == ["shop: failed"]


async def test_only_the_channels_of_a_job_are_told(world: World) -> None:
    hook = Channel(webhook=world.hook.url, allow_private=True)
    world.channels(ops=hook, dev=hook)
    world.job("a", to=("dev",))
    world.job("b")
    world.ran(State.FAILED, "a")
    world.ran(State.FAILED, "b")
    await world.on(GROUP)
    assert {each.channel: len(each.alerts) for each in world.store.deliveries()} == {"ops": 1, "dev": 2}


async def test_without_channels_an_alert_is_only_kept(world: World) -> None:
    world.channels()
    world.job()
    world.ran(State.FAILED)
    assert await world.on(GROUP) == []
    assert [alert.told for alert in world.store.open_alerts()] == [0.0]
    world.channels(ops=Channel(webhook=world.hook.url, allow_private=True))
    world.ran(State.FAILED)
    assert await world.on(GROUP) == ["shop: failed"]


async def test_a_message_is_tried_for_a_day_with_one_body_and_one_key(world: World) -> None:
    world.job()
    world.hook.answers = [web.Response(status=500, text="busy") for _ in range(100)]
    world.ran(State.FAILED)
    world.telling.look()
    tries = []
    for _ in range(26 * 60):
        tries += [world.clock.now - START] * len(await world.on(60))
    (delivery,) = world.store.deliveries()
    assert delivery.given_up - delivery.began == pytest.approx(DAY, abs=61)
    assert delivery.error == "127.0.0.1 answered 500: busy"
    assert delivery.tries == len(tries) > 24
    gaps = [b - a for a, b in pairwise(tries)]
    assert gaps[:5] == [60, 60, 120, 240, 480]  # looked at once a minute
    assert max(gaps) <= HOUR + 60
    assert len({body for _, body in world.hook.requests}) == 1
    assert len({headers["X-Scraper-Delivery"] for headers, _ in world.hook.requests}) == 1
    assert len({headers["X-Scraper-Timestamp"] for headers, _ in world.hook.requests}) == len(tries)


def test_the_wait_before_the_next_try_doubles_up_to_an_hour() -> None:
    assert [back_off(tries, 0.5) for tries in (1, 2, 3, 8, 500)] == [30, 60, 120, 3600, 3600]
    assert [round(back_off(1, chance)) for chance in (0.0, 1.0)] == [24, 36]


async def test_a_receiver_may_ask_for_time(world: World) -> None:
    world.job()
    world.hook.answers = [web.Response(status=429, headers={"Retry-After": "600"})]
    world.ran(State.FAILED)
    assert len(await world.on(GROUP)) == 1
    assert await world.on(590) == []
    assert await world.on(10) == ["shop: failed"]


async def test_a_message_to_a_channel_that_is_gone_is_given_up(world: World) -> None:
    world.job()
    world.ran(State.FAILED)
    world.telling.look()
    world.channels(dev=Channel(webhook=world.hook.url, allow_private=True))
    assert await world.on(GROUP) == []
    (delivery,) = world.store.deliveries()
    assert (delivery.error, bool(delivery.given_up)) == ("there is no channel 'ops' any more", True)


async def test_a_channel_that_is_down_does_not_pile_up_repeats(world: World) -> None:
    world.channels(ops=Channel(webhook="http://127.0.0.1:1/", allow_private=True))
    world.job(every=60.0)
    for _ in range(20):
        world.ran(State.FAILED)
        await world.on(120)
    assert len(world.store.deliveries()) == 1


# Across kills.


async def test_a_kill_before_judging_loses_nothing(world: World) -> None:
    world.job()
    world.ran(State.FAILED)
    world.killed()
    assert await world.on(GROUP) == ["shop: failed"]
    world.killed()
    assert await world.on(DAY) == []


class Kill(BaseException):
    """The process is gone here."""


def killing(verb: str, at: int = 1) -> type[Jobs]:
    """A store that dies within the `at`-th call of a verb, after it was done."""
    left = at

    def die(self: Jobs, *args: Any, **options: Any) -> Any:
        nonlocal left
        found = getattr(Jobs, verb)(self, *args, **options)
        left -= 1
        if not left:
            raise Kill
        return found

    return type("Killing", (Jobs,), {verb: die})


@pytest.mark.parametrize("verb", ["judge", "raise_alert", "deliver", "keep_alert", "owed", "last_alert"])
async def test_a_kill_while_judging_leaves_nothing_half_done(world: World, verb: str) -> None:
    world.job()
    run = world.ran(State.FAILED)
    world.killed(killing(verb))
    with pytest.raises(Kill):
        world.telling.look()
    world.killed()
    assert (world.store.alerts(), world.store.deliveries(), world.store.unjudged()) == ([], [], [run.id])
    assert await world.on(GROUP) == ["shop: failed"]
    assert world.store.notes(run.id) == []


@pytest.mark.parametrize("verb", ["end_alert", "deliver"])
async def test_a_kill_while_a_recovery_is_written_leaves_nothing_half_done(world: World, verb: str) -> None:
    world.job()
    world.ran(State.FAILED)
    await world.on(GROUP)
    world.ran(State.FINISHED)
    world.killed(killing(verb))
    with pytest.raises(Kill):
        world.telling.look()
    world.killed()
    assert len(world.store.open_alerts()) == 1
    assert await world.on(GROUP) == ["shop: failed has recovered"]


@pytest.mark.parametrize(("at", "arrived"), [(1, 0), (2, 1)])
async def test_a_kill_while_sending_sends_again_with_the_same_key(world: World, at: int, arrived: int) -> None:
    """The first writes that it is tried, the second that it has arrived; the latter is undone here."""
    world.job()
    world.ran(State.FAILED)
    world.telling.look()
    world.clock.now += GROUP
    if at == 1:
        world.killed(killing("update_delivery"))
        with suppress(Kill):
            await world.telling.send_due()
        world.killed()
        assert world.store.deliveries()[0].tries == 0  # the claim was not kept
    else:
        (owed,) = world.store.owed()
        assert world.telling._claim(owed.id) is not None
        world.killed()
        assert await world.on() == []  # it may be on its way
    assert await world.on(GROUP) == ["shop: failed"]
    assert await world.on(DAY) == []


async def test_what_has_arrived_and_is_not_on_record_comes_once_more_with_its_key(world: World) -> None:
    world.job()
    world.ran(State.FAILED)
    world.telling.look()
    world.clock.now += GROUP
    before = world.store.owed()[0]
    await world.telling.send_due()
    with world.store.change() as base:  # the last write is lost
        base.execute("UPDATE delivery SET sent = 0, tries = 1, due = ?", (before.due + 30,))
    world.killed()
    assert await world.on(HOUR) == ["shop: failed"]
    (first, body), (again, same) = world.hook.requests
    assert first["X-Scraper-Delivery"] == again["Idempotency-Key"]
    assert body == same


# What only time tells.


async def test_a_run_that_lasts_too_long_is_told_while_it_runs(world: World) -> None:
    world.job(longer_than=HOUR, every=HOUR)
    made = world.store.plan(planned(START))
    assert made is not None
    run = world.store.update(replace(made, state=State.RUNNING, began=START, started=START, attempts=1))
    assert world.telling.look() == START + 60  # it looks again each minute
    assert await world.on(HOUR - 1) == []
    assert world.telling.look() == START + HOUR
    assert await world.on(1 + GROUP) == []
    assert await world.on(GROUP) == ["shop: longer_than"]
    world.store.update(replace(run, state=State.FINISHED, ended=world.clock.now))
    assert await world.on(GROUP) == []
    world.ran(State.FINISHED)
    assert await world.on(GROUP) == ["shop: longer_than has recovered"]


async def test_no_good_run_is_told_after_a_time_without_a_server_too(world: World) -> None:
    world.job(no_run_in=DAY, failed=False)
    world.ran(State.FINISHED)
    assert await world.on(GROUP) == []
    world.clock.now += 3 * DAY
    world.killed()
    world.ran(State.FAILED)
    assert await world.on(GROUP) == ["shop: no_run_in"]
    assert "for 3 days, longer than 1 day; the last one, run 2, is failed" in world.hook.told[0]["text"]
    assert await world.on(HOUR) == []
    assert await world.on(DAY) == []
    assert await world.on(GROUP) == ["shop: no_run_in"]  # again after as long
    world.ran(State.FINISHED)
    assert await world.on(GROUP) == ["shop: no_run_in has recovered"]


async def test_a_job_that_has_a_good_run_is_not_looked_at_before_that_is_too_old(world: World) -> None:
    world.job(no_run_in=DAY)
    world.ran(State.FINISHED)
    asked: list[str] = []

    class Counted(Jobs):
        def rows(self, text: str, *values: Any) -> list[Row]:
            asked.extend(each for each in values if each == "shop")
            return super().rows(text, *values)

    world.killed(Counted)
    world.telling.look()
    first = len(asked)
    assert first
    world.clock.now += DAY - 1
    world.telling.look()
    assert len(asked) == first
    world.job(no_run_in=HOUR)  # another limit counts at once
    assert await world.on(GROUP) == ["shop: no_run_in"]


async def test_a_job_that_never_ran_counts_from_its_first_time(world: World) -> None:
    world.job(no_run_in=DAY)
    world.store.pause("shop", "not yet", START, "ann")
    assert await world.on(DAY - 1) == []
    await world.on(1)
    assert await world.on(GROUP) == ["shop: no_run_in"]
    assert "the job is paused (not yet)" in world.hook.told[0]["text"]


async def test_little_free_space_is_told_each_day_and_when_there_is_enough_again(world: World) -> None:
    ops = Channel(webhook=world.hook.url, allow_private=True)
    world.channels("1000 TB", ops=ops)
    world.job()  # of which nothing is told
    assert await world.on(GROUP) == ["server: free_space"]
    (told,) = world.hook.told[0]["alerts"]
    assert (told["job"], told["link"], told["type"]) == ("", "https://desk.test/alerts", "scraper jobs alerts")
    assert told["text"].endswith("less than 1,000,000.0 GB")
    world.killed()
    assert await world.on(DAY - 60) == []
    await world.on(60)
    assert await world.on(GROUP) == ["server: free_space"]
    world.channels("1 kB", ops=ops)
    assert await world.on(GROUP) == ["server: free_space has recovered"]


async def test_a_job_whose_schedule_is_over_misses_nothing(world: World) -> None:
    job = Job(name="shop", spider="shop", schedule="@daily", end="2026-03-03", alerts=Alerts(no_run_in=DAY))
    world.store.put(job, now=START, who="ann")
    await world.on(1.1 * DAY)
    assert await world.on(GROUP) == ["shop: no_run_in"]
    await world.on(DAY)
    assert world.store.open_alerts() == []
    assert world.store.alerts()[0].ending == "its schedule is over"


async def test_a_rule_that_was_turned_off_leaves_no_open_alert(world: World) -> None:
    world.job()
    world.ran(State.FAILED)
    await world.on(GROUP)
    world.job(failed=False)
    world.ran(State.FAILED)
    assert await world.on(GROUP) == []
    assert world.store.open_alerts() == []


async def test_a_run_of_a_job_that_was_removed_is_judged_by_nothing(world: World) -> None:
    world.job()
    run = world.ran(State.FAILED)
    world.store.remove("shop", START, "ann")
    assert await world.on(GROUP) == []
    assert world.store.notes(run.id) == ["its job was removed"]
    with world.store.change() as base:
        base.execute("DELETE FROM run")
    assert world.store.notes(run.id) is None


async def test_what_kept_a_rule_from_being_asked_is_kept(world: World) -> None:
    world.job(items_below=0.5)
    run = world.ran(State.FINISHED, items=1)
    await world.on()
    assert world.store.notes(run.id) == [
        "items_below: not asked, it needs 3 good runs before it and there are 0",
    ]


async def test_fewer_items_than_usual_are_told(world: World) -> None:
    world.job(items_below=0.5)
    for items in (100, 110, 90, 100):
        world.ran(State.FINISHED, items=items)
        world.clock.now += HOUR
    world.ran(State.FINISHED, items=20)
    assert await world.on(GROUP) == ["shop: items_below"]
    world.ran(State.FINISHED, items=95)
    assert await world.on(GROUP) == ["shop: items_below has recovered"]


# The loop.


@pytest.fixture
def fast(world: World) -> Telling:
    root = world.home.parent
    return Telling(world.store, FastClock(200), root=root, project=root)


async def test_the_loop_tells_when_it_is_woken_and_when_a_message_is_due(world: World, fast: Telling) -> None:
    world.job()
    running = asyncio.create_task(fast.run())
    world.clock.now = fast.clock.wall()
    world.ran(State.FAILED)
    fast.wake()
    async with asyncio.timeout(10):
        await world.hook.came.wait()
        while not world.store.deliveries()[0].sent:  # noqa: ASYNC110  a thread writes it
            await asyncio.sleep(0.01)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert world.hook.texts == ["shop: failed"]


async def test_a_channel_that_hangs_holds_up_no_other(world: World, fast: Telling) -> None:
    hook = Channel(webhook=world.hook.url, allow_private=True)
    world.job()
    world.clock.now = fast.clock.wall()
    world.ran(State.FAILED)
    async with silent() as port:
        world.channels(bad=Channel(webhook=f"http://127.0.0.1:{port}/", allow_private=True), ops=hook)
        running = asyncio.create_task(fast.run())
        async with asyncio.timeout(10):
            await world.hook.came.wait()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    assert world.hook.texts == ["shop: failed"]


async def test_a_channel_is_tested(world: World) -> None:
    await world.telling.send_test("ops")
    assert world.hook.told[0]["test"]
    assert world.hook.texts == ["test of channel ops"]
    with pytest.raises(UsageError, match="there is no channel 'opps'; did you mean"):
        await world.telling.send_test("opps")
    world.hook.answers = [web.Response(status=404)]
    with pytest.raises(Untold, match=r"127\.0\.0\.1 answered 404"):
        await world.telling.send_test("ops")


VERBS = (
    "judge", "raise_alert", "keep_alert", "end_alert", "deliver", "join", "update_delivery", "owed", "server",
    "jobs", "delivery",
)  # fmt: skip


def mortal(chance: random.Random) -> type[Jobs]:
    """A store that dies at a random call of what telling uses, now before it is done, now after."""
    left = chance.randrange(1, 60)

    def dying(verb: str) -> Any:
        def call(self: Jobs, *args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if not left and chance.random() < 0.5:
                left = -1
                raise Kill
            found = getattr(Jobs, verb)(self, *args, **options)
            if not left:
                raise Kill
            return found

        return call

    return type("Mortal", (Jobs,), {verb: dying(verb) for verb in VERBS})


@pytest.mark.parametrize(
    "seed", [*range(5), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(5, 12))]
)
async def test_however_often_it_is_killed_each_alert_is_told_and_each_message_has_one_key(
    world: World, seed: int
) -> None:
    chance = random.Random(seed)
    for name in ("a", "b"):
        world.job(name, every=chance.choice([0.0, 600.0]), quiet=("13:00-13:30",) if chance.random() < 0.5 else ())
    ended: list[tuple[int, State, str]] = []
    world.killed(mortal(chance))
    for _ in range(40):
        if chance.random() < 0.6:
            name, state = chance.choice("ab"), chance.choice([State.FAILED, State.FINISHED])
            with Jobs(world.home) as other:  # the end of a run is the scheduler's to write
                world.store, telling_own = other, world.store
                ended.append((world.ran(state, name).id, state, name))
                world.store = telling_own
        world.hook.answers = [web.Response(status=500)] if chance.random() < 0.2 else []
        try:
            await world.on(chance.choice([1.0, 20.0, 40.0, 300.0]))
        except Kill:
            world.killed(mortal(chance))
    world.killed()
    world.hook.answers.clear()
    for _ in range(200):
        await world.on(300)
    changes = [
        id
        for job in "ab"
        for (_, before, _), (id, state, _) in pairwise(
            [(0, State.FINISHED, job), *(e for e in ended if e[2] == job)]
        )
        if state is not before and state is State.FAILED
    ]
    alerts = world.store.alerts(limit=1000)
    assert sorted(alert.run for alert in alerts) == sorted(changes)  # raised once, by the run that broke it
    assert world.store.owed() == []
    by_key: dict[str, set[bytes]] = {}
    for headers, body in world.hook.requests:
        by_key.setdefault(headers["X-Scraper-Delivery"], set()).add(body)
    assert all(len(bodies) == 1 for bodies in by_key.values())
    assert len(by_key) == len(world.store.deliveries(limit=1000))
    told = {each["id"] for message in world.hook.told for each in message["alerts"]}
    over = {each["id"] for message in world.hook.told for each in message["alerts"] if each["state"] == "recovered"}
    assert told == {alert.id for alert in alerts}
    assert over == {alert.id for alert in alerts if alert.ended}
