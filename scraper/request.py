"""What is asked of a server."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import msgspec

from . import url as urls
from .convert import near, wants
from .errors import SpiderError

Callback = Callable[..., Any]
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110 9.2.1
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Status = Annotated[int, msgspec.Meta(ge=0, le=999)]
PLAIN: dict[str, Any] = {
    "priority": Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31)], "session": str, "key": str, "again": bool,
    "after": Seconds, "timeout": Seconds | None, "max_body": Annotated[int, msgspec.Meta(ge=1)] | None,
    "retries": Annotated[int, msgspec.Meta(ge=0)] | None, "browser": bool,
}  # fmt: skip
TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class _Checked(msgspec.StructMeta):
    """Makes `Request(url, ...)` check and convert what a spider gives; stored data is decoded past it."""

    def __call__(cls, url: str, **fields: Any) -> Any:
        return super().__call__(**_checked(url, **fields))


class Request(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False, metaclass=_Checked):
    """One request, as data: what a spider asks for, and what the crawl knows of it.

    `Request(url, ...)` takes an absolute URL and makes it canonical; `json`, `form` and `body` exclude each
    other; `callback` is a method of the spider or its name; the fields under "set by the crawl" are the
    engine's. Times are seconds, sizes bytes. Raises BadURL, and SpiderError for a wrong argument.
    """

    if TYPE_CHECKING:

        def __init__(
            self,
            url: str,
            *,
            method: str | None = None,
            headers: Mapping[str, str] | None = None,
            json: Any = None,
            form: Mapping[str, str] | None = None,
            body: bytes | str | None = None,
            callback: Callback | str | None = None,
            cb_kwargs: Mapping[str, Any] | None = None,
            priority: int = 0,
            session: str = "",
            key: str = "",
            again: bool = False,
            after: float = 0.0,
            timeout: float | None = None,
            max_body: int | None = None,
            retries: int | None = None,
            accept_status: Iterable[int] | int = (),
            browser: bool = False,
        ) -> None: ...

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    callback: str = "parse"
    cb_kwargs: dict[str, Any] = {}
    priority: int = 0
    session: str = ""
    key: str = ""
    again: bool = False
    after: float = 0.0
    timeout: float | None = None
    max_body: int | None = None
    retries: int | None = None
    accept_status: tuple[int, ...] = ()
    browser: bool = False
    # Set by the crawl.
    depth: int = 0
    tries: int = 0
    due: float = 0.0  # wall-clock seconds before which it is not sent
    parent: int = 0  # token of the page it was found on
    scope: str = ""  # registrable domain it may not leave, "*" for any
    referer: str = ""
    hops: tuple[str, ...] = ()  # the URLs that redirected here, first to last
    seed: bool = False
    counted: bool = False  # holds a place under max_pages
    token: int = 0  # the store's name for it, in the order of acceptance; a retry keeps it
    kills: int = 0  # processes that died while they worked on it
    started: bool = False  # unsafe, and its sending was begun by a process that died

    @property
    def host(self) -> str:
        """The key of politeness: host, and port where it is not the default one."""
        return urls.netloc(self.url)

    @property
    def fingerprint(self) -> int:
        """64 bits that say whether two requests are the same."""
        if self.key:
            return urls.digest(b"key:" + self.key.encode())
        return urls.fingerprint(self.url, self.method, self.body, self.session)

    @property
    def safe(self) -> bool:
        """Whether it may be sent twice without harm (RFC 9110 9.2.1)."""
        return self.method in SAFE_METHODS

    def replace(self, **changes: Any) -> Request:
        """The same request with some fields changed, checked as those of a new one. Raises BadURL, SpiderError."""
        if not OURS.issuperset(changes):
            changes = {name: _changed(name, value) for name, value in changes.items()}
        return msgspec.structs.replace(self, **changes)


def raw(**fields: Any) -> Request:
    """A request from fields that are already checked: the engine's own way, a third of the cost."""
    made: Request = msgspec.StructMeta.__call__(Request, **fields)
    return made


# A request with fields changed that are known to be right: the engine's own way, a third of the cost of `replace`.
altered = msgspec.structs.replace


def _checked(
    url: str,
    *,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    form: Mapping[str, str] | None = None,
    body: bytes | str | None = None,
    callback: Callback | str | None = None,
    cb_kwargs: Mapping[str, Any] | None = None,
    accept_status: Iterable[int] | int = (),
    **rest: Any,
) -> dict[str, Any]:
    plain = {name: _plain(name, value) for name, value in rest.items()}
    content, content_type = _content(json, form, body)
    fields = _table("headers", headers)
    if content_type and not any(name.lower() == "content-type" for name in fields):
        fields["Content-Type"] = content_type
    return plain | {
        "url": _url(url),
        "method": _method(method or ("GET" if content is None else "POST")),
        "headers": _headers(fields.items()),
        "body": content,
        "callback": callback_name(callback),
        "cb_kwargs": _table("cb_kwargs", cb_kwargs),
        "accept_status": _statuses(accept_status),
    }


