"""A connection: what it is built on in aiohttp, when it may be used again, and how often its reader is woken."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from ssl import CERT_NONE, PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

import aiohttp
import pytest
import trustme

from scraper.errors import FetchError, NotNow
from scraper.fetch.departure import DEPARTURE
from scraper.fetch.guard import Guard
from scraper.fetch.http import Http
from scraper.fetch.wire import BUILT_ON, Wire
from scraper.reasons import Reason
from scraper.request import Request
from scraper.settings import HostRules, resolve
from scraper.testing.raw import HEAD_END, RawServer, Script, Then, says
from tests.conftest import turns

QUICK = {"timeout": 3, "connect_timeout": 1, "header_timeout": 0.4, "allow_private": True, "max_body": 3_000_000}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
OPEN = Guard(allow_private=True)


def rules(**more: Any) -> HostRules:
    return HostRules(resolve([("test", {**QUICK, **more})]))


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    async with Http(rules(), OPEN) as opened:
        yield opened


def answers(*pieces: bytes, pause: float = 0.0) -> Script:
    """The same answer to every request, in pieces."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, n: int) -> None:
        while True:
            await reader.readuntil(HEAD_END)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                if pause:
                    await asyncio.sleep(pause)

    return script


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, names in BUILT_ON.items() for name in names])
def test_aiohttp_still_has_what_the_wire_is_built_on(owner: type, name: str) -> None:
    assert hasattr(owner, name), (
        f"aiohttp {aiohttp.__version__} has no {owner.__name__}.{name}: scraper/fetch/wire.py is built on it"
    )


async def test_aiohttp_still_makes_its_connections_by_the_factory(http: Http) -> None:
    async with RawServer(says(OK)) as server:
        place = http._pool.place(server.url("").rstrip("/"))
        connection, wire = await http._pool.dial(place)
        assert isinstance(wire, Wire), f"aiohttp {aiohttp.__version__} has no BaseConnector._factory any more"
        connection.close()


async def test_a_connection_is_used_again_after_a_whole_answer(http: Http) -> None:
    async with RawServer(answers(OK)) as server:
        for _ in range(5):
            assert (await http(Request(server.url()))).body == b"ok"
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        OK.replace(b"1.1", b"1.0"),
        OK + OK,  # one more than was asked for
    ],
)
async def test_a_connection_that_is_not_to_be_used_again_is_closed(http: Http, answer: bytes) -> None:
    async with RawServer(answers(answer)) as server:
        for _ in range(3):
            assert (await http(Request(server.url()))).body == b"ok"
        assert server.connections == 3


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_an_answer_without_body_frees_its_connection(http: Http, status: bytes) -> None:
    async with RawServer(answers(b"HTTP/1.1 " + status + b"\r\nContent-Length: 500\r\n\r\n")) as server:
        assert [(await http(Request(server.url()))).body for _ in range(3)] == [b""] * 3
        assert server.connections == 1


