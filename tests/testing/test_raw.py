"""The raw server: every script does on the wire what its name says."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time

import pytest
import trustme

from scraper.testing.raw import OK, SCRIPTS, RawServer, Then, black_hole, refusing, says, slowly
from scraper.testing.scripts import PAUSE, Reader, Writer

TURN = 0.01  # seconds
REQUEST = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
ENDLESS = {"endless body", "endless chunks", "endless headers", "endless header line", "endless trailers"}
ENDLESS |= {"interim for ever"}


async def heard(port: int, seconds: float = 0.15, most: int = 1 << 20, times: int = 1) -> tuple[bytes, str]:
    """What comes back within a time, and how it ended: "closed", "reset", "open" or "more".

    The time is many turns of the loop: one in which nobody could run is no more than one of them.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = b""

    async def read() -> str:
        nonlocal data
        while len(data) < most:
            piece = await reader.read(65536)
            if not piece:
                return "closed"
            data += piece
        return "more"

    writer.write(REQUEST * times)
    reading = asyncio.create_task(read())
    try:
        for _ in range(round(seconds / TURN)):
            if (await asyncio.wait((reading,), timeout=TURN))[0]:
                return data, reading.result()
        return data, "open"
    except ConnectionResetError:
        return data, "reset"
    finally:
        reading.cancel()
        writer.transport.abort()


async def tell(name: str, **given: float) -> tuple[bytes, str]:
    async with RawServer(SCRIPTS[name]) as server:
        return await heard(server.port, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(SCRIPTS.keys() - ENDLESS))
async def test_every_script_answers_or_is_silent_and_ends_with_its_server(name: str) -> None:
    data, end = await tell(name, seconds=0.05)
    silent = {"silent", "never reads", "reset at once", "close at once"}
    assert bool(data) == (name not in silent)
    assert end in ("open", "closed", "reset")


@pytest.mark.parametrize("name", sorted(ENDLESS))
async def test_endless_scripts_send_more_than_anyone_wants(name: str) -> None:
    _, end = await tell(name, seconds=5.0)
    assert end == "more"


@pytest.mark.parametrize(
    ("name", "end", "start"),
    [
        ("good", "open", OK),
        ("silent", "open", b""),
        ("close at once", "closed", b""),
        ("reset at once", "reset", b""),
        ("close in headers", "closed", b"HTTP/1.1 200 OK\r\n"),
        ("reset in body", "reset", b"HTTP/1.1 200 OK\r\n"),
        ("short body", "closed", b"HTTP/1.1 200 OK\r\n"),
        ("chunks without end", "closed", b"HTTP/1.1 200 OK\r\n"),
        ("stale when idle", "closed", OK),
        ("icy", "closed", b"ICY 200 OK"),
        ("continue only", "open", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ("switching protocols", "open", b"HTTP/1.1 101"),
        ("status 999", "open", b"HTTP/1.1 999"),
    ],
)
async def test_connections_end_as_the_script_says(name: str, end: str, start: bytes) -> None:
    data, ended = await tell(name, seconds=0.1 if end == "open" else 5.0)
    assert ended == end
    assert data.startswith(start)


@pytest.mark.parametrize("name", ["slow headers", "slow body"])
async def test_slow_servers_drip(name: str) -> None:
    began = time.monotonic()
    data, end = await tell(name, seconds=0.4)
    assert end == "open"
    drops = len(data.rpartition(b"\n" if name == "slow body" else b" ")[2])
    assert 2 <= drops <= 1 + (time.monotonic() - began) / PAUSE


async def test_a_stale_connection_answers_once_and_closes_on_the_next_request() -> None:
    async with RawServer(SCRIPTS["stale"]) as server:
        assert await heard(server.port) == (OK, "open")
        assert await heard(server.port, times=2) == (OK, "closed")
        assert (server.connections, server.requests) == (2, 3)


async def test_replies_come_in_order_and_the_last_one_again() -> None:
    async with RawServer(says(b"1", b"2")) as server:
        assert await heard(server.port, times=4) == (b"1222", "open")
        assert server.requests == 4


async def test_unasked_bytes_follow_the_answer() -> None:
    assert (await tell("extra bytes"))[0] == OK + b"poison"
    assert (await tell("second response later"))[0].endswith(b"unasked")
    assert (await tell("body on 204"))[0].endswith(b"\r\n\r\npoison")


async def test_a_server_that_never_reads_makes_its_client_wait() -> None:
    async with RawServer(SCRIPTS["never reads"]) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(bytes(16_000_000))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await writer.drain()
        writer.transport.abort()


async def test_slowly_ends_after_so_many_pieces() -> None:
    async with RawServer(slowly(b"a", b"b", times=3, pause=0.01, end=b"c")) as server:
        assert await heard(server.port, seconds=2.0) == (b"abbbc", "closed")


async def test_requests_are_counted_when_they_come_in_pieces() -> None:
    async with RawServer(SCRIPTS["good"]) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for byte in REQUEST:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.001)
        assert await reader.readexactly(len(OK)) == OK
        assert server.requests == 1
        writer.transport.abort()


async def test_an_error_in_a_script_is_raised_at_the_end() -> None:
    async def wrong(reader: Reader, writer: Writer, n: int) -> None:
        raise ValueError(f"connection {n}")

    with pytest.raises(ExceptionGroup) as caught:
        async with RawServer(wrong) as server:
            await heard(server.port)
    assert str(caught.value.exceptions[0]) == "connection 0"


async def test_speaks_tls_when_given_a_context() -> None:
    authority = trustme.CA()
    own, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("a.test").configure_cert(own)
    authority.configure_trust(trusting)
    async with RawServer(says(OK, then=Then.CLOSE), ssl=own) as server:
        assert server.url().startswith("https://")
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=trusting, server_hostname="a.test"
        )
        writer.write(REQUEST)
        assert await reader.read() == OK
        writer.close()
        await writer.wait_closed()


def test_a_refusing_port_refuses_and_a_black_hole_says_nothing() -> None:
    with refusing() as port, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=2)
    started = time.monotonic()
    with black_hole() as port, pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=0.3)
    assert time.monotonic() - started >= 0.3
