"""An async web scraping framework: write a spider, run it politely, get every page answered.

Public names only; each is imported when it is first used, so that `import scraper` costs nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import (
        FetchError,
        ItemError,
        OutputError,
        Retry,
        ScraperError,
        SelectorError,
        Skip,
        SpiderError,
        StatusError,
        Stop,
        StoreError,
        UsageError,
    )
    from .program import Result, crawl, run, stream
    from .reasons import Reason
    from .request import Request
    from .response import Link, Response
    from .run import Report
    from .settings import Settings
    from .spider import Spider, arg

__version__ = "0.1.0"

_HOMES = {
    "errors": (
        "FetchError", "ItemError", "OutputError", "Retry", "ScraperError", "SelectorError", "Skip",
        "SpiderError", "StatusError", "Stop", "StoreError", "UsageError",
    ),
    "program": ("Result", "crawl", "run", "stream"),
    "reasons": ("Reason",),
    "request": ("Request",),
    "response": ("Link", "Response"),
    "run": ("Report",),
    "settings": ("Settings",),
    "spider": ("Spider", "arg"),
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "FetchError",
    "ItemError",
    "Link",
    "OutputError",
    "Reason",
    "Report",
    "Request",
    "Response",
    "Result",
    "Retry",
    "ScraperError",
    "SelectorError",
    "Settings",
    "Skip",
    "Spider",
    "SpiderError",
    "StatusError",
    "Stop",
    "StoreError",
    "UsageError",
    "arg",
    "crawl",
    "run",
    "stream",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'scraper' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


class _Package(ModuleType):
    """`crawl` and `run` are functions here and files too: importing the file must not hide the function."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
