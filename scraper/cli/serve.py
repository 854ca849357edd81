"""`scraper serve`: runs the jobs of this project, and shows them on a page, until it is stopped."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from . import options
from .extra import DASHBOARD, SCHEDULER, need
from .project import output_folder, project, shown
from .terminal import Terminal

if TYPE_CHECKING:
    from ..dashboard.site import Place
    from ..jobs.serving import Parts


@click.command(name="serve")
@click.option("--host", default="127.0.0.1", help="The address to listen at.", show_default=True)
@click.option("--port", default=8765, type=click.IntRange(1, 65535), help="The port.", show_default=True)
@click.option("--name", "names", multiple=True, metavar="HOST", help="A host name that the dashboard answers to.")
@click.option("--public", is_flag=True, help="Let HOST be an address that other machines reach.")
@click.option("--proxy", is_flag=True, help="Believe X-Forwarded-*: a proxy of yours stands before it.")
@click.option("--open-metrics", is_flag=True, help="Give /metrics to programs of this machine without a token.")
@click.option("--no-pages", is_flag=True, help="Serve the API alone.")
@click.option("--no-web", is_flag=True, help="Run jobs, and serve nothing.")
@click.option("--reset-password", is_flag=True, help="Give admin a new password, show it, and end.")
@options.folder
@click.option("--quiet", "-q", is_flag=True, help="Say nothing unless something is wrong.")
def command(
    host: str, port: int, names: tuple[str, ...], public: bool, proxy: bool, open_metrics: bool, no_pages: bool,
    no_web: bool, reset_password: bool, root: str | None, quiet: bool,
) -> int:  # fmt: skip
    """Run the jobs of this project, with a dashboard at http://127.0.0.1:8765/.

    Ctrl-C ends the crawls in good order, and they go on at the next start.
    """
    if os.name != "posix":
        raise UsageError("`scraper serve` needs Linux or macOS: run it in WSL, or in a container")
    need("serve", *SCHEDULER, *(() if no_web else DASHBOARD))
    folder = output_folder(root).absolute()
    if reset_password:
        click.echo(_password(folder))
        return 0
    if no_web:
        _run(folder, None, quiet=quiet)
        return 0
    from ..dashboard.site import Place

    place = Place(
        host=host, port=port, names=names, public=public, proxy=proxy, open_metrics=open_metrics, pages=not no_pages
    )
    _run(folder, place, quiet=quiet)
    return 0


def _run(root: Path, place: Place | None, *, quiet: bool) -> None:
    """Serve until it is stopped; `place` None: without a dashboard."""
    from ..jobs.serving import serve
    from ..runner import runner
    from .terminal import logged

    terminal = Terminal()
    beside, opened = [], []
    if place is not None:
        from ..dashboard.site import Site

        _first(root, place, terminal)
        site = Site(place)
        beside, opened = [site.run], [site.opened()]

    def ready(parts: Parts) -> None:
        if not quiet:
            at = f", {place.address}" if place is not None else ""
            terminal.line(f"running the jobs in {shown(parts.home)} (pid {os.getpid()}){at}")

    with logged(terminal, "info", quiet=quiet), runner() as loop:
        loop.run(serve(root, project(), beside=beside, said_ready=ready, opened=opened, last=True))


def _first(root: Path, place: Place, terminal: Terminal) -> None:
    """The first start makes a password, and shows it to the person who is there; a log must not have it.

    Raises UsageError when others would reach a dashboard that nobody has a password of.
    """
    from ..dashboard.site import check
    from ..jobs.access import Access
    from ..jobs.serving import prepared
    from ..jobs.store import Jobs

    with Jobs(prepared(root)) as store:
        access = Access(store)
        empty = access.empty()
        check(place, users=not empty)
        if empty and sys.stderr.isatty():
            terminal.line(f"log in as admin with the password {access.first()} (it is not shown again)")
        elif empty:
            terminal.line("nobody can log in yet: `scraper serve --reset-password` makes a password")


def _password(root: Path) -> str:
    from ..jobs.access import Access
    from ..jobs.serving import prepared
    from ..jobs.store import Jobs

    with Jobs(prepared(root)) as store:
        return Access(store).first()
