"""What happens, as it happens: server-sent events (WHATWG HTML, section 9.2).

`/events` tells of changes of jobs and runs. `/events?run=ID` follows one run while it crawls: its state, its
moments, its log and its items as they come. A client that is slow loses the oldest events, and is told how many.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from aiohttp import web

from ..errors import StoreError, UsageError
from ..jobs.access import Role, Who
from ..jobs.desk import Desk
from ..jobs.shown import LinesPage
from .answers import sent
from .given import number
from .guard import ACCESS, BEGUN, OPTIONS, who
from .routes import DESK, Routes

BEAT = 10.0  # seconds between two signs of life, at which it is also seen whether the session still lives
WAITING = 500  # events that wait for a client at most
TICK = 1.0  # seconds between two looks at the files of a run that somebody watches: another process writes them
FIELDS = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
LINES = 30  # of a file in a tick; of more the last ones
routes = Routes()


class Client:
    """One who listens: what waits for him, oldest first."""

    def __init__(self, own: Who) -> None:
        self.own = own
        self.lost = 0
        self.over = False  # what waits is the last there is
        self.doubt = False  # whether he may still listen is to be looked up
        self._waiting: deque[bytes] = deque()
        self._news = asyncio.Event()

    def tell(self, kind: str, data: Any) -> None:
        """Let an event wait for him."""
        if len(self._waiting) >= WAITING:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(event(kind, data))
        self._news.set()

    def end(self) -> None:
        """There will be no more."""
        self.over = True
        self._news.set()

    def wonder(self) -> None:
        """Have it looked up at once whether he may still listen."""
        self.doubt = True
        self._news.set()

    async def next(self, seconds: float) -> bytes:
        """What waits, all of it, or nothing after so many seconds."""
        if not self._waiting and not self.over and not self.doubt:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()
        self._news.clear()
        lost, self.lost = self.lost, 0
        found = [event("lost", {"events": lost})] if lost else []
        found += self._waiting
        self._waiting.clear()
        return b"".join(found)


class Hub:
    """All who listen."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._all: set[Client] = set()
        self._runs: dict[int, set[Client]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._all) + sum(map(len, self._runs.values()))

    def of(self, name: str) -> int:
        """How many clients of somebody listen."""
        everybody = (each for clients in (self._all, *self._runs.values()) for each in clients)
        return sum(each.own.name == name for each in everybody)

    def tell(self, kind: str, data: Any) -> None:
        """Something has happened: for all who do not follow one run only."""
        for client in self._all:
            client.tell(kind, data)

    def recheck(self) -> None:
        """Somebody has logged out, or may do less than before."""
        for clients in (self._all, *self._runs.values()):
            for client in clients:
                client.wonder()

    async def close(self) -> None:
        """End all streams."""
        for clients in (self._all, *self._runs.values()):
            for client in clients:
                client.end()

    @asynccontextmanager
    async def listening(self, own: Who, run: int) -> AsyncIterator[Client]:
        """A client, until it leaves; `run` 0: of all."""
        client = Client(own)
        clients = self._runs.setdefault(run, set()) if run else self._all
        clients.add(client)
        if run and run not in self._tasks:
            self._tasks[run] = asyncio.create_task(self._follow(run))
        try:
            yield client
        finally:
            clients.discard(client)
            if run and not clients:
                self._runs.pop(run, None)
                if (task := self._tasks.pop(run, None)) is not None:
                    task.cancel()

    async def _follow(self, number: int) -> None:
        """Tell the clients of a run what is new, until it is over or nobody is left."""
        following = Following(self._desk, number)
        try:
            while await following.look(lambda kind, data: self._each(number, kind, data)):
                await self._desk.clock.sleep(TICK)
        except (UsageError, StoreError) as error:
            self._each(number, "trouble", {"error": str(error)})
        finally:
            for client in self._runs.get(number, ()):
                client.end()
            if self._tasks.get(number) is asyncio.current_task():
                del self._tasks[number]

    def _each(self, number: int, kind: str, data: Any) -> None:
        for client in self._runs.get(number, ()):
            client.tell(kind, data)


class Following:
    """One run while it crawls: where in each of its files we are."""

    def __init__(self, desk: Desk, number: int) -> None:
        self._desk = desk
        self._number = number
        self._at = {"item": -1, "moment": -1, "log": -1}
        self._crawl = ""
        self._told: Any = None

    async def look(self, tell: Any) -> bool:
        """Tell what is new since the last look; whether the run goes on."""
        page = await self._desk.run(self._number)
        run = page.run
        if run.run != self._crawl:  # begun anew in another folder
            self._crawl = run.run
            self._at = dict.fromkeys(self._at, -1)
        if "items" in page.has or "moments" in page.has or "log" in page.has:
            verbs = {"item": self._desk.items, "moment": self._desk.moments, "log": self._desk.log}
            for kind, verb in verbs.items():
                found = await self._new(verb, self._at[kind])
                self._at[kind] = found.end if found.next is None else found.next
                for line in found.lines:
                    tell(kind, line)
        if run != self._told:
            self._told = run
            tell("run", run)
        if not run.open:
            tell("end", {"state": run.state})
        return run.open

    async def _new(self, verb: Any, at: int) -> LinesPage:
        """The lines since `at`; when they are too many the last of them."""
        found: LinesPage = await verb(self._number, at, LINES)
        if at >= 0 and found.next is not None:
            found = await verb(self._number, -1, LINES)
        return found


HUB: web.AppKey[Hub] = web.AppKey("hub", Hub)


def prepare(app: web.Application) -> None:
    """Give an application its hub."""
    app[HUB] = Hub(app[DESK])

    async def close(app: web.Application) -> None:
        await app[HUB].close()

    app.on_shutdown.append(close)


@routes.get("/events", Role.VIEWER)
async def events(request: web.Request) -> web.StreamResponse:
    """Listen: to all, or to one `run`. A run that is over answers 204, so that a browser does not come again."""
    hub, own, options = request.app[HUB], who(request), request.app[OPTIONS]
    run = number(request, "run", 0)
    if run and not (await request.app[DESK].run(run)).run.open:
        return web.Response(status=204)
    if len(hub) >= options.streams or hub.of(own.name) >= options.own_streams:
        text = "too many follow events: close another page"
        raise web.HTTPServiceUnavailable(text=text, headers={"Retry-After": "60"})
    answer = web.StreamResponse(headers=FIELDS)
    async with hub.listening(own, run) as client:
        await answer.prepare(request)
        request[BEGUN] = True
        if request.method == "HEAD":
            return answer
        with suppress(ConnectionError):
            await sent(request, answer, b"retry: 3000\n\n")
            while True:
                data = await client.next(BEAT)
                if client.doubt or not data:
                    client.doubt = False
                    if not await asyncio.to_thread(request.app[ACCESS].lives, own):
                        break
                await sent(request, answer, data or b": beat\n\n")
                if client.over:
                    break
    return answer


def event(kind: str, data: Any) -> bytes:
    """One event. A line end in JSON, as in a line of a file, stands only between values: it would end the event."""
    line = msgspec.json.encode(data).replace(b"\r", b" ").replace(b"\n", b" ")
    return b"event: " + kind.encode() + b"\ndata: " + line + b"\n\n"