async def test_head_has_no_body_whatever_its_length_says_and_get_after_it_has_one(http: Http) -> None:
    async with RawServer(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")) as server:
        assert (await http(Request(server.url(), method="HEAD"))).body == b""
        assert (await http(Request(server.url(), method="HEAD"))).body == b""
        assert server.connections == 1
        with pytest.raises(FetchError) as caught:
            await http(Request(server.url(), timeout=0.2))
        assert caught.value.reason is Reason.TIMEOUT


async def test_half_a_head_nobody_asked_for_is_not_the_beginning_of_the_next_answer(http: Http) -> None:
    async with RawServer(answers(OK, b"HTTP/1.1 200 OK\r\nX-Not-Yours: ", pause=0.02)) as server:
        assert (await http(Request(server.url()))).body == b"ok"
        await turns(10)
        with pytest.raises(FetchError) as caught:
            await http(Request(server.url()))
        assert caught.value.reason is Reason.STALE
        assert (await http(Request(server.url()))).body == b"ok"


async def test_a_fetch_that_is_cancelled_closes_its_connection(http: Http) -> None:
    async with RawServer(answers(OK[:-1], pause=5)) as server:
        task = asyncio.create_task(http(Request(server.url())))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not http._pool.place(server.url("").rstrip("/")).idle
        assert not http._watch._watched


async def test_a_send_that_is_called_off_leaves_its_connection_for_the_next(http: Http) -> None:
    class Once:
        asked = 0

        def depart(self, *, reused: bool = False) -> None:
            self.asked += 1
            if self.asked == 1:
                raise NotNow

        def sent(self) -> None:
            """Nothing to note."""

    async with RawServer(answers(OK)) as server:
        token = DEPARTURE.set(Once())
        with pytest.raises(NotNow):
            await http(Request(server.url()))
        assert (await http(Request(server.url()))).body == b"ok"
        DEPARTURE.reset(token)
        assert (server.connections, server.requests) == (1, 1)


async def test_a_large_body_comes_whole_in_every_framing(http: Http) -> None:
    body = bytes(range(256)) * 8_000
    parts = [body[start : start + 999] for start in range(0, len(body), 999)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    head = b"HTTP/1.1 200 OK\r\n"
    async with RawServer(answers(head + b"Content-Length: %d\r\n\r\n" % len(body), body)) as server:
        assert (await http(Request(server.url()))).body == body
    async with RawServer(answers(head + b"Transfer-Encoding: chunked\r\n\r\n", chunks + b"0\r\n\r\n")) as server:
        assert (await http(Request(server.url()))).body == body
        assert (await http(Request(server.url()))).body == body
        assert server.connections == 1
    async with RawServer(says(head + b"\r\n" + body, then=Then.CLOSE)) as server:
        assert (await http(Request(server.url()))).body == body


async def test_a_body_of_very_small_chunks_does_not_wait_for_ever(http: Http) -> None:
    chunks = b"1\r\nx\r\n" * 60_000 + b"0\r\n\r\n"
    async with RawServer(answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)) as server:
        for _ in range(2):
            assert (await http(Request(server.url()))).body == b"x" * 60_000


async def test_a_body_that_comes_slowly_but_fast_enough_is_no_slow_one() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2400\r\n\r\n"
    script = answers(head, *[b"x" * 200] * 12, pause=0.1)
    async with RawServer(script) as server, Http(rules(min_rate=500, slow_after=1.0), OPEN) as http:
        assert len((await http(Request(server.url()))).body) == 2400


async def test_an_early_answer_is_taken_while_the_body_of_the_request_is_still_on_its_way(http: Http) -> None:
    async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, n: int) -> None:
        await reader.readuntil(HEAD_END)
        writer.write(OK.replace(b"200 OK", b"413 Too Large"))
        await writer.drain()
        await asyncio.sleep(0.3)

    async with RawServer(refuses) as server:
        response = await http(Request(server.url(), method="POST", body=b"x" * 30_000_000))
        assert response.status == 413
        assert not http._pool.place(server.url("").rstrip("/")).idle


async def test_a_body_waits_for_100_continue_where_the_request_expects_it(http: Http) -> None:
    got: list[bytes] = []

    async def asks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, n: int) -> None:
        await reader.readuntil(HEAD_END)
        await asyncio.sleep(0.05)
        got.append(bytes(reader._buffer))  # type: ignore[attr-defined]
        if n == 0:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            got.append(await reader.readexactly(4))
        writer.write(OK)
        await writer.drain()
        await asyncio.sleep(0.05)

    async with RawServer(asks) as server:
        request = Request(server.url(), method="POST", body=b"body", headers={"Expect": "100-continue"})
        assert (await http(request)).body == b"ok"
        assert got == [b"", b"body"]
        await turns(10)
        assert (await http(request)).body == b"ok"  # answered without: the body is never sent
        assert got == [b"", b"body", b""]
        assert not http._pool.place(server.url("").rstrip("/")).idle


@pytest.mark.parametrize(
    ("fields", "body", "expected"),
    [
        ({}, b"four", b"Content-Length: 4"),
        ({"content-length": "4"}, b"four", b"content-length: 4"),
        ({}, None, b"Content-Length: 0"),
    ],
)
async def test_a_request_says_how_long_its_body_is(
    http: Http, fields: dict[str, str], body: bytes | None, expected: bytes
) -> None:
    heads: list[bytes] = []

    async def keeps(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, n: int) -> None:
        heads.append(await reader.readuntil(HEAD_END))
        writer.write(OK)
        await writer.drain()

    async with RawServer(keeps) as server:
        await http(Request(server.url("/a?b=c"), method="POST", body=body, headers=fields))
    lines = heads[0].split(b"\r\n")
    assert lines[0] == b"POST /a?b=c HTTP/1.1"
    assert lines[1] == b"Host: 127.0.0.1:%d" % server.port
    assert [line for line in lines if line.lower().startswith(b"content-length")] == [expected]


async def test_a_length_that_is_not_that_of_the_body_is_not_sent(http: Http) -> None:
    async with RawServer(says(OK)) as server:
        with pytest.raises(FetchError) as caught:
            await http(Request(server.url(), method="POST", body=b"four", headers={"Content-Length": "5"}))
        assert caught.value.reason is Reason.BAD_REQUEST
        assert server.requests == 0


