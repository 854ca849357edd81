"""Tells a channel by mail: plain text through the server of `[mail]`, with TLS that is verified."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from typing import TypeVar

import msgspec

from ..logs import clean
from .channels import secret
from .job import Channel, Mail, Server
from .message import Message, Untold

TIMEOUT = 30.0  # seconds for each word with the server
WORDS = 4  # times as long may all of them take
T = TypeVar("T")


async def send(server: Server, channel: Channel, body: bytes, key: str, *, timeout: float = TIMEOUT) -> str:
    """Mail a message to the addresses of a channel; gives which were refused, "" for none. Raises Untold."""
    if server.mail is None:
        raise Untold("there is no [mail], the server that sends mail")
    mail = server.mail
    made = letter(mail, channel, msgspec.json.decode(body, type=Message), key)
    password = secret(mail.password, "mail.password")
    try:
        async with asyncio.timeout(WORDS * timeout):
            refused = await _in_thread(lambda: _sent(mail, password, made, timeout))
    except TimeoutError as error:  # also that of a word
        raise Untold(f"{mail.host} has not answered in time") from error
    except smtplib.SMTPRecipientsRefused as error:
        raise Untold(f"{mail.host} refused {_addresses(error.recipients)}") from error
    except smtplib.SMTPAuthenticationError as error:
        raise Untold(f"{mail.host} refused user and password ({error.smtp_code})") from error
    except smtplib.SMTPResponseException as error:
        raise Untold(f"{mail.host} answered {error.smtp_code}: {_said(error.smtp_error)}") from error
    except ssl.SSLCertVerificationError as error:
        raise Untold(f"{mail.host}: its certificate is not valid ({error.verify_message})") from error
    except smtplib.SMTPException as error:
        raise Untold(f"{mail.host}: {clean(str(error))[:200]}") from error
    except OSError as error:
        raise Untold(f"{mail.host}: {error.strerror or type(error).__name__}") from error
    except ValueError as error:  # a user or a password that is not ASCII, say
        raise Untold(f"{mail.host}: what is to be said to it cannot be written ({type(error).__name__})") from error
    return f"refused: {_addresses(refused)}" if refused else ""


def letter(mail: Mail, channel: Channel, message: Message, key: str) -> EmailMessage:
    """The mail. Its Message-ID is that of the message, so that one sent again is known. Raises Untold."""
    made = EmailMessage()
    try:
        made["Subject"] = clean(f"[scraper] {message.title}")
        made["From"] = mail.sender
        made["To"] = ", ".join(channel.email)
        made["Date"] = formatdate(message.at)
        domain = parseaddr(mail.sender)[1].rpartition("@")[2] or "localhost"
        made["Message-ID"] = f"<scraper.{key}@{domain}>"
        made["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's machine is to answer it
        made.set_content(message.text + "\n")
    except (ValueError, MessageError, IndexError) as error:  # the parser of addresses raises IndexError for some
        raise Untold("its addresses are not such as mail can go to") from error
    return made


def _sent(mail: Mail, password: str, made: EmailMessage, timeout: float) -> dict[str, tuple[int, bytes]]:
    context = ssl.create_default_context()
    with _connected(mail, timeout, context) as smtp:
        if mail.tls == "starttls":
            smtp.starttls(context=context)  # raises where the server has none: nothing is said in the clear
        if mail.user:
            smtp.login(mail.user, password)
        return smtp.send_message(made)


def _connected(mail: Mail, timeout: float, context: ssl.SSLContext) -> smtplib.SMTP:
    if mail.tls == "tls":
        return smtplib.SMTP_SSL(mail.host, mail.port, timeout=timeout, context=context)
    return smtplib.SMTP(mail.host, mail.port, timeout=timeout)


def _addresses(refused: dict[str, tuple[int, bytes]]) -> str:
    return ", ".join(f"{address} ({code} {_said(why)})" for address, (code, why) in refused.items())[:400]


def _said(answer: bytes | str) -> str:
    return clean(answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer)[:200]


async def _in_thread(work: Callable[[], T]) -> T:
    """Do what blocks in a thread that keeps nobody from ending. Raises what it raises."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(found: list[T], error: Exception) -> None:
        if done.cancelled():
            return
        if found:
            done.set_result(found[0])
        else:
            done.set_exception(error)

    def block() -> None:
        found: list[T] = []
        error: Exception = RuntimeError("its thread broke")
        try:
            found.append(work())
        except (OSError, ValueError) as raised:  # SMTPException is an OSError
            error = raised
        finally:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(settle, found, error)

    threading.Thread(target=block, daemon=True, name="mail").start()
    return await done
