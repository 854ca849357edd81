"""Requests: what may be asked, what makes two the same, and how they are kept."""

from __future__ import annotations

import gc
from typing import Any

import msgspec
import pytest

from scraper.errors import SpiderError
from scraper.reasons import Reason
from scraper.request import Request, raw
from scraper.spider import Spider
from scraper.url import BadURL

URL = "http://a.test/"


class Shop(Spider):
    name = "shop"

    def book(self, response: Any) -> None: ...


def refused(**fields: Any) -> str:
    with pytest.raises(SpiderError) as caught:
        Request(**{"url": URL, **fields})
    return str(caught.value)


def test_a_plain_request_has_the_defaults_and_a_canonical_url() -> None:
    made = Request("HTTP://A.test:80/%7e?b#top")
    assert (made.url, made.method, made.callback, made.body) == ("http://a.test/%7E?b", "GET", "parse", None)
    assert (made.host, made.safe, made.depth, made.tries) == ("a.test", True, 0, 0)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("/relative", Reason.BAD_URL),
        ("", Reason.BAD_URL),
        ("http://", Reason.BAD_URL),
        ("ftp://a.test/", Reason.BAD_SCHEME),
        ("file:///etc/passwd", Reason.BAD_SCHEME),
        ("http://a.test/" + "x" * 9000, Reason.URL_TOO_LONG),
    ],
)
def test_only_an_absolute_web_address_is_a_request(url: str, reason: Reason) -> None:
    with pytest.raises(BadURL) as caught:
        Request(url)
    assert caught.value.reason is reason


@pytest.mark.parametrize("url", [None, 3, b"http://a.test/"])
def test_the_url_is_text(url: Any) -> None:
    assert "the URL of a Request must be text" in refused(url=url)


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb", "a\0b", b"bytes", None, 3])
def test_a_header_value_is_one_line_of_text(value: Any) -> None:
    assert "header X: value" in refused(headers={"X": value})


@pytest.mark.parametrize("name", ["", "a b", "a:", "X\r\n", "é"])
def test_a_header_name_is_a_token(name: str) -> None:
    assert f"header name {name!r} is not a token" in refused(headers={name: "x"})


def test_a_method_is_a_token_and_upper_case() -> None:
    assert Request(URL, method="post").method == "POST"
    for method in ("GET /", "G\r\n", "a b", "é"):
        assert "is not an HTTP method" in refused(method=method)


def test_a_body_makes_a_post_with_its_content_type() -> None:
    posted = Request(URL, json={"a": [1]})
    assert (posted.method, posted.body) == ("POST", b'{"a":[1]}')
    assert posted.headers == (("Content-Type", "application/json"),)
    form = Request(URL, form={"q": "a b&c", "n": ["1", "2"]})  # type: ignore[dict-item]
    assert form.body == b"q=a+b%26c&n=1&n=2"
    assert form.headers == (("Content-Type", "application/x-www-form-urlencoded"),)
    assert Request(URL, body="é").body == "é".encode()
    assert Request(URL, body=b"x", method="put").method == "PUT"


def test_a_content_type_that_was_given_stays() -> None:
    assert Request(URL, json=1, headers={"content-type": "x/y"}).headers == (("content-type", "x/y"),)


def test_only_one_body_may_be_given_and_it_must_be_one() -> None:
    assert "one of json, form and body" in refused(json={}, form={})
    assert "one of json, form and body" in refused(form={}, body=b"")
    assert "body must be bytes or text" in refused(body={"a": 1})
    assert "json cannot be encoded" in refused(json=object())
    assert "form cannot be encoded" in refused(form=3)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("priority", "high", "a whole number"),
        ("priority", 1.5, "a whole number"),
        ("priority", 10**12, "a whole number"),
        ("after", -1, "a number"),
        ("after", float("nan"), "a number"),
        ("after", float("inf"), "a number"),
        ("timeout", "3", "a number"),
        ("max_body", 0, "a whole number of at least 1"),
        ("retries", -1, "a whole number of at least 0"),
        ("again", "no", "true or false"),
        ("session", None, "text"),
        ("key", 3, "text"),
        ("headers", "X: y", "a dict"),
        ("cb_kwargs", [1], "a dict"),
        ("cb_kwargs", {1: 2}, "text as keys"),
    ],
)
def test_every_field_is_checked_where_it_is_written(name: str, value: Any, wanted: str) -> None:
    said = refused(**{name: value})
    assert said.startswith(f"{name} of a Request must")
    assert wanted in said


def test_an_unknown_field_and_one_of_the_engine_are_refused() -> None:
    assert refused(priorty=1) == "Request has no argument 'priorty'; did you mean 'priority'?"
    for name in ("depth", "tries", "due", "parent", "scope", "seed", "counted", "hops", "referer"):
        assert f"Request has no argument {name!r}" in refused(**{name: 1})


def test_a_browser_is_not_promised() -> None:
    assert "which this version does not have" in refused(browser=True)
    assert Request(URL, browser=False).browser is False


def test_accepted_statuses_are_one_or_many() -> None:
    assert Request(URL, accept_status=[404, 410]).accept_status == (404, 410)
    assert Request(URL, accept_status=404).accept_status == (404,)
    for wrong in ("404", ["404"], None, 4.5):
        assert "accept_status must be statuses" in refused(accept_status=wrong)


def test_a_callback_is_a_method_or_its_name() -> None:
    for callback in (Shop().book, Shop.book, "book"):
        assert Request(URL, callback=callback).callback == "book"


