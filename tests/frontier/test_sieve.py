"""Links sifted and taken: together what the plain rules give, whatever is remembered, sliced or sent in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper import url as urls
from scraper.frontier import sieve as sieves
from scraper.frontier.intake import Intake
from scraper.frontier.scope import Scope, suspicious
from scraper.frontier.sieve import Sieve, Sifted
from scraper.reasons import Reason
from scraper.request import Request, altered, raw
from scraper.response import Follow
from scraper.settings import Settings

SCOPE = Scope("host", deny=("y",))
PAGE = raw(url="http://a.example/d/p", scope="a.example")
TEMPLATE = raw(url="http://template.invalid/")
HREFS = st.lists(
    st.sampled_from(
        (
            "x", "./x", "../d/x", "/d/x", "http://a.example/d/x", "HTTP://A.example/d/x", "x#f", "x#g", "x #f",
            "#f", "#g", " #f", "", "?q", "x?q", "x?q#f", "http:?q", "z", "../z", "/z/z/z/z", "y", "mailto:m", "http://[",
            "http://b.example/x", "https://b.example/%", "%7e", "%7E", "x\t", "d/", "..",
        )
    ),
    max_size=12,
)  # fmt: skip
BASES = st.sampled_from(
    (
        "http://a.example/", "http://a.example/d/p", "http://a.example/d/q?r=/s/", "http://a.example/d/x",
        "http://b.example/d/p", "http://u@a.example./d/p", "http://a.example/d#/e", "file:///d/p", "http://[",
    )
)  # fmt: skip
FIELDS = st.sampled_from(
    (
        {}, {}, {}, {"again": True}, {"key": "k"}, {"session": "s"}, {"method": "POST", "body": b"1"},
        {"method": "POST"}, {"body": b"2", "again": True}, {"priority": 3, "depth": 7, "seed": True, "token": 5},
    )
)  # fmt: skip
URLS = st.sampled_from(
    ("http://a.example/d/x", "http://a.example/z", "http://b.example/x", "http://a.example/z/z/z")
)
LINKS = st.one_of(
    st.builds(lambda base, hrefs, fields: Follow(hrefs, base, altered(TEMPLATE, **fields)), BASES, HREFS, FIELDS),
    st.builds(
        lambda hrefs, fields: Follow(hrefs, "", altered(TEMPLATE, **fields), 1), HREFS, FIELDS
    ),  # of its page
    st.builds(lambda url, fields: raw(url=url, **fields), URLS, FIELDS),
)
PAGES = st.builds(
    lambda url, depth, label: raw(url=url, depth=depth, scope=label, token=9),
    st.sampled_from(("http://a.example/d/p", "http://a.example/d/x", "http://a.example/d/e/?q")),
    st.integers(0, 2),
    st.sampled_from(("a.example", "b.example", "*")),
)
VISITS = st.lists(st.tuples(PAGES, st.lists(LINKS, max_size=4)), max_size=6)


class Plain:
    """The rules, one link after the other, with nothing remembered but what is queued."""

    def __init__(self, max_depth: int) -> None:
        self.seen: set[int] = set()
        self.drops: Counter[Reason] = Counter()
        self.max_depth = max_depth

    def links(self, page: Request, links: list[Request | Follow]) -> list[Request]:
        taken = []
        for link in links:
            here: set[int] = set()
            for request in self.requests(link):
                request = request.replace(
                    depth=page.depth + 1, parent=page.token, scope=page.scope, referer=page.url
                )
                request = request.replace(seed=False, token=0)
                if reason := self.reason(request, here if isinstance(link, Follow) else set()):
                    self.drops[reason] += 1
                else:
                    here.add(request.fingerprint)
                    self.seen.add(request.fingerprint)
                    taken.append(request)
        return taken

    def requests(self, link: Request | Follow) -> Iterator[Request]:
        if isinstance(link, Request):
            yield link
            return
        self.drops[Reason.NOFOLLOW] += link.refused
        for href in link.hrefs:
            try:
                yield altered(link.template, url=urls.canonical(href, urls.parse(link.base)))
            except urls.BadURL as error:
                self.drops[error.reason] += 1

    def reason(self, request: Request, here: set[int]) -> Reason | None:
        if not SCOPE.accepts(request.url, request.host, request.scope):
            return Reason.OUT_OF_SCOPE
        if request.fingerprint in (here if request.again else self.seen):
            return Reason.DUPLICATE
        if 0 < self.max_depth < request.depth:
            return Reason.TOO_DEEP
        return Reason.OUT_OF_SCOPE if suspicious(request.url) else None


class Crawl:
    """Both phases: in one process, or with a sieve that only knows what it has sent itself."""

    def __init__(self, *, apart: bool = False, scope: Scope = SCOPE, **fields: Any) -> None:
        self.seen: set[int] = set()
        self.intake = Intake(scope, Settings(**fields), self.seen)
        self.told: set[int] = set()
        self.apart = apart
        self.sieve = Sieve(scope, Settings(**fields), self.told) if apart else self.intake.sieve

    def sift(self, page: Request, links: list[Request | Follow]) -> Sifted:
        sifted = Sifted()
        for _ in self.sieve.steps(page, links, sifted):
            pass
        if self.apart:
            self.told.update(sifted.marks)
            sifted = msgspec.msgpack.decode(msgspec.msgpack.encode(sifted), type=Sifted)
        return sifted

    def take(self, page: Request, sifted: Sifted) -> list[Request]:
        taken, marks = self.intake.take(page, sifted)
        assert marks == [request.fingerprint for request in taken]
        self.seen.update(marks)
        return taken


def whole(page: Request, links: list[Request | Follow]) -> list[Request | Follow]:
    """Links of which those without a base have that of their page."""
    return [
        Follow(link.hrefs, page.url, link.template, link.refused)
        if isinstance(link, Follow) and not link.base
        else link
        for link in links
    ]


@settings(max_examples=400, deadline=None)
@given(VISITS, st.integers(0, 2), st.sampled_from((3, 20, 50_000)), st.sampled_from((1, 2, 250)), st.booleans())
def test_both_phases_give_what_the_plain_rules_give(
    visits: list[Any], max_depth: int, memo: int, slice: int, apart: bool
) -> None:
    crawl, plain = Crawl(apart=apart, max_depth=max_depth), Plain(max_depth)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sieves, "MEMO_SIZE", memo)
        patch.setattr(sieves, "SLICE", slice)
        for page, given_ in visits:
            links = whole(page, given_)
            assert crawl.take(page, crawl.sift(page, links)) == plain.links(page, links)
            assert +crawl.intake.drops == +plain.drops


@settings(max_examples=200, deadline=None)
@given(VISITS, st.lists(st.booleans(), min_size=6, max_size=6))
def test_pages_sifted_before_any_is_taken_or_given_up_hide_nothing_from_each_other(
    visits: list[Any], given_up: list[bool]
) -> None:
    crawl, plain = Crawl(), Plain(0)
    pages = [(page, whole(page, links)) for page, links in visits]
    waiting = [(page, links, crawl.sift(page, links)) for page, links in pages]
    for (page, links, sifted), gone in zip(waiting, given_up, strict=False):
        if not gone:
            assert crawl.take(page, sifted) == plain.links(page, links)
    for page, links in pages:
        assert crawl.take(page, crawl.sift(page, links)) == plain.links(page, links)
    assert +crawl.intake.drops == +plain.drops


def test_a_link_too_deep_is_told_once_with_its_page_and_not_when_it_is_known() -> None:
    crawl = Crawl(apart=True, max_depth=3)
    crawl.seen.add(urls.fingerprint("http://a.example/d/known"))
    page = PAGE.replace(depth=3, token=4)
    for _ in range(2):
        crawl.take(page, crawl.sift(page, [Follow(["known", "deep", "deep#f"], page.url, TEMPLATE)]))
    assert crawl.intake.too_deep == {"http://a.example/d/deep": {"parent": 4, "depth": 4}}
    assert crawl.intake.drops == {Reason.TOO_DEEP: 4, Reason.DUPLICATE: 2}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the URL rules were applied, and fingerprints made."""
    counted: Counter[str] = Counter()

    def counting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counts(*args: Any) -> Any:
            counted[name] += 1
            return call(*args)

        return counts

    for name in ("canonical", "parse", "fingerprint", "digest"):
        monkeypatch.setattr(urls, name, counting(name, getattr(urls, name)))
    return counted