async def test_a_tunnel_through_a_proxy_is_dialled_once_and_the_origin_sees_no_secret_of_the_proxy() -> None:
    certificate = trustme.CA().issue_cert("origin.test")
    context = SSLContext(PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    context.verify_mode = CERT_NONE
    seen: list[bytes] = []

    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, n: int) -> None:
        while True:
            seen.append(await reader.readuntil(HEAD_END))
            writer.write(OK)
            await writer.drain()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, n: int) -> None:
        asked.append(await reader.readuntil(HEAD_END))
        inner, outer = await asyncio.open_connection("127.0.0.1", tls.port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)

        try:
            await asyncio.gather(pump(reader, outer), pump(inner, writer))
        finally:
            outer.close()

    asked: list[bytes] = []
    async with RawServer(origin, ssl=context) as tls, RawServer(proxy) as server:
        address = server.url().replace("http://", "http://u:p@")
        async with Http(rules(proxy=address, verify=False), OPEN) as http:
            for _ in range(3):
                assert (await http(Request("https://origin.test/page"))).body == b"ok"
    assert len(asked) == 1
    assert asked[0].startswith(b"CONNECT origin.test:443 HTTP/1.1")
    assert b"Proxy-Authorization: Basic dTpw" in asked[0]
    assert [head.partition(b"\r\n")[0] for head in seen] == [b"GET /page HTTP/1.1"] * 3
    assert not any(b"proxy" in head.lower() for head in seen)


async def test_a_proxy_that_refuses_a_tunnel_is_a_proxy_error() -> None:
    refusal = says(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    async with RawServer(refusal) as server, Http(rules(proxy=server.url()), OPEN) as http:
        with pytest.raises(FetchError) as caught:
            await http(Request("https://origin.test/page"))
    assert caught.value.reason is Reason.PROXY


async def test_an_answer_in_one_packet_wakes_its_reader_once_and_needs_no_task_and_no_timer(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scraper.fetch.watch.TICK", 60)  # seconds: it does not look while we do
    waited: list[bool] = []
    news = Wire.news

    def counted(wire: Wire) -> asyncio.Future[None] | None:
        future = news(wire)
        waited.append(future is not None)
        return future

    async with RawServer(answers(OK)) as server:
        await http(Request(server.url()))  # dials
        monkeypatch.setattr(Wire, "news", counted)
        before, timer = asyncio.all_tasks(), http._watch._timer
        assert timer is not None
        for _ in range(20):
            await http(Request(server.url()))
            assert asyncio.all_tasks() == before
            assert http._watch._timer is timer
    assert waited == [True] * 20


async def test_a_connection_that_lies_idle_is_closed_and_forgotten(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scraper.fetch.pool.KEEPALIVE", 0.1)
    monkeypatch.setattr("scraper.fetch.pool.SWEEP", 0.05)
    async with RawServer(answers(OK)) as server:
        await http(Request(server.url()))
        place = http._pool.place(server.url("").rstrip("/"))
        assert len(place.idle) == 1
        await asyncio.sleep(0.3)
        assert not place.idle
        assert not http._pool._connector._acquired
        await http(Request(server.url()))
        assert server.connections == 2


async def test_timeouts_of_zero_are_endless() -> None:
    endless = rules(timeout=0, connect_timeout=0, header_timeout=0, min_rate=0)
    async with RawServer(answers(OK[:-1], OK[-1:], pause=0.1)) as server, Http(endless, OPEN) as http:
        assert (await http(Request(server.url()))).body == b"ok"


async def test_origins_without_connections_are_forgotten_when_there_are_many(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    http._pool._most = 3
    monkeypatch.setattr("scraper.fetch.pool.PLACES", 3)
    async with RawServer(answers(OK)) as server:
        await http(Request(server.url()))
        kept = http._pool.place(server.url("").rstrip("/"))
        for number in range(20):
            http._pool.place(f"http://a{number}.test")
        assert len(http._pool._places) <= 3
        assert http._pool.place(kept.origin) is kept
        slow = asyncio.create_task(http(Request(server.url())))
        await asyncio.sleep(0)  # it has taken the connection
        for number in range(20):
            http._pool.place(f"http://b{number}.test")
        assert (await slow).body == b"ok"  # its place is forgotten, and its connection closed
        assert http._pool.place(kept.origin) is not kept
        assert not http._pool._connector._acquired


async def test_a_request_makes_no_garbage_that_has_to_be_looked_for(http: Http) -> None:
    async with RawServer(answers(OK)) as server:
        await http(Request(server.url()))
        gc.collect()
        gc.disable()
        try:
            for _ in range(50):
                await http(Request(server.url()))
            assert gc.collect() < 50
        finally:
            gc.enable()


async def test_the_end_leaves_no_connection_open() -> None:
    async with RawServer(answers(OK)) as server:
        async with Http(rules(), OPEN) as http:
            await asyncio.gather(*[http(Request(server.url())) for _ in range(10)])
        assert not http._pool.place(server.url("").rstrip("/")).idle
        del http
        gc.collect()  # a connection that was left would warn, and warnings are errors
