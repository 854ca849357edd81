"""The trial: a site of about a thousand pages with all that makes a crawl hard to resume, and the truth of it.

`Trial().truth()` is what a crawl must bring home, by the declaration alone; trial_site.py serves it. A page tells
by the class of its links how each wants to be followed (`Page.kind`), so that a spider needs to know nothing of
the declaration. Pages that fail do so on their first visits, counted over all crawlers: one that was killed and
comes again finds them the same or better. A *place* is a page's host and path.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import count
from random import Random
from typing import Any, NamedTuple

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
AWKWARD = (
    "",
    'say "so"',
    "a,b;c",
    "two\nlines",
    "<b>&amp;</b>",
    "naïve 雪 🙂",
    "  kept  ",
    "=1+1",
    "'",
    "tab\there",
)

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
    """The declaration: the same for the same number of pages, seed and pace (seconds a page takes).

    With `ill` one host's robots.txt answers 500 at first, which some crawlers take for a no to everything.
    """

    def __init__(self, pages: int = 1000, seed: int = 1, pace: float = 0.01, ill: int = 1) -> None:
        self.given = (pages, seed, pace, ill)
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
            begin = self._new("page")
            self.pages[place] = self.pages.pop(begin.place)
            begin.place = place
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
        found = Truth(
            Counter(), Counter(), sum(p.kind == "rejects" for p in self.pages.values()), {}, self._never()
        )
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
        texts = "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in page.texts) + "</ul>"
        links = []
        for link in page.links:
            near = link.host == page.host and len(link.place) % 2
            href = (
                link.place[len(link.host) :] if near else f"http://{link.host}:{port}{link.place[len(link.host) :]}"
            )
            links.append(f'<a class="{link.kind}" href="{href}">{link.title}</a>')
        if page is self.root:
            links.append(f'<a class="page" href="http://{OUTSIDE}:{port}/">outside</a>')
        if page.detail:
            host, _, path = page.detail.partition("/")
            links.append(f'<a class="detail" href="http://{host}:{port}/{path}">more</a>')
        return (
            f'<!doctype html><html><head><meta charset="utf-8"><title>{page.title}</title></head>'
            f'<body class="{page.kind}"><h1>{page.title}</h1>{texts}<nav>{" ".join(links)}</nav></body></html>'
        )


def _dumped(item: dict[str, Any]) -> Item:
    return json.dumps(item, sort_keys=True, ensure_ascii=False)