def _changed(name: str, value: Any) -> Any:
    """One field of `replace`, by the rules of a new request."""
    if name in OURS:
        return value
    if name == "body":
        return _content(None, None, value)[0]
    return CHECKS[name](value) if name in CHECKS else _plain(name, value)


def _url(url: Any) -> str:
    if not isinstance(url, str):
        raise SpiderError(f"the URL of a Request must be text, not {url!r}")
    return urls.canonical(url)


def _method(method: Any) -> str:
    # Interned, GET is the default itself, which is not stored.
    verb = sys.intern(str(method).upper())
    if not verb or not TOKEN.issuperset(verb):
        raise SpiderError(f"method {method!r} is not an HTTP method")
    return verb


def _headers(given: Any) -> tuple[tuple[str, str], ...]:
    """From a dict or from pairs, of which a name may be in several."""
    try:
        pairs = tuple((name, value) for name, value in (given.items() if isinstance(given, Mapping) else given))
    except (TypeError, ValueError) as error:
        raise SpiderError(f"headers of a Request must be a dict or pairs, not {given!r}") from error
    for name, value in pairs:
        check_header(name, value)
    return pairs


def _plain(name: str, value: Any) -> Any:
    if name not in PLAIN:
        raise SpiderError(f"Request has no argument {name!r}{near(name, ARGUMENTS)}")
    if name == "browser" and value:
        raise SpiderError("Request(browser=True) needs a browser transport, which this version does not have")
    if type(value) is int and value.bit_length() > 63:
        raise SpiderError(f"{name} of a Request must fit into 64 bits, not {value}")
    if type(value) is str and not _writable(value):
        raise SpiderError(f"{name} of a Request must be text that UTF-8 can hold, not {value!r}")
    try:
        return msgspec.convert(value, PLAIN[name])
    except msgspec.ValidationError as error:
        raise SpiderError(f"{name} of a Request must be {wants(PLAIN[name])}, not {value!r}") from error


def _table(name: str, given: Any) -> dict[str, Any]:
    try:
        table = dict(given or {})
    except (TypeError, ValueError) as error:
        raise SpiderError(f"{name} of a Request must be a dict, not {given!r}") from error
    if not all(isinstance(key, str) for key in table):
        raise SpiderError(f"{name} of a Request must have text as keys")
    return table


def _statuses(given: Any) -> tuple[int, ...]:
    """A status, or several."""
    try:
        return msgspec.convert((given,) if type(given) is int else tuple(given), tuple[Status, ...])
    except (TypeError, msgspec.ValidationError) as error:
        raise SpiderError(f"accept_status must be statuses such as [404], not {given!r}") from error


def check_header(name: str, value: str) -> None:
    """Refuse a header that could end its line (RFC 9110 5.5). Raises SpiderError."""
    if not name or not TOKEN.issuperset(name):
        raise SpiderError(f"header name {name!r} is not a token")
    if not isinstance(value, str) or any(c in value for c in "\r\n\0") or not _writable(value):
        raise SpiderError(f"header {name}: value {value!r} must be one line of text")


def _writable(text: str) -> bool:
    """Whether UTF-8 can hold it: no half of a surrogate pair."""
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


def callback_name(callback: Callback | str | None) -> str:
    """The name a callback is stored under; it must be a method of the spider. Raises SpiderError."""
    if callback is None:
        return "parse"
    if isinstance(callback, str):
        return callback
    name = getattr(callback, "__name__", "")
    inside = str(getattr(callback, "__qualname__", "")).rpartition(".")[0]
    if not name or name == "<lambda>" or inside.endswith("<locals>"):
        raise SpiderError(f"callback {callback!r} must be a method of the spider, so that a crawl can be resumed")
    return str(name)


def _content(json: Any, form: Any, body: Any) -> tuple[bytes | None, str]:
    if sum(part is not None for part in (json, form, body)) > 1:
        raise SpiderError("give one of json, form and body")
    try:
        if json is not None:
            return msgspec.json.encode(json), "application/json"
        if form is not None:
            return urlencode(form, doseq=True).encode(), "application/x-www-form-urlencoded"
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise SpiderError(f"{'json' if form is None else 'form'} cannot be encoded: {error}") from error
    if isinstance(body, str):
        return body.encode(), ""
    if body is not None and not isinstance(body, bytes):
        raise SpiderError(f"body must be bytes or text, not {body!r}; there are json= and form= too")
    return body, ""


CHECKS: dict[str, Callable[[Any], Any]] = {
    "url": _url,
    "method": _method,
    "headers": _headers,
    "callback": callback_name,
    "cb_kwargs": lambda given: _table("cb_kwargs", given),
    "accept_status": _statuses,
}
OURS = frozenset(
    {
        "depth", "tries", "due", "parent", "scope", "referer", "hops", "seed", "counted", "token", "kills",
        "started",
    }
)  # fmt: skip
ARGUMENTS = frozenset(
    {"method", "headers", "json", "form", "body", "callback", "cb_kwargs", "accept_status"} | PLAIN.keys()
)
