"""What a Response reads itself with: text, document, selectors and links, each made when asked for."""

from __future__ import annotations

from typing import Any

from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser

from ..errors import FetchError
from ..reasons import Reason
from ..response import Link, Response
from . import bombs, encoding, links, selector

_OPTIONS = LexborDocumentOptions.WO_EVENTS.value  # with events every <option> walks all those before it


def large(response: Response) -> bool:
    """Whether a page is worth a thread: call `prepare` there before anybody asks for its document."""
    if not bombs.large(response.body):
        return False
    kind = _content_type(response).lower()
    return not kind or "html" in kind or "xml" in kind


def prepare(response: Response) -> None:
    """Guard and parse a page, for a thread: the parse releases the GIL. What it refuses, `document` raises."""
    response.cached("document", lambda: _parsed(response))


def document(response: Response) -> LexborHTMLParser:
    """The page as selectolax's parser, parsed once. Raises FetchError: NOT_TEXT, HTML_BOMB."""
    parser: LexborHTMLParser | FetchError = response.cached("document", lambda: _parsed(response))
    if isinstance(parser, FetchError):
        raise parser
    return parser


def _parsed(response: Response) -> LexborHTMLParser | FetchError:
    """The page, or why it is none: kept, so that a page that takes long to refuse is looked at once."""
    try:
        html = _html(response)
        bombs.check(html)
    except FetchError as error:
        return error
    return LexborHTMLParser(html, options=_OPTIONS)


def _html(response: Response) -> bytes:
    """The body in UTF-8, which is the body itself where it is UTF-8 already."""
    _refuse_binary(response)
    html: bytes = response.cached("html", lambda: encoding.utf8(response.body, response.encoding))
    return html


def _content_type(response: Response) -> str:
    return response.headers.get("content-type", "")


def _binary(response: Response) -> bool:
    found: bool = response.cached("binary", lambda: encoding.is_binary(response.body, _content_type(response)))
    return found


def _refuse_binary(response: Response) -> None:
    if _binary(response):
        raise FetchError(Reason.NOT_TEXT, _content_type(response) or "no Content-Type")


class Reader:
    """The parse room for responses: `nofollow` marks links that ask for it, `max_links` caps those of a page.

    `agent` is the product name that robots meta tags and X-Robots-Tag may address by name.
    """

    def __init__(self, *, nofollow: bool = True, max_links: int = links.MAX_LINKS, agent: str = "") -> None:
        self.nofollow = nofollow
        self.max_links = max_links
        self.agent = agent

    def encoding(self, response: Response) -> str:
        """The WHATWG name of the body's encoding."""
        return encoding.encoding(response.body, _content_type(response))

    def text(self, response: Response) -> str:
        """The body as text. Raises FetchError(NOT_TEXT) for a binary body."""
        _refuse_binary(response)
        return encoding.decode(response.body, response.encoding)

    def css(self, response: Response, query: str) -> selector.Selection[Any]:
        """Elements, or strings with `::text` and `::attr(name)`. Raises SelectorError, FetchError."""
        return selector.select(document(response), query, response.url)

    def xpath(self, response: Response, query: str) -> selector.Selection[Any]:
        """Not in the core: raises SelectorError."""
        raise selector.no_xpath(query)

    def base(self, response: Response) -> str:
        """What relative URLs are joined to: `<base href>`, else the response's own URL.

        A body that is no text, or has no `<base`, is not parsed for it.
        """
        if _binary(response):
            return response.url
        if b"<base" not in _html(response).lower():  # 16 us on a page whose tree takes 25 us to walk
            return response.url
        return links.base(document(response), response.url)

    def hrefs(self, response: Response, query: str) -> list[str]:
        """The URLs, unresolved, of the elements a CSS query names. Raises SelectorError, FetchError."""
        return links.hrefs(document(response), query)

    def links(self, response: Response) -> list[Link]:
        """Every http(s) URL of the headers and the page."""
        return links.links(
            document(response),
            response.base_url,
            response.headers,
            nofollow=self.nofollow,
            url=response.url,
            limit=self.max_links,
            agent=self.agent,
        )
