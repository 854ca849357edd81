"""What users write: a class with a name, a way to begin, and callbacks."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, ClassVar, Protocol, dataclass_transform, get_type_hints

import msgspec

from .errors import FetchError, SpiderError, UsageError
from .request import Request
from .response import Response
from .settings import near

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
REQUIRED: Any = object()


class Arg(msgspec.Struct, frozen=True):
    """An argument of a spider: its default and what `--help` says of it."""

    default: Any = REQUIRED
    help: str = ""
    choices: tuple[Any, ...] = ()
    secret: bool = False


def arg(default: Any = REQUIRED, *, help: str = "", choices: Iterable[Any] = (), secret: bool = False) -> Any:
    """Declare an argument: `shelf: str = arg("poetry", help="shelf to read")`; without a default it is required.

    The value of a `secret` one is kept out of run.json and everything shown.
    """
    return Arg(default, help, tuple(choices), secret)


class Line(Protocol):
    """The crawl as its spider may use it."""

    async def fetch(self, request: Request) -> Response:
        """Fetch through the gate, in the caller's task."""


@dataclass_transform(kw_only_default=True, field_specifiers=(arg,))
class Spider:
    """Subclass this, give it a `name`, and `start_urls` or `start()`; `parse` gets every response.

    An annotated public attribute is an argument: typed, checked, shown by `--help`; without a default it
    is required. `settings` holds what this spider changes of the defaults.
    """

    name: ClassVar[str] = ""
    start_urls: ClassVar[Iterable[str]] = ()
    allowed_domains: ClassVar[Iterable[str]] = ()
    settings: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        taken = OWNED.intersection(cls.__dict__) | OWNED.intersection(inspect.get_annotations(cls))
        if taken:
            raise SpiderError(f"{cls.__name__}.{min(taken)} overrides a name of the framework")

    def __init__(self, **given: Any) -> None:
        declared = arguments(type(self))
        for name in given:
            if name not in declared:
                raise UsageError(f"spider {self.name!r} has no argument {name!r}{near(name, declared)}")
        for name, (kind, argument) in declared.items():
            if name in given:
                setattr(self, name, _convert(self.name, name, kind, argument, given[name]))
            elif argument.default is REQUIRED:
                raise UsageError(f"spider {self.name!r} needs the argument {name!r} (-a {name}=...)")
            else:
                setattr(self, name, argument.default)
        self._line: Line | None = None
        self._logger: logging.Logger | logging.LoggerAdapter[Any] = logging.getLogger(f"scraper.spider.{self.name}")

    @property
    def logger(self) -> logging.Logger | logging.LoggerAdapter[Any]:
        """A logger that carries the run and the page at hand."""
        return self._logger

    async def fetch(self, request: Request | str, **fields: Any) -> Response:
        """Fetch from within a callback, through the same gate and robots rules; ignores scope and seen.

        Raises FetchError (StatusError for a status that is not accepted) when the tries are used up.
        """
        if self._line is None:
            raise SpiderError("self.fetch() works while a crawl runs")
        if isinstance(request, str):
            request = Request(request, **fields)
        return await self._line.fetch(request)

    async def start(self) -> AsyncIterator[Request | str]:
        """Yield what to begin with: URLs or Requests. By default `start_urls`."""
        for url in self.start_urls:
            yield url

    async def opened(self) -> None:
        """Called in every process before the first request."""

    async def login(self) -> None:
        """Called after `opened`, at every start: `self.fetch` what a session needs."""

    async def closed(self, reason: str) -> None:
        """Called after the last page, with why the crawl ended."""

    def prepare(self, request: Request) -> Any:
        """Called before each try of each request; returns the request to send (signing, tokens). May be async."""
        return request

    def parse(self, response: Response) -> Any:
        """The callback of every request that names no other."""
        raise SpiderError(f"spider {self.name!r} has no parse(): write one, or give every request a callback")

    def on_error(self, request: Request, error: FetchError) -> Any:
        """Called once when a request has failed for good; may yield items and requests like a callback."""
        return None


OWNED = frozenset({"fetch", "logger", "_line", "_logger"})
FRAMEWORK = frozenset(dir(Spider))


def arguments(spider: type[Spider]) -> dict[str, tuple[Any, Arg]]:
    """The declared arguments of a spider class: name -> (type, default and help). Raises UsageError."""
    found: dict[str, tuple[Any, Arg]] = {}
    try:
        hints = get_type_hints(spider, include_extras=True)
    except NameError as error:
        raise UsageError(f"spider {spider.name!r}: an annotation is not known: {error}") from error
    for kind in reversed(spider.__mro__):
        if not issubclass(kind, Spider) or kind is Spider:
            continue
        for name in inspect.get_annotations(kind):
            if name.startswith("_") or str(hints[name]).startswith("typing.ClassVar") or name in FRAMEWORK:
                continue
            default = kind.__dict__.get(name, REQUIRED)
            found[name] = (hints[name], default if isinstance(default, Arg) else Arg(default))
    return found


def _convert(spider: str, name: str, kind: Any, argument: Arg, value: Any) -> Any:
    given = value
    if isinstance(value, str) and getattr(kind, "__origin__", kind) in (list, tuple, set, dict, frozenset):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        value = msgspec.convert(value, kind, strict=not isinstance(given, str))
    except (msgspec.ValidationError, TypeError) as error:
        raise UsageError(f"spider {spider!r}: argument {name}={given!r}: {error}") from error
    if argument.choices and value not in argument.choices:
        listed = ", ".join(map(str, argument.choices))
        raise UsageError(f"spider {spider!r}: argument {name}={given!r} is none of {listed}")
    return value


def check(spider: type[Spider]) -> None:
    """Refuse a spider class that cannot be run. Raises UsageError."""
    if not isinstance(spider.name, str) or not NAME.fullmatch(spider.name):
        raise UsageError(
            f"{spider.__name__}.name is {spider.name!r}; it must be letters, digits, '_', '-' or '.', "
            "64 at most, as it names a folder"
        )
    if isinstance(spider.start_urls, str):
        raise UsageError(f"spider {spider.name!r}: start_urls must be a list, not a string")
    arguments(spider)
