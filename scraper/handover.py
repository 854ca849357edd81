"""What one process of a crawl hands over to the next: facts about servers, limits, and the counts of the run.

They are part of each commit, so they are as old as its outcomes: nothing is counted twice, and nothing that a
server has asked for is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from .clock import Clock
from .fetch.cookies import Jars
from .frontier.gate import Gate
from .frontier.intake import Intake
from .frontier.limits import Limits
from .frontier.store import Facts, Recovered
from .reasons import Reason
from .request import Request
from .settings import HostRules
from .stats import Stats
from .url import origin


class Handover:
    """Gathers what changed, and gives it back in the next process. `trust` is told of seeds: origin, host."""

    def __init__(
        self, gate: Gate, limits: Limits, stats: Stats, intake: Intake, jars: Jars, rules: HostRules, clock: Clock,
        trust: Callable[[str, str], None],
    ) -> None:  # fmt: skip
        self.seeds = 0  # taken from `start`
        self.begun = 0  # of those, by earlier processes
        self._met = 0  # and by this one, which meets them all again
        self._gate = gate
        self._limits = limits
        self._stats = stats
        self._intake = intake
        self._jars = jars
        self._rules = rules
        self._clock = clock
        self._trust = trust
        self._origins: dict[str, str] = {}  # of seeds, since the last commit: origin -> host
        self._failed = -1

    def seed(self, request: Request) -> list[Request]:
        """One more of `start`: what there is to do for it; one that is met again was counted already."""
        self._met += 1
        self.seeds = max(self.seeds, self._met)
        self.seeded(request)
        if self._met > self.begun:
            return self._intake.seeds((request,))
        drops = self._intake.drops.copy()
        taken = self._intake.seeds((request,))
        self._intake.drops = drops
        return taken

    def seeded(self, request: Request) -> None:
        """The spider itself names this address: its host may be private, its origin gets the credentials."""
        place = origin(request.url)
        if place not in self._origins:
            self._origins[place] = request.host
            self._rules.seed(place)
            self._trust(place, request.host)

    def restore(self, recovered: Recovered) -> None:
        """Go on where an earlier process was at its last commit."""
        facts = recovered.facts
        now, wall = self._clock.monotonic(), self._clock.wall()
        crawl = facts.get("crawl", {})
        hosts, robots, others = facts.get("host", {}), facts.get("robots", {}), crawl.get("others")
        self._gate.reopen(hosts, robots, recovered.sent, now, wall, others=others)
        self._jars.restore(facts.get("cookies", {}))
        for place, host in facts.get("seed", {}).items():
            self._rules.seed(place)
            self._trust(place, host)
        if "limits" in crawl:
            begun, items, self.seeds = crawl["limits"]
            self.begun = self.seeds
            self._limits.restore(begun, sum(recovered.sent.values()), recovered.counted, items)
            self._limits.over = crawl.get("over", "")
            self._stats.restore(crawl["stats"], crawl.get("causes", []))
            self._intake.drops.update({Reason(reason): number for reason, number in crawl["drops"].items()})

    def facts(self) -> Facts:
        """What changed since the last call, to be committed with everything accepted before it."""
        wall = self._clock.wall()
        hosts, robots = self._gate.changes(self._clock.monotonic(), wall)
        crawl: dict[str, Any] = {
            "limits": (self._limits.begun, self._limits.items, self.seeds),
            "stats": self._stats.kept(wall),
            "drops": {reason.value: number for reason, number in self._intake.drops.items()},
        }
        if self._limits.over:
            crawl["over"] = self._limits.over
        if self._gate.known.others.hosts:
            crawl["others"] = msgspec.to_builtins(self._gate.known.others)
        if self._stats.failed != self._failed:
            self._failed = self._stats.failed
            crawl["causes"] = self._stats.kept_causes()
        seeds, self._origins = self._origins, {}
        deep, self._intake.too_deep = self._intake.too_deep, {}
        return {
            "host": hosts, "robots": robots, "cookies": self._jars.changes(), "seed": seeds, "crawl": crawl,
            "too_deep": deep,
        }  # fmt: skip
