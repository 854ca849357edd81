"""The loop, in simulated time; and what a kill between any two of its lines leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scraper.errors import UsageError
from scraper.jobs import scheduler as scheduling
from scraper.jobs.deciding import recorded_waiting
from scraper.jobs.job import DAY, HOUR, Job, Server
from scraper.jobs.record import Cause, JobRun, Kept, State
from scraper.jobs.scheduler import News, Scheduler
from scraper.jobs.store import Jobs

from .judge import Judge
from .simulation import Crash, JumpingClock, World, quick_folder
from .watched import Watched

NOON = 1_767_268_800.0  # 2026-01-01 12:00 UTC


class Room:
    """A store, a world in which nothing goes wrong by chance, and one server after the other."""

    def __init__(self, home: Path, *jobs: dict[str, Any], server: Server | None = None) -> None:
        self.home = home
        server = server or Server()
        declared = [msgspec.convert({"spider": "shop", **job}, Job) for job in jobs]
        self.world = World(1, NOON, {job.name: 100.0 for job in declared})
        self.world.calm = True
        self.judge = Judge(self.world, server)
        self.store = Watched(home, self.judge)
        self.store.set_server(server, NOON, "test")
        for job in declared:
            self.store.put(job, now=NOON, who="test")
        self.news: list[News] = []

    async def server(
        self, hours: float = 3.0, *, crash_in: int = 0, do: Callable[[Scheduler], Any] | None = None
    ) -> bool:
        """A server for so long, or until it is killed (false)."""
        world = self.world
        scheduler = Scheduler(self.store, world, JumpingClock(world), world.apart)
        scheduler.listen(self.news.append)
        world.at(hours * HOUR, self.stop, scheduler)
        if do is not None:
            world.at(0.0, do, scheduler)
        world.crash_in = crash_in
        whole = True
        try:
            await scheduler.run()
        except* Crash:
            world.killed(machine=False)
            whole = False
        world.crash_in = 0
        world.forget()
        return whole

    def jumped(self, by: float) -> None:
        """The wall clock is set."""
        self.world.jumped = by
        self.judge.backs.append((self.world.now, self.world.wall()))

    def stop(self, scheduler: Scheduler) -> None:
        self.judge.until = self.world.wall()
        scheduler.stop()

    def runs(self, job: str = "shop") -> list[JobRun]:
        """Its history, oldest first."""
        return self.store.runs(job=job)[::-1]

    def states(self, job: str = "shop") -> list[str]:
        return [run.state.value for run in self.runs(job)]


@pytest.fixture
def room() -> Iterator[Callable[..., Room]]:
    """Makes one, with nothing in it but these jobs."""
    with quick_folder() as folder:
        numbers = count()
        yield lambda *jobs, **options: Room(folder / str(next(numbers)), *jobs, **options)


HOURLY = {"name": "shop", "schedule": "@hourly"}
AFTER = {"name": "prices", "after": ["shop"]}


async def test_runs_follow_their_times_and_what_comes_after_them(room: Callable[..., Room]) -> None:
    here = room(HOURLY, AFTER)
    assert await here.server(3.5)
    assert [(run.planned - NOON) / HOUR for run in here.runs()] == [1, 2, 3]
    assert here.states() == here.states("prices") == ["finished"] * 3
    assert [run.parent for run in here.runs("prices")] == [run.id for run in here.runs()]
    last = here.runs()[-1]
    assert (last.ended - last.began, last.pages, last.attempts) == (100.0, 10, 1)
    told = [news.run.state.value for news in here.news if news.run is not None and news.run.id == last.id]
    assert told == ["queued", "running", "running", "finished"]


async def test_a_kill_at_any_line_loses_nothing_and_runs_nothing_twice(
    room: Callable[..., Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judge and the world assert that no rule is broken and no crawl has two processes."""
    monkeypatch.setattr(scheduling, "RECHECK", HOUR)  # fewer lines at which nothing happens
    for line in range(1, 1000):
        here = room(HOURLY | {"retries": 1}, AFTER)
        here.world.fates = [("crash", 50.0), ("well", 0.0), ("killed", 20.0)]
        whole = await here.server(2.2, crash_in=line)
        for again in (0, 0) if whole else (line * 7 % 23 + 1, 3, 0):  # the repair may be killed, too
            await here.server(2.19, crash_in=again)
        here.judge.final(here.store)
        finished = [run for run in here.runs() if run.state is State.FINISHED]
        assert len(finished) == len(here.runs()) >= 2, here.runs()
        assert [run.parent for run in here.runs("prices")] == [run.id for run in finished]
        assert all(run.failures <= 1 for run in here.runs())
        here.store.close()
        if whole:
            break
    assert line > 90


