"""What a Response reads itself with: text, document, selectors and links, each made when asked for."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser

from ..errors import FetchError
from ..reasons import Reason
from ..response import Link, Response
from . import bombs, encoding, links, selector

_BASE = re.compile(rb"<[bB][aA][sS][eE]")
_OPTIONS = LexborDocumentOptions.WO_EVENTS.value  # with events every <option> walks all those before it


def large(response: Response) -> bool:
    """Whether a page is worth a thread: call `prepare` there before anybody asks for its document."""
    if not bombs.large(response.body):
        return False
    kind = _content_type(response).lower()
    return not kind or "html" in kind or "xml" in kind


def prepare(response: Response) -> None:
    """Guard and parse a page, for a thread: the parse releases the GIL. What it refuses, `document` raises."""
    _document(response)
    with suppress(FetchError):
        _ = response.base_url  # looked for in all of a large body, or all of its tree


def document(response: Response) -> LexborHTMLParser:
    """The page as selectolax's parser, parsed once. Raises FetchError: NOT_TEXT, HTML_BOMB."""
    found = response._cache.get("document") or _document(response)
    if type(found) is LexborHTMLParser:
        return found
    assert isinstance(found, FetchError)
    raise found


def _document(response: Response) -> LexborHTMLParser | FetchError:
    """The page, or why it is none: kept, so that a page that takes long to refuse is looked at once."""
    found: LexborHTMLParser | FetchError
    try:
        _refuse_binary(response)
        html = encoding.utf8(response.body, response.encoding)
        bombs.check(html)
        found = LexborHTMLParser(html, options=_OPTIONS)
    except FetchError as error:
        found = error
    response._cache["document"] = found
    return found


def _content_type(response: Response) -> str:
    return response.headers.get("content-type", "")


def _binary(response: Response) -> bool:
    cache = response._cache
    if "binary" not in cache:
        body = response.body
        cache["binary"] = not encoding.is_markup(body) and encoding.is_binary(body, _content_type(response))
    return bool(cache["binary"])


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
        parsed = response._cache.get("document")
        if type(parsed) is LexborHTMLParser:
            if not parsed.tags("base"):  # a tenth of what a selector or a look at the bytes takes
                return response.url
        elif _BASE.search(encoding.utf8(response.body, response.encoding)) is None:
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
