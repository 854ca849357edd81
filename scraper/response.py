"""What a server answered, and how a spider reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar, overload

import msgspec

from . import url as urls
from .errors import SpiderError
from .reasons import Reason
from .request import Callback, Request, altered
from .request import raw as raw_request

T = TypeVar("T")


class Headers(Mapping[str, str]):
    """Header fields, looked up without regard to case; of a repeated field `[]` gives the first value."""

    __slots__ = ("_first", "raw")

    def __init__(self, raw: Iterable[tuple[str, str]] = ()) -> None:
        self.raw = tuple(raw)
        self._first: dict[str, str] | None = None

    def _map(self) -> dict[str, str]:
        if self._first is None:
            self._first = {name.lower(): value for name, value in reversed(self.raw)}
        return self._first

    def __getitem__(self, name: str) -> str:
        return self._map()[name.lower()]

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: T) -> str | T: ...
    def get(self, name: str, /, default: Any = None) -> Any:
        """The first value of a field, `default` where there is none."""
        return self._map().get(name.lower(), default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._map())

    def __len__(self) -> int:
        return len(self._map())

    def getall(self, name: str) -> list[str]:
        """Every value of a field, in the order they were sent."""
        name = name.lower()
        return [value for key, value in self.raw if key.lower() == name]


class Link(msgspec.Struct, frozen=True):
    """A URL found on a page: absolute and canonical, where it stood and what it said."""

    url: str
    text: str = ""
    rel: str = ""
    tag: str = ""
    attribute: str = ""
    nofollow: bool = False


class Found(Protocol):
    """What a selector gives back: the whole of design.md's `css(...)` surface."""

    def get(self, default: Any = None) -> Any:
        """The first match as text or HTML."""

    def getall(self) -> list[str]:
        """Every match as text or HTML."""

    def one(self, kind: Any = str, *, strip: str | None = None) -> Any:
        """The only match, converted; SelectorError when there is none or several."""


class Reader(Protocol):
    """The parse room as a response sees it: how its body becomes text, a document and links."""

    def encoding(self, response: Response) -> str:
        """The WHATWG name of the body's encoding."""

    def text(self, response: Response) -> str:
        """The body as text. Raises FetchError(NOT_TEXT) for a binary body."""

    def css(self, response: Response, query: str) -> Any:
        """Elements of the page. Raises SelectorError."""

    def xpath(self, response: Response, query: str) -> Any:
        """Elements of the page, by XPath."""

    def base(self, response: Response) -> str:
        """The URL that relative ones are joined to: `<base href>`, else the response's own."""

    def hrefs(self, response: Response, query: str) -> list[str]:
        """The URL attributes, unresolved, of the elements that a CSS query or XPath names."""

    def links(self, response: Response) -> list[Link]:
        """Every URL of the page."""