async def test_a_server_that_stops_ends_its_crawls_and_the_next_one_goes_on_with_them(
    room: Callable[..., Room],
) -> None:
    here = room(HOURLY)
    await here.server(1.01)
    (run,) = here.runs()
    assert (run.state, run.why, run.pages) == (State.QUEUED, "the server was stopped", 3)
    await here.server(0.5)
    (again,) = here.runs()
    assert (again.state, again.run, again.attempts, again.pages) == (State.FINISHED, run.run, 2, 10)


async def test_a_process_that_outlives_its_server_is_found_again(room: Callable[..., Room]) -> None:
    here = room(HOURLY)
    here.world.at(1.01 * HOUR, here.world.kill_server)
    assert not await here.server()
    assert len(here.world.alive) == 1
    await here.server(0.5)
    (run,) = here.runs()
    assert (run.state, run.attempts) == (State.FINISHED, 1)


async def test_run_now_takes_other_arguments_and_does_not_wait(room: Callable[..., Room]) -> None:
    here = room({"name": "shop", "blackout": ["00:00-23:00"]})
    done: list[Awaitable[JobRun]] = []
    await here.server(
        1, do=lambda scheduler: done.append(asyncio.ensure_future(scheduler.start("shop", "ann", {"p": 1})))
    )
    (run,) = here.runs()
    assert run.id == (await done[0]).id
    assert (run.state, run.cause, run.by, run.args, run.began) == (
        State.FINISHED,
        Cause.HAND,
        "ann",
        {"p": 1},
        NOON,
    )


async def test_run_now_is_refused_while_a_run_is_not_over(room: Callable[..., Room]) -> None:
    here = room(HOURLY)
    answers: list[Any] = []

    async def twice(scheduler: Scheduler) -> None:
        for _ in range(2):
            try:
                answers.append(await scheduler.start("shop", "ann"))
            except UsageError as error:
                answers.append(str(error))

    tasks: list[Any] = []
    await here.server(0.5, do=lambda scheduler: tasks.append(asyncio.ensure_future(twice(scheduler))))
    await tasks[0]
    assert isinstance(answers[0], JobRun)
    assert answers[1] == "job 'shop' is not run now: the run before was not over (run 1), and its overlap is 'skip'"


@pytest.mark.parametrize(("how", "seconds"), [("cancel", 40), ("kill", 0)])
async def test_a_run_is_stopped_in_good_order_or_at_once(
    room: Callable[..., Room], how: str, seconds: float
) -> None:
    here = room(HOURLY)
    here.world.deaf = True  # it does not hear SIGTERM
    tasks: list[Any] = []

    def stop(scheduler: Scheduler) -> None:
        (run,) = here.store.open_runs()
        tasks.append(asyncio.ensure_future(getattr(scheduler, how)(run.id, "ann")))

    await here.server(1.5, do=lambda scheduler: here.world.at(HOUR + 50, stop, scheduler))
    (run,) = here.runs()
    assert (run.state, run.why) == (State.CANCELLED, "stopped by ann")
    assert run.ended == pytest.approx(NOON + HOUR + 50 + seconds, abs=1)


async def test_a_run_beyond_its_timeout_is_ended_and_has_failed(room: Callable[..., Room]) -> None:
    here = room(HOURLY | {"timeout": 60})
    await here.server(1.5)
    (run,) = here.runs()
    assert (run.state, run.why, run.failures) == (State.FAILED, "timeout", 1)
    assert 60 <= run.ended - run.began < 70


@pytest.mark.parametrize(
    ("limit", "heeds", "seconds"), [(20_000, True, 29), (20_000, False, 31), (100_000, False, 142)]
)
async def test_a_run_beyond_its_memory_is_ended_and_killed_when_it_grows_by_half_meanwhile(
    room: Callable[..., Room], limit: int, heeds: bool, seconds: float
) -> None:
    here = room(HOURLY | {"memory": limit})
    here.world.leak, here.world.deaf, here.world.durations["shop"] = 1000.0, not heeds, 300.0
    await here.server(1.5)
    (run,) = here.runs()
    assert (run.state, run.why) == (State.FAILED, "memory")
    assert limit / 1000 < run.ended - run.began <= seconds
    (attempt,) = here.store.attempts(run.id)
    assert attempt.exit_code == (130 if heeds else -9)


