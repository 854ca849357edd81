"""The trial: a site of about a thousand pages with all that makes a crawl hard to resume, and the truth of it.

    with TrialProcess(Trial(1000)) as site: ...    # in a process of its own, which outlives every crawler
    trial.truth()                                  # what a crawl must bring home, by the declaration alone

A page tells by the class of its links how each wants to be followed (`Link.kind`), so that a spider needs to
know nothing of the declaration. Pages that fail do so on their first visits, counted over all crawlers: one
that was killed and comes again finds them the same or better. A *place* is a page's host and path.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from .answers import Answer, Visit
from .site import Site

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
OUTSIDE = "127.0.0.9"  # out of scope: nobody listens there
USER, PASSWORD = "reader", "open sesame"
LOGIN = "/login"  # of MEMBERS
MEMBERS = HOSTS[3]
SHARES = {  # pages of each kind in a site of 1,000; the rest are of the kind "page"
    "flaky": 60, "gone": 40, "broken": 6, "moved": 40, "wall": 15, "slow": 16, "member": 60, "detailed": 50,
    "lost": 3, "search": 20, "again": 12, "later": 8, "private": 20, "raises": 8, "skips": 6, "rejects": 6,
    "first": 30,
}  # fmt: skip
SEEDS = tuple(f"{HOSTS[-number % 4]}/seed/{number}" for number in range(12))  # places to begin with; then the root
AGAIN = 3  # times that a page of the kind "again" is asked for
FANOUT = 6
INNER = frozenset({"page", "flaky", "detailed", "slow", "raises", "rejects", "first"})  # they lead to others
AWKWARD = ("", 'say "so"', "a,b;c", "two\nlines", "<b>&amp;</b>", "naïve 雪 🙂", "  kept  ", "=1+1", "'", "tab\there")
ROBOTS = "User-agent: *\nDisallow: /private/\n"

Answered = tuple[str, str, str, str]  # method, place, end, reason
Item = str  # as JSON with sorted keys


class Truth(NamedTuple):
    """What a crawl of the whole trial brings: every answer and every item, with how often.

    `posts` are the places sent to with POST: one that a kill leaves in doubt may end as failed for `unknown`
    instead, without its items.
    """

    answers: Counter[Answered]
    items: Counter[Item]
    rejected: int
    posts: dict[str, Counter[Item]]
    never: frozenset[str]  # places that nobody may ask for


@dataclass(slots=True)
class Page:
    """One page; `fails` are the statuses of its first visits, `to` is where it redirects."""

    place: str
    kind: str
    title: str = ""
    texts: Sequence[str] = ()
    links: list[Page] = field(default_factory=list)
    fails: Sequence[int] = ()
    to: str = ""
    delay: float = 0.0
    detail: str = ""

    @property
    def host(self) -> str:
        """The address it lies on."""
        return self.place.partition("/")[0]


class Trial:
    """The declaration: the same for the same number of pages, seed and pace (seconds a page takes)."""

    def __init__(self, pages: int = 1000, seed: int = 1, pace: float = 0.01) -> None:
        self.given = (pages, seed, pace)
        self._random = Random(seed)
        self._pace = pace
        self.pages: dict[str, Page] = {}
        self._number = count()
        kinds = [kind for kind, share in SHARES.items() for _ in range(max(1, round(share * pages / 1000)))]
        extra = 3 * kinds.count("moved") + kinds.count("search") + kinds.count("detailed")
        kinds += ["page"] * max(10, pages - len(kinds) - extra)
        self._random.shuffle(kinds)
        self.root = self._new("page")
        for place in SEEDS:
            seed = self._new("page")
            self.pages[place] = self.pages.pop(seed.place)
            seed.place = place
        self._grow(kinds)

    def _new(self, kind: str, host: str = "") -> Page:
        number = next(self._number)
        place = f"{host or self._random.choice(HOSTS)}/{kind}/{number}"
        texts = [f"{number}.{n} {self._random.choice(AWKWARD)}" for n in range(self._random.randint(1, 3))]
        page = self.pages[place] = Page(place, kind, f"Title {number}", texts, delay=self._pace)
        return page

    def _grow(self, kinds: Iterable[str]) -> None:
        """Every page hangs on one before it, and has links to some of the others."""
        inner, pool = [self.root], [self.root]
        for kind in kinds:
            page = self._new(kind, MEMBERS if kind == "member" else "")
            getattr(self, f"_{kind}", lambda page: None)(page)
            branch = next(each for each in inner if len(each.links) < FANOUT) if len(inner) < 4 else inner[0]
            branch.links.append(page)
            if len(branch.links) >= FANOUT and len(inner) > 1:
                inner.remove(branch)
            if kind in INNER:
                inner.append(page)
            if kind != "again":  # each link to one of those is a request
                pool.append(page)
        for page in pool:
            if page.kind == "page":
                page.links += self._random.choices(pool, k=3)

    # -- what is special of each kind ---------------------------------------------------------------

    def _flaky(self, page: Page) -> None:
        page.fails = self._random.choice(((500,), (503,), (500, 502), (503, 500)))

    def _slow(self, page: Page) -> None:
        page.delay = self._random.uniform(20, 80) * self._pace

    def _detailed(self, page: Page) -> None:
        detail = self._new("detail")
        detail.fails = (500,) if self._random.random() < 0.2 else ()
        page.detail = detail.place

    def _lost(self, page: Page) -> None:
        page.detail = f"{page.host}/nowhere/{page.title[6:]}"

    def _search(self, page: Page) -> None:
        page.links.append(self._new("page"))
        self.root.links.append(page.links[0])  # found without the search too, which may end in doubt

    def _moved(self, page: Page) -> None:
        """One to three hops, to a page that is linked directly too, but only from one that it leads to."""
        for _ in range(self._random.choice((0, 0, 0, 1, 2))):
            hop = self._new("hop")
            page.to, page = hop.place, hop
        target, below = self._new("page"), self._new("page")
        page.to = target.place
        target.links.append(below)
        below.links.append(target)

    # -- the truth ----------------------------------------------------------------------------------

    def truth(self) -> Truth:
        """What a correct crawl brings home."""
        found = Truth(Counter(), Counter(), sum(p.kind == "rejects" for p in self.pages.values()), {}, self._never())
        for page in self.pages.values():
            found.answers.update(self._answers(page))
            items = Counter(_dumped(item) for item in self._items(page))
            found.items.update(items)
            if page.kind == "search":
                found.posts[page.place] = items
        return found

    def _never(self) -> frozenset[str]:
        private = {page.place for page in self.pages.values() if page.kind == "private"}
        return frozenset(private | {f"{OUTSIDE}/"})

    @staticmethod
    def _answers(page: Page) -> Iterator[Answered]:
        end, reason = "done", "ok"
        match page.kind:
            case "detail":
                return  # a callback's own fetch is no request of the crawl
            case "gone" | "broken" | "lost":
                end, reason = "failed", "status"
            case "raises":
                end, reason = "failed", "callback_error"
            case "private":
                end, reason = "dropped", "robots"
            case "skips":
                end, reason = "dropped", "skipped"
            case "moved" | "hop":
                end = "redirected"
            case "wall":
                yield "GET", page.place, "redirected", "ok"
        for _ in range(AGAIN if page.kind == "again" else 1):
            yield "POST" if page.kind == "search" else "GET", page.place, end, reason

    def _items(self, page: Page) -> Iterator[dict[str, Any]]:
        if page.kind in ("gone", "broken"):
            yield {"page": page.place, "error": 404 if page.kind == "gone" else 500}
        if page.kind in ("gone", "broken", "lost", "raises", "private", "skips", "moved", "hop", "detail"):
            return
        more: list[dict[str, Any]] = [{}]
        if page.kind == "again":
            more = [{"time": time} for time in range(AGAIN)]
        elif page.detail:
            more = [{"detail": self.pages[page.detail].title}]
        for each in more:
            for n, text in enumerate(page.texts):
                yield {"page": page.place, "title": page.title, "n": n, "text": text} | each

    # -- what is served -----------------------------------------------------------------------------

    def html(self, page: Page, port: int) -> str:
        """The page as a client reads it; half of the links on its own host are relative."""
        texts = "".join(f"<li>{escape(text)}</li>" for text in page.texts)
        links = []
        for link in page.links:
            near = link.host == page.host and len(link.place) % 2
            href = link.place[len(link.host) :] if near else f"http://{link.host}:{port}{link.place[len(link.host) :]}"
            links.append(f'<a class="{link.kind}" href="{href}">{link.title}</a>')
        if page is self.root:
            links.append(f'<a class="page" href="http://{OUTSIDE}:{port}/">outside</a>')
        if page.detail:
            host, _, path = page.detail.partition("/")
            links.append(f'<a class="detail" href="http://{host}:{port}/{path}">more</a>')
        return (
            f'<!doctype html><html><head><meta charset="utf-8"><title>{page.title}</title></head>'
            f'<body class="{page.kind}"><h1>{page.title}</h1><ul>{texts}</ul><nav>{" ".join(links)}</nav></body></html>'
        )


def _dumped(item: dict[str, Any]) -> Item:
    return json.dumps(item, sort_keys=True, ensure_ascii=False)


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
        if visit.host == HOSTS[2] and number == 0:
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
            [sys.executable, "-m", "scraper.testing.trial", *map(str, self.trial.given)],
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


async def _serve(trial: Trial, *, port: int = 0) -> None:
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with Site(addresses=len(HOSTS), port=port, record=False) as site:
        served = Served(trial, site)
        while order := (await orders.readline()).strip():
            told: Any = site.port
            if order == b"visits":
                told = served.visits
            elif order == b"places":
                told = len(served.counts)
            elif order == b"forget":
                told = served.forget()
            print(json.dumps(told), flush=True)
    pipe.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m scraper.testing.trial", description="The trial site.")
    parser.add_argument("pages", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("pace", type=float)
    given = parser.parse_args()
    asyncio.run(_serve(Trial(given.pages, given.seed, given.pace)))
