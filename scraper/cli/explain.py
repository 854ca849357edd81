"""`scraper explain`: what became of a URL, and why."""

from __future__ import annotations

import click
import msgspec

from ..explain import explained
from . import options
from .project import output_folder, run_word


@click.command(name="explain")
@click.argument("url")
@click.argument("run", default="")
@click.option("--spider", metavar="SPIDER", help="Look at the runs of this spider only.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@options.folder
def command(url: str, run: str, spider: str | None, as_json: bool, root: str | None) -> int:
    """Tell what became of URL in RUN, and why.

    RUN is an id or the beginning of it, SPIDER for its latest, or a folder; by default the newest run that has
    met the host of URL.
    """
    told = explained(url, output_folder(root), run, spider or "", run_word)
    if as_json:
        click.echo(msgspec.json.encode(told))
    else:
        for line in told.text:
            click.echo(line)
    return 0 if told.known else 1