@pytest.mark.parametrize("how", ["cancel", "kill"])
async def test_jobs_that_end_their_own_runs_all_come_to_run_in_one_place(
    room: Callable[..., Room], how: str
) -> None:
    often = [{"name": name, "schedule": "every 1 seconds", "overlap": how} for name in "abc"]
    here = room(*often, server=Server(parallel=1))
    await here.server(1 / 60, crash_in=300)  # the line is on record
    await here.server(1 / 60)
    begun = [sum(run.began > 0 for run in here.runs(name)) for name in "abc"]
    assert max(begun) - min(begun) <= 2, begun
    assert min(begun) >= (3 if how == "cancel" else 15), begun
    assert max(len(here.store.open_runs(name)) for name in "abc") <= 3


@pytest.mark.parametrize("jump", [-HOUR, DAY])
async def test_a_clock_that_jumps_ends_no_run_and_repeats_none(room: Callable[..., Room], jump: float) -> None:
    here = room(HOURLY | {"timeout": 2400, "overlap": "queue_all"})
    here.world.durations["shop"] = 2000.0

    here.world.at(2 * HOUR + 1800, here.jumped, jump)
    await here.server(4.7)
    here.judge.final(here.store)
    done = [run for run in here.runs() if run.state is State.FINISHED]
    assert len(done) == (
        3 if jump < 0 else 5
    )  # an hour that comes again is not run again, a day is made up for once
    assert {run.state for run in here.runs()} <= {State.FINISHED, State.MISSED}
    assert all(run.attempts == 1 for run in done)


async def test_a_job_is_planned_anew_when_the_clock_is_back_that_was_ahead(room: Callable[..., Room]) -> None:
    here = room(HOURLY, HOURLY | {"name": "other"})
    here.world.at(2.5 * HOUR, here.jumped, DAY)
    here.world.at(2.55 * HOUR, here.world.kill_server)
    await here.server()
    here.store.pause("other", "", here.world.wall(), "ann")
    here.jumped(0.0)
    for hours in (0.1, 0.1, 1.0):  # that it is back is on record: no server has to see ten minutes of it
        await here.server(hours)
    here.store.unpause("other", here.world.wall(), "ann")
    here.world.at(0.8 * HOUR, here.jumped, -45.0)  # as a time server sets it
    await here.server(1.7)
    here.judge.final(here.store)
    assert here.states() == ["finished"] * 6
    assert [(run.planned - NOON) / HOUR for run in here.runs()] == [1, 2, 26, 3, 4, 5]
    assert sorted((run.planned - NOON) / HOUR for run in here.runs("other")) == [1, 2, 3, 4, 5, 26]
    assert [act.detail for act in here.store.acts(job="shop") if act.what == "plan again"] == [
        "23 that were said to be missed or skipped had not come yet"
    ]


async def test_a_run_that_waits_is_cancelled_when_somebody_wants_it_or_its_job_is_gone(
    room: Callable[..., Room],
) -> None:
    here = room(HOURLY | {"overlap": "queue_all"}, {"name": "other", "schedule": "@hourly", "jitter": 3000.0})

    def change(scheduler: Scheduler) -> None:
        waiting = here.store.open_runs("other")
        assert waiting
        here.store.ask_stop(waiting[0].id, "cancel", "ann", here.world.wall())
        scheduler.wake()

    await here.server(1.5, do=lambda scheduler: here.world.at(HOUR + 1, change, scheduler))
    (run,) = here.runs("other")
    assert (run.state, run.why, run.attempts) == (State.CANCELLED, "stopped by ann", 0)


async def test_a_job_that_is_paused_plans_nothing_and_makes_up_for_nothing(room: Callable[..., Room]) -> None:
    here = room(HOURLY)
    here.store.pause("shop", "holidays", NOON, "ann")
    await here.server(2.5)
    here.store.unpause("shop", here.world.wall(), "ann")
    await here.server(1.0)
    assert [(run.planned - NOON) / HOUR for run in here.runs()] == [3]


