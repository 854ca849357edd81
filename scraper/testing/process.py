"""A test site in a process of its own, so that a busy test cannot delay the stamps of its arrivals.

    with SiteProcess() as site:
        site.page("/", "hello")

The child is driven by JSON lines on its standard input, one reply line each, and ends with it. The calls
block for a moment, which is harmless in a coroutine: the child does not need the caller's loop.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from .hits import Hit
from .routes import Routes
from .site import Site


class SiteProcess(Routes):
    """A site with the declarations and the record of `Site`, served by another process."""

    def __init__(self, *, addresses: int = 1) -> None:
        self._addresses = addresses
        self._declared: list[dict[str, Any]] = []
        self._child: subprocess.Popen[str] | None = None
        self._last: list[Hit] = []

    def __enter__(self) -> SiteProcess:
        command = [sys.executable, "-m", "scraper.testing.process", str(self._addresses)]
        path = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))},
        )
        self.port = self._ask({"do": "port"})
        for declaration in self._declared:
            self._ask(declaration)
        return self

    def __exit__(self, *exc: object) -> None:
        child = self._child
        if child is None:
            return
        with child:  # closes the pipes, which ends the child, and waits for it
            try:
                self._last = self.hits
            finally:
                self._child = None

    @property
    def hits(self) -> list[Hit]:
        """Every request so far, in the order of arrival; after the end those up to the end."""
        if self._child is None:
            return self._last
        return [Hit.load(hit) for hit in self._ask({"do": "hits"})]

    def forget(self) -> None:
        """Empty the record of hits."""
        self._ask({"do": "forget"})

    def declare(self, kind: str, path: str, host: str | None, given: dict[str, Any]) -> None:
        """Answer `path` with a page of a kind of `answers.KINDS`, made from plain data."""
        declaration = {"do": "declare", "kind": kind, "path": path, "host": host, "given": given}
        self._declared.append(declaration)
        if self._child is not None:
            self._ask(declaration)

    def _ask(self, order: dict[str, Any]) -> Any:
        child = self._child
        if child is None or child.stdin is None or child.stdout is None:
            raise RuntimeError("the site is not running")
        child.stdin.write(json.dumps(order) + "\n")
        child.stdin.flush()
        line = child.stdout.readline()
        if not line:
            raise RuntimeError(f"the site ended with exit code {child.wait()}")
        return json.loads(line)


def _obey(site: Site, order: dict[str, Any]) -> Any:
    match order["do"]:
        case "port":
            return site.port
        case "hits":
            return [hit.dump() for hit in site.hits]
        case "forget":
            return site.forget()
        case "declare":
            return site.declare(order["kind"], order["path"], order["host"], order["given"])
    raise ValueError(f"no such order: {order['do']}")


def _promptly() -> None:
    """Come before other processes, where it may: a stamp is of the arrival on a busy machine too."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


async def _serve(addresses: int) -> None:
    _promptly()
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader(limit=1 << 26)
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with Site(addresses=addresses) as site:
        while line := await orders.readline():
            print(json.dumps(_obey(site, json.loads(line))), flush=True)
    pipe.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
