"""What of the extra `server` a command needs: it is asked for before anything is done."""

from __future__ import annotations

import importlib.util

from ..errors import UsageError

SCHEDULER = ("cronsim",)
DASHBOARD = ("jinja2", "prometheus_client")


def need(command: str, *names: str) -> None:
    """Raise UsageError that names the packages which are missing."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"`scraper {command}` needs {', '.join(missing)}: install scraper with its extra `server`")
