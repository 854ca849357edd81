"""The spider of a crawl in another process: imported as a module where it is one, else from its file."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from ..discover import load
from ..errors import UsageError
from ..spider import Spider, check
from .messages import Begin

GUARD = (
    '. Each worker process imports the program: what begins the crawl belongs under `if __name__ == "__main__":`'
)


def spider_of(begin: Begin) -> Spider:
    """A spider like that of the crawl. Raises UsageError when it cannot be had here."""
    found = _imported(begin)
    for name in begin.name.split("."):
        found = getattr(found, name, None)
    if not isinstance(found, type) or not issubclass(found, Spider):
        raise UsageError(f"{begin.file} has no spider class {begin.name} when a worker process imports it")
    check(found)
    spider = found(**begin.arguments)
    for name, value in begin.state.items():
        setattr(spider, name, value)
    return spider


def _imported(begin: Begin) -> Any:
    try:
        return importlib.import_module(begin.module) if begin.module else load(Path(begin.file))
    except (Exception, SystemExit) as error:  # a file may raise anything
        what = "" if isinstance(error, UsageError) else f"{type(error).__name__}: "
        text = f"a worker process cannot import spider class {begin.name}: {what}{error}"
        raise UsageError(text + GUARD * begin.script) from error
