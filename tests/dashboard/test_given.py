"""What is sent: forms and JSON that would cost us more than who sends them."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator

import pytest

from scraper.dashboard import given
from scraper.jobs.access import Access
from tests.dashboard.conftest import Browser, Client

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("charset", ["punycode", "idna", "zlib", "utf-16", "undefined", "../x", "utf-7"])
async def test_a_form_is_utf_8_whatever_charset_it_names(client: Client, access: Access, charset: str) -> None:
    word = access.first()
    body = f"name=admin&password={word}".encode()
    fields = {"Origin": str(client.make_url("/")).rstrip("/"), "Content-Type": f"{FORM}; charset={charset}"}
    answer = await client.post("/login", data=body, headers=fields, allow_redirects=False)
    assert answer.status == 303
    began = time.process_time()  # of 250 kB in punycode Python makes a text in 14 s
    long = b"a" * 100_000 + b"-" + b"a" * 100_000
    assert (await client.post("/login", data=long, headers=fields)).status == 401
    assert time.process_time() - began < 3


async def test_a_form_in_parts_or_packed_is_refused(client: Client) -> None:
    origin = {"Origin": str(client.make_url("/")).rstrip("/")}
    parts = (
        b'--x\r\nContent-Disposition: form-data; name="name"\r\nContent-Encoding: deflate\r\n\r\n\xda\r\n--x--\r\n'
    )
    packed = gzip.compress(b"name=admin")
    kinds: list[tuple[dict[str, str], bytes]] = [({"Content-Type": "multipart/form-data; boundary=x"}, parts)]
    kinds.append(({"Content-Type": FORM, "Content-Encoding": "gzip"}, packed))
    for fields, body in kinds:
        for path in ("/login", "/theme"):
            assert (await client.post(path, data=body, headers=origin | fields)).status == 415


async def test_json_that_is_packed_is_refused(admin: Browser) -> None:
    for path in ("/api/v1/jobs", "/api/v1/jobs/shop/start"):
        fields = {"Origin": admin.origin, "X-CSRF-Token": admin.csrf, "Content-Type": "application/json"}
        fields["Content-Encoding"] = "gzip"
        assert (await admin.client.post(path, data=gzip.compress(b"{}"), headers=fields)).status == 415


async def test_a_form_has_some_fields_not_any_number(client: Client) -> None:
    fields = {"Origin": str(client.make_url("/")).rstrip("/"), "Content-Type": FORM}
    answer = await client.post("/login", data=b"a=1&" * 3000, headers=fields)
    assert answer.status == 400
    assert "2000 fields" in await answer.text()


async def test_a_body_that_does_not_come_is_given_up(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given, "PATIENCE", 0.1)

    async def slow() -> AsyncIterator[bytes]:
        yield b"name=admin"
        await asyncio.sleep(1)
        yield b"&password=x"

    fields = {"Origin": str(client.make_url("/")).rstrip("/"), "Content-Type": FORM}
    answer = await client.post("/login", data=slow(), headers=fields)
    assert answer.status == 408
