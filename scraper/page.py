"""Runs a spider's callback on a response and gathers what it yields, whatever its form."""

from __future__ import annotations

import asyncio
import inspect
import logging
import traceback
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from contextvars import ContextVar
from pathlib import Path
from types import AsyncGeneratorType, GeneratorType, coroutine
from typing import Any, NamedTuple, get_type_hints

import msgspec

from . import url as urls
from .alarm import Alarm, CallbackHung, Watch
from .blame import at, described, frame, isolated
from .errors import FetchError, ItemError, OutputError, Retry, SelectorError, Skip, SpiderError, Stop, writable
from .item import encode, is_item, rejected
from .outcome import End, Outcome, dropped, failed
from .reasons import Reason
from .request import Request
from .response import Follow, Response
from .settings import Settings, near
from .spider import Spider
from .spool import SPOOL, Spool
from .stats import Stats

log = logging.getLogger("scraper.page")
ASKED = "the spider asked for it"
PLAIN = msgspec.msgpack.Encoder().encode  # what this takes can be kept, and told to another process


class OpenPage:
    """A page whose callback runs: its request, and its timer, which stands still during its own fetches."""

    __slots__ = ("_left", "_waiting", "deadline", "fetches", "request", "running")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.fetches = 0  # of its own, that were begun
        self.running: Any = None  # the callback's generator or coroutine, for the line it is at
        self.deadline: asyncio.Timeout | None = None
        self._waiting = 0
        self._left = 0.0

    def pause(self) -> bool:
        """The callback waits for its own fetch; true when it was not waiting already."""
        self._waiting += 1
        if self._waiting == 1 and self.deadline is not None:
            when = self.deadline.when()
            self._left = 0.0 if when is None else when - asyncio.get_running_loop().time()
            if when is not None and not self.deadline.expired():
                self.deadline.reschedule(None)
        return self._waiting == 1

    def resume(self) -> None:
        """The callback has what it waited for."""
        self._waiting -= 1
        if self._waiting == 0 and self._left and self.deadline is not None and not self.deadline.expired():
            self.deadline.reschedule(asyncio.get_running_loop().time() + self._left)


OPEN_PAGE: ContextVar[OpenPage | None] = ContextVar("open_page", default=None)


class Callback(NamedTuple):
    """A method of the spider, the types of its keywords, those it needs, and whether it takes any other."""

    call: Callable[..., Any]
    kinds: dict[str, Any]
    needed: frozenset[str]
    free: bool


class Yielded:
    """What a callback has given so far."""

    __slots__ = ("_folder", "_size", "items", "links", "rejected", "stop")

    def __init__(self, folder: Path) -> None:
        self.stop = ""  # why the crawl shall end
        self.links: list[Request | Follow] = []
        self.items: list[bytes] | Spool = []
        self.rejected: list[bytes] = []
        self._folder = folder
        self._size = 0

    def take(self, line: bytes) -> None:
        """An item; more than memory should hold go to a file. Raises OutputError."""
        self.items.append(line)
        self._size += len(line)
        if self._size > SPOOL and isinstance(self.items, list):
            lines, self.items = self.items, Spool(self._folder)
            for each in lines:
                self.items.append(each)

    def drop(self) -> None:
        """Its items come to nothing."""
        if isinstance(self.items, Spool):
            self.items.close()
        self.items = []


