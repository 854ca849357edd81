"""Headers that are decoded when they are asked for are the same as those that are decoded at once."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp.http import HttpResponseParser
from hypothesis import given
from hypothesis import strategies as st

from scraper.fetch.headers import WireHeaders
from scraper.fetch.wire import Wire
from scraper.response import Headers

NAMES = st.sampled_from([b"Content-Type", b"content-type", b"Set-Cookie", b"SET-COOKIE", b"X-Own", b"Link"])
VALUES = st.binary(max_size=20).map(lambda data: bytes(byte for byte in data if byte >= 32 and byte != 127).strip())


def parsed(fields: list[tuple[bytes, bytes]]) -> WireHeaders:
    """What aiohttp's parser makes of a head."""
    loop = asyncio.new_event_loop()
    try:
        parser = HttpResponseParser(Wire(loop), loop, 2**16)
        lines = b"".join(b"%b: %b\r\n" % field for field in fields)
        messages, _, _ = parser.feed_data(b"HTTP/1.1 204 No Content\r\n" + lines + b"\r\n")
    finally:
        loop.close()
    return WireHeaders.of(messages[0][0].headers, messages[0][0].raw_headers)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6, unique_by=lambda field: (field[0].lower(), field[1])))
def test_they_read_as_plain_ones(fields: list[tuple[bytes, bytes]]) -> None:
    lazy = parsed(fields)
    plain = Headers((name.decode(), value.decode("utf-8", "surrogateescape")) for name, value in fields)
    for name in ("content-type", "SET-Cookie", "x-own", "link", "nothing"):
        assert lazy.getall(name) == plain.getall(name)
        assert lazy.get(name, "none") == plain.get(name, "none")
        assert (name in lazy) == (name in plain)
    assert lazy.raw == plain.raw
    assert dict(lazy) == dict(plain)
    assert len(lazy) == len(plain)


def test_a_field_that_is_missing_is_a_key_error_and_an_attribute_an_attribute_error() -> None:
    with pytest.raises(KeyError):
        parsed([])["x"]
    with pytest.raises(AttributeError):
        parsed([]).nothing  # noqa: B018
