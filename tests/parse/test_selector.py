"""Selectors: what Scrapy's users expect of css(), and one()."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from scraper.errors import SelectorError
from scraper.parse.selector import Element, Selection, select, split

PAGE = LexborHTMLParser(
    """<html><body><h1 class=t>Old <b>good</b> books</h1>
    <p class=price>\n <i>now</i> £12.50 </p><p id=empty></p>
    <ul><li><a href=/1 title='a, "b"::text'>One</a></li><li><a href=/2>Two<!-- no --></a></li><li><a>Three</a></ul>
    <input disabled></body></html>"""
)


def css(query: str) -> Selection[Any]:
    return select(PAGE, query, "http://u:pw@shop.example/x")


def test_elements_give_their_html() -> None:
    assert css("h1").get() == '<h1 class="t">Old <b>good</b> books</h1>'
    assert css("li a").getall()[2] == "<a>Three</a>"


def test_text_is_each_direct_text_node() -> None:
    assert css("h1::text").get() == "Old "
    assert css("h1::text").getall() == ["Old ", " books"]
    assert css("a::text").getall() == ["One", "Two", "Three"]


@pytest.mark.parametrize("query", ["h1 ::text", "h1 *::text", "body > h1 ::text"])
def test_text_after_a_space_is_all_the_text_below(query: str) -> None:
    assert css(query).getall() == ["Old ", "good", " books"]


def test_text_below_is_told_once_however_elements_nest() -> None:
    page = LexborHTMLParser("<div>a<div>b</div>c</div>")
    assert select(page, "div ::text").getall() == ["a", "b", "c"]
    assert select(page, "div > *::text").getall() == ["b"]


def test_text_alone_is_all_text_of_the_element() -> None:
    assert css("h1")[0].css("::text").getall() == ["Old ", "good", " books"]


def test_attr_leaves_out_elements_without_it() -> None:
    assert css("a::attr(href)").getall() == ["/1", "/2"]
    assert css("a::attr( href )").getall() == ["/1", "/2"]
    assert css("input::attr(disabled)").getall() == [""]
    assert css("ul ::attr(href)").getall() == ["/1", "/2"]
    assert css("a::attr(nothing)").get() is None


def test_a_group_may_mix_kinds_and_comes_in_document_order() -> None:
    assert css("a::attr(href), h1::text, b").getall() == [
        "Old ", " books", "<b>good</b>", "/1", "/2",
    ]  # fmt: skip


def test_a_group_tells_each_element_once() -> None:
    assert [element.tag for element in css("h1, .t, b")] == ["h1", "b"]


def test_commas_and_colons_in_quotes_are_no_syntax() -> None:
    assert css("""a[title='a, "b"::text']::attr(href)""").getall() == ["/1"]
    assert css(r"""a[title='a, "b"::text']""").attrib["href"] == "/1"
    assert css(":is(h1, b)::text").getall() == ["Old ", " books", "good"]


def test_modern_pseudo_classes_work() -> None:
    assert len(css("h1:has(> b)")) == 1
    assert len(css("a:not([href])")) == 1
    assert len(css('a:lexbor-contains("Tw")')) == 1
    assert len(css("li:nth-child(2n+1)")) == 2


WRONG = ("", " ", "div[", "a:not(", "a,,b", "> a", "h1::txt", "::attr()", "1a", "a\udc80", "b::before::text", ",")


@pytest.mark.parametrize("query", WRONG)
def test_a_wrong_selector_is_named(query: str) -> None:
    with pytest.raises(SelectorError, match="is not valid CSS"):
        css(query)


@given(st.text(max_size=20))
def test_any_text_is_a_selector_or_an_error(query: str) -> None:
    for each in (query, query + "::text", "a, " + query + "::attr(x)"):
        found: list[str] = []
        with suppress(SelectorError):
            found = css(each).getall()
        assert all(isinstance(text, str) for text in found)


def test_one_converts() -> None:
    assert css("h1 b::text").one() == "good"
    assert css(".price::text").one(float, strip="£") == 12.5
    assert css(".price::text").one(Decimal, strip="£") == Decimal("12.50")
    assert css("h1").one(Element).tag == "h1"
    assert select(LexborHTMLParser("<p>12 EUR</p>"), "p::text").one(int, strip="EUR") == 12
    assert select(LexborHTMLParser("<p>Price: epic</p>"), "p::text").one(strip="Price:") == "epic"


@pytest.mark.parametrize(
    ("query", "kind", "says"),
    [
        ("h2::text", str, "found 0"),
        ("li", str, "found 3"),
        ("h1::text", str, "found 2"),
        ("b::text", float, "cannot make float of 'good'"),
        ("b::text", Decimal, "cannot make Decimal of 'good'"),
        ("b", int, "add ::text"),
        ("b::text", Element, "strings"),
    ],
)
def test_one_names_the_selector_and_the_page(query: str, kind: Any, says: str) -> None:
    with pytest.raises(SelectorError, match=says) as caught:
        css(query).one(kind)
    assert repr(query) in str(caught.value)
    assert "http://shop.example/x" in str(caught.value)


def test_nested_selection() -> None:
    assert css("li").css("a::text").getall() == ["One", "Two", "Three"]
    assert [li.css("a::attr(href)").get("none") for li in css("li")] == ["/1", "/2", "none"]
    with pytest.raises(SelectorError, match="elements"):
        css("li a::text").css("b")


def test_regular_expressions() -> None:
    assert css("p::text").re(r"£([\d.]+)") == ["12.50"]
    assert css("a::attr(href)").re(r"\d") == ["1", "2"]
    assert css("a::attr(href)").re_first(r"\d") == "1"
    assert css("a::attr(href)").re_first(r"x", "none") == "none"
    with pytest.raises(SelectorError, match="no regular expression"):
        css("a").re("(")


def test_a_selection_is_a_sequence() -> None:
    found = css("a")
    assert (len(found), bool(found), bool(css("h5"))) == (3, True, False)
    assert found[-1].text == "Three"
    assert found[1:].attrib == {"href": "/2"}
    assert css("h5").get() is None
    assert css("h5").get("x") == "x"
    assert css("h5").attrib == {}
    assert found[0] == css("a")[0]
    assert css("input")[0].attrib == {"disabled": ""}


def test_xpath_says_what_is_missing() -> None:
    with pytest.raises(SelectorError, match="extra 'extract'"):
        css("a").xpath("//a")


def test_split_selectors_are_remembered() -> None:
    assert split("a::text") is split("a::text")
