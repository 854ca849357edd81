"""`scraper fetch`: one URL through the real stack, its body on standard output."""

from __future__ import annotations

import asyncio
import sys

import click

from ..errors import FetchError, ScraperError
from ..logs import clean
from ..response import Response
from ..settings import Settings
from . import options
from .project import settings_of
from .single import Single, refuse_status, typed, why


@click.command(name="fetch")
@click.argument("url")
@click.option("--headers", is_flag=True, help="Print status and header fields too (to standard error).")
@options.settings
def command(url: str, headers: bool, pairs: tuple[str, ...]) -> int:
    """Fetch URL once and print its body; redirects are followed and told on standard error.

    Any status but 2xx ends with exit code 1. robots.txt is not asked: it is you who fetches, not a crawl.
    """
    response = asyncio.run(_fetch(url, settings_of(None, pairs)))
    if headers:
        click.echo(f"{response.status} {clean(response.url)}", err=True)
        for name, value in response.headers.raw:
            click.echo(f"{clean(name)}: {clean(value)}", err=True)
        click.echo("", err=True)
    _print(response)
    try:
        refuse_status(response, response.request, Settings())
    except FetchError as error:
        raise ScraperError(why(error, response.url)) from error
    return 0


async def _fetch(url: str, settings: Settings) -> Response:
    request = typed(url)
    async with Single(settings, lambda line: click.echo(line, err=True)) as single:
        try:
            return await single.open(request)
        except FetchError as error:
            raise ScraperError(why(error, url)) from error


def _print(response: Response) -> None:
    """The body as it came; on a terminal as text that cannot drive it."""
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(response.body)
        sys.stdout.buffer.flush()
        return
    try:
        text = response.text
    except FetchError:
        click.echo(f"{len(response.body):,} bytes that are no text; not shown on a terminal", err=True)
        return
    click.echo("".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text.replace("\r\n", "\n")))
