"""`scraper crawl`: everything is checked first, then the run folder is made and the spider runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from .. import url as urls
from ..errors import UsageError
from ..outputs.registry import STDOUT, check_writable, expand, open_output
from ..settings import Settings
from ..spider import REQUIRED, Spider
from ..spider import arguments as declared
from . import options
from .project import made, output_folder, settings_of, spider_class
from .words import count

LEVELS = click.Choice(["debug", "info", "warning", "error"])


class Order(msgspec.Struct, frozen=True):
    """What the command line asks for."""

    word: str = ""
    outputs: Sequence[str] = ()
    append: bool = False
    arguments: Sequence[str] = ()
    pairs: Sequence[str] = ()
    fresh: bool = False
    resume: str | None = None
    root: str | None = None
    quiet: bool = False
    log_level: str | None = None
    help: bool = False


class Plan(msgspec.Struct, frozen=True):
    """A crawl that may begin: all of it has been checked, nothing has been written."""

    spider: Spider
    settings: Settings
    root: Path
    outputs: Sequence[str]
    append: bool = False
    quiet: bool = False


@click.command(name="crawl", add_help_option=False)
@click.argument("word", metavar="SPIDER", default="")
@options.outputs
@options.append
@options.arguments
@options.settings
@click.option("--fresh", is_flag=True, help="Start anew (every run does, as long as runs are kept in memory).")
@click.option("--resume", metavar="RUN", help="Go on with an earlier run; needs a run that was kept on disk.")
@options.folder
@click.option("--quiet", "-q", is_flag=True, help="Say nothing unless something is wrong.")
@click.option("--log-level", type=LEVELS, help="Least level that is logged.")
@click.option("-h", "--help", is_flag=True, help="Show this, and the arguments of SPIDER when it is given.")
def command(**given: Any) -> int:
    """Run a spider: a NAME from this project, or a FILE.py (FILE.py:NAME when it holds several)."""
    order = Order(**given)
    if order.help:
        return _help(order.word)
    plan = prepared(order)
    from .running import execute

    return execute(plan)


def prepared(order: Order) -> Plan:
    """Check everything that can be wrong. Raises UsageError; nothing is written."""
    if not order.word:
        raise UsageError("which spider? give a name (see `scraper list`) or a file")
    if order.resume:
        raise UsageError(
            f"run {order.resume!r} cannot be continued: its state was kept in memory (durability = none); "
            f"start anew without --resume, or save its items with `scraper export {order.resume} -o PATH`"
        )
    kind = spider_class(order.word)
    spider = made(kind, order.arguments)
    settings = settings_of(kind, order.pairs, log_level=order.log_level)
    _check_start(spider)
    root = output_folder(order.root)
    check_outputs(order.outputs, spider.name, append=order.append)
    _check_root(root, spider.name)
    return Plan(spider, settings, root, order.outputs, order.append, order.quiet)


def _check_start(spider: Spider) -> None:
    urls_given = spider.start_urls
    for text in urls_given if isinstance(urls_given, Sequence) else ():
        if not isinstance(text, str):
            raise UsageError(f"spider {spider.name!r}: start_urls has {text!r}: it must be a URL")
        try:
            urls.canonical(text)
        except urls.BadURL as error:
            raise UsageError(f"spider {spider.name!r}: start_urls has {text!r}: {error.reason.value}") from error
    if not urls_given and type(spider).start is Spider.start:
        raise UsageError(f"spider {spider.name!r} has neither start_urls nor start(): nothing to begin with")


def check_outputs(paths: Iterable[str], spider: str, *, append: bool) -> None:
    """Refuse outputs that cannot be written, and two with one path. Raises UsageError."""
    seen: dict[str, str] = {}
    for path in paths:
        variables = {"date": "2000-01-01", "run": "20000101-000000-0000", "spider": spider}
        open_output(path, append=append, variables=variables)
        where = expand(path, variables)
        check_writable(where)
        real = where if where == STDOUT else os.path.realpath(where)
        if real in seen:
            raise UsageError(f"two outputs write to one place: -o {seen[real]} and -o {path}")
        seen[real] = path


def _check_root(root: Path, spider: str) -> None:
    try:
        check_writable(str(root / spider / "run.json"))
    except UsageError as error:
        raise UsageError(f"output folder {root}: {str(error).partition(' cannot be written: ')[2]}") from error


def _help(word: str) -> int:
    context = click.get_current_context()
    click.echo(context.get_help())
    if word:
        click.echo()
        click.echo(_spider_help(spider_class(word)))
    return 0


def _spider_help(kind: type[Spider]) -> str:
    summary = (kind.__doc__ or "").strip().partition("\n")[0]
    formatter = click.HelpFormatter(width=click.get_current_context().terminal_width)
    formatter.write_text(f"Spider {kind.name}" + (f": {summary}" if summary and kind.__doc__ else ""))
    rows = []
    for name, (type_, argument) in declared(kind).items():
        notes = [argument.help] if argument.help else []
        if argument.choices:
            notes.append("one of " + ", ".join(map(str, argument.choices)))
        default = "required" if argument.default is REQUIRED else f"default: {argument.default!r}"
        notes.append(f"[{default}]")
        rows.append((f"-a {name}={_kind(type_)}", "  ".join(notes)))
    with formatter.section(count(len(rows), "argument") if rows else "No arguments"):
        if rows:
            formatter.write_dl(rows)
    return formatter.getvalue().rstrip()


def _kind(type_: Any) -> str:
    name = type_.__name__ if isinstance(type_, type) and not hasattr(type_, "__args__") else str(type_)
    return name.replace("typing.", "").upper() if name.isidentifier() else name
