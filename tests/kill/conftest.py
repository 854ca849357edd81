"""`--kills N` (after `pytest tests/kill`) sets how many kills the main test makes; `--every` takes every k."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much is done."""
    parser.addoption("--kills", type=int, default=50, help="kills of the crawl in tests/kill/test_kills.py")
    parser.addoption("--every", action="store_true", help="fail every single operation in tests/kill")
    parser.addoption("--seed", type=int, default=0, help="of the instants of the kills; 0 draws one")
