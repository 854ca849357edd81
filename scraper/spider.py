"""What users write: a class with a name, a way to begin, and callbacks."""

from __future__ import annotations

import copy
import inspect
import logging
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, dataclass_transform, get_type_hints

import msgspec

from .convert import Unfit, among, fit, near
from .errors import FetchError, Mistakes, SpiderError, UsageError
from .request import Request
from .response import Response
from .url import BadURL, canonical

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
REQUIRED: Any = object()
OWNED = frozenset({"fetch", "logger", "_line", "_logger"})
HOOKS = frozenset({"start", "opened", "login", "closed", "prepare", "parse", "on_error"})  # methods to write
DATA = frozenset({"name", "start_urls", "allowed_domains", "settings"})
FRAMEWORK = OWNED | HOOKS | DATA


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


# `arg` is no field specifier: type checkers would see its default only when it is given by name (PEP 681).
@dataclass_transform(kw_only_default=True)
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
        for name in {*cls.__dict__, *inspect.get_annotations(cls)} & FRAMEWORK:
            value = cls.__dict__.get(name)
            if name in OWNED or isinstance(value, Arg) or (name in HOOKS and not callable(value)):
                raise SpiderError(f"{cls.__name__}.{name} overrides a name of the framework; choose another name")

    def __init__(self, **given: Any) -> None:
        declared = arguments(type(self))
        wrong = [
            UsageError(f"spider {self.name!r} has no argument {name!r}{among(name, declared)}")
            for name in given
            if name not in declared
        ]
        for name, (kind, argument) in declared.items():
            try:
                if name in given:
                    setattr(self, name, _convert(self.name, name, kind, argument, given[name]))
                elif argument.default is REQUIRED:
                    raise UsageError(f"spider {self.name!r} needs the argument {name!r} (-a {name}=...)")
                else:  # a list of its own for each spider
                    setattr(self, name, copy.deepcopy(argument.default))
            except UsageError as error:
                wrong.append(error)
        if wrong:
            raise Mistakes(wrong)
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


def arguments(spider: type[Spider]) -> dict[str, tuple[Any, Arg]]:
    """The declared arguments of a spider class: name -> (type, default and help). Raises UsageError."""
    found: dict[str, tuple[Any, Arg]] = {}
    try:
        hints = get_type_hints(spider, include_extras=True)
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise UsageError(f"spider {spider.name!r}: an annotation is not known: {error}") from error
    for kind in reversed(spider.__mro__):
        if not issubclass(kind, Spider) or kind is Spider:
            continue
        for name in inspect.get_annotations(kind):
            if name.startswith("_") or str(hints[name]).startswith("typing.ClassVar") or name in FRAMEWORK:
                continue
            found[name] = hints[name], Arg()
        for name, value in kind.__dict__.items():
            if name in found:  # a subclass may change just the default
                arg = found[name][1]
                changed = value if isinstance(value, Arg) else msgspec.structs.replace(arg, default=value)
                found[name] = found[name][0], changed
    return found


def attributes(spider: Spider) -> tuple[dict[str, Any], bool]:
    """The attributes of a spider that are plain data, and whether all are, its arguments aside."""
    found: dict[str, Any] = {}
    for name in vars(spider).keys() - OWNED:
        value = getattr(spider, name)
        try:
            made = msgspec.msgpack.decode(msgspec.msgpack.encode(value))
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
            continue
        if type(made) is type(value) and made == value:
            found[name] = made
    return found, vars(spider).keys() - OWNED - arguments(type(spider)).keys() <= found.keys()


def _convert(spider: str, name: str, kind: Any, argument: Arg, value: Any) -> Any:
    what = f"spider {spider!r}: argument '{name}"
    try:
        made = fit(value, kind)
    except Unfit as error:
        text = str(error).partition(", not ")[0] if argument.secret else str(error)
        raise UsageError(f"{what}{error.path}' {text}") from error
    for each in made if isinstance(made, list | tuple | set | frozenset) else (made,):
        if argument.choices and each not in argument.choices:
            shown = "" if argument.secret else f", not {each!r}{near(str(each), map(str, argument.choices))}"
            raise UsageError(f"{what}' must be one of {', '.join(map(str, argument.choices))}{shown}")
    return made


def check(spider: type[Spider]) -> None:
    """Refuse what is no spider class, or one that cannot be run. Raises UsageError."""
    if not (isinstance(spider, type) and issubclass(spider, Spider)):
        raise UsageError(f"{spider!r} is no subclass of Spider")
    if not isinstance(spider.name, str) or not NAME.fullmatch(spider.name):
        raise UsageError(
            f"{spider.__name__}.name is {spider.name!r}; it must be letters, digits, '_', '-' or '.', "
            "64 at most, as it names a folder"
        )
    for name in ("start_urls", "allowed_domains"):
        value = getattr(spider, name)
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            raise UsageError(f"spider {spider.name!r}: {name} must be a list of text, not {value!r}")
    if not isinstance(spider.settings, Mapping):
        raise UsageError(f"spider {spider.name!r}: settings must be a dict, not {spider.settings!r}")
    arguments(spider)


def check_begun(spider: Spider) -> None:
    """Refuse a spider whose own `__init__` has not called ours. Raises UsageError with its class and file."""
    if "_line" in vars(spider):
        return
    own = next(kind for kind in type(spider).__mro__ if "__init__" in vars(kind))
    code = getattr(own.__init__, "__code__", None)  # type: ignore[misc]  # of just this class
    where = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
    raise UsageError(
        f"spider {spider.name!r}: {own.__name__}.__init__{where} does not call super().__init__(): begin it with "
        "super().__init__(**given), or declare arguments as attributes and set up the rest in opened()"
    )


def check_start(spider: Spider) -> None:
    """Refuse a spider that was not begun, or has nothing to begin with. Raises UsageError."""
    check_begun(spider)
    urls = spider.start_urls
    for text in urls if isinstance(urls, Sequence) else ():
        if not isinstance(text, str):
            raise UsageError(f"spider {spider.name!r}: start_urls has {text!r}: it must be a URL")
        try:
            canonical(text)
        except BadURL as error:
            raise UsageError(f"spider {spider.name!r}: start_urls has {text!r}: {error.reason.value}") from error
    if not urls and type(spider).start is Spider.start:
        raise UsageError(f"spider {spider.name!r} has neither start_urls nor start(): nothing to begin with")
