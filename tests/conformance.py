"""The open conformance tables: read from beside the checkout, never copied into it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("SCRAPER_CONFORMANCE") or Path(__file__).parents[2] / "shared" / "conformance")


def path(name: str) -> Path:
    """Where a table lies; skips the calling test, with the reason, where it does not."""
    found = FOLDER / name
    if not found.exists():
        pytest.skip(
            f"the conformance table {name} is not beside this checkout (SCRAPER_CONFORMANCE names its folder)"
        )
    return found


def table(name: str) -> Any:
    """A JSON table."""
    return json.loads(path(name).read_text(encoding="utf-8"))
