"""How people are told: one loop that judges what has ended, looks at what takes too long, and sends what is due.

    judge -> raise or end alerts, queue messages (one transaction) -> claim a message -> send it -> write how it is

A message is claimed, with its next try already due, before it is sent. So a kill between any two lines loses
nothing: at worst a message that arrived is sent once more, with the same key, by which the receiver can know it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from ..clock import Clock
from ..errors import UsageError
from . import channels, raising, space
from .alerts import STALE, judge, stale, taking_long
from .facts import facts
from .job import DAY, HOUR
from .message import Untold, written
from .record import GOOD, Delivery, JobRun, Kept, State
from .schedule import Schedule
from .scheduler import RECHECK, Apart
from .store import Jobs

FIRST_DELAY = 30.0  # seconds before the second try; they double with each
LONGEST_DELAY = HOUR
GIVE_UP = DAY  # seconds after its first try a message is given up
AT_ONCE = 20  # messages on their way

log = logging.getLogger("scraper.jobs.telling")


class Telling:
    """Tells people of the jobs in a store, of which it must be the only one.

    `root` holds the folders of all runs, commands are run in `project`. `chance` gives numbers from 0 to 1. Raises
    StoreError when the store fails.
    """

    def __init__(
        self, store: Jobs, clock: Clock | None = None, *, root: Path, project: Path,
        apart: Apart = asyncio.to_thread, chance: Callable[[], float] = random.random,
    ) -> None:  # fmt: skip
        self.store = store
        self.clock = clock or Clock()
        self.root = root
        self.project = project
        self._apart = apart
        self._chance = chance
        self._news = asyncio.Event()
        self._busy: set[str] = set()  # channels that are being told something
        self._seen: tuple[int, int] | None = None  # the stamp of the store when the jobs were read
        self._jobs: list[Kept] = []
        self._fresh: dict[str, tuple[Kept, float]] = {}  # until when a job, as it stood, has no good run to miss

    async def run(self) -> None:
        """Tell people until cancelled."""
        async with asyncio.TaskGroup() as sending:
            while True:
                self._news.clear()
                soon = await self._apart(self.look)
                for id, channel in await self._apart(self._due):
                    if channel not in self._busy and len(self._busy) < AT_ONCE:
                        self._busy.add(channel)
                        sending.create_task(self._send_free(id, channel))
                now = self.clock.wall()
                wait = min(RECHECK, max(0.0, await self._apart(self._next, soon) - now))
                await self.clock.wait(self._news, self.clock.monotonic() + wait)

    def wake(self) -> None:
        """A run or a job has changed: look."""
        self._news.set()

    async def send_test(self, channel: str) -> None:
        """Tell a channel that it is tested. Raises UsageError when there is none of this name, Untold."""
        server = await self._apart(self.store.server)
        await channels.send_test(server, channel, project=self.project, clock=self.clock)

    # Judging.

    def look(self) -> float:
        """Judge what has ended and what takes too long; gives the wall-clock second of the next look."""
        while ids := self.store.unjudged():
            for id in ids:
                self._judge(id)
        now = self.clock.wall()
        times = [now + RECHECK]
        self._watch_space(now)
        running: dict[str, list[JobRun]] = {}
        for run in self.store.open_runs():
            running.setdefault(run.job, []).append(run)
        for kept in self._timed():
            times += self._watch(kept, running.get(kept.job.name, ()), now)
        return min(times)

    def _timed(self) -> list[Kept]:
        """The jobs with rules that only time breaks, read again only when the store has changed."""
        seen, self._seen = self._seen, self.store.stamp()
        if seen != self._seen:
            rules = ((each, each.job.alerts) for each in self.store.jobs())
            self._jobs = [each for each, of in rules if of.longer_than is not None or of.no_run_in is not None]
        return self._jobs

    def _judge(self, id: int) -> None:
        try:
            run = self.store.run(id)
        except UsageError:  # it was deleted just now
            return
        try:
            job = self.store.job(run.job).job
        except UsageError:
            self.store.judge(id, self.clock.wall(), ["its job was removed"])
            return
        judgement = judge(job, facts(self.store, self.root, job, run))
        for verdict in judgement.verdicts:
            if verdict.fires:
                log.info("job %r: %s: %s", run.job, verdict.rule, verdict.text)
        raising.settle(self.store, run, judgement, self.clock.wall())

    def _watch_space(self, now: float) -> None:
        """Ask whether there is little free space."""
        try:
            found = space.least([self.root, self.store.home])
        except OSError as error:
            log.warning("nobody knows how much space is free: %s", error)
            return
        opened = any(each.rule == space.RULE for each in self.store.open_alerts() if not each.job)
        verdict = space.judged(found, self.store.server().free_space, opened=opened)
        if verdict is not None:
            raising.tell(self.store, raising.SERVER, [verdict], now)

    def _watch(self, kept: Kept, running: Sequence[JobRun], now: float) -> list[float]:
        """Ask the rules that only time breaks; gives when they may be broken next."""
        job, times = kept.job, []
        if job.alerts.longer_than is not None:
            for run in running:
                if (verdict := taking_long(job, run, now)) is not None:
                    raising.tell(self.store, job, [verdict], now)
                elif run.began:
                    times.append(run.began + job.alerts.longer_than)
        if job.alerts.no_run_in is not None:
            known, until = self._fresh.get(job.name, (None, 0.0))
            same = known is not None and (known.job, known.version) == (kept.job, kept.version)
            times += [until] if same and now < until else self._watch_good(kept, job.alerts.no_run_in, now)
        return times

    def _watch_good(self, kept: Kept, limit: float, now: float) -> list[float]:
        name = kept.job.name
        good = next(iter(self.store.last(name, GOOD, 1)), None)
        since = kept.changed if good is None else good.ended
        if good is None and (first := self.store.first(name)) is not None:
            since = min(since, first.planned)
        if now - since < limit and not any(each.rule == STALE for each in self.store.open_alerts(name)):
            self._fresh[name] = kept, since + limit  # a later good run only makes it later
            return [since + limit]  # nothing to say
        if _over(kept, now):
            raising.close(self.store, kept.job, STALE, "its schedule is over", now)
            return []
        last = next(iter(self.store.last(name, _ENDS, 1)), None)
        verdict = stale(kept, good, last, since, now)
        if verdict is not None:
            raising.tell(self.store, kept.job, [verdict], now)
        return [since + limit] if since + limit > now else []

    # Sending.

    async def send_due(self) -> int:
        """Send what is due now, and wait for it; gives how many messages were tried."""
        due = await self._apart(self._due)
        await asyncio.gather(*(self._send(id) for id, _ in due))
        return len(due)

    def _due(self) -> list[tuple[int, str]]:
        """The messages that may be sent now; those in quiet hours are held back until these are over."""
        now, found = self.clock.wall(), []
        for delivery in self.store.owed():
            if delivery.due > now:
                break
            later = raising.held(self.store, delivery, now)
            if later > now:
                self.store.update_delivery(replace(delivery, due=later))
            else:
                found.append((delivery.id, delivery.channel))
        return found

    def _next(self, soon: float) -> float:
        """When to look next: what waits for a channel that is busy is looked at when that is free."""
        if len(self._busy) >= AT_ONCE:
            return soon
        due = [each.due for each in self.store.owed() if each.channel not in self._busy]
        return min([soon, *due])

    async def _send_free(self, id: int, channel: str) -> None:
        try:
            await self._send(id)
        finally:
            self._busy.discard(channel)
            self.wake()

    async def _send(self, id: int) -> None:
        delivery = await self._apart(self._claim, id)
        if delivery is None:
            return
        body = delivery.body.encode()
        server = await self._apart(self.store.server)
        error, after = "", 0.0
        try:
            noted = await channels.hand_over(
                server, delivery.channel, body, key_of(delivery), project=self.project, clock=self.clock
            )
            delivery = replace(delivery, sent=self.clock.wall(), error=noted)
        except Untold as why:
            error, after = str(why), why.after
        if error:
            gone = delivery.channel not in server.channels
            delivery = self._later(replace(delivery, error=error), after, gone)
        await self._apart(self.store.update_delivery, delivery)

    def _claim(self, id: int) -> Delivery | None:
        """A message that is to be sent now, with what it says; on record as tried, the next try due."""
        now = self.clock.wall()
        with self.store.change():
            delivery = self.store.delivery(id)
            if delivery is None or delivery.sent or delivery.given_up or delivery.due > now:
                return None
            if not delivery.body:
                body = msgspec.json.encode(written(self.store, delivery, now)).decode()
                delivery = replace(delivery, began=now, body=body)
            due = now + back_off(delivery.tries + 1, self._chance())
            delivery = replace(delivery, tries=delivery.tries + 1, due=due)
            self.store.update_delivery(delivery)
        return delivery

    def _later(self, delivery: Delivery, after: float, gone: bool) -> Delivery:
        now = self.clock.wall()
        if gone or now - delivery.began >= GIVE_UP:
            log.error("message %d to %r is given up: %s", delivery.id, delivery.channel, delivery.error)
            return replace(delivery, given_up=now)
        log.warning("message %d to %r did not arrive: %s", delivery.id, delivery.channel, delivery.error)
        due = max(delivery.due, now + after)
        return replace(delivery, due=min(due, delivery.began + GIVE_UP))


def back_off(tries: int, chance: float) -> float:
    """Seconds after so many tries before the next one: doubled with each, up to an hour, a fifth more or less."""
    delay: float = min(FIRST_DELAY * 2.0 ** min(tries - 1, 60), LONGEST_DELAY)
    return delay * (0.8 + 0.4 * chance)


def key_of(delivery: Delivery) -> str:
    """What tells a message from all others, also of other stores and copies of this one; the same for each try."""
    return f"{delivery.id}-{hashlib.sha256(delivery.body.encode()).hexdigest()[:16]}"


_ENDS = frozenset({State.FINISHED, State.FAILED, State.RULE_BROKEN, State.CANCELLED, State.MISSED, State.SKIPPED})


def _over(kept: Kept, now: float) -> bool:
    """Whether no run of a job will be planned any more."""
    if not kept.job.schedule or kept.job.after:
        return False
    try:
        return Schedule.parse(kept.job).after(now) is None
    except UsageError:
        return False