ORDINARY = [
    "a.html",
    "b.html#m",
    "../c/",
    "/d.html",
    "http://a.example/e?f=g",
    "https://b.example/h",
    "#i",
    "#j",
    "#k",
]


def test_an_ordinary_page_needs_no_url_rules_and_one_fingerprint_a_request(calls: Counter[str]) -> None:
    crawl = Crawl(scope=Scope("host"))
    crawl.take(PAGE, crawl.sift(PAGE, [Follow(ORDINARY, PAGE.url, TEMPLATE)]))  # which learns two roots
    calls.clear()
    fresh = ["n.html", "m.html#m", "../n/", "/n.html", "http://a.example/n?f=g", "https://b.example/n"]
    taken, _ = crawl.intake.take(PAGE, crawl.sift(PAGE, [Follow(fresh, PAGE.url, TEMPLATE)]))
    assert len(taken) == 5
    assert calls == {"fingerprint": 5, "digest": 5}


def test_links_known_in_their_folder_cost_no_fingerprint(calls: Counter[str]) -> None:
    crawl = Crawl(scope=Scope("host"))
    for number in range(3):  # taken, found known, found in the memo
        page = PAGE.replace(url=f"http://a.example/d/{number}.html")
        crawl.seen.add(page.fingerprint)
        calls.clear()
        crawl.take(page, crawl.sift(page, [Follow(ORDINARY * 10, page.url, TEMPLATE)]))
    assert calls == {"fingerprint": 1, "digest": 1}  # of the page itself, for the places on it
    assert crawl.intake.drops[Reason.DUPLICATE] == 3 * 80 - 5


