"""A response made for a test of a spider."""

from __future__ import annotations

from scraper.testing import response


def test_a_made_response_can_be_read_like_a_fetched_one() -> None:
    made = response("http://a.test/x/", "<h1>Café</h1><a href='../y'>y</a>")
    assert made.css("h1::text").get() == "Café"
    assert [request.url for request in made.follow_all(css="a")] == ["http://a.test/y"]
    assert made.encoding == "utf-8"
