"""The dashboard beside a server's scheduler: where it listens, and when it must not."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from ..errors import UsageError
from ..jobs import secret
from ..jobs.access import Access
from ..jobs.desk import Desk
from ..jobs.scheduler import News
from ..jobs.serving import Parts
from .app import build
from .door import BACKLOG, BEHIND_PROXY, PATIENCE, Door
from .events import HUB
from .guard import Options
from .requests import RequestLog

TAKEN = (errno.EADDRINUSE, errno.EACCES)  # EACCES: ports below 1024
ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
log = logging.getLogger("scraper.dashboard")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the dashboard listens, and how it is reached; see Options."""

    host: str = "127.0.0.1"
    port: int = 8765
    public: bool = False
    proxy: bool = False
    names: tuple[str, ...] = ()
    open_metrics: bool = False
    pages: bool = True

    @property
    def address(self) -> str:
        """The address to open in a browser."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    @property
    def local(self) -> bool:
        """Whether only programs of this machine reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def check(place: Place, *, users: bool) -> None:
    """Raise UsageError when others would reach what nobody meant them to."""
    if place.local:
        return
    if not place.public:
        raise UsageError(
            f"{place.host} can be reached from other machines: add --public if that is meant, best behind a proxy "
            "that speaks TLS, as scraper itself does not"
        )
    if not users:
        raise UsageError("there is no password yet: make one with `scraper serve --reset-password` first")


@contextmanager
def bound(place: Place) -> Iterator[list[socket.socket]]:
    """Sockets that listen at every address of a place; who comes early waits. Raises UsageError."""
    with ExitStack() as during:
        doors, absent = [], None
        try:
            for family, _, _, _, address in _addresses(place):
                try:
                    doors.append(_door(during, family, address))
                except OSError as error:
                    if error.errno not in ABSENT:
                        raise
                    absent = error  # as where localhost is ::1, too, and the system has no IPv6
            if absent is not None and not doors:
                raise absent
        except OSError as error:
            hint = "; --port chooses another" if error.errno in TAKEN else ""
            raise UsageError(f"cannot listen at {place.address}: {error.strerror or error}{hint}") from error
        yield doors


def _addresses(place: Place) -> list[Any]:
    found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return [*dict.fromkeys(found)]


def _door(during: ExitStack, family: int, address: Any) -> socket.socket:
    door = during.enter_context(socket.socket(family, socket.SOCK_STREAM))
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    door.bind(address)
    door.listen(BACKLOG)
    return door


class Site:
    """The web server of a scheduler: `opened` is where it listens from, `run` answers.

    They are two, as a server must know that it can listen before it touches a crawl.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._doors: list[socket.socket] = []

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Listen, without an answer yet. Raises UsageError when the address cannot be had."""
        with bound(self.place) as self._doors:
            yield

    async def run(self, parts: Parts) -> None:
        """Answer, from inside `opened`, until cancelled."""
        access = Access(parts.store, parts.clock.wall)
        check(self.place, users=not access.empty())
        desk = Desk(
            parts.store, root=parts.root, project=parts.project, clock=parts.clock, scheduler=parts.scheduler
        )
        requests = RequestLog(parts.home)
        app = build(desk, access, self._options(parts), web_pages=self.place.pages, log=requests)
        door = Door(app, patience=BEHIND_PROXY if self.place.proxy else PATIENCE)
        deaf = parts.scheduler.listen(lambda news: _tell(app, news))
        try:
            await door.open(self._doors)
            log.info("listening at %s", self.place.address)
            await asyncio.Event().wait()
        finally:
            deaf()
            await door.close()
            requests.close()

    def _options(self, parts: Parts) -> Options:
        told = urlsplit(parts.store.server().address).hostname
        names = {name.lower() for name in self.place.names} | ({told} if told else set())
        return Options(
            port=self.place.port,
            names=frozenset(names),
            proxy=self.place.proxy,
            open_metrics=self.place.open_metrics,
        )


def _tell(app: web.Application, news: News) -> None:
    """On the loop, and within the scheduler: so nothing is looked up, and no argument is told."""
    if news.run is None:
        app[HUB].tell("job", {"job": news.job})
    else:
        app[HUB].tell("run", secret.sealed(news.run))
