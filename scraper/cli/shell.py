"""`scraper shell`: a Python prompt with a page at hand."""

from __future__ import annotations

import asyncio
import code
import sys
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import click

from ..errors import FetchError, ScraperError
from ..parse.reader import document
from ..request import Request
from ..response import Response
from ..settings import Settings
from . import options
from .project import settings_of
from .single import Single, typed, why

T = TypeVar("T")
BANNER = """fetch(url)   fetch a page (a URL or a Request); it becomes `response`
response     the page at hand: .url .status .headers .text .links() .json()
css(query)   response.css(query): .get() .getall() .one()
Request      to build one by hand"""


class Loop:
    """An event loop in a thread of its own, so that a prompt without one can await."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scraper-shell", daemon=True)

    def __enter__(self) -> Loop:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine that runs there; Ctrl-C cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise


class Prompt:
    """The names of the prompt, and what they do."""

    def __init__(self, loop: Loop, single: Single) -> None:
        self._loop = loop
        self._single = single
        self.names: dict[str, Any] = {
            "fetch": self.fetch, "css": self.css, "Request": Request, "response": None,
        }  # fmt: skip

    def fetch(self, url: str | Request, **fields: Any) -> Response:
        """Fetch a page, whatever its status; it becomes `response`. Raises FetchError."""
        request = typed(url) if isinstance(url, str) and not fields else url
        if isinstance(request, str):
            request = Request(request, **fields)
        try:
            response = self._loop.run(self._single.open(request))
        except FetchError as error:
            raise error.with_traceback(None) from None  # the way through the engine says nothing here
        self.names["response"] = response
        return response

    def css(self, query: str) -> Any:
        """`response.css(query)`."""
        response = self.names["response"]
        if response is None:
            raise ScraperError("there is no page yet: fetch(url)")
        return response.css(query)


@click.command(name="shell")
@click.argument("url", default="")
@options.settings
def command(url: str, pairs: tuple[str, ...]) -> int:
    """A Python prompt (IPython when it is installed) with `fetch`, `css`, `Request`, and URL as `response`."""
    settings = settings_of(None, pairs)
    request = typed(url) if url else None
    with Loop() as loop:
        single = loop.run(_entered(settings))
        try:
            prompt = Prompt(loop, single)
            if request is not None:
                _first(prompt, request)
            _talk(prompt)
        finally:
            loop.run(single.__aexit__(None, None, None))
    return 0


async def _entered(settings: Settings) -> Single:
    return await Single(settings, lambda line: click.echo(line, err=True)).__aenter__()


def _first(prompt: Prompt, request: Request) -> None:
    try:
        response = prompt.fetch(request)
        kind = response.headers.get("content-type", "no type")
        click.echo(f"{response!r}  {len(response.body):,} bytes, {kind}", err=True)
        document(response)
    except FetchError as error:
        raise ScraperError(why(error, request.url)) from error


def _talk(prompt: Prompt) -> None:
    """IPython at a terminal; Python's own prompt elsewhere, or without it."""
    if sys.stdin.isatty():
        try:
            from IPython import start_ipython
        except ImportError:
            pass
        else:
            click.echo(BANNER, err=True)
            start_ipython(argv=["--no-banner"], user_ns=prompt.names)
            return
    code.interact(BANNER, local=prompt.names, exitmsg="")
