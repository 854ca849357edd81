"""What a request gives: numbers and words of its address, JSON in its body. UsageError names what is wrong."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from ..errors import UsageError

LARGEST = 2**53  # what every program can write as a number
LONGEST = 2_000  # characters of a word in an address


def number(request: web.Request, name: str, default: int, *, least: int = 0, most: int = LARGEST) -> int:
    """A whole number of the query. Raises UsageError."""
    text = request.query.get(name, "")
    if not text:
        return default
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 16 and least <= int(text) <= most):
        raise UsageError(f"{name} must be a whole number from {least} to {most}")
    return int(text)


def before(request: web.Request) -> int | None:
    """The number that the next page is before, None for the first page."""
    return number(request, "before", 0) or None


def word(request: web.Request, name: str, default: str = "") -> str:
    """A word of the query. Raises UsageError when it is too long."""
    text = request.query.get(name, default)
    if len(text) > LONGEST:
        raise UsageError(f"{name} has more than {LONGEST} characters")
    return text


def run_number(request: web.Request) -> int:
    """The planned run in the path, whose route lets nothing but digits through."""
    return int(request.match_info["run"])


async def body(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body, {} for none. Raises UsageError."""
    data = await request.read()
    if not data:
        return {}
    if request.content_type != "application/json":
        raise UsageError("the body must be JSON, with Content-Type: application/json")
    try:
        found: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"the body is not a JSON object: {error}") from error
    return found


def only(given: dict[str, Any], *names: str) -> dict[str, Any]:
    """The same, when it has no other keys. Raises UsageError naming one that is not known."""
    for name in given:
        if name not in names:
            raise UsageError(f"there is no key {name!r} here: {', '.join(names)}")
    return given


def text_of(given: dict[str, Any], name: str, default: str = "") -> str:
    """A text of the body. Raises UsageError when it is something else."""
    value = given.get(name, default)
    if not isinstance(value, str) or len(value) > LONGEST:
        raise UsageError(f"{name} must be a text of at most {LONGEST} characters")
    return value
