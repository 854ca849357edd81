"""The reader: responses that read themselves."""

from __future__ import annotations

import pytest

from scraper.errors import FetchError, SelectorError
from scraper.parse.reader import Reader, document, large, prepare
from scraper.reasons import Reason
from scraper.response import Response

URL = "http://a.example/dir/page"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


def response(body: bytes, kind: str = "text/html; charset=utf-8", reader: Reader | None = None) -> Response:
    return Response(URL, headers=[("Content-Type", kind)], body=body, reader=reader or Reader())


def test_a_response_reads_itself() -> None:
    page = response("<base href=/b/><h1>Größe</h1><a href=x rel=nofollow>1</a>".encode())
    assert page.encoding == "utf-8"
    assert "Größe" in page.text
    assert page.css("h1::text").get() == "Größe"
    assert page.base_url == "http://a.example/b/"
    assert [link.url for link in page.links()] == ["http://a.example/b/x"]
    assert page.links()[0].nofollow
    assert [request.url for request in page.follow_all()] == ["http://a.example/b/x"]
    assert page.follow(page.css("a")[0]).url == "http://a.example/b/x"


def test_other_encodings_are_read_alike() -> None:
    page = response("<h1>Größe</h1>".encode("windows-1252"), "text/html; charset=windows-1252")
    assert page.css("h1::text").get() == "Größe"


def test_the_document_is_parsed_once() -> None:
    page = response(b"<p>a")
    prepare(page)
    assert document(page) is document(page)
    assert page.css("p::text").get() == "a"


def test_a_base_is_found_without_a_parse_where_there_is_none() -> None:
    page = response(b"<p>a")
    assert page.base_url == URL
    assert "document" not in page._cache


def test_binary_is_not_fed_to_the_parser() -> None:
    page = response(PNG, "image/png")
    for read in (lambda: page.text, lambda: page.css("a"), lambda: page.links(), lambda: page.follow_all()):
        with pytest.raises(FetchError) as caught:
            read()
        assert caught.value.reason is Reason.NOT_TEXT
    assert page.base_url == URL
    assert page.follow("next").url == "http://a.example/dir/next"


def test_a_bomb_is_refused() -> None:
    with pytest.raises(FetchError) as caught:
        document(response(b"<div>" * 100_000))
    assert caught.value.reason is Reason.HTML_BOMB


def test_a_bomb_that_was_prepared_is_refused_when_it_is_read() -> None:
    page = response(b"<div>" * 100_000)
    prepare(page)
    assert page.body
    with pytest.raises(FetchError):
        page.css("div")


def test_many_options_cost_no_more_than_other_elements() -> None:
    page = response(b"<select>" + b"<option>x</option>" * 100_000 + b"</select>")  # 19 s with events
    assert len(page.css("option")) == 100_000


def test_errors_name_the_page() -> None:
    with pytest.raises(SelectorError, match=r"'h2' on http://a\.example/dir/page: found 0"):
        response(b"<p>").css("h2").one()
    with pytest.raises(SelectorError, match="extra 'extract'"):
        response(b"<p>").xpath("//p")


def test_large_pages_are_for_a_thread() -> None:
    assert large(response(b"x" * 300_000))
    assert not large(response(b"<p>x" * 1000))


def test_settings_of_the_reader() -> None:
    body = b"<a href=1 rel=nofollow><a href=2><a href=3>"
    page = response(body, reader=Reader(nofollow=False, max_links=2))
    assert [link.nofollow for link in page.links()] == [False, False]
    assert len(page.links()) == 2


def test_xml_is_read_as_html() -> None:
    assert response(b"<?xml version='1.0'?><r><item>1</item></r>", "application/xml").css("item::text").get() == "1"


def test_an_empty_body_has_nothing() -> None:
    page = response(b"")
    assert page.css("a").getall() == []
    assert page.links() == []
