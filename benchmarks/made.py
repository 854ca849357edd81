"""Sites made from numbers and served from memory: `python -m benchmarks.made SHAPE PAGES HOSTS PORT`.

`tiny`: pages of half a kilobyte, ten links each. `broad`: pages of five kilobytes on many hosts, each an address of
127.0.0.0/8 of its own, two thirds of the links to other hosts. `large`: pages of one to three megabytes. Each page
is made once, before the first request; the server does nothing but look it up.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import cast

import msgspec

from scraper.testing.walk import HTML, Expected

from .contenders.lap import many_files

TINY_LINKS = 10
MB = 2**20
FILLER = "<p>Plain <em>text</em> with <code>code</code> and <b>a note</b>, and then some more of it.</p>\n"
ROW = "<tr><td>row %d</td><td>a cell of text</td><td><b>%d</b> more of it</td></tr>\n"
ROW_LINK = "<tr><td><a href='#row-%d'>row %d</a></td><td>a cell of text</td></tr>\n"  # one row in sixteen
MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n\r\n"


class Made(msgspec.Struct, frozen=True):
    """A site of so many pages, spread over so many hosts; page 0 leads to all of them."""

    shape: str
    pages: int
    hosts: int = 1

    def place(self, number: int) -> tuple[str, str]:
        """The address and the path of a page."""
        host, own = number % self.hosts, number // self.hosts
        address = f"127.0.{host // 250}.{host % 250 + 1}"
        return address, f"/part-{own // 100}/page-{own}.html"

    def url(self, number: int, port: int) -> str:
        """Where a page is."""
        address, path = self.place(number)
        return f"http://{address}:{port}{path}"

    def href(self, page: int, target: int, port: int) -> str:
        """How a page writes a link to another: its path alone on the same host."""
        (here, _), (there, path) = self.place(page), self.place(target)
        return path if here == there else self.url(target, port)

    def expected(self, port: int) -> dict[str, Expected]:
        """Every URL a correct crawl asks for."""
        return {self.url(number, port): HTML for number in range(self.pages)}

    def targets(self, number: int) -> Iterator[int]:
        """Which pages a page leads to: a tree that reaches all, and a few across it."""
        first = number * TINY_LINKS + 1
        yield from range(first, min(first + TINY_LINKS, self.pages))
        if self.shape != "tiny":
            yield from ((number * 31 + step * 97 + 1) % self.pages for step in range(TINY_LINKS))
            yield from ((number + step * self.hosts) % self.pages for step in range(TINY_LINKS))

    def page(self, number: int, port: int) -> bytes:
        """The HTML of a page."""
        links = "".join(
            f'<li><a href="{self.href(number, to, port)}">page {to}</a></li>\n' for to in self.targets(number)
        )
        text = f"<!DOCTYPE html><html><head><title>Page {number}</title></head><body><ul>\n{links}</ul>\n"
        if self.shape == "broad":
            text += FILLER * (5000 // len(FILLER))
        elif self.shape == "large":
            size = MB * (1 + number % 3) - MB // 10
            rows = "".join((ROW if n % 16 else ROW_LINK) % (n, n) for n in range(size // 2 // len(ROW)))
            text += f"<table>{rows}</table>" + FILLER * (size // 2 // len(FILLER))
        return (text + "</body></html>").encode()


class Connection(asyncio.Protocol):
    """One client. `held` is the whole answer of every page, by address and target; O(1) a request."""

    def __init__(self, held: dict[str, dict[bytes, bytes]]) -> None:
        self._held = held
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._here = self._held.get(transport.get_extra_info("sockname")[0], {})

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            target = data[data.find(b" ") + 1 : end].partition(b" ")[0]
            self._transport.write(self._here.get(target, MISSING))
            data = data[end + 4 :]
        self._rest = data


async def serve(made: Made, port: int) -> None:
    """Serve until SIGTERM."""
    held: dict[str, dict[bytes, bytes]] = {}
    for number in range(made.pages):
        address, path = made.place(number)
        body = made.page(number, port)
        held.setdefault(address, {})[path.encode()] = HEAD % len(body) + body
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    first, *others = held
    # The first address answers last: who can connect to it finds the whole site there.
    for addresses in (others, [first]):
        if addresses:
            await loop.create_server(lambda: Connection(held), addresses, port, backlog=256)
    await ended.wait()


def hosts_possible(wanted: int) -> int:
    """How many hosts this machine lets a server and a client have: files open at once, and addresses."""
    with socket.socket() as sock, suppress(OSError):
        sock.bind(("127.0.1.1", 0))
        return max(1, min(wanted, (many_files() - 200) // 3))
    return 1


def main(shape: str, pages: str, hosts: str, port: str) -> None:
    """Serve the site of these numbers."""
    many_files()
    made = Made(shape, int(pages), int(hosts))
    with suppress(ImportError):
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(made, int(port)))
        return
    asyncio.run(serve(made, int(port)))


if __name__ == "__main__":
    main(*sys.argv[1:])
