"""The head of a request as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.errors import FetchError
from scraper.fetch.head import field_line, field_lines, length_line, request_line, waits
from scraper.reasons import Reason


@given(st.text(), st.text())
def test_no_field_becomes_two_lines(name: str, value: str) -> None:
    try:
        line = field_line(name, value)
    except FetchError:
        return
    assert line.endswith(b"\r\n")
    assert not {*b"\r\n\0"}.intersection(line[:-2])


@given(st.text())
def test_no_target_becomes_a_second_word_or_line(target: str) -> None:
    try:
        line = request_line("GET", target)
    except FetchError:
        return
    assert line.count(b" ") == 2
    assert line.count(b"\n") == 1


@pytest.mark.parametrize("text", ["a\r\nX: y", "a\nb", "a\0b", "a\x7fb", "\udc80"])
def test_a_value_that_would_end_its_line_is_refused(text: str) -> None:
    with pytest.raises(FetchError) as caught:
        field_line("X", text)
    assert caught.value.reason is Reason.BAD_REQUEST
    assert "X: y" not in caught.value.detail


def test_host_comes_first_once_and_a_tab_or_a_letter_of_any_script_may_stand_in_a_value() -> None:
    assert field_lines([("A", "1\t2"), ("B", "ä")], "a.test:81") == b"Host: a.test:81\r\nA: 1\t2\r\nB: \xc3\xa4\r\n"
    assert field_lines([("A", "1"), ("host", "b.test")], "a.test") == b"A: 1\r\nhost: b.test\r\n"


def test_a_length_is_said_where_there_is_a_body_or_might_be_one() -> None:
    assert length_line("GET", b"", None) == b""
    assert length_line("GET", b"", b"xy") == b"Content-Length: 2\r\n"
    assert length_line("POST", b"", None) == b"Content-Length: 0\r\n"
    assert length_line("POST", b"content-length: 2 \r\n", b"xy") == b""
    for other in (b"Content-Length: 3\r\n", b"content-length: 2\r\n" * 2, b"Transfer-Encoding: chunked\r\n"):
        with pytest.raises(FetchError):
            length_line("POST", other, b"xy")


def test_connect_is_no_way_to_fetch_a_page() -> None:
    with pytest.raises(FetchError):
        request_line("CONNECT", "/")


def test_only_the_field_itself_makes_a_body_wait() -> None:
    assert waits(b"A: b\r\nExpect: 100-Continue\r\n")
    assert not waits(b"A: expect: 100-continue\r\n")
