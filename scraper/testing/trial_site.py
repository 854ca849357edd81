"""Serves the trial (trial.py) in a process of its own, which outlives every crawler, on a port that stays.

with TrialProcess(Trial(1000)) as site: ...
python -m scraper.testing.trial_site 1000 1 0.01 1 --port 8000      # to look at
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from .answers import Answer, Visit
from .site import Site
from .trial import HOSTS, LOGIN, MEMBERS, PASSWORD, USER, Trial

ROBOTS = "User-agent: *\nDisallow: /private/\n"


class Served:
    """The trial as a site answers it; keeps every visit: (seconds, method, place, status)."""

    def __init__(self, trial: Trial, site: Site) -> None:
        self.visits: list[tuple[float, str, str, int]] = []
        self._trial = trial
        self._site = site
        self.counts: Counter[str] = Counter()
        self._logins = 0
        for host in HOSTS:
            site.answer("*", self._reply, host=host)

    def forget(self) -> None:
        """As if nobody had ever come."""
        self.visits.clear()
        self.counts.clear()

    def _reply(self, visit: Visit) -> Answer:
        place = visit.host + visit.target
        number = self.counts[place]
        self.counts[place] += 1
        answer = self._answer(visit, place, number)
        self.visits.append((asyncio.get_running_loop().time(), visit.method, place, answer.status))
        return answer

    def _answer(self, visit: Visit, place: str, number: int) -> Answer:
        if visit.target == "/robots.txt":
            return self._robots(visit, number)
        if visit.target == LOGIN and visit.host == MEMBERS:
            return self._login(visit)
        page = self._trial.pages.get(place)
        if page is None or page.kind == "gone":
            return Answer(404, "no such page")
        if page.kind == "broken":
            return Answer(500, "not ever")
        if number < len(page.fails):
            return Answer(page.fails[number], "not now", {"Retry-After": "0"})
        if page.kind == "search" and (visit.method, visit.body) != ("POST", b"q=" + page.title[6:].encode()):
            return Answer(405, "search by POST")
        if page.kind == "member" and visit.cookie("pass") != f"p{self._logins}":
            return Answer(403, "members only")
        if page.to:
            host, _, path = page.to.partition("/")
            status = (301, 302, 307, 308)[len(page.to) % 4]
            return Answer(status, headers={"Location": f"http://{host}:{self._site.port}/{path}"})
        if page.kind == "wall" and visit.cookie(f"w{page.title[6:]}") != "1":
            cookie = f"w{page.title[6:]}=1; Path={visit.target}; Max-Age=3600"
            return Answer(302, headers={"Location": visit.target, "Set-Cookie": cookie})
        return Answer(200, self._trial.html(page, self._site.port), delay=page.delay)

    def _robots(self, visit: Visit, number: int) -> Answer:
        """One host is slow to say its rules, one is ill at first."""
        if visit.host == HOSTS[2] and number < self._trial.given[-1]:
            return Answer(500, "not now")
        return Answer(200, ROBOTS, {"Content-Type": "text/plain"}, 0.15 if visit.host == HOSTS[1] else 0.0)

    def _login(self, visit: Visit) -> Answer:
        """Each login gives a new pass, and the one before it is worth nothing."""
        if visit.method != "POST" or visit.body != f"user={USER}&password={PASSWORD.replace(' ', '+')}".encode():
            return Answer(403, "who are you?")
        self._logins += 1
        return Answer(200, "welcome", {"Set-Cookie": f"pass=p{self._logins}; Path=/"}, delay=0.05)


class TrialProcess:
    """A trial served by a process of its own, on a port that stays."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.port = 0
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> TrialProcess:
        path = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        self._child = subprocess.Popen(
            [sys.executable, "-m", "scraper.testing.trial_site", *map(str, self.trial.given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))},
        )
        self.port = self._ask("port")
        return self

    def __exit__(self, *exc: object) -> None:
        if self._child is not None:
            with self._child:  # closes the pipes, which ends the child, and waits for it
                self._child = None

    @property
    def url(self) -> str:
        """Where a crawl begins."""
        host, _, path = self.trial.root.place.partition("/")
        return f"http://{host}:{self.port}/{path}"

    @property
    def visits(self) -> list[tuple[float, str, str, int]]:
        """Every visit so far: (seconds of `time.monotonic()`, method, place, status)."""
        return [(at, method, place, status) for at, method, place, status in self._ask("visits")]

    @property
    def places(self) -> int:
        """How many different places were asked for."""
        return int(self._ask("places"))

    @property
    def sent(self) -> int:
        """How many requests came in."""
        return int(self._ask("sent"))

    def forget(self) -> None:
        """As if nobody had ever come: for another crawl."""
        self._ask("forget")

    def _ask(self, order: str) -> Any:
        child = self._child
        if child is None or child.stdin is None or child.stdout is None:
            raise RuntimeError("the trial is not running")
        child.stdin.write(order + "\n")
        child.stdin.flush()
        line = child.stdout.readline()
        if not line:
            raise RuntimeError(f"the trial ended with exit code {child.wait()}")
        return json.loads(line)


async def _serve(trial: Trial, port: int) -> None:
    logging.getLogger("aiohttp.server").disabled = True  # clients that are killed are no errors here
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with Site(addresses=len(HOSTS), port=port, record=False) as site:
        served = Served(trial, site)
        while order := (await orders.readline()).strip():
            told: Any = None
            match order:
                case b"port":
                    told = site.port
                case b"visits":
                    told = served.visits
                case b"places":
                    told = len(served.counts)
                case b"sent":
                    told = len(served.visits)
                case b"forget":
                    served.forget()
            print(json.dumps(told), flush=True)
    pipe.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m scraper.testing.trial_site", description="The trial site.")
    parser.add_argument("pages", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("pace", type=float)
    parser.add_argument("ill", type=int)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    given = parser.parse_args()
    asyncio.run(_serve(Trial(given.pages, given.seed, given.pace, given.ill), given.port))