class Pages:
    """The callbacks of one spider. With `alarm`, a synchronous one that hangs is interrupted (SIGALRM).

    `note` is told the token of the request whose callback is about to run, and 0 when it does not; a page with
    many items keeps them in a file in `folder`.
    """

    def __init__(
        self, spider: Spider, settings: Settings, stats: Stats, *, note: Callable[[int], None], folder: Path,
        alarm: bool = False,
    ) -> None:  # fmt: skip
        self._folder = folder
        self._alarm = Alarm(settings.callback_timeout if alarm else 0.0, note)
        self._stats = stats
        self._spider = spider
        self._settings = settings
        self._callbacks: dict[str, Callback] = {}

    async def read(self, response: Response) -> Outcome:
        """Run the request's callback: done, dropped, to be fetched again, or failed with the spider's frame."""
        got, outcome = Yielded(self._folder), None
        try:
            outcome = await self._read(response, got)
        finally:
            if outcome is None or not outcome.items:
                got.drop()
        return outcome

    async def _read(self, response: Response, got: Yielded) -> Outcome:
        request = response.request
        page = OpenPage(request)
        token = OPEN_PAGE.set(page)
        try:
            callback = self.callback(request.callback)
            kwargs = self._arguments(request, callback.kinds) if request.cb_kwargs else {}
            await self._gather(callback.call, (response,), kwargs, page, got)
        except OutputError:
            raise  # no room for a page's items: nobody's fault but the disk's
        except Skip as skip:
            return dropped(request, Reason.SKIPPED, skip.reason)
        except Retry as again:
            # `at` is seconds from now here; the line knows the clock and the back-off.
            return Outcome(
                request=request, end=End.RETRY, reason=Reason.ASKED, detail=again.reason,
                at=-1.0 if again.after is None else again.after, links=got.links,
            )  # fmt: skip
        except Stop as stop:
            got.stop = stop.reason or ASKED
            return self._done(request, got)
        except FetchError as error:
            return failed(request, error.reason, error.detail, links=got.links, where=frame(error))
        except SelectorError as error:
            return self._broken(request, Reason.CALLBACK_ERROR, error, got)
        except SpiderError as error:
            return self._broken(request, Reason.BAD_YIELD, error, got, place=at(page.running))
        except CallbackHung as error:
            return self._broken(request, Reason.CALLBACK_TIMEOUT, error, got)
        except BaseException as error:  # a spider may raise anything: it costs its page
            if not isolated(error):
                raise
            return self._broken(request, Reason.CALLBACK_ERROR, error, got)
        finally:
            OPEN_PAGE.reset(token)
            self._stats.own_fetches += page.fetches  # with its outcome: a page that is redone is counted once
        return self._done(request, got)

    async def failed(self, request: Request, error: FetchError) -> Yielded:
        """What the spider's `on_error` gives for a request that has failed for good."""
        got = Yielded(self._folder)
        if type(self._spider).on_error is Spider.on_error:
            return got
        page = OpenPage(request)
        token = OPEN_PAGE.set(page)
        try:
            await self._gather(self._spider.on_error, (request, error), {}, page, got)
        except Stop as stop:
            got.stop = stop.reason or ASKED
        except BaseException as broken:
            if not isolated(broken):
                raise
            where, text = frame(broken), described(broken)
            log.warning("on_error of %s raised at %s: %s", urls.printable(request.url), where, text)
            got.drop()
        finally:
            OPEN_PAGE.reset(token)
            self._stats.own_fetches += page.fetches  # with its outcome: a page that is redone is counted once
        return got

    async def prepared(self, request: Request, *, page: Request | None = None) -> Request:
        """The request as the spider's `prepare` wants it sent. Raises FetchError when that breaks.

        `page` is the one whose callback fetches it, where that does not do so in this very task.
        """
        limit = self._settings.callback_timeout
        watched = page is None and OPEN_PAGE.get() is not None  # as part of the callback
        try:
            with nullcontext() if watched else Watch(self._alarm, page or request):
                made = self._spider.prepare(request)
            if inspect.isawaitable(made):
                async with asyncio.timeout(limit or None):
                    made = await (made if watched else self._stepped(made, page or request))
        except BaseException as error:
            if not isolated(error):
                raise
            text = f"prepare() at {frame(error)}: {described(error)}"
            raise FetchError(Reason.CALLBACK_ERROR, text) from error
        if not isinstance(made, Request):
            raise FetchError(Reason.CALLBACK_ERROR, f"prepare() returned {type(made).__name__}, not a Request")
        return made

    def _done(self, request: Request, got: Yielded) -> Outcome:
        return Outcome(
            request=request, end=End.DONE, links=got.links, items=got.items, rejected=got.rejected, stop=got.stop
        )

    def _broken(
        self, request: Request, reason: Reason, error: BaseException, got: Yielded, place: str = ""
    ) -> Outcome:
        trace = writable("".join(traceback.format_tb(error.__traceback__)[-12:]))
        trace += described(error)
        return failed(request, reason, described(error), links=got.links, where=frame(error) or place, trace=trace)

    async def _gather(
        self, call: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any], page: OpenPage, got: Yielded
    ) -> None:
        request, limit = page.request, self._settings.callback_timeout
        with Watch(self._alarm, request):
            result = page.running = call(*given, **named)
            if type(result) is GeneratorType:
                for value in result:
                    self._take(value, request, got)
                return
        if not inspect.isawaitable(result) and not isinstance(result, AsyncGeneratorType):
            self._take(result, request, got)
            return
        try:
            async with asyncio.timeout(limit or None) as page.deadline:
                if isinstance(result, AsyncGeneratorType):
                    await self._stream(result, request, got)
                else:
                    self._take(await self._stepped(result, request), request, got)
        except TimeoutError as error:
            if page.deadline is not None and page.deadline.expired():
                raise CallbackHung(f"longer than {limit:g} s") from error
            raise
        finally:
            page.deadline = None  # a fetch that the callback left behind in a task of its own has none to stop

    async def _stream(self, values: AsyncGeneratorType[Any, Any], request: Request, got: Yielded) -> None:
        try:
            while True:
                self._take(await self._stepped(anext(values), request), request, got)
        except StopAsyncIteration:
            return
        except (SpiderError, OutputError):  # it waits at its `yield`: it closes what it has opened, in this task
            await self._stepped(values.aclose(), request)
            raise

    def _take(self, value: Any, request: Request, got: Yielded, level: int = 0) -> None:
        if value is None:
            return
        if isinstance(value, Follow):
            self.check(value.template)
            got.links.append(value)
        elif isinstance(value, Request):
            self.check(value)
            got.links.append(value)
        elif is_item(value):
            try:
                got.take(encode(value))
            except ItemError as error:
                got.rejected.append(rejected(value, error, request.url))
        elif isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray) and level < 8:
            for part in value:
                self._take(part, request, got, level + 1)
        else:
            kind = "a plain string" if isinstance(value, str) else f"a {type(value).__name__}"
            raise SpiderError(
                f"callback {request.callback!r} yielded {kind}, {str(value)[:60]!r}: "
                "it must be a Request, an item, or an iterable of them"
            )

    # -- callbacks by name --------------------------------------------------------------------------

    def callback(self, name: str) -> Callback:
        """A callback of the spider by its name. Raises SpiderError."""
        found = self._callbacks.get(name)
        if found is None:
            found = self._callbacks[name] = self._find(name)
        return found

    def _find(self, name: str) -> Callback:
        method = getattr(self._spider, name, None)
        if not callable(method) or name.startswith("__"):
            known = [n for n in dir(self._spider) if not n.startswith("_") and callable(getattr(self._spider, n))]
            raise SpiderError(f"spider {self._spider.name!r} has no callback {name!r}{near(name, known)}")
        try:
            hints = get_type_hints(method)
        except NameError:  # a name imported for type checkers only: no conversion then
            hints = {}
        parameters = list(inspect.signature(method).parameters.values())
        named = [p for p in parameters[1:] if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        return Callback(
            method,
            {p.name: hints.get(p.name, Any) for p in named},
            frozenset(p.name for p in named if p.default is p.empty),
            any(p.kind is p.VAR_KEYWORD for p in parameters),
        )

    def check(self, request: Request) -> None:
        """Refuse a request whose callback or keywords do not fit this spider. Raises SpiderError."""
        callback, given = self.callback(request.callback), request.cb_kwargs
        if not given and not callback.needed:
            return
        for name in given:
            if name not in callback.kinds and not callback.free:
                hint = near(name, callback.kinds)
                raise SpiderError(f"callback {request.callback!r} takes no argument {name!r}{hint}")
        missing = callback.needed - given.keys()
        if missing:
            raise SpiderError(f"callback {request.callback!r} needs the argument {min(missing)!r} in cb_kwargs")
        self._arguments(request, callback.kinds)

    def _arguments(self, request: Request, kinds: dict[str, Any]) -> dict[str, Any]:
        made = {}
        for name, value in request.cb_kwargs.items():
            kind = kinds.get(name, Any)
            try:
                plain = msgspec.to_builtins(value)
                made[name] = plain if kind is Any else msgspec.convert(plain, kind, strict=False)
                PLAIN(plain)
            except (msgspec.ValidationError, TypeError, OverflowError, UnicodeEncodeError) as error:
                raise SpiderError(f"cb_kwargs[{name!r}] of callback {request.callback!r}: {error}") from error
        return made

    # -- callbacks that hang ------------------------------------------------------------------------

    @coroutine
    def _stepped(self, work: Any, request: Request) -> Any:
        """Await something of the spider's, with a watch on each piece of it that does not await."""
        watch = Watch(self._alarm, request)
        steps = work if hasattr(work, "send") else work.__await__()
        step, value = steps.send, None
        while True:
            try:
                with watch:
                    waited = step(value)
            except StopIteration as end:
                return end.value
            try:
                step, value = steps.send, (yield waited)
            except BaseException as error:  # noqa: BLE001  thrown in from outside: it is the spider's to handle
                step, value = steps.throw, error

    def close(self) -> None:
        """No callback runs any more."""
        self._alarm.close()