def test_a_callback_that_no_other_process_could_find_is_refused() -> None:
    def local(response: Any) -> None: ...

    for callback in (local, lambda response: None):
        assert "must be a method of the spider" in refused(callback=callback)
    assert "must be a method of the spider" in refused(callback=3)


def test_a_request_cannot_be_changed_only_replaced() -> None:
    made = Request(URL, cb_kwargs={"a": 1})
    with pytest.raises(AttributeError):
        made.url = "http://b.test/"  # type: ignore[misc]
    other = made.replace(priority=3)
    assert (other.priority, made.priority, other.url) == (3, 0, URL)


def test_what_was_given_may_change_without_the_request() -> None:
    given: dict[str, Any] = {"a": "1"}
    made = Request(URL, headers=given, cb_kwargs=given)
    given["b"] = "2"
    assert made.headers == (("a", "1"),)
    assert made.cb_kwargs == {"a": "1"}
    assert Request(URL).cb_kwargs is not Request(URL).cb_kwargs


FULL = Request(
    "http://a.test/x?y", method="PUT", headers={"X": "1"}, body=b"\x00\xff", callback="book", cb_kwargs={"n": [1]},
    priority=-3, session="s", key="k", again=True, after=1.5, timeout=2.0, max_body=10, retries=0,
    accept_status=[404],
).replace(
    depth=2, tries=1, due=9.5, parent=-7, scope="a.test", referer=URL, hops=(URL,), seed=True, counted=True
)  # fmt: skip


@pytest.mark.parametrize("form", [msgspec.json, msgspec.msgpack])
@pytest.mark.parametrize("request_", [FULL, Request(URL)])
def test_a_request_is_the_same_after_it_was_kept_as_data(form: Any, request_: Request) -> None:
    again = form.decode(form.encode(request_), type=Request)
    assert again == request_
    assert again.fingerprint == request_.fingerprint


def test_a_plain_request_is_kept_as_little_more_than_its_url() -> None:
    assert msgspec.json.encode(Request(URL)) == b'{"url":"http://a.test/"}'


def same(one: Request, other: Request) -> bool:
    return one.fingerprint == other.fingerprint


def test_method_url_body_and_session_make_a_request_what_it_is() -> None:
    plain = Request(URL)
    assert same(plain, Request("http://A.TEST:80/#x"))
    for other in (
        Request(URL + "?"),
        Request(URL, method="HEAD"),
        Request(URL, method="POST"),
        Request(URL, body=b"x"),
        Request(URL, session="a"),
        Request("https://a.test/"),
    ):
        assert not same(plain, other)
    assert same(Request(URL, json={"a": 1}), Request(URL, body='{"a":1}'))
    assert not same(Request(URL, body="ab", session="c"), Request(URL, body="a", session="bc"))
    assert not same(Request(URL, session="a"), Request(URL, session="b"))


def test_nothing_else_makes_a_request_another() -> None:
    plain = Request(URL)
    for fields in ({"headers": {"X": "1"}}, {"callback": "book"}, {"cb_kwargs": {"a": 1}}, {"priority": 3}):
        assert same(plain, Request(URL, **fields))
    assert same(plain, plain.replace(depth=3, tries=2, hops=("x",)))


def test_a_key_stands_for_all_of_it() -> None:
    assert same(Request(URL, key="k"), Request("http://b.test/", key="k", method="POST", session="s"))
    assert not same(Request(URL, key="k"), Request(URL, key="l"))
    assert not same(Request(URL, key=URL), Request(URL))


@pytest.mark.parametrize(("method", "safe"), [("GET", True), ("HEAD", True), ("POST", False), ("DELETE", False)])
def test_only_safe_methods_may_be_sent_twice(method: str, safe: bool) -> None:
    assert Request(URL, method=method).safe is safe


def test_the_key_of_politeness_has_the_port_where_it_matters() -> None:
    assert Request("http://a.test:8080/x").host == "a.test:8080"
    assert Request("https://a.test:443/x").host == "a.test"


def test_the_engine_makes_requests_without_checks() -> None:
    assert raw(url=URL, callback="") == Request(URL).replace(callback="")


def test_what_is_replaced_is_checked_like_what_is_new() -> None:
    made = Request(URL)
    assert made.replace(url="HTTP://b.test").url == "http://b.test/"
    assert made.replace(headers={"X": "1"}).headers == made.replace(headers=[("X", "1")]).headers == (("X", "1"),)
    assert made.replace(method="put", body="x", callback=Shop.book).body == b"x"
    assert made.replace(headers=(("X", "1"), ("X", "2")), depth=3).depth == 3
    for name, value in {
        "headers": {"X": "a\r\nb"}, "method": "", "priority": "high", "timeout": "3", "body": {}, "callback": 3,
        "cb_kwargs": 3, "accept_status": "x", "colour": "red", "key": 3,
    }.items():  # fmt: skip
        with pytest.raises(SpiderError):
            made.replace(**{name: value})
    for wrong in (3, ["X"], "X: y", [("a", "b", "c")], [("X", 3)]):
        with pytest.raises(SpiderError):
            made.replace(headers=wrong)
    with pytest.raises(BadURL):
        made.replace(url="junk")


def test_the_garbage_collector_does_not_look_at_requests() -> None:
    assert not gc.is_tracked(Request("http://h/", cb_kwargs={"a": [1]}))
