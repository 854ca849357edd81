"""`scraper settings`: what can be set, and with a spider what is set and by whom."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import click
import msgspec

from ..errors import UsageError
from ..settings import NAMES, Layer, Settings, describe, near, resolve
from ..url import printable
from ..words import cut
from . import options
from .project import layers, spider_class
from .terminal import columns

NAME, VALUE, UNIT = 18, 14, 9  # columns
HIDDEN = frozenset({"auth", "headers", "hosts"})


@click.command(name="settings")
@click.argument("name", default="")
@click.option("--spider", metavar="SPIDER", help="Show the values that this spider runs with, and who set each.")
@options.settings
def command(name: str, spider: str | None, pairs: tuple[str, ...]) -> int:
    """Every setting: name, default, unit and meaning; or just NAME."""
    name = name.replace("-", "_")
    if name and name not in NAMES:
        raise UsageError(f"no setting {name!r}{near(name, NAMES)}")
    names = (name,) if name else NAMES
    if spider or pairs:
        _effective(names, layers(spider_class(spider) if spider else None, pairs))
    else:
        _table(names)
    return 0


def _table(names: tuple[str, ...]) -> None:
    width = columns(sys.stdout)
    left = NAME + 1 + VALUE + 1 + UNIT + 1
    narrow = width < left + 30
    click.echo(f"{'name':<{NAME}} {'default':<{VALUE}} {'unit':<{UNIT}} {'' if narrow else 'meaning'}".rstrip())
    for name in names:
        meaning, unit = describe(name)
        head = f"{name:<{NAME}} {text(name, getattr(Settings(), name)):<{VALUE}} {unit:<{UNIT}} "
        if narrow or len(head) > left:
            click.echo(head.rstrip())
            head = ""
        indent = " " * (4 if narrow else left)
        click.echo(textwrap.fill(meaning, width, initial_indent=head or indent, subsequent_indent=indent))


def _effective(names: tuple[str, ...], given: list[Layer]) -> None:
    made = resolve(given)
    by = {name: where for where, values in given for name in values}
    here = f"{Path.cwd()}/"
    click.echo(f"{'name':<{NAME}} {'value':<{VALUE}} {'unit':<{UNIT}} set by")
    for name in names:
        value, unit = text(name, getattr(made, name)), describe(name)[1]
        where = by.get(name, "default").replace(here, "")
        click.echo(f"{name:<{NAME}} {cut(value, 40):<{VALUE}} {unit:<{UNIT}} {where}")


def text(name: str, value: Any) -> str:
    """A value as it is written in a file; of what may hold a secret only that it is set."""
    if name in HIDDEN and value:
        return "(set)"
    if name == "proxy" and value:
        return printable(value)
    return f"{value:g}" if isinstance(value, float) else msgspec.json.encode(value).decode()
