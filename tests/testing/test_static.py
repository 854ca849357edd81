"""The static server: it answers as nginx would, and agrees with the walk's ground truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from url import URL

from scraper.testing.static import Files, StaticServer
from scraper.testing.walk import walk


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "sub").mkdir(parents=True)
    (folder / "bare").mkdir()
    (folder / "index.html").write_text(
        '<a href="sub">.</a><a href="bare/">.</a><a href="a%20b.css">.</a><a href="gone">.</a>'
    )
    (folder / "sub" / "index.html").write_text("sub")
    (folder / "a b.css").write_text("p {}")
    (folder / "LICENSE").write_text("free")
    (tmp_path / "secret").write_text("not yours")
    return folder


@pytest.fixture
async def url(root: Path) -> AsyncIterator[str]:
    async with StaticServer(root) as url:
        yield url


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as client:
        yield client


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("", 200, "text/html"),
        ("index.html?q=1", 200, "text/html"),
        ("sub", 301, "text/html"),
        ("sub/", 200, "text/html"),
        ("bare/", 403, "text/html"),
        ("a%20b.css", 200, "text/css"),
        ("LICENSE", 200, "application/octet-stream"),
        ("gone", 404, "text/html"),
        ("index.html/", 404, "text/html"),
        ("n" * 1000, 404, "text/html"),
    ],
)
async def test_answers_as_nginx_would(
    url: str, client: aiohttp.ClientSession, path: str, status: int, kind: str
) -> None:
    for _ in range(2):  # made, then from memory
        response = await client.get(url + path, allow_redirects=False)
        assert (response.status, response.headers["Content-Type"]) == (status, kind)


async def test_a_directory_without_its_slash_keeps_its_query(url: str, client: aiohttp.ClientSession) -> None:
    for query in ("?a=1", "", "?b=2"):
        response = await client.get(f"{url}sub{query}", allow_redirects=False)
        assert response.headers["Location"] == f"/sub/{query}"


async def test_answers_each_url_as_the_walk_expects(root: Path, url: str, client: aiohttp.ClientSession) -> None:
    expected = walk(root, "", url)
    assert len(expected) == 6
    for link, answer in expected.items():
        assert (await client.get(str(URL.parse(link)), allow_redirects=False)).status == answer.status


async def ask(url: str, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", URL.parse(url).port)
    writer.write(request)
    writer.write_eof()
    data = await reader.read()
    writer.close()
    await writer.wait_closed()
    return data


async def test_pipelined_requests_are_answered_in_order(url: str) -> None:
    get = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
    data = await ask(url, get % b"LICENSE" + get % b"sub/" + b"HEAD /sub/ HTTP/1.1\r\nHost: x\r\n\r\n")
    assert data.count(b"HTTP/1.1 200 OK") == 3
    assert data.index(b"free") < data.index(b"\r\n\r\nsub")
    assert data.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /../secret HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /%2e%2e/secret HTTP/1.1\r\n\r\n", b"400"),
        (b"GET //../secret HTTP/1.1\r\n\r\n", b"400"),
        (b"GET secret HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /%00 HTTP/1.1\r\n\r\n", b"400"),
        (b"hello\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", b"405"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, b"431"),
    ],
)
async def test_refuses_what_is_not_its_business(url: str, request_head: bytes, status: bytes) -> None:
    data = await ask(url, request_head)
    assert data.startswith(b"HTTP/1.1 " + status)
    assert b"Connection: close" in data
    assert b"not yours" not in data


async def test_closes_when_asked_to(url: str, client: aiohttp.ClientSession) -> None:
    response = await client.get(url + "LICENSE", headers={"Connection": "close"})
    assert (response.headers["Connection"], await response.text()) == ("close", "free")
    assert b"Connection: close" in await ask(url, b"GET /LICENSE HTTP/1.0\r\n\r\n")


async def test_nothing_is_kept_beyond_the_memory_it_was_given(root: Path) -> None:
    files = Files(root, cache=10)
    assert files.get(b"/LICENSE")[1] == b"free"
    (root / "LICENSE").write_text("changed")
    assert files.get(b"/LICENSE")[1] == b"changed"
