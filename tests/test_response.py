"""Responses: header fields, JSON, and the requests that a page leads to."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from scraper.errors import SpiderError
from scraper.parse.reader import Reader
from scraper.response import Follow, Headers, Link, Response
from scraper.url import BadURL

URL = "http://a.test/dir/page"
PAGE = b"""<base href="/base/"><a class=x href=one>1</a><a class=x href="one#top">again</a><a href="//b.test/">2</a>
<a class=x href="http://[bad">bad</a><a href="mailto:a@b">mail</a><a name=none>0</a>
<ul><li><a href="?p=2">3</a></ul><img src=pic.png>"""
HTML = [("Content-Type", "text/html; charset=utf-8")]


def response(body: bytes = PAGE, **fields: Any) -> Response:
    return Response(**{"url": URL, "headers": HTML, "body": body, "reader": Reader(), **fields})


def test_headers_are_found_in_any_case_and_keep_their_order() -> None:
    headers = Headers([("Set-Cookie", "a=1"), ("X-A", "1"), ("set-cookie", "b=2")])
    assert headers["SET-COOKIE"] == "a=1"
    assert headers.getall("Set-cookie") == ["a=1", "b=2"]
    assert headers.get("x-b", "none") == "none"
    assert ("x-a" in headers, "X-A" in headers, "y" in headers) == (True, True, False)
    assert (len(headers), sorted(headers)) == (2, ["set-cookie", "x-a"])
    assert headers.raw[2] == ("set-cookie", "b=2")
    with pytest.raises(KeyError):
        headers["nothing"]


def test_repr_shows_status_and_url_without_credentials() -> None:
    shown = repr(
        Response("http://me:s3cret@a.test/", status=404, headers=[("Set-Cookie", "s3cret")], body=b"s3cret")
    )
    assert shown == "<Response 404 http://a.test/>"
    assert "\n" not in repr(Response("http://a.test/\n\x1b[31m"))


def test_json_is_read_plainly_or_as_a_type() -> None:
    class Book(msgspec.Struct):
        title: str
        price: float = 0.0

    assert response(b'{"a": [1, null]}').json() == {"a": [1, None]}
    assert response(b'\xef\xbb\xbf{"title": "x", "more": 1}').json(Book) == Book("x")
    assert response(b'[{"title": "x", "price": 2}]').json(type=list[Book]) == [Book("x", 2.0)]


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"title": 3}', b'"\xff"', b"[" * 100_000, b'{"title": "x"'])
def test_what_is_no_such_json_names_the_page(body: bytes) -> None:
    class Book(msgspec.Struct):
        title: str

    with pytest.raises(SpiderError, match=r"http://a\.test/dir/page is no such JSON: "):
        response(body).json(Book)
    with pytest.raises(SpiderError) as caught:
        response(body, url="http://me:s3cret@a.test/").json(Book)
    assert "s3cret" not in str(caught.value)


def test_follow_takes_text_links_and_elements() -> None:
    page = response()
    element = page.css("a.x")[0]
    for href in ("one", " one#part ", "/base/one", Link("http://a.test/base/one"), element, page.css("a.x")):
        assert page.follow(href).url == "http://a.test/base/one"
    assert page.follow(page.css("img")).url == "http://a.test/base/pic.png"
    assert page.follow("//b.test").url == "http://b.test/"


def test_follow_passes_every_field_on() -> None:
    made = response().follow("x", "book", cb_kwargs={"n": 1}, method="POST", priority=2, key="k")
    assert (made.callback, made.cb_kwargs, made.method, made.priority, made.key) == (
        "book",
        {"n": 1},
        "POST",
        2,
        "k",
    )


def test_follow_refuses_what_is_no_link() -> None:
    page = response()
    for thing in (None, 3, page.css("a[name]"), page.css("p")):
        with pytest.raises(SpiderError, match="needs a URL, a Link or an element"):
            page.follow(thing)
    for href in ("http://[bad", "mailto:a@b", "javascript:x()"):
        with pytest.raises(BadURL):
            page.follow(href)
    with pytest.raises(SpiderError, match="no argument 'calback'; did you mean 'callback'"):
        page.follow("x", calback="book")


def urls_of(follow: Follow) -> list[str]:
    return [request.url for request in follow]


def test_follow_all_has_four_forms() -> None:
    page = response()
    one, two, three = "http://a.test/base/one", "http://b.test/", "http://a.test/base/?p=2"
    assert urls_of(page.follow_all()) == [one, two, three]
    assert urls_of(page.follow_all(css="a.x")) == [one]
    assert urls_of(page.follow_all(css="a::attr(href)")) == [one, two, three]
    given = ["one", Link(two), page.css("li a")[0], *page.css("a[name]")]
    assert urls_of(page.follow_all(given)) == [one, two, three]
    assert urls_of(page.follow_all(links=iter(["one", "one", "http://[bad"]))) == [one]
    assert urls_of(page.follow_all([])) == urls_of(page.follow_all([""])) == []


def test_follow_all_gives_every_request_the_same_fields() -> None:
    many = response().follow_all(css="a", callback="book", cb_kwargs={"n": 1}, priority=5)
    assert {(r.callback, r.cb_kwargs["n"], r.priority) for r in many} == {("book", 1, 5)}
    assert [r.depth for r in many.with_(depth=3)] == [3, 3, 3]
    assert len(many) >= 3


def test_follow_all_may_be_walked_twice() -> None:
    many = response().follow_all(links=iter(["a", "b"]))
    assert urls_of(many) == urls_of(many) != []


def test_follow_all_is_checked_where_it_is_written() -> None:
    page = response()
    with pytest.raises(SpiderError, match="one of css, xpath and links"):
        page.follow_all(["x"], css="a")
    with pytest.raises(SpiderError, match=r"takes a list of links; write css='h3 a'"):
        page.follow_all("h3 a")
    with pytest.raises(SpiderError, match="must be a method of the spider"):
        page.follow_all(css="a", callback=lambda response: None)
    with pytest.raises(SpiderError, match="no argument 'prio'"):
        page.follow_all(css="a", prio=3)
    for thing in (None, 3, b"x"):
        with pytest.raises(SpiderError, match="takes URLs, Links and elements"):
            page.follow_all(["x", thing])


def test_what_is_read_once_is_kept() -> None:
    page = response()
    assert page.text is page.text
    assert page.links() is page.links()
    assert page.base_url == "http://a.test/base/"
    calls: list[int] = []
    for _ in range(3):
        page.cached("mine", lambda: calls.append(1))
    assert calls == [1]


def test_a_response_without_reader_says_so() -> None:
    bare = Response(URL, body=b"{}")
    assert bare.json() == {}
    assert bare.request.url == URL
    with pytest.raises(SpiderError, match="without a reader"):
        bare.css("a")
