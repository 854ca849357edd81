"""Answers as JSON or as a page, errors among them, in the words the command line has for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from math import ceil
from typing import Any

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from ..errors import Mistakes, ScraperError, StoreError, UsageError
from ..jobs.access import TooMany
from ..jobs.desk import Conflict, NotAllowed, NotThere
from ..jobs.places import Wrong
from ..logs import clean
from .guard import BEGUN
from .view import page

log = logging.getLogger("scraper.dashboard")
KEPT = ("WWW-Authenticate", "Allow", "Retry-After")
STALLED = 30.0  # seconds that somebody may take for a part of an answer
DATA = ("/api/", "/events", "/metrics", "/healthz")  # paths that programs ask


def json(value: Any, status: int = 200) -> web.Response:
    """A value as JSON, which no browser takes for a page: its type is said, and may not be guessed (nosniff)."""
    return web.Response(body=msgspec.json.encode(value) + b"\n", status=status, content_type="application/json")


def for_programs(request: web.Request) -> bool:
    """Whether a program asks, which wants data also when something is wrong."""
    return request.path.startswith(DATA) or hdrs.AUTHORIZATION in request.headers


@web.middleware
async def told(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer with what went wrong. A bug is logged with its trace and shown without."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        headers = {name: error.headers[name] for name in KEPT if name in error.headers}
        return said(request, error.status, _words(error), headers)
    except TooMany as error:
        return said(request, 429, str(error), {hdrs.RETRY_AFTER: str(ceil(error.after))})
    except NotThere as error:
        return said(request, 404, str(error))
    except NotAllowed as error:
        return said(request, 403, str(error))
    except Conflict as error:
        return said(request, 409, str(error))
    except Mistakes as error:
        return said(request, 400, str(error), mistakes=[_mistake(each) for each in error.told])
    except UsageError as error:
        return said(request, 400, str(error))
    except StoreError as error:
        log.error("%s %s: %s", request.method, clean(request.path), error)
        return said(request, 503, str(error))
    except ScraperError as error:
        return said(request, 500, str(error))
    except ConnectionError:
        raise  # who asked has left
    except Exception:
        log.exception("%s %s", request.method, clean(request.path))
        return said(request, 500, "something is wrong in scraper itself: its log has the trace")


def _mistake(error: UsageError) -> dict[str, str]:
    """One of several things that are wrong: where, which is "" where no key is to blame, and what."""
    return (
        {"where": error.where, "what": error.what}
        if isinstance(error, Wrong)
        else {"where": "", "what": str(error)}
    )


def said(
    request: web.Request,
    status: int,
    text: str,
    headers: dict[str, str] | None = None,
    *,
    mistakes: Sequence[dict[str, str]] = (),
) -> web.StreamResponse:
    """What is wrong, as JSON or as a page; without rights the page is the one to log in."""
    if request.get(BEGUN):  # a stream that is under way cannot be given another status
        raise ConnectionResetError(text)
    if for_programs(request):
        made = json({"error": text} | ({"mistakes": mistakes} if mistakes else {}), status)
    elif status == 401:
        onward = request.path_qs if request.method == "GET" else "/"
        made = page(request, "login.html", status=status, error="", name="", next=onward)
        if "HX-Request" in request.headers:  # a part of a page that is open: the whole of it has to be loaded
            made.headers["HX-Redirect"] = "/login"
    else:
        made = page(request, "error.html", status=status, text=text, title=_title(status))
    made.headers.update(headers or {})
    return made


async def sent(request: web.Request, answer: web.StreamResponse, part: bytes) -> None:
    """Send a part of an answer; who does not take it within STALLED seconds is taken to have left.

    Raises ConnectionError.
    """
    try:
        async with asyncio.timeout(STALLED):
            await answer.write(part)
    except TimeoutError as error:
        if request.transport is not None:
            request.transport.abort()  # closed, it would wait until he takes what is on its way
        raise ConnectionResetError(f"not taken within {STALLED:g} s") from error


def _words(error: web.HTTPException) -> str:
    text = error.text or ""
    return f"there is no such page ({error.status})" if text.startswith(f"{error.status}: ") else text


def _title(status: int) -> str:
    return {
        403: "Not allowed",
        404: "Not there",
        405: "Not allowed",
        409: "Not as it was",
        429: "Too often",
        503: "Not now",
    }.get(status, "That did not work")
