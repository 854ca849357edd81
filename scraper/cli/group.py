"""The table of commands, and how the errors of all of them are told: one line, and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import click

from ..errors import Mistakes, ScraperError, UsageError

Table = Mapping[str, tuple[str, str]]
# name -> (file, what it does); nothing is imported to show the table
COMMANDS: Table = {
    "crawl": ("crawl", "Run a spider."),
    "list": ("list", "The spiders of this project."),
    "new": ("new", "Write a new project or spider."),
    "fetch": ("fetch", "Fetch one URL and print it."),
    "parse": ("parse", "Fetch one page and show what a spider's callback makes of it."),
    "shell": ("shell", "Try selectors on a page, at a Python prompt."),
    "settings": ("settings", "Every setting, or the values a spider runs with."),
    "runs": ("runs", "Earlier runs, and how each of them ended."),
    "explain": ("explain", "What became of a URL, and why."),
    "retry": ("retry", "Fetch again what failed in an earlier run."),
    "diff": ("diff", "What has changed from one run to another: items added, changed, removed."),
    "export": ("export", "Write the items or the requests of an earlier run in any format."),
    "jobs": ("jobs", "Scheduled runs of spiders: declare, run, stop, look at them."),
    "serve": ("serve", "Run the jobs of this project, with a dashboard."),
    "version": ("version", "The versions of scraper, Python and the libraries."),
}
HELP = ("-h", "--help")
INTERRUPTED = 130
USAGE = 2


class Lazy(click.Group):
    """A group whose commands live in files that are imported when they are used.

    A file of `package` has its command as `command`, or as the name behind a colon.
    """

    def __init__(self, *args: Any, table: Table = COMMANDS, package: str | None = __package__, **more: Any) -> None:
        super().__init__(*args, **more)
        self.table = table
        self._package = package

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the table's order."""
        return [*self.table]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in self.table:
            return None
        file, _, name = self.table[cmd_name][0].partition(":")
        found: click.Command = getattr(importlib.import_module(f".{file}", self._package), name or "command")
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names; a misspelt one gets a suggestion."""
        word = args[0]
        if word not in self.table and not word.startswith("-"):
            close = get_close_matches(word, self.table, 1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(self.table)}"
            raise UsageError(f"no command {word!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, what) for name, (_, what) in self.table.items()])


def or_list(args: list[str]) -> list[str]:
    """Words for a group that lists when it is given no command: only options, or nothing, are those of `list`."""
    return ["list", *args] if not args or (args[0].startswith("-") and args[0] not in HELP) else args


def _version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from .. import __version__

        click.echo(f"scraper {__version__}")
        ctx.exit()


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=False)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="The version.")
def cli() -> None:
    """Write a spider, run it politely, get every page answered."""


def run(words: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code. Raises what is a bug."""
    _take_places()
    given = [*(sys.argv[1:] if words is None else words)]
    try:
        return int(cli.main(given or ["--help"], "scraper", standalone_mode=False) or 0)
    except Mistakes as error:
        for text in filter(None, [*map(str, error.told), error.more]):
            told(text, USAGE)
        return USAGE
    except UsageError as error:
        return told(str(error), USAGE)
    except ScraperError as error:
        return told(str(error), 1)
    except click.UsageError as error:
        return told(_plain(error), USAGE)
    except click.ClickException as error:
        return told(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return told("interrupted", INTERRUPTED)
    except UnicodeEncodeError:
        if (word := next(filter(_undecoded, given), None)) is None:
            raise
        return told(f"{word!r} is not UTF-8", USAGE)
    except BrokenPipeError:
        from .terminal import unread

        unread(sys.stdout)  # whoever read has left: nothing to say
        return 1


def _undecoded(word: str) -> bool:
    """Whether a word has bytes of another encoding; only in the path of a file they may stand."""
    return any("\udc80" <= letter <= "\udcff" for letter in word)


def _take_places() -> None:
    """Streams that were closed before we began: nobody reads them, and no other file may take their place."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  open to the end


def told(text: str, code: int) -> int:
    """Say in one line what is wrong; gives the exit code."""
    from ..logs import clean

    click.echo(f"error: {clean(' '.join(text.split()))}", err=True)
    return code


def _plain(error: click.UsageError) -> str:
    """click's own words in the form of ours."""
    if isinstance(error, click.NoSuchOption):
        close: Any = error.possibilities
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"no option {error.option_name!r}{hint}"
    text = error.format_message().rstrip(".")
    return text[:1].lower() + text[1:]
