"""Webhooks against a real server: signature, headers, what is refused, what errors say."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import ssl
from typing import Any

import pytest
import trustme
from aiohttp import web

from scraper.clock import Clock
from scraper.errors import UsageError
from scraper.jobs.channels import check_headers
from scraper.jobs.declared import server_from
from scraper.jobs.job import Channel
from scraper.jobs.message import Untold
from scraper.jobs.webhook import post, signature

from .hook import Hand, Hook, silent

BODY = b'{"schema":1}'


def to(hook: Hook, **given: Any) -> Channel:
    return Channel(**{"webhook": hook.url, "allow_private": True, **given})


async def send(channel: Channel, *, timeout: float = 10.0) -> str:
    return await post(channel, BODY, "7-abc", Hand(1_772_366_400.5), timeout=timeout)


async def test_a_message_is_signed_over_its_time_and_its_body(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_SECRET", "s3cret")
    assert await send(to(hook, secret="env:OPS_SECRET", headers={"Authorization": "Bearer t"})) == ""
    ((headers, body),) = hook.requests
    digest = hmac.new(b"s3cret", b"1772366400." + BODY, hashlib.sha256).hexdigest()
    assert body == BODY
    assert headers["X-Scraper-Signature"] == f"v1={digest}" == signature("s3cret", 1772366400, BODY)
    assert headers["X-Scraper-Timestamp"] == "1772366400"
    assert headers["X-Scraper-Delivery"] == headers["Idempotency-Key"] == "7-abc"
    assert (headers["Content-Type"], headers["Authorization"]) == ("application/json", "Bearer t")


async def test_without_a_secret_nothing_is_signed(hook: Hook) -> None:
    await send(to(hook))
    assert "X-Scraper-Signature" not in hook.requests[0][0]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_redirect_is_followed(hook: Hook, status: int) -> None:
    hook.answers = [web.Response(status=status, headers={"Location": hook.url + "/other"})]
    with pytest.raises(Untold, match=rf"127\.0\.0\.1 answered {status}$"):
        await send(to(hook))
    assert len(hook.requests) == 1


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://2130706433:{port}/", "http://[::1]:{port}/",
     "http://0.0.0.0:{port}/", "http://169.254.169.254/", "http://[::ffff:127.0.0.1]:{port}/"],
)  # fmt: skip
async def test_a_private_address_is_refused(hook: Hook, address: str) -> None:
    with pytest.raises(Untold, match="is not on the public Internet; if it is yours, set allow_private = true"):
        await send(Channel(webhook=address.format(port=hook.port)))
    assert hook.requests == []


async def test_an_answer_is_read_no_further_than_it_is_kept(hook: Hook) -> None:
    hook.answers = [web.Response(status=400, body=b"x" * 50_000_000)]
    with pytest.raises(Untold) as caught:
        await send(to(hook))
    assert str(caught.value) == f"127.0.0.1 answered 400: {'x' * 300}"


async def test_an_error_shows_neither_secrets_nor_the_path(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TOKEN", "t0ken")
    said = f"no such hook {hook.url} /T0/secret-path t0ken shh\r\nnext\x1b[2J"
    hook.answers = [web.Response(status=404, text=said)]
    with pytest.raises(Untold) as caught:
        await send(to(hook, secret="shh", headers={"X-Token": "env:TOKEN"}))
    assert str(caught.value) == "127.0.0.1 answered 404: no such hook … … … …\\x0d\\nnext\\x1b[2J"
    assert "t0ken" not in caplog.text


async def test_a_variable_that_is_not_set_is_named(hook: Hook) -> None:
    with pytest.raises(Untold, match="secret: the environment variable NO_SUCH is not set"):
        await send(to(hook, secret="env:NO_SUCH"))
    with pytest.raises(Untold, match="header X-Token: the environment variable NO_SUCH is not set"):
        await send(to(hook, headers={"X-Token": "env:NO_SUCH"}))
    assert hook.requests == []


async def test_a_header_cannot_be_split(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "a\r\nHost: evil")
    with pytest.raises(Untold, match="must be visible ASCII"):
        await send(to(hook, headers={"X-Token": "env:TOKEN"}))
    for name, value in (
        ("X Y", "a"),
        ("X", "a\nb"),
        ("X:", "a"),
        ("Host", "a"),
        ("x-scraper-signature", "a"),
        ("X", ""),
    ):
        with pytest.raises(UsageError):
            check_headers({name: value})
        with pytest.raises(Untold):
            await send(to(hook, headers={name: value}))
    with pytest.raises(UsageError, match=r"\[channels.ops\] headers: 'Host' is set by the server itself"):
        server_from({"channels": {"ops": {"webhook": hook.url, "headers": {"Host": "a"}}}}, "jobs.toml")
    with pytest.raises(UsageError, match="given twice"):
        check_headers({"X-A": "1", "x-a": "2"})


async def test_a_receiver_that_is_silent_is_given_up() -> None:
    async with silent() as port:
        with pytest.raises(Untold, match=r"127\.0\.0\.1 has not answered within 0\.1 s"):
            await send(Channel(webhook=f"http://127.0.0.1:{port}/", allow_private=True), timeout=0.1)


async def test_nobody_there_is_told_in_few_words(hook: Hook) -> None:
    with pytest.raises(
        Untold, match=r"127\.0\.0\.1: no connection \(Connect call failed|127\.0\.0\.1: no connection"
    ):
        await send(Channel(webhook="http://127.0.0.1:1/T0/secret", allow_private=True))
    with pytest.raises(Untold, match=r"^no-such-host\.invalid: "):
        await send(Channel(webhook="http://no-such-host.invalid/"))


async def test_a_certificate_that_is_not_trusted_is_refused() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Untold, match="its certificate is not valid"):
        await post(Channel(webhook=f"https://127.0.0.1:{port}/", allow_private=True), BODY, "k", Clock())
    server.close()
