"""The dashboard beside a server's scheduler: where it listens, and when it must not."""

from __future__ import annotations

import asyncio
import logging
from ipaddress import ip_address
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
from .door import BEHIND_PROXY, PATIENCE, Door
from .events import HUB
from .guard import Options
from .requests import RequestLog

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


class Site:
    """The web server of a scheduler. `run` is the coroutine; the rest is known before it."""

    def __init__(self, place: Place) -> None:
        self.place = place

    async def run(self, parts: Parts) -> None:
        """Answer until cancelled. Raises UsageError when the address cannot be had."""
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
            await self._open(door)
            log.info("listening at %s", self.place.address)
            await asyncio.Event().wait()
        finally:
            deaf()
            await door.close()
            requests.close()

    async def _open(self, door: Door) -> None:
        try:
            await door.open(self.place.host, self.place.port)
        except OSError as error:
            raise UsageError(
                f"cannot listen at {self.place.address}: {error.strerror or error}; --port chooses another"
            ) from error

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
    if news.run is None:
        app[HUB].tell("job", {"job": news.job})
    else:
        app[HUB].tell("run", secret.hidden_run(news.run))
