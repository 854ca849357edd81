"""Links: every attribute and header that carries a URL, and refreshes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from scraper.errors import SelectorError
from scraper.parse.links import base, hrefs, link_header, links, refresh, srcset, unfollowed
from scraper.response import Headers, Link
from tests.conformance import table

URL = "http://a.example/dir/page"


def of(html: str, *headers: tuple[str, str], nofollow: bool = True) -> list[Link]:
    return links(LexborHTMLParser(html), URL, Headers(headers), nofollow=nofollow)


def urls(html: str, *headers: tuple[str, str]) -> list[str]:
    return [link.url for link in of(html, *headers)]


def test_hrefs_are_as_they_stand() -> None:
    page = LexborHTMLParser("<h3><a href=' x '>1</a></h3><a href=y><a><a href=''><img src=z><h3>no</h3>")
    assert hrefs(page) == [" x ", "y"]
    assert hrefs(page, "h3 a") == [" x "]
    assert hrefs(page, "a, img") == [" x ", "y", "z"]
    assert hrefs(page, "h3 a::attr(href)") == [" x "]
    assert hrefs(page, "a", limit=1) == [" x "]
    assert hrefs(page, "nav a") == []


def test_a_query_for_elements_without_urls_is_an_error() -> None:
    page = LexborHTMLParser("<h3><a href=x>1</a></h3><nav><a>here</a></nav>")
    with pytest.raises(SelectorError, match="<h3>"):
        hrefs(page, "h3")
    assert hrefs(page, "nav a") == []


@pytest.mark.parametrize(
    "html",
    [
        "<a href=u>", "<map><area href=u></map>", "<link rel=x href=u>", "<form action=u>", "<iframe src=u>",
        "<embed src=u>", "<script src=u></script>", "<img src=u>", "<img srcset='u 2x'>", "<video src=u>",
        "<picture><source srcset=u></picture>", "<object data=u>", "<audio src=u>", "<video poster=u>",
        "<video><track src=u></video>", "<blockquote cite=u>", "<q cite=u>", "<ins cite=u>", "<del cite=u>",
        "<button formaction=u>", "<input type=submit formaction=u>", "<input type=image src=u>",
        "<body background=u>", "<meta http-equiv=Refresh content='0; url=u'>", "<svg><a xlink:href=u></svg>",
        "<svg><image href=u /></svg>", "<link rel=preload imagesrcset='u 1x'>", "<frameset><frame src=u>",
        "<a href=' u\n'>", "<a href='u#part'>",
    ],
)  # fmt: skip
def test_each_attribute_that_carries_a_url(html: str) -> None:
    assert urls(html) == ["http://a.example/dir/u"]


def test_what_is_no_page_is_left_out() -> None:
    assert urls("<a href=mailto:x@y><a href=javascript:x><a href=data:,x><a href='http://['><a href=''>") == []
    assert urls("<p title=u><a name=u><meta name=x content='0;url=u'><template><a href=u></template>") == []


def test_each_url_once_in_order_with_what_it_said() -> None:
    html = "<a href=/1 rel='next x'> one\n two </a><a href=/2>2</a><a href=http://A.example/1>again</a>"
    assert of(html) == [
        Link("http://a.example/1", "one two", "next x", "a", "href"),
        Link("http://a.example/2", "2", "", "a", "href"),
    ]


def test_headers_carry_links_too() -> None:
    found = of("", ("Link", '</n>; rel="next", <p>; rel=prev'), ("Refresh", "5; url=r"))
    assert [(link.url, link.rel, link.attribute) for link in found] == [
        ("http://a.example/n", "next", "link"),
        ("http://a.example/dir/p", "prev", "link"),
        ("http://a.example/dir/r", "", "refresh"),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("<a>", [("a", "")]),
        ('<a>; rel="next"; rel=prev', [("a", "next")]),
        ('<a>; title="x, <y>; rel=z \\" w"; REL = up , <b>', [("a", "up"), ("b", "")]),
        ("<a,b;c>;rel=x", [("a,b;c", "x")]),
        ("a; rel=x", []),
        ("<a", []),
        (", ,<a>,,<b>", [("a", ""), ("b", "")]),
        ('<a>; rel="open', [("a", "open")]),
    ],
)
def test_link_headers(value: str, expected: list[tuple[str, str]]) -> None:
    assert list(link_header(value)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", ["a"]),
        ("a 1x, b 2x", ["a", "b"]),
        ("a,b", ["a,b"]),
        ("a, b,, c", ["a", "b", "c"]),
        ("data:x,y 1x, c (a, b) 2w, d", ["data:x,y", "c", "d"]),
        (" ,\n", []),
    ],
)
def test_srcset(value: str, expected: list[str]) -> None:
    assert list(srcset(value)) == expected


@pytest.mark.parametrize(
    ("html", "headers", "marked"),
    [
        ("<a href=u>", (), False),
        ("<a href=u rel='noopener NoFollow'>", (), True),
        ("<a href=u rel=ugc>", (), True),
        ("<a href=u rel=sponsored>", (), True),
        ("<meta name=Robots content='noindex, NOFOLLOW'><a href=u>", (), True),
        ("<meta name=robots content=none><a href=u>", (), True),
        ("<meta name=robots content=noindex><a href=u>", (), False),
        ("<meta name=otherbot content=nofollow><a href=u>", (), False),
        ("<a href=u>", ("noindex, nofollow",), True),
        ("<a href=u>", ("otherbot: noindex, nofollow",), False),
        ("<a href=u>", ("otherbot: noindex", "none"), True),
        ("<a href=u>", ("unavailable_after: 25 Jun 2010 15:00:00 PST, nofollow",), True),
        ("<a href=u rel=nofollow><a href=u>", (), False),
    ],
)
def test_nofollow(html: str, headers: tuple[str, ...], marked: bool) -> None:
    fields = [("X-Robots-Tag", value) for value in headers]
    assert [link.nofollow for link in of(html, *fields)] == [marked]
    assert [link.nofollow for link in of(html, *fields, nofollow=False)] == [False]


def test_rules_for_our_own_name_count() -> None:
    assert unfollowed(Headers([("X-Robots-Tag", "otherbot: none, Scraper: nofollow")]), "scraper")


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("", URL),
        ("<base href=/b/>", "http://a.example/b/"),
        ("<base href=//c.example/x>", "http://c.example/x"),
        ("<BASE target=x><base href='data:,x'><base href='/2'>", "http://a.example/2"),
        ("<body><p><base href=/late>", "http://a.example/late"),
    ],
)
def test_base(html: str, expected: str) -> None:
    assert base(LexborHTMLParser(html), URL) == expected


def test_refreshes_of_the_conformance_table() -> None:
    for case in table("meta_refresh.json"):
        found = refresh(case["input"])
        assert ([] if found is None else list(found)) == case["expected"], case


@given(st.text(alphabet="0123456789.;,='\"url x\n", max_size=30))
def test_any_text_is_a_refresh_or_none(content: str) -> None:
    found = refresh(content)
    assert found is None or found[0] >= 0


def test_long_values_take_linear_time() -> None:
    start = time.thread_time()
    for piece in ("9", " ", ";", "url", "=", "'", ","):
        refresh(piece * 300_000)
        refresh("1" + piece * 300_000)
    for piece in ("<", "a,", '<a>;"', "<a>,", "(", ","):
        list(srcset(piece * 100_000))
        list(link_header(piece * 100_000))
    assert time.thread_time() - start < 5


def test_a_page_has_at_most_so_many_links() -> None:
    page = LexborHTMLParser("".join(f"<a href={i}>" for i in range(30_000)))
    assert len(links(page, URL, Headers())) == 20_000
    assert len(hrefs(page, limit=20_000)) == 20_000
    assert len(hrefs(page)) == 30_000
