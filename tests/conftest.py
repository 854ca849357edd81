"""What every room's tests share: a real site on loopback, and a way to crawl it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as examples

from scraper.program import Result, crawl
from scraper.spider import Spider
from scraper.testing.resolve import Loopback
from scraper.testing.site import Site
from tests.outputs.disks import small_disk

Crawl = Callable[..., Awaitable[Result]]
QUICK: dict[str, Any] = {"delay": 0, "backoff": 0.01, "max_backoff": 0.05, "allow_private": True, "timeout": 10}


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--slow` runs what is too long for the suite."""
    parser.addoption("--processes", type=int, default=1, help="crawl in so many processes wherever a test crawls")
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")


def pytest_configure(config: pytest.Config) -> None:
    """`--processes` holds wherever the quick settings do; an example takes what a busy machine lets it have."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun in the background: crawls would heed none either
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # Reading the certificates of the world, which no test needs, is a seventh of what the start of a crawl costs.
    os.environ["SSL_CERT_FILE"] = os.devnull
    examples.register_profile("suite", deadline=None)
    examples.load_profile("suite")
    config.addinivalue_line("markers", "alone(reason): looks at what only a crawl in one process has")
    QUICK["processes"] = config.getoption("--processes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the slow tests out unless they are asked for."""
    if not config.getoption("--slow"):
        left_out = [item for item in items if "slow" in item.keywords]
        items[:] = [item for item in items if "slow" not in item.keywords]
        config.hook.pytest_deselected(items=left_out)
    if config.getoption("--processes") > 1:
        for item in items:
            if (alone := item.get_closest_marker("alone")) is not None:
                item.add_marker(pytest.mark.skip(reason=f"in one process only: {alone.kwargs['reason']}"))


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """A command that ends a process ignores signals at last; one that is run in ours must not do so for others."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


async def turns(number: int) -> None:
    """Wait for what is on its way: 10 ms so often, each of which looks at the sockets, however long it took."""
    for _ in range(number):
        await asyncio.sleep(0.01)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A site of its own, answering for every host name."""
    async with Site() as running:
        yield running


@pytest.fixture
def go(site: Site) -> Crawl:
    """Crawl with every name on the site, nothing slow, and further settings as keywords."""

    async def run(spider: Spider, *, options: dict[str, Any] | None = None, **settings: Any) -> Result:
        resolver = Loopback(site.port)
        return await crawl(spider, settings={**QUICK, **settings}, resolver=resolver, **(options or {}))

    return run


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    with small_disk(tmp_path / "small", 1024) as folder:
        yield folder
