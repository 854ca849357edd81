"""A store of its own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from scraper.jobs.store import Jobs

from .hook import Hook


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the store lies."""
    return tmp_path / "output" / ".jobs"


@pytest.fixture
def jobs(home: Path) -> Iterator[Jobs]:
    """An empty store."""
    with Jobs(home) as made:
        yield made


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    """A receiver of webhooks."""
    made, app = Hook(), web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    async with TestServer(app, host="127.0.0.1") as server:
        assert server.port is not None
        made.port = server.port
        yield made
