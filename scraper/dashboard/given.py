"""What a request gives: numbers and words of its address, JSON in its body. UsageError names what is wrong."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from aiohttp import hdrs, web

from ..convert import among
from ..errors import UsageError
from ..words import cut

LARGEST = 2**53  # what every program can write as a number
LONGEST = 2_000  # characters of a word in an address
MOST_FIELDS = 2_000  # of a form
FORM = "application/x-www-form-urlencoded"
PATIENCE = 30.0  # seconds that a body may take to come


def number(request: web.Request, name: str, default: int, *, least: int = 0, most: int = LARGEST) -> int:
    """A whole number of the query. Raises UsageError."""
    text = request.query.get(name, "")
    if not text:
        return default
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 16 and least <= int(text) <= most):
        raise UsageError(f"{name} must be a whole number from {least} to {most}, not {cut(text, 60)!r}")
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


async def filled(request: web.Request) -> dict[str, str]:
    """The fields of a form as our pages send it, {} for an empty body. Raises UsageError, HTTPException.

    Lines end with a newline alone, where browsers send two characters (HTML, 4.10.21.4): what is shown again in a
    field is what was typed there. It is UTF-8 whatever its Content-Type says of a charset: others would choose by
    it how long we decode, and a part of a form with parts may be packed.
    """
    data = await _came(request)
    if not data:
        return {}
    if request.content_type != FORM:
        raise web.HTTPUnsupportedMediaType(text=f"a form must be sent as {FORM}")
    try:
        text = data.decode("utf-8", "replace")
        pairs = parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise UsageError(f"a form has at most {MOST_FIELDS} fields") from error
    return {name: value.replace("\r\n", "\n").replace("\r", "\n") for name, value in pairs}


async def _came(request: web.Request) -> bytes:
    """The bytes of the body. Raises HTTPException for what is packed, too much or too slow."""
    if hdrs.CONTENT_ENCODING in request.headers:
        raise web.HTTPUnsupportedMediaType(text="the body must be sent as it is, without Content-Encoding")
    try:
        async with asyncio.timeout(PATIENCE):
            return await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text=f"the body has not come within {PATIENCE:g} s") from error


async def body(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body, {} for none. Raises UsageError, HTTPException."""
    data = await _came(request)
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
            raise UsageError(f"there is no key {name!r} here{among(name, names)}")
    return given


def text_of(given: dict[str, Any], name: str, default: str = "") -> str:
    """A text of the body. Raises UsageError when it is something else."""
    value = given.get(name, default)
    if not isinstance(value, str) or len(value) > LONGEST:
        raise UsageError(f"{name} must be a text of at most {LONGEST} characters")
    return value
