"""The ways to tell somebody: a message goes to one channel, by webhook, mail or command.

Secrets are written "env:NAME" and looked up when they are used; they are never kept, logged or part of an error.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..clock import Clock
from ..convert import among
from ..errors import UsageError
from .job import Channel, Server
from .message import Untold, example

ENV = "env:"
# RFC 9110 5.6.2, 5.5: a field's name is a token, its value visible ASCII and spaces here.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]{0,8000}[\x21-\x7e])?")
# What we or the connection itself say.
OURS = frozenset({
    "connection", "content-encoding", "content-length", "content-type", "date", "expect", "host", "idempotency-key",
    "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "x-scraper-delivery", "x-scraper-signature",
    "x-scraper-timestamp",
})  # fmt: skip


def check_headers(headers: dict[str, str]) -> None:
    """See that these can be header fields of a webhook, as far as it is known. Raises UsageError naming one."""
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise UsageError(f"{name[:60]!r} is not the name of a header field, such as X-Token")
        if name.lower() in OURS:
            raise UsageError(f"{name!r} is set by the server itself: leave it out")
        if not value.startswith(ENV) and not _VALUE.fullmatch(value):
            raise UsageError(f"the value of {name!r} must be visible ASCII")
    lower = [name.lower() for name in headers]
    if twice := next((name for name in headers if lower.count(name.lower()) > 1), ""):
        raise UsageError(f"{twice!r} is given twice: upper and lower case are the same")


def secret(text: str, what: str) -> str:
    """A text, or the environment variable that it names. Raises Untold naming the variable."""
    if not text.startswith(ENV):
        return text
    name = text.removeprefix(ENV)
    value = os.environ.get(name, "")
    if not value:
        raise Untold(f"{what}: the environment variable {name} is not set")
    return value


def headers_of(channel: Channel) -> dict[str, str]:
    """The header fields of a webhook with what they are to hold. Raises Untold."""
    found = {name: secret(value, f"header {name}") for name, value in channel.headers.items()}
    try:
        check_headers(channel.headers)
    except UsageError as error:
        raise Untold(str(error)) from error
    for name, value in found.items():
        if not _VALUE.fullmatch(value):
            raise Untold(f"header {name}: its value must be visible ASCII")
    return found


async def hand_over(
    server: Server, name: str, body: bytes, key: str, *, project: Path, clock: Clock | None = None
) -> str:
    """Give a message (as JSON) to a channel; gives what is to be noted of it, mostly "". Raises Untold.

    `key` is the same whenever the same message is sent again. The rooms that are needed are loaded only now.
    """
    channel = server.channels.get(name)
    if channel is None:
        raise Untold(f"there is no channel {name!r} any more")
    if channel.webhook:
        from .webhook import post

        return await post(channel, body, key, clock or Clock())
    if channel.email:
        from .mail import send

        return await send(server, channel, body, key)
    from .command import run

    return await run(channel.command, body, project)


async def send_test(server: Server, name: str, *, project: Path, clock: Clock | None = None) -> None:
    """Tell a channel that it is tested. Raises UsageError when there is none of this name, Untold."""
    import msgspec

    clock = clock or Clock()
    if name not in server.channels:
        raise UsageError(f"there is no channel {name!r}{among(name, server.channels)}")
    message = example(server, name, clock.wall())
    key = f"test-{int(clock.wall() * 1000)}"
    await hand_over(server, name, msgspec.json.encode(message), key, project=project, clock=clock)
