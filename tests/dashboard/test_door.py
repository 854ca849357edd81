"""Connections: how many, how long, and what is logged of those that are none of HTTP."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from scraper.dashboard.app import build
from scraper.dashboard.door import Door
from scraper.dashboard.guard import Options
from scraper.jobs.access import Access
from scraper.jobs.desk import Desk

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
Open = Callable[..., AbstractAsyncContextManager[int]]


@pytest.fixture
def at(desk: Desk, access: Access) -> Open:
    @asynccontextmanager
    async def opened(*, most: int = 10, patience: float = 10.0) -> AsyncIterator[int]:
        door = Door(build(desk, access, Options()), most=most, patience=patience)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            await door.open([listening])
            try:
                yield listening.getsockname()[1]
            finally:
                await door.close()

    return opened


async def said(port: int, data: bytes) -> bytes:
    """What is answered until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_one_too_many_is_sent_away_and_comes_in_when_there_is_room(at: Open) -> None:
    async with at(most=3) as port:
        standing = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for _, writer in standing:
            writer.write(HEAD + b"\r\n")
        for reader, _ in standing:  # they are in, and stay
            assert b"200 OK" in await reader.readline()
        assert await said(port, HEAD + b"\r\n") == b""
        for _, writer in standing:
            writer.close()
            await writer.wait_closed()
        async with asyncio.timeout(5):
            while not await said(port, HEAD + b"Connection: close\r\n\r\n"):
                pass


@pytest.mark.parametrize("begun", [b"", HEAD])
async def test_a_request_that_does_not_come_to_its_end_is_given_up(at: Open, begun: bytes) -> None:
    async with at(patience=0.2) as port:
        assert await said(port, begun) == b""


async def test_what_is_packed_is_not_unpacked(at: Open) -> None:
    body = gzip.compress(bytes(2**28))
    async with at() as port:
        began = time.process_time()
        head = "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Encoding: gzip"
        assert b"401" in await said(port, f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        assert time.process_time() - began < 0.3


async def test_what_is_no_http_leaves_no_trace_in_the_log(at: Open, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with at() as port:
            for data in (
                b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                b"\x16\x03\x01\r\n\r\n",
                b"GET / HTTP/9\r\n\r\n",
            ):
                assert b"400 Bad Request" in await said(port, data)
    assert not [record for record in caplog.records if record.exc_info]