def test_a_folder_with_more_than_the_memo_holds_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sieves, "MEMO_SIZE", 100)
    monkeypatch.setattr(sieves, "SLICE", 10)
    crawl = Crawl()
    for _ in range(2):
        crawl.take(PAGE, crawl.sift(PAGE, [Follow([f"p{n}" for n in range(500)], PAGE.url, TEMPLATE)]))
        assert sum(folder.size for folder in crawl.sieve._memo.values()) == crawl.sieve._memo_size <= 100
    assert crawl.intake.drops == {Reason.DUPLICATE: 500}


def test_the_folder_that_was_not_used_for_longest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sieves, "MEMO_SIZE", 30)
    crawl = Crawl()
    for folder in ("a", "b", "a", "c", "a", "d", "a"):
        page = PAGE.replace(url=f"http://a.example/{folder}/p")
        crawl.take(page, crawl.sift(page, [Follow(["x", "z"], page.url, TEMPLATE)]))
    assert [path for path, _, _ in crawl.sieve._memo][-2:] == ["http://a.example/d/", "http://a.example/a/"]


class Looked(set[int]):
    """A seen set that counts how often it was asked."""

    times = 0

    def __contains__(self, mark: object) -> bool:
        self.times += 1
        return super().__contains__(mark)


def test_a_page_with_very_many_links_is_sifted_in_small_steps() -> None:
    told = Looked()
    sieve = Sieve(SCOPE, Settings(max_links=100_000), told)
    links: list[Request | Follow] = [Follow([f"p{n}" for n in range(3000)], PAGE.url, TEMPLATE)]
    links += [raw(url=f"http://a.example/r{n}") for n in range(1000)]
    sifted, steps, before = Sifted(), 0, 0
    for _ in sieve.steps(PAGE, links, sifted):
        steps += 1
        assert told.times - before <= sieves.SLICE
        before = told.times
    assert steps == 4000 // sieves.SLICE
    assert len(list(sifted.marks)) == 4000
