"""`scraper jobs users` and `tokens`: who may use the dashboard and the API, and what they may do."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from ...convert import Unfit
from ...errors import UsageError
from ...jobs.access import Access
from ...jobs.desk import Desk
from ...jobs.job import DAY
from ...jobs.words import duration
from ...logs import clean
from .. import options
from ..group import or_list
from .moments import at, zone_of
from .place import all_said, as_json, done, opened, print_table, there, who

ROLES = ("viewer", "operator", "admin")
role = click.option("--role", type=click.Choice(ROLES), default="viewer", show_default=True, help="What it may do.")
UTC = zone_of(None)


@contextmanager
def _doors(root: str | None) -> Iterator[tuple[Desk, Access]]:
    with opened(root, new=True) as desk:
        yield desk, Access(desk.store)


class Group(click.Group):
    """A group that lists when it is given no command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`list`, where no command is named."""
        return super().parse_args(ctx, or_list(args))


@click.group(name="users", cls=Group)
def users() -> None:
    """Who may log in: a viewer sees all, an operator starts and stops runs, an admin may do all."""


@users.command(name="list")
@as_json
@options.folder
def list_users(as_json: bool, root: str | None) -> int:
    """All users (the default)."""
    found = []
    if there(root):
        with opened(root) as desk:
            found = Access(desk.store).users()
    if all_said(found, "no users yet: the first start of `scraper serve` makes admin", as_json=as_json):
        return 0
    print_table(("user", "role", "password of"), [(u.name, u.role, at(u.changed, UTC)) for u in found])
    return 0


@users.command(name="add")
@click.argument("name")
@role
@options.folder
def add_user(name: str, role: str, root: str | None) -> int:
    """A new user NAME. The password is shown this once."""
    with _doors(root) as (desk, access):
        word = access.add_user(name, role)
        done(desk.acted(who(), "user", f"{name}: {role}"))
    _shown_once(f"user {name}, {role}, has the password", word)
    return 0


@users.command(name="role")
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES))
@options.folder
def set_role(name: str, role: str, root: str | None) -> int:
    """Raise or lower the user NAME to ROLE; tokens of that user may do no more than that."""
    with _doors(root) as (desk, access):
        access.set_role(name, role)
        done(desk.acted(who(), "user", f"{name}: {role}"))
    click.echo(f"user {name} is {role}")
    return 0


@users.command(name="password")
@click.argument("name", default="admin")
@click.option("--ask", is_flag=True, help="Ask for it on the terminal, instead of making one.")
@options.folder
def password(name: str, ask: bool, root: str | None) -> int:
    """A new password for NAME, by default admin.

    Sessions of that user end; admin is made when there is none.
    """
    new = click.prompt("password", hide_input=True, confirmation_prompt=True, err=True) if ask else ""
    with _doors(root) as (desk, access):
        missing = name == "admin" and all(each.name != name for each in access.users())
        word = access.first() if missing else ""
        if new or not missing:
            word = access.reset(name, new)
        done(desk.acted(who(), "password", name))
    if not new:
        _shown_once(f"user {name} has the password", word)
    return 0


@users.command(name="remove")
@click.argument("name")
@options.folder
def remove_user(name: str, root: str | None) -> int:
    """Take the user NAME away; sessions and tokens of that user end."""
    with _doors(root) as (desk, access):
        access.remove_user(name)
        done(desk.acted(who(), "remove user", name))
    click.echo(f"removed user {name}")
    return 0


@click.group(name="tokens", cls=Group)
def tokens() -> None:
    """Tokens for programs that use the API: `Authorization: Bearer TOKEN`."""


@tokens.command(name="list")
@as_json
@options.folder
def list_tokens(as_json: bool, root: str | None) -> int:
    """All tokens, without what they are (the default)."""
    found = []
    if there(root):
        with opened(root) as desk:
            found = Access(desk.store).tokens()
    if all_said(found, "no tokens", as_json=as_json):
        return 0
    rows = [
        (str(each.id), clean(each.name), each.role, clean(each.by), at(each.made, UTC),
         at(each.used, UTC), _ends(each.expires))
        for each in found
    ]  # fmt: skip
    print_table(("id", "name", "role", "by", "made", "used", "ends"), rows, ("id",))
    return 0


def _ends(expires: float) -> str:
    if not expires:
        return "never"
    return f"{'ended ' if expires <= time.time() else ''}{at(expires, UTC)}"


@tokens.command(name="add")
@click.argument("name")
@role
@click.option("--for", "span", default="", metavar="TIME", help="It ends then, as '90 days'.  [default: never]")
@options.folder
def add_token(name: str, role: str, span: str, root: str | None) -> int:
    """A new token; NAME says what it is for. The token is shown this once."""
    try:
        days = duration(span) / DAY if span else 0.0
    except Unfit as error:
        raise UsageError(f"--for {error}") from error
    with _doors(root) as (desk, access):
        made, token = access.add_token(name, role, who(), days)
        done(desk.acted(who(), "token", f"{made.id} {made.name}: {made.role}"))
    _shown_once(f"token {made.id}, {clean(name)}, {role}:", token)
    return 0


@tokens.command(name="remove")
@click.argument("number", metavar="ID", type=int)
@options.folder
def remove_token(number: int, root: str | None) -> int:
    """The token of this ID opens nothing any more."""
    with _doors(root) as (desk, access):
        access.remove_token(number)
        done(desk.acted(who(), "remove token", str(number)))
    click.echo(f"removed token {number}")
    return 0


def _shown_once(what: str, word: str) -> None:
    """The word alone on standard output, so that a script can take it; what it is beside it."""
    click.echo(f"{what} (it is not shown again)", err=True)
    click.echo(word)
    sys.stdout.flush()
