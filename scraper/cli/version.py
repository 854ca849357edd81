"""`scraper version`."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

import click

from .. import __version__

LIBRARIES = (
    "aiohttp", "selectolax", "msgspec", "url-py", "click", "aiofiles", "w3lib", "publicsuffixlist",
    "uvloop", "ipython", "brotli", "backports.zstd",
)  # fmt: skip


@click.command(name="version")
def command() -> int:
    """The versions of scraper, Python and the libraries."""
    rows = [("scraper", __version__), ("python", f"{platform.python_version()} ({platform.platform()})")]
    for name in LIBRARIES:
        try:
            rows.append((name, installed(name)))
        except PackageNotFoundError:
            rows.append((name, "not installed"))
    for name, value in rows:
        click.echo(f"{name:<17} {value}")
    return 0
