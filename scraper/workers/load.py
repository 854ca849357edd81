"""The spider of a crawl in another process: imported as a module where it is one, else from its file."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from ..discover import load
from ..errors import UsageError
from ..spider import Spider, check
from .messages import Begin


def spider_of(begin: Begin) -> Spider:
    """A spider like that of the crawl. Raises UsageError when it cannot be had here."""
    for path in begin.paths:
        if path not in sys.path:
            sys.path.append(path)
    found: Any = importlib.import_module(begin.module) if begin.module else load(Path(begin.file))
    for name in begin.name.split("."):
        found = getattr(found, name, None)
    if not isinstance(found, type) or not issubclass(found, Spider):
        raise UsageError(f"{begin.file} has no spider class {begin.name} when a worker process imports it")
    check(found)
    return found(**begin.arguments)
