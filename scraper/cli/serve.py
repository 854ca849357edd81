"""`scraper serve`: runs the jobs of this project until it is stopped."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from . import options
from .project import output_folder, project, shown

if TYPE_CHECKING:
    from ..jobs.serving import Parts


@click.command(name="serve")
@click.option("--no-web", is_flag=True, help="Run jobs, and serve no pages.")
@options.folder
@click.option("--quiet", "-q", is_flag=True, help="Say nothing unless something is wrong.")
def command(no_web: bool, root: str | None, quiet: bool) -> int:
    """Run the jobs of this project: Ctrl-C ends the crawls in good order, and they go on at the next start."""
    if os.name != "posix":
        raise UsageError("`scraper serve` needs Linux or macOS: run it in WSL, or in a container")
    from ..jobs.serving import serve
    from ..runner import runner
    from .terminal import Terminal, logged

    terminal = Terminal()

    def ready(parts: Parts) -> None:
        if not quiet:
            terminal.line(f"running the jobs in {shown(parts.home)} (pid {os.getpid()})")

    with logged(terminal, "info", quiet=quiet), runner() as loop:
        loop.run(serve(output_folder(root).absolute(), project(), said_ready=ready))
    return 0