async def test_a_job_whose_zone_is_not_known_any_more_holds_up_no_other(room: Callable[..., Room]) -> None:
    here = room(HOURLY)
    lost = msgspec.convert({"name": "lost", "spider": "shop", "schedule": "@hourly", "timezone": "No/Where"}, Job)
    Jobs.put(here.store, lost, now=NOON, who="test")
    await here.server(1.5)
    assert (here.states(), here.states("lost")) == (["finished"], [])


async def test_a_job_may_be_removed_between_the_look_and_the_beginning_of_its_run(
    room: Callable[..., Room],
) -> None:
    here = room(HOURLY)
    plain = here.world.apart

    async def apart(work: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        if work is recorded_waiting and here.judge.jobs:
            here.store.remove("shop", here.world.wall(), "ann")
        return await plain(work, *args, **options)

    here.world.apart = apart  # type: ignore[method-assign]
    await here.server(1.5)
    (run,) = here.runs()
    assert (run.state, run.why, run.attempts) == (State.CANCELLED, "its job was removed", 0)


@pytest.mark.parametrize("change", ["UPDATE run SET state = 'failed'", "DELETE FROM run"])
@pytest.mark.parametrize("when", ["waits", "begins", "is beyond a limit", "ends"])
async def test_a_row_that_was_changed_by_another_ends_no_other_run(
    room: Callable[..., Room], change: str, when: str
) -> None:
    last = "failed" if when == "is beyond a limit" else "finished"
    here = room(HOURLY | {"timeout": 60.0 if last == "failed" else 300.0}, HOURLY | {"name": "other"})
    plain, changed = here.world.apart, list[int]()

    async def apart(work: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        run = next((each for each in args if isinstance(each, JobRun) and each.job == "shop"), None)
        if run is not None and not changed:
            limit = "is beyond a limit" if run.why else ""
            now = "waits" if work is recorded_waiting else "ends" if not run.open else limit or "begins"
            if now == when:
                changed.append(run.id)
                here.store._base.execute(f"{change} WHERE id = {run.id}")
                here.judge.open.pop(run.id)
        return await plain(work, *args, **options)

    here.world.apart = apart  # type: ignore[method-assign]
    await here.server(3.5)
    assert changed == [here.runs("other")[0].id + 1]
    assert here.states("other") == ["finished"] * 3
    assert here.states()[-2:] == [last] * 2
    assert len(here.states()) == 3 - (change == "DELETE FROM run")


async def test_a_run_that_is_said_to_wait_while_its_process_is_there_has_no_second_one(
    room: Callable[..., Room],
) -> None:
    here = room(HOURLY)
    here.world.at(HOUR + 10, here.store._base.execute, "UPDATE run SET state = 'queued'")
    await here.server(1.5)
    assert here.states() == ["finished"]
    assert len(here.world.bodies) == 1


async def test_a_run_whose_end_cannot_be_told_is_tried_again(room: Callable[..., Room]) -> None:
    here = room(HOURLY | {"resume": False})
    here.world.fates, here.world.unreadable = [("killed", 5.0)] * 3, 3
    await here.server(1.5)
    (run,) = here.runs()
    assert (run.state, run.attempts) == (State.FINISHED, 4)
    assert here.store.attempts(run.id)[0].why == "how its process ended cannot be told: its files cannot be read"


async def test_the_store_is_read_in_a_thread_and_the_loop_stays_free(tmp_path: Path) -> None:
    """With the machine's own clock: nothing to do but to be woken and stopped."""
    with Jobs(tmp_path / ".jobs") as store:
        world = World(1, NOON, {})
        scheduler = Scheduler(store, world)
        task = asyncio.create_task(scheduler.run())
        await asyncio.sleep(0.05)
        scheduler.wake()
        await asyncio.sleep(0.05)
        assert not task.done()
        scheduler.stop()
        await asyncio.wait_for(task, 5)


async def test_what_is_declared_is_read_again_only_when_the_store_has_changed(room: Callable[..., Room]) -> None:
    here = room({"name": "shop", "schedule": "@weekly"})
    reads: list[str] = []

    class Counted(Jobs):
        def jobs(self) -> list[Kept]:
            reads.append("")
            return super().jobs()

    with Counted(here.home) as here.store:  # type: ignore[assignment]
        pause = partial(here.store.pause, "shop", "", NOON, "ann")
        assert await here.server(5.0, do=lambda _: here.world.at(2 * HOUR, pause))
    assert len(reads) == 2
