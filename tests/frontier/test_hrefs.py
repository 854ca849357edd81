"""Plain hrefs: joined as the URL rules would, and remembered only where they mean the same in a folder."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper import url as urls
from scraper.frontier.hrefs import LONGEST, above, folder, joined, root, same_in_folder

PARTS = (
    "", "x", "y.html", ".", "..", "./", "../", "/", "//", "?", "#", "?q=1&r=/a", ":", "http:", "http://", "https://",
    "a.example", "A.example", "a.example:80", "a.example:8", "u@", "1.2", "~", "%7e", "%7E", "é", " ", "\t", "\\",
    "a=b;c,d", "'", "[", "^", "*", "$&", "!", "|",
)  # fmt: skip
HREFS = st.lists(st.sampled_from(PARTS), max_size=6).map("".join)
BASES = st.sampled_from(
    (
        "http://a.example/", "http://a.example/d/p", "https://a.example:8/d/e/?r=/s/", "http://a.example/d//e",
        "http://[::1]/d/e/f/g", "http://a.example/p?q",
    )
)  # fmt: skip


@given(BASES, HREFS)
def test_what_is_joined_is_what_the_rules_give(base: str, href: str) -> None:
    url = joined(href, above(folder(base)))
    assert not url or url == urls.canonical(href, urls.parse(base))


@given(HREFS)
def test_what_means_the_same_in_a_folder_does_so(href: str) -> None:
    if same_in_folder(href) and "#" not in href:
        meant = {_meaning(href, f"http://a.example/d/e/{page}") for page in ("", "p", "q?r=/s/", "?t")}
        assert len(meant) == 1


def _meaning(href: str, base: str) -> str:
    try:
        return urls.canonical(href, urls.parse(base))
    except urls.BadURL as error:
        return error.reason


@pytest.mark.parametrize(
    "href",
    [
        "p.html",
        "d/e.html",
        "../p",
        "../../d/",
        "/",
        "/d/p.html?q=1",
        "http://a.example/p",
        "https://b.example:8/?a=b",
    ],
)
def test_the_usual_hrefs_are_plain(href: str) -> None:
    base = "http://a.example/one/two/three/page.html?x"
    assert joined(href, above(folder(base))) == urls.canonical(href, urls.parse(base))


@given(HREFS)
def test_an_absolute_href_that_begins_with_a_root_is_on_that_host(href: str) -> None:
    if start := root(href):
        assert urls.canonical(href).startswith(start)


def test_what_is_too_long_is_left_to_the_rules() -> None:
    assert joined("x" * (LONGEST + 1), above("http://a.example/")) == ""
    assert above("http://a.example/" + "x" * 8000 + "/") == {}
