"""What a page led to: taken once, dropped by a counted rule, and the memo changes nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper import url as urls
from scraper.frontier import sieve as sieves
from scraper.frontier.intake import Intake
from scraper.frontier.scope import Scope, suspicious
from scraper.reasons import Reason
from scraper.request import Request, raw
from scraper.response import Follow
from scraper.settings import Settings

PAGE = raw(url="http://a.example/d/p", scope="a.example")
TEMPLATE = raw(url="http://template.invalid/")


class Crawl:
    """An intake whose links are queued at once, as the line does."""

    def __init__(self, scope: Scope | None = None, **fields: Any) -> None:
        self.seen: set[int] = set()
        self.scope = scope or Scope("host")
        self.intake = Intake(self.scope, Settings(**fields), self.seen)

    def links(self, page: Request, *links: Request | Follow) -> list[Request]:
        taken = self.intake.links(page, links)
        self.seen.update(request.fingerprint for request in taken)
        return taken

    def follow(self, *hrefs: str, page: Request = PAGE, base: str = "", **fields: Any) -> list[str]:
        taken = self.links(page, Follow(list(hrefs), base or page.url, TEMPLATE.replace(**fields)))
        return [request.url for request in taken]


def plainly(crawl: Crawl, page: Request, base: str, hrefs: list[str], drops: Counter[Reason]) -> list[str]:
    """The rules, one after the other, with nothing remembered but what is queued."""
    taken: list[str] = []
    for href in hrefs:
        try:
            url = urls.canonical(href, urls.parse(base))
        except urls.BadURL as error:
            drops[error.reason] += 1
            continue
        depth = page.depth + 1
        if not crawl.scope.accepts(url, urls.netloc(url), page.scope):
            drops[Reason.OUT_OF_SCOPE] += 1
        elif urls.fingerprint(url) in crawl.seen:
            drops[Reason.DUPLICATE] += 1
        elif crawl.intake.sieve._max_depth and depth > crawl.intake.sieve._max_depth:
            drops[Reason.TOO_DEEP] += 1
        elif suspicious(url):
            drops[Reason.OUT_OF_SCOPE] += 1
        else:
            crawl.seen.add(urls.fingerprint(url))
            taken.append(url)
    return taken


PARTS = (
    *(
        "",
        "x",
        "y",
        ".",
        "..",
        "./",
        "../",
        "/",
        "//",
        "?",
        "#",
        "?q=1",
        "#f",
        "http:",
        "HTTPS:",
        ":",
        "d/",
        "/d/x",
    ),
    *("a.example", "b.example", "mailto:m", "x/x/x/x", " ", "\t", "\n", "%7e", "%7E", "[", "\\", "é"),
)
HREFS = st.lists(st.lists(st.sampled_from(PARTS), max_size=4).map("".join), max_size=8)
BASES = st.sampled_from(
    (
        "http://a.example/",
        "http://a.example/d/p",
        "http://a.example/d/q",
        "http://a.example/d/q?r=/s/",
        "http://a.example/d/e/",
        "http://a.example/d/e/..",
        "https://a.example/d/p",
        "http://b.example/d/p",
        "http://a.example",
        "http://a.example/d\\e",
        "http://a.example/d#/e/f",
    )
)
VISITS = st.lists(
    st.tuples(BASES, HREFS, st.integers(0, 3), st.sampled_from(("a.example", "b.example", "*"))), max_size=12
)


@settings(max_examples=400, deadline=None)
@given(VISITS, st.integers(0, 2), st.booleans())
def test_the_memo_changes_nothing(visits: list[Any], max_depth: int, small: bool) -> None:
    scope = Scope("host", deny=("y",))
    crawl, plain = Crawl(scope, max_depth=max_depth), Crawl(scope, max_depth=max_depth)
    drops: Counter[Reason] = Counter()
    size, sieves.MEMO_SIZE = sieves.MEMO_SIZE, 3 if small else sieves.MEMO_SIZE
    try:
        for base, hrefs, depth, label in visits:
            page = PAGE.replace(depth=depth, scope=label)
            got = crawl.follow(*hrefs, page=page, base=base)
            assert got == plainly(plain, page, base, hrefs, drops)
            assert +crawl.intake.drops == drops
    finally:
        sieves.MEMO_SIZE = size


def test_a_link_carries_its_page_and_nothing_of_an_earlier_life() -> None:
    page = PAGE.replace(depth=3, token=17)
    used = raw(
        url="http://a.example/u",
        token=9,
        kills=1,
        counted=True,
        tries=2,
        hops=("http://a.example/h",),
        due=9.0,
        seed=True,
    )
    for request in Crawl().links(page, used, Follow(["/f"], page.url, used.replace(priority=7))):
        assert (request.depth, request.parent, request.scope) == (4, 17, "a.example")
        assert (request.token, request.kills) == (0, 0)
        assert (request.counted, request.tries, request.hops, request.due, request.seed) == (
            False,
            0,
            (),
            0.0,
            False,
        )
        assert request.referer == page.url


def test_every_drop_is_counted_by_its_reason() -> None:
    crawl = Crawl(max_depth=3)
    crawl.follow("/x", "/x#f", "http://b.example/", "mailto:m", "http://[", "/" + "l" * 9000, "/a/a/a/a")
    assert crawl.intake.drops == {
        Reason.DUPLICATE: 1,
        Reason.OUT_OF_SCOPE: 2,
        Reason.BAD_SCHEME: 1,
        Reason.BAD_URL: 1,
        Reason.URL_TOO_LONG: 1,
    }


@pytest.mark.parametrize("fields", [{"session": "s"}, {"method": "POST"}, {"body": b"x"}, {"again": True}])
def test_drops_are_counted_also_for_links_that_are_no_plain_ones(fields: dict[str, Any]) -> None:
    crawl = Crawl()
    assert crawl.follow("/x", "/x", "http://[", "http://b.example/", **fields) == ["http://a.example/x"]
    assert crawl.intake.drops == {Reason.DUPLICATE: 1, Reason.BAD_URL: 1, Reason.OUT_OF_SCOPE: 1}


def test_a_link_too_deep_is_taken_from_a_page_less_deep() -> None:
    crawl = Crawl(max_depth=3)
    assert crawl.follow("/x", "y", page=PAGE.replace(depth=3)) == []
    assert crawl.intake.drops == {Reason.TOO_DEEP: 2}
    assert len(crawl.follow("/x", "y", page=PAGE.replace(depth=2))) == 2


def test_of_too_many_links_the_first_are_taken_and_the_others_counted() -> None:
    crawl = Crawl(max_links=5)
    follow = Follow([f"/{i}" for i in range(4)], PAGE.url, TEMPLATE)
    more = Follow([f"/m{i}" for i in range(4)], PAGE.url, TEMPLATE)
    taken = crawl.links(PAGE, follow, more, raw(url="http://a.example/r"))
    assert [request.url[16:] for request in taken] == ["/0", "/1", "/2", "/3", "/m0"]
    assert crawl.intake.drops == {Reason.TOO_MANY_LINKS: 4}


def test_the_same_url_with_another_identity_is_another_request() -> None:
    crawl = Crawl()
    one = raw(url="http://a.example/x")
    kinds = [
        one,
        one.replace(method="POST"),
        one.replace(body=b"1"),
        one.replace(session="s"),
        one.replace(key="k"),
    ]
    assert len(crawl.links(PAGE, *kinds, *kinds)) == 5
    assert crawl.follow("/x", body=b"2") == ["http://a.example/x"]
    assert crawl.follow("/x", body=b"1") == crawl.follow("/other", key="k") == []


def test_a_request_that_is_asked_for_again_is_taken_again() -> None:
    crawl = Crawl()
    crawl.follow("/x")
    assert crawl.follow("/x", "/x", again=True) == ["http://a.example/x"]
    assert len(crawl.links(PAGE, *[raw(url="http://a.example/x", again=True)] * 2)) == 2


def test_a_base_that_is_no_url_costs_the_links_and_not_the_crawl() -> None:
    crawl = Crawl()
    assert crawl.follow("x", "y", base="http://[") == []
    assert crawl.intake.drops == {Reason.BAD_URL: 2}


@pytest.mark.parametrize("href", ["?a", "#f", "", " ?a", "\t?a", "http:?a", "HTTP:\n?a", "http:"])
def test_what_depends_on_the_page_is_not_remembered_for_its_folder(href: str) -> None:
    crawl = Crawl()
    first = crawl.follow(href)
    assert first
    assert crawl.follow(href, base="http://a.example/d/q") == [first[0].replace("/d/p", "/d/q")]


def test_the_memo_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sieves, "MEMO_SIZE", 100)
    crawl = Crawl()
    for number in range(1000):
        crawl.follow("?own", f"p{number}", base=f"http://a.example/f{number}/")
    assert sum(folder.size for folder in crawl.intake.sieve._memo.values()) <= 100


def test_seeds_open_their_scope_and_are_taken_once() -> None:
    crawl = Crawl(Scope("site"))
    seeds = [raw(url="http://www.a.example/a/a/a/a"), raw(url="http://b.example/"), raw(url="http://b.example/")]
    taken = crawl.intake.seeds(seeds)
    assert [(seed.scope, seed.seed, seed.depth) for seed in taken] == [
        ("a.example", True, 0),
        ("b.example", True, 0),
    ]
    assert crawl.intake.drops == {Reason.DUPLICATE: 1}


def test_a_seed_takes_its_scope_along_and_a_page_may_not_leave_it() -> None:
    intake = Crawl().intake
    target = raw(url="http://b.example/", scope="a.example")
    moved = intake.moved(PAGE.replace(seed=True), target)
    assert moved is not None
    assert moved.scope == "b.example"
    assert intake.moved(PAGE, target) is None
    assert intake.moved(PAGE, raw(url="http://a.example/z")) is not None
