"""Mail against a real SMTP server on loopback."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.policy import default
from typing import Any

import msgspec
import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from scraper.jobs.job import Channel, Mail, Server
from scraper.jobs.mail import letter, send
from scraper.jobs.message import Message, Untold

from .hook import silent

MESSAGE = Message(delivery=7, at=1_772_366_400.0, title="shop: failed", text="shop: failed\n  run 9 failed: größer")
TO = Channel(email=("ann@a.test", "bob@b.test"))


class Box:
    """Keeps what comes; refuses some addresses."""

    def __init__(self, *refused: str) -> None:
        self.refused = refused
        self.mails: list[bytes] = []
        self.encrypted: list[bool] = []

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """An address."""
        if address in self.refused:
            return "550 no such user\x07"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """A mail."""
        assert isinstance(envelope.content, bytes)
        self.mails.append(envelope.content)
        self.encrypted.append(session.ssl is not None)
        return "250 OK"


@asynccontextmanager
async def served(make: Callable[[], asyncio.Protocol], **options: Any) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def by(port: int, **given: Any) -> Server:
    return Server(mail=Mail(**{"host": "127.0.0.1", "port": port, "sender": "jobs@a.test", "tls": "none", **given}))


async def mail(server: Server, channel: Channel = TO, **options: Any) -> str:
    return await send(server, channel, msgspec.json.encode(MESSAGE), "7-abc", **options)


async def test_a_mail_says_what_a_webhook_does() -> None:
    box = Box()
    async with served(lambda: SMTP(box)) as port:
        assert await mail(by(port)) == ""
    made = message_from_bytes(box.mails[0].replace(b"\r\n", b"\n"), policy=default)
    assert (made["Subject"], made["From"]) == ("[scraper] shop: failed", "jobs@a.test")
    assert (made["To"], made["Auto-Submitted"]) == ("ann@a.test, bob@b.test", "auto-generated")
    assert made["Message-ID"] == "<scraper.7-abc@a.test>"
    assert made.get_content() == MESSAGE.text + "\n"


async def test_with_starttls_nothing_is_said_before_the_certificate_is_verified(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority, box = trustme.CA(), Box()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    heard: list[Any] = []

    def known(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        heard.append((data.login, data.password))
        return AuthResult(success=data.password == b"s3cret", handled=False)

    def smtp() -> SMTP:
        return SMTP(box, tls_context=context, authenticator=known, auth_require_tls=True)

    monkeypatch.setenv("MAIL_PASSWORD", "s3cret")
    async with served(smtp) as port:
        with pytest.raises(Untold, match=r"127\.0\.0\.1: its certificate is not valid"):
            await mail(by(port, tls="starttls", user="jobs", password="env:MAIL_PASSWORD"))
        assert heard == []
        with authority.cert_pem.tempfile() as path:
            monkeypatch.setenv("SSL_CERT_FILE", path)
            assert await mail(by(port, tls="starttls", user="jobs", password="env:MAIL_PASSWORD")) == ""
            assert (heard, box.encrypted) == ([(b"jobs", b"s3cret")], [True])
            monkeypatch.setenv("MAIL_PASSWORD", "wr0ng")
            with pytest.raises(Untold) as caught:
                await mail(by(port, tls="starttls", user="jobs", password="env:MAIL_PASSWORD"))
    assert str(caught.value) == "127.0.0.1 refused user and password (535)"


async def test_with_tls_it_is_encrypted_from_the_first_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    authority, box = trustme.CA(), Box()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with served(lambda: SMTP(box), ssl=context) as port:
        with authority.cert_pem.tempfile() as path:
            monkeypatch.setenv("SSL_CERT_FILE", path)
            assert await mail(by(port, tls="tls")) == ""
    assert len(box.mails) == 1


async def test_a_server_without_starttls_hears_nothing() -> None:
    box = Box()
    async with served(lambda: SMTP(box)) as port:
        with pytest.raises(Untold, match="STARTTLS"):
            await mail(by(port, tls="starttls"))
    assert box.mails == []


async def test_addresses_that_are_refused_are_named() -> None:
    async with served(lambda: SMTP(Box("bob@b.test"))) as port:
        assert await mail(by(port)) == "refused: bob@b.test (550 no such user\\x07)"
    async with served(lambda: SMTP(Box("ann@a.test", "bob@b.test"))) as port:
        with pytest.raises(Untold, match=r"127\.0\.0\.1 refused ann@a\.test \(550"):
            await mail(by(port))


async def test_a_server_that_is_silent_or_gone_is_told() -> None:
    async with silent() as port:
        with pytest.raises(Untold, match=r"127\.0\.0\.1"):
            await mail(by(port), timeout=0.1)
    with pytest.raises(Untold, match=r"127\.0\.0\.1: Connection refused"):
        await mail(by(port))
    with pytest.raises(Untold, match=r"there is no \[mail\]"):
        await mail(Server())
    with pytest.raises(Untold, match=r"mail\.password: the environment variable NO_SUCH is not set"):
        await mail(by(port, password="env:NO_SUCH"))


async def test_what_cannot_be_written_to_a_server_is_told() -> None:
    async with served(
        lambda: SMTP(Box(), authenticator=lambda *given: AuthResult(success=True), auth_require_tls=False)
    ) as port:
        with pytest.raises(Untold, match=r"cannot be written|refused"):
            await mail(by(port, user="jobs", password="größer"))


@pytest.mark.parametrize("address", ["a@b.test\r\nBcc: evil@c.test", "a\n@b"])
async def test_an_address_cannot_break_a_line(address: str) -> None:
    mail = Mail(host="a.test", sender="jobs@a.test")
    with pytest.raises(Untold, match="not such as mail can go to"):
        letter(mail, Channel(email=(address,)), MESSAGE, "7-abc")


def test_a_subject_is_one_line() -> None:
    made = letter(
        Mail(host="a.test", sender="Jobs <jobs@a.test>"), TO,
        msgspec.structs.replace(MESSAGE, title="shop\r\nBcc: evil@c.test"), "7-abc",
    )  # fmt: skip
    assert "\n" not in made["Subject"]
    assert made["Bcc"] is None
    assert smtplib.SMTPException.__mro__[1] is OSError  # mail.py counts on it
