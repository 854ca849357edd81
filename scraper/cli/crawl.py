"""`scraper crawl`: everything is checked first, then the run folder is made and the spider runs."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from ..errors import UsageError
from ..folder import ENDED, FINISHED, Place, RunFolder, RunInfo
from ..identity import Identity, kept_settings, not_kept
from ..outputs.registry import STDOUT, check_writable, expand, open_output
from ..resume import Choice, Words, begun, check_spider, exactly, going_on, joined, named, which
from ..settings import Settings, from_pairs
from ..spider import REQUIRED, Spider, check_start
from ..spider import arguments as declared
from ..words import count
from . import options
from .project import output_folder, run_word, settings_of, spider_class

LEVELS = click.Choice(["debug", "info", "warning", "error"])


class Order(msgspec.Struct, frozen=True):
    """What the command line asks for."""

    word: str = ""
    outputs: Sequence[str] = ()
    append: bool = False
    arguments: Sequence[str] = ()
    pairs: Sequence[str] = ()
    processes: int | None = None
    fresh: bool = False
    resume: str | None = None
    own: bool = True  # a run that is named goes on with the settings it was begun with
    root: str | None = None
    quiet: bool = False
    log_level: str | None = None
    help: bool = False
    run: str = ""  # begin the run of this id, or go on with it
    order: str = ""  # a file with more, "-" is standard input
    places: Sequence[Place] = ()  # further outputs, and what they are to do
    given: Mapping[str, Any] = {}  # further arguments, as values
    chosen: Mapping[str, Any] = {}  # further settings, as values; stronger than the environment's
    zone: str = ""  # in which times are told, with their dates; "": as the clock of the machine shows them


class Plan(msgspec.Struct, frozen=True):
    """A crawl that may begin: all of it has been checked, nothing has been written.

    `choice` is the run to continue, if there is one; `again` makes the choice anew. `run` is the id of a new one.
    """

    spider: Spider
    settings: Settings
    root: Path
    outputs: Sequence[str]
    identity: Identity
    choice: Choice
    again: Callable[[], Choice]
    places: Sequence[Place] = ()
    quiet: bool = False
    run: str = ""
    zone: str = ""


@click.command(name="crawl", add_help_option=False)
@click.argument("word", metavar="SPIDER", default="")
@options.outputs
@options.append
@options.arguments
@options.settings
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Fetch, parse and run callbacks in N processes beside the crawl's own; 1: in that one. -s processes=N.",
)
@click.option("--fresh", is_flag=True, help="Start anew, whatever was begun before.")
@click.option("--resume", metavar="RUN", help="Go on with this unfinished run, old or changed as it may be.")
@options.folder
@click.option("--quiet", "-q", is_flag=True, help="Say nothing unless something is wrong.")
@click.option("--log-level", type=LEVELS, help="Least level that is logged.")
@click.option("--run", default="", hidden=True, metavar="ID", help="Begin the run of this id, or go on with it.")
@click.option("--order", default="", hidden=True, metavar="FILE", help="More words, as JSON; '-': standard input.")
@click.option("-h", "--help", is_flag=True, help="Show this, and the arguments of SPIDER when it is given.")
def command(**given: Any) -> int:
    """Run a spider: a NAME from this project, or a FILE.py (FILE.py:NAME when it holds several)."""
    order = Order(**given)
    if order.help:
        return _help(order.word)
    if order.order:
        from .order import completed

        order = completed(order)
    if order.run and (code := _over(order)) is not None:
        return code
    plan = prepared(order)
    from .running import execute

    return execute(plan)


def prepared(order: Order) -> Plan:
    """Check everything that can be wrong. Raises UsageError; nothing is written."""
    if (order.fresh, order.resume is not None, order.run != "").count(True) > 1:
        raise UsageError("--fresh starts anew, --resume goes on, --run does either: give one of them")
    root = output_folder(order.root)
    words = Words(resume=lambda folder: _resume_command(order, folder))
    goal = named(root, order.resume, words) if order.resume else None
    kind = spider_class(_word(order.word, goal[1] if goal else None))
    if goal is not None:
        check_spider(goal[1], kind.name)
    spider = _made(kind, order, goal[1] if goal else None)
    own = kept_settings(goal[1], kind) if goal and order.own else order.chosen
    chosen = [f"processes={order.processes}"] if order.processes is not None else []
    settings = settings_of(kind, [*order.pairs, *chosen], log_level=order.log_level, own=own)
    check_start(spider)
    places = [*(Place(path, order.append) for path in order.outputs), *order.places]
    check_outputs(
        [place.path for place in places], spider.name, append=False, adding=[p.path for p in places if p.append]
    )  # fmt: skip
    _check_root(root, spider.name)
    identity = Identity.of(spider, settings)

    def choose() -> Choice:
        if goal is not None:
            return going_on(*goal, identity, settings, time.time(), words)
        if order.run:
            return exactly(root, order.run, identity, settings, time.time(), words)
        if order.fresh:
            return Choice()
        return which(root / spider.name, identity, settings, time.time(), words)

    choice = choose()
    typed = [place.path for place in places]
    if choice.info is not None:
        places = joined(choice.info, places)
        for place in places:
            check_writable(place.path)
    return Plan(spider, settings, root, typed, identity, choice, choose, places, order.quiet, order.run, order.zone)


def _over(order: Order) -> int | None:
    """The exit code of the run that is asked for, when it has ended already; nothing is done then."""
    found = begun(output_folder(order.root), order.run)
    if found is None or found[1].state not in ENDED:
        return None
    state, code = found[1].state, found[1].exit_code
    click.echo(f"run {order.run} has ended already ({state.replace('_', ' ')}): nothing is left to do", err=True)
    return 0 if state == FINISHED else 1 if code is None else code


def _word(word: str, info: RunInfo | None) -> str:
    """What says which spider: the command, else the run that is to be continued."""
    if word:
        return word
    if info is None:
        raise UsageError("which spider? give a name (see `scraper list`) or a file")
    if not info.source:
        raise UsageError(f"run {info.run} does not say where its spider {info.spider!r} is: give a name or a file")
    return f"{info.source}:{info.spider}"


def _made(kind: type[Spider], order: Order, info: RunInfo | None) -> Spider:
    """The spider with the arguments given, and those of the run that goes on for the others. Raises UsageError."""
    given = dict(order.given) | dict(from_pairs(order.arguments, "-a")[1])
    if info is None:
        return kind(**given)
    known = declared(kind)
    missing = [name for name in not_kept(info) if name not in given and name in known]
    if missing:
        asked = " ".join(f"-a {name}=..." for name in missing)
        raise UsageError(f"run {info.run} did not keep what is secret: give {asked} again")
    return kind(**{name: value for name, value in info.arguments.items() if name in known} | given)


def _resume_command(order: Order, folder: RunFolder) -> str:
    """What to type to continue a run, from this folder."""
    word = f" {shlex.quote(order.word)}" if order.word else ""
    return f"scraper crawl{word} --resume {run_word(folder)}"


def check_outputs(paths: Iterable[str], spider: str, *, append: bool, adding: Collection[str] = ()) -> None:
    """Refuse outputs that cannot be written, and two with one path; `adding` are those that add to what is there.

    Raises UsageError.
    """
    seen: dict[str, str] = {}
    for path in paths:
        variables = {"date": "2000-01-01", "run": "20000101-000000-0000", "spider": spider}
        open_output(path, append=append or path in adding, variables=variables)
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