class Response:
    """One answer of a server, whole and decoded from its content codings.

    `url` is where it came from (after redirects the last), `body` bytes, `elapsed` seconds.
    """

    __slots__ = (
        "_cache", "body", "elapsed", "flags", "headers", "reader", "request", "status", "url", "wire_bytes",
    )  # fmt: skip

    def __init__(
        self,
        url: str,
        *,
        status: int = 200,
        headers: Headers | Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        request: Request | None = None,
        elapsed: float = 0.0,
        wire_bytes: int = 0,
        flags: tuple[str, ...] = (),
        reader: Reader | None = None,
    ) -> None:
        self.url = url
        self.status = status
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        self.body = body
        self.request = request if request is not None else raw_request(url=url)
        self.elapsed = elapsed
        self.wire_bytes = wire_bytes
        self.flags = flags
        self.reader = reader
        self._cache: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<Response {self.status} {urls.printable(self.url)}>"

    @property
    def _read(self) -> Reader:
        if self.reader is None:
            raise SpiderError("this response was made without a reader; use scraper.testing.response()")
        return self.reader

    def cached(self, name: str, make: Callable[[], Any]) -> Any:
        """`make()`, once for this response."""
        if name not in self._cache:
            self._cache[name] = make()
        return self._cache[name]

    @property
    def encoding(self) -> str:
        """The name of the body's character encoding."""
        cache = self._cache
        if "encoding" not in cache:
            cache["encoding"] = self._read.encoding(self)
        return str(cache["encoding"])

    @property
    def text(self) -> str:
        """The body as text; undecodable bytes become U+FFFD. Raises FetchError for a binary body."""
        return str(self.cached("text", lambda: self._read.text(self)))

    @property
    def base_url(self) -> str:
        """What relative URLs of the page are joined to."""
        cache = self._cache
        if "base" not in cache:
            cache["base"] = self._read.base(self)
        return str(cache["base"])

    def json(self, type: Any = Any) -> Any:
        """The body as JSON, checked against `type` when one is given. Raises SpiderError."""
        try:
            return msgspec.json.decode(self.body.removeprefix(b"\xef\xbb\xbf"), type=type)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise SpiderError(f"{urls.printable(self.url)} is no such JSON: {error}") from error

    def css(self, query: str) -> Any:
        """The elements that a CSS selector names; `::text` and `::attr(name)` allowed."""
        return self._read.css(self, query)

    def xpath(self, query: str) -> Any:
        """The elements that an XPath expression names (extra `extract`)."""
        return self._read.xpath(self, query)

    def links(self) -> list[Link]:
        """Every URL the page carries, in order, each once."""
        found: list[Link] = self.cached("links", lambda: self._read.links(self))
        return found

    def join(self, href: str) -> str:
        """The canonical absolute form of a URL on this page. Raises BadURL."""
        return urls.canonical(href, urls.parse(self.base_url))

    def follow(self, href: Any, callback: Callback | str | None = None, **fields: Any) -> Request:
        """A request for one link: a string, a Link, or an element with `href` or `src`. Raises BadURL."""
        if isinstance(href, Link):
            href = href.url
        elif not isinstance(href, str):
            attributes: Mapping[str, Any] = getattr(href, "attrib", {})
            href = attributes.get("href") or attributes.get("src")
            if not href:
                raise SpiderError("follow() needs a URL, a Link or an element with href or src")
        return Request(self.join(href), callback=callback, **fields)

    def follow_all(
        self,
        links: Iterable[Any] | None = None,
        callback: Callback | str | None = None,
        *,
        css: str | None = None,
        xpath: str | None = None,
        **fields: Any,
    ) -> Follow:
        """Requests for many links: of `css`, of `xpath`, of `links`, or of every `a[href]` of the page.

        What it returns is an iterable of Requests. Yielded as it is, it costs nothing for a link that is
        known already. A link that is no URL is left out and counted.
        """
        if sum(part is not None for part in (links, css, xpath)) > 1:
            raise SpiderError("follow_all() takes one of css, xpath and links")
        if isinstance(links, str):
            raise SpiderError(f"follow_all({links!r}) takes a list of links; write css={links!r} for a selector")
        refused = 0
        if links is not None:
            hrefs = given = list(links)
            if not {*map(type, given)} <= _STRINGS:  # one pass without a step of Python for each
                hrefs = [self._href(link) for link in given if not _refused(link)]
                refused = len(given) - len(hrefs)
        elif xpath is not None:
            hrefs = [self._href(element) for element in self._read.xpath(self, xpath)]
        else:
            hrefs = self._read.hrefs(self, css if css is not None else "a[href]")
        plain = callback is None and not fields
        template = _PLAIN if plain else Request(_PLAIN.url, callback=callback, **fields)
        # An empty one would lead back to the page; css= leaves it out too.
        return Follow(hrefs if all(hrefs) else [*filter(None, hrefs)], self.base_url, template, refused)

    @staticmethod
    def _href(link: Any) -> str:
        if isinstance(link, str):
            return link
        if isinstance(link, Link):
            return link.url
        attributes: Mapping[str, Any] | None = getattr(link, "attrib", None)
        if attributes is None:
            raise SpiderError(f"follow_all() takes URLs, Links and elements, not {link!r}")
        return str(attributes.get("href") or attributes.get("src") or "")


_STRINGS = frozenset((str,))


def _refused(link: Any) -> bool:
    return type(link) is Link and link.nofollow


_PLAIN = Request("http://template.invalid/")


class Follow:
    """Many links with one callback: an iterable of Requests that are made only when asked for.

    `hrefs` as they stood on the page, `base` what they are relative to, `template` every other field,
    `refused` how many more asked not to be followed.
    """

    __slots__ = ("base", "hrefs", "refused", "template")

    def __init__(self, hrefs: list[str], base: str, template: Request, refused: int = 0) -> None:
        self.refused = refused
        self.hrefs = hrefs
        self.base = base
        self.template = template

    def __iter__(self) -> Iterator[Request]:
        base = urls.parse(self.base)
        seen: set[str] = set()
        for href in self.hrefs:
            try:
                url = urls.canonical(href, base)
            except urls.BadURL:
                continue
            if url not in seen:
                seen.add(url)
                yield altered(self.template, url=url)

    def __len__(self) -> int:
        return len(self.hrefs)

    def with_(self, **changes: Any) -> Follow:
        """The same links with other fields."""
        return Follow(self.hrefs, self.base, self.template.replace(**changes), self.refused)


DROPPED_LINK = frozenset({Reason.BAD_URL, Reason.BAD_SCHEME, Reason.URL_TOO_LONG})
