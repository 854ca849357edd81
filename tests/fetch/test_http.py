"""The transport against servers that do what servers should not (faults A and B): a response or a typed error."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator

import pytest

from scraper.clock import Clock
from scraper.errors import FetchError, NotNow
from scraper.fetch.cookies import Jars
from scraper.fetch.departure import DEPARTURE
from scraper.fetch.guard import Guard
from scraper.fetch.http import Http
from scraper.fetch.stack import build
from scraper.reasons import Reason
from scraper.request import Request
from scraper.settings import HostRules, resolve
from scraper.testing.raw import SCRIPTS, RawServer, black_hole, refusing, says
from scraper.testing.resolve import Loopback
from scraper.testing.site import Site
from tests.conformance import table
from tests.conftest import turns

QUICK = {
    "timeout": 3, "connect_timeout": 0.5, "header_timeout": 0.4, "min_rate": 500, "slow_after": 0.4,
    "max_body": 200_000, "max_wire": 100_000, "allow_private": True,
}  # fmt: skip
EXPECTED = {
    "silent": Reason.HEADER_TIMEOUT,
    "never reads": Reason.HEADER_TIMEOUT,
    "reset at once": Reason.RESET,
    "close at once": Reason.EMPTY_REPLY,
    "slow headers": Reason.HEADER_TIMEOUT,
    "slow body": Reason.SLOW_BODY,
    "stalled body": Reason.SLOW_BODY,
    "endless body": Reason.TOO_LARGE,
    "endless chunks": Reason.TOO_LARGE,
    "close in headers": Reason.EMPTY_REPLY,
    "reset in body": Reason.PARTIAL,
    "short body": Reason.PARTIAL,
    "chunks without end": Reason.PARTIAL,
    "chunk cut": Reason.PARTIAL,
    "garbage": Reason.PROTOCOL,
    "http 0.9": Reason.PROTOCOL,
    "icy": Reason.PROTOCOL,
    "status 000": Reason.PROTOCOL,
    "status 99": Reason.PROTOCOL,
    "status 1000": Reason.PROTOCOL,
    "status negative": Reason.PROTOCOL,
    "status with colon": Reason.PROTOCOL,
    "interim for ever": Reason.HEADER_TIMEOUT,
    "continue only": Reason.HEADER_TIMEOUT,
    "switching protocols": Reason.PROTOCOL,
    "huge header line": Reason.HEADERS_TOO_LARGE,
    "10,000 headers": Reason.HEADERS_TOO_LARGE,
    "endless headers": Reason.HEADERS_TOO_LARGE,
    "endless header line": Reason.HEADERS_TOO_LARGE,
    "nul in header": Reason.PROTOCOL,
    "cr in header": Reason.PROTOCOL,
    "no colon": Reason.PROTOCOL,
    "space before colon": Reason.PROTOCOL,
    "two lengths": Reason.PROTOCOL,
    "equal lengths": Reason.PROTOCOL,
    "negative length": Reason.PROTOCOL,
    "length in words": Reason.PROTOCOL,
    "length list": Reason.PROTOCOL,
    "length overflow": Reason.PROTOCOL,
    "length with sign": Reason.PROTOCOL,
    "length and chunked": Reason.PROTOCOL,
    "chunked not last": Reason.PROTOCOL,
    "bad chunk size": Reason.PROTOCOL,
    "negative chunk size": Reason.PROTOCOL,
    "chunk size overflow": Reason.PROTOCOL,
    "trailer flood": Reason.HEADERS_TOO_LARGE,
    "endless trailers": Reason.HEADERS_TOO_LARGE,
    # aiohttp reads past the end of these: the body is lost, never taken for another page's.
    "body on 204": Reason.PROTOCOL,
    "body on 304": Reason.PROTOCOL,
    "extra bytes": Reason.PROTOCOL,
}


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    async with Http(HostRules(resolve([("test", QUICK)])), Guard(allow_private=True)) as opened:
        yield opened


async def reason_of(http: Http, url: str) -> Reason:
    with pytest.raises(FetchError) as caught:
        async with asyncio.timeout(5):
            await http(Request(url))
    return caught.value.reason


@pytest.mark.parametrize("name", sorted(EXPECTED))
async def test_a_broken_server_is_a_typed_error(http: Http, name: str) -> None:
    async with RawServer(SCRIPTS[name]) as server:
        assert await reason_of(http, server.url()) is EXPECTED[name]


@pytest.mark.parametrize("name", sorted(SCRIPTS.keys() - EXPECTED.keys()))
async def test_an_odd_server_is_answered(http: Http, name: str) -> None:
    async with RawServer(SCRIPTS[name]) as server:
        response = await http(Request(server.url()))
    assert response.status in (200, 302, 999)


async def test_a_refused_connection_and_a_black_hole_are_told_apart(http: Http) -> None:
    with refusing() as port:
        assert await reason_of(http, f"http://127.0.0.1:{port}/") is Reason.REFUSED
    with black_hole() as port:
        assert await reason_of(http, f"http://127.0.0.1:{port}/") is Reason.CONNECT_TIMEOUT


async def test_a_name_without_address_is_a_dns_error() -> None:
    rules = HostRules(resolve([("test", QUICK)]))
    async with Http(rules, Guard(allow_private=True), Loopback()) as http:
        assert await reason_of(http, "http://nx.test/") is Reason.DNS


@pytest.mark.parametrize("name", ["stale", "stale when idle"])
async def test_a_stale_connection_is_told_apart_and_never_resent_silently(http: Http, name: str) -> None:
    async with RawServer(SCRIPTS[name]) as server:
        await http(Request(server.url()))
        if name == "stale when idle":  # its pause is over when it gets the request, which it does not read
            time.sleep(0.06)  # noqa: ASYNC251  nobody may notice the end of the connection before
        before = server.requests
        with pytest.raises(FetchError) as caught:
            await http(Request(server.url()))
        assert caught.value.reason is Reason.STALE
        assert server.requests <= before + 1


async def test_an_answer_nobody_asked_for_is_never_taken_for_ours(http: Http) -> None:
    async with RawServer(SCRIPTS["second response later"]) as server:
        assert (await http(Request(server.url()))).body == b"ok"
        await turns(20)
        with pytest.raises(FetchError) as caught:
            await http(Request(server.url()))
    assert caught.value.reason is Reason.STALE


async def test_a_cut_off_body_can_be_kept_flagged() -> None:
    rules = HostRules(resolve([("test", {**QUICK, "keep_partial": True})]))
    async with Http(rules, Guard(allow_private=True)) as http, RawServer(SCRIPTS["short body"]) as server:
        response = await http(Request(server.url()))
    assert response.flags == ("partial",)
    assert response.body


async def test_a_compressed_body_that_is_cut_is_an_error_whatever_its_framing_says(http: Http) -> None:
    whole = zlib.compress(b"text " * 5_000, wbits=31)
    cut = whole[: len(whole) // 2]
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    async with RawServer(says(head % len(cut) + cut)) as server:
        assert await reason_of(http, server.url()) is Reason.PARTIAL
    async with RawServer(says(head % len(whole) + whole)) as server:
        assert (await http(Request(server.url()))).body == b"text " * 5_000


async def test_a_bomb_stops_at_the_decoded_cap(http: Http) -> None:
    bomb = zlib.compress(bytes(50_000_000), wbits=31)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    async with RawServer(says(head + bomb)) as server:
        assert await reason_of(http, server.url()) is Reason.TOO_LARGE


async def test_a_send_that_is_called_off_at_departure_writes_nothing(http: Http) -> None:
    class Never:
        def depart(self, *, reused: bool = False) -> None:
            raise NotNow

        def sent(self) -> None:
            raise AssertionError("nothing was to be sent")

    async with RawServer(SCRIPTS["good"]) as server:
        token = DEPARTURE.set(Never())
        with pytest.raises(NotNow):
            await http(Request(server.url()))
        DEPARTURE.reset(token)
        assert server.requests == 0
        assert (await http(Request(server.url()))).status == 200


async def test_the_fields_of_a_request_are_weakest_first_ours_settings_host_request() -> None:
    given = {
        **QUICK,
        "user_agent": "shopbot/2",
        "contact": "mailto:me@a.test",
        "headers": {"Accept-Language": "de"},
        "hosts": {"127.0.0.1": {"headers": {"X-Key": "k"}, "auth": "me:secret"}},
    }
    rules = HostRules(resolve([("test", given)]))
    async with Site() as site, Http(rules, Guard(allow_private=True)) as http:
        site.echo("/echo")
        rules.seeds.add(site.url("").rstrip("/"))
        fetch = build(http, rules, Jars(), Clock())
        request = Request(site.url("/echo"), headers={"accept": "application/json"}, json={"a": 1})
        sent = json.loads((await fetch(request)).body)
    fields = {name.lower(): value for name, value in sent["headers"]}
    assert fields["user-agent"] == "shopbot/2 (+mailto:me@a.test)"
    assert fields["accept-language"] == "de"
    assert fields["x-key"] == "k"
    assert fields["accept"] == "application/json"
    assert fields["authorization"].startswith("Basic ")
    assert fields["content-type"] == "application/json"
    assert sent["body"] == '{"a":1}'


async def test_a_proxy_gets_its_credentials_and_the_origin_does_not() -> None:
    seen: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, n: int) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()

    async with RawServer(proxy) as server:
        address = server.url().replace("http://", "http://u:p@")
        rules = HostRules(resolve([("test", {**QUICK, "proxy": address})]))
        async with Http(rules, Guard(allow_private=True)) as http:
            assert (await http(Request("http://origin.test/page"))).body == b"ok"
    assert seen[0].startswith(b"GET http://origin.test/page HTTP/1.1")
    assert b"Proxy-Authorization: Basic dTpw" in seen[0]


async def test_every_shape_of_reply_gives_a_response_or_a_typed_error(http: Http) -> None:
    answered = refused = 0
    for case in table("h1_parsing.json"):
        async with RawServer(says(case["raw"].encode("latin-1"))) as server:
            try:
                async with asyncio.timeout(5):
                    await http(Request(server.url()))
                answered += 1
            except FetchError:
                refused += 1
    assert (answered, refused) == (answered, 102 - answered)
    assert answered >= 20


async def test_content_lengths_that_contradict_each_other_are_refused(http: Http) -> None:
    right = 0
    for case in table("content_lengths.json"):
        lines = "".join(f"Content-Length: {value}\r\n" for value in case["headers"])
        body = "x" * 42 if case["output"] == 42 else "x" * 30
        async with RawServer(says(f"HTTP/1.1 200 OK\r\n{lines}\r\n{body}".encode())) as server:
            try:
                async with asyncio.timeout(5):
                    got = len((await http(Request(server.url()))).body)
            except FetchError:
                got = None
        right += got == case["output"]
        assert got is None or case["output"] is not None, f"{case['headers']} was accepted"
    assert right >= 13
