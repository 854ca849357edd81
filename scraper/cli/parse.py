"""`scraper parse`: what a spider's callback makes of one page."""

from __future__ import annotations

import asyncio
import mimetypes
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import click
import msgspec

from ..errors import FetchError, ScraperError, SpiderError, UsageError
from ..logs import clean
from ..outcome import End, Outcome
from ..page import Pages
from ..request import Request
from ..response import Headers, Response
from ..settings import Settings, from_pairs
from ..spider import Spider
from ..stats import Stats
from ..url import printable
from ..words import count
from . import options
from .project import made, settings_of, spider_class
from .single import Single, refuse_status, typed, why


class Order(msgspec.Struct, frozen=True):
    """What the command line asks for."""

    page: str
    spider: str
    callback: str = "parse"
    keywords: Sequence[str] = ()
    arguments: Sequence[str] = ()
    pairs: Sequence[str] = ()
    base: str = ""


@click.command(name="parse")
@click.argument("page", metavar="URL|FILE")
@click.option("--spider", required=True, metavar="SPIDER", help="A name or FILE.py.")
@click.option("--callback", "-c", default="parse", metavar="NAME", help="The spider's callback.  [default: parse]")
@click.option("-k", "--keyword", "keywords", multiple=True, metavar="KEY=VALUE", help="A keyword of the callback.")
@options.arguments
@options.settings
@click.option("--base", default="", metavar="URL", help="The address that a FILE was saved from.")
def command(**given: Any) -> int:
    """Fetch one page (or read a FILE), run a spider's callback, print its items (JSON, standard output) and the
    requests it asks for (standard error)."""
    order = Order(**given)
    kind = spider_class(order.spider)
    spider = made(kind, order.arguments)
    settings = settings_of(kind, order.pairs)
    request = _request(order)
    try:
        _pages(spider, settings).check(request)
    except SpiderError as error:
        raise UsageError(str(error)) from error
    outcome = asyncio.run(_parse(order, spider, settings, request))
    return _show(outcome, order.callback)


def _pages(spider: Spider, settings: Settings) -> Pages:
    """The callbacks, outside of any crawl."""
    return Pages(spider, settings, Stats(0.0), note=lambda token: None, folder=Path(gettempdir()))


def _request(order: Order) -> Request:
    local = "://" not in order.page and Path(order.page).is_file()
    address = (order.base or f"http://file.invalid/{Path(order.page).name}") if local else order.page
    keywords = from_pairs(order.keywords, "-k")[1]
    return typed(address).replace(callback=order.callback, cb_kwargs=dict(keywords))


async def _parse(order: Order, spider: Spider, settings: Settings, request: Request) -> Outcome:
    async with Single(settings, lambda line: click.echo(line, err=True)) as single:
        spider._line = single
        try:
            if "://" not in order.page:
                response = single.read(_saved(Path(order.page), request))
            else:
                response = await single.open(await _prepared(spider, request))
                refuse_status(response, request, settings)
        except FetchError as error:
            raise ScraperError(why(error, request.url)) from error
        return await _pages(spider, settings).read(response)


async def _prepared(spider: Spider, request: Request) -> Request:
    prepared = spider.prepare(request)
    found: Request = await prepared if asyncio.iscoroutine(prepared) else prepared
    return found


def _saved(path: Path, request: Request) -> Response:
    kind = mimetypes.guess_type(path.name)[0] or "text/html"
    try:
        body = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    return Response(request.url, body=body, request=request, headers=Headers([("Content-Type", kind)]))


def _show(outcome: Outcome, callback: str) -> int:
    """Items to standard output, everything else to standard error; 1 when the callback failed."""
    indent = 2 if sys.stdout.isatty() else 0
    for item in outcome.items:
        click.echo(msgspec.json.format(item, indent=indent) if indent else item)
    requests = [made for link in outcome.links for made in ([link] if isinstance(link, Request) else link)]
    for request in requests:
        keywords = "".join(f" {key}={value!r}" for key, value in request.cb_kwargs.items())
        click.echo(f"-> {printable(request.url)}  {request.callback}{clean(keywords)}", err=True)
    for bad in outcome.rejected:
        click.echo(f"rejected: {clean(bad.decode(errors='replace'))}", err=True)
    found = f"{count(len(outcome.items), 'item')}, {count(len(requests), 'request')}"
    if outcome.rejected:
        found += f", {len(outcome.rejected)} rejected"
    click.echo(f"{callback}: {found}", err=True)
    if outcome.end is End.DONE:
        return 1 if outcome.rejected else 0
    if outcome.trace:
        for line in outcome.trace.splitlines():
            click.echo(clean(line), err=True)
    place = f" at {outcome.where}" if outcome.where else ""
    raise ScraperError(f"{callback} {outcome.end.value}{place}: {outcome.reason.value}: {outcome.detail}")
