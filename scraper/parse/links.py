"""The URLs of a page: those a selector names, and every one that the page or its headers carry."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from selectolax.lexbor import LexborHTMLParser, LexborNode
from url import URL

from .. import url as urls
from ..errors import SelectorError
from ..response import Headers, Link
from .selector import find, select

MAX_LINKS = 20_000  # of one page
MAX_TEXT = 500  # characters of a link's text that are kept
_SPACE = "\t\n\f\r "  # ASCII whitespace, as HTML has it
_DIGITS = frozenset("0123456789")
_UNFOLLOWED = frozenset({"nofollow", "ugc", "sponsored"})

URL_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "a": ("href", "xlink:href"),
    "area": ("href",),
    "link": ("href", "imagesrcset"),
    "form": ("action",),
    "button": ("formaction",),
    "input": ("formaction", "src"),
    "iframe": ("src",),
    "frame": ("src",),
    "embed": ("src",),
    "script": ("src", "href", "xlink:href"),
    "img": ("src", "srcset"),
    "image": ("href", "xlink:href"),
    "use": ("href", "xlink:href"),
    "source": ("src", "srcset"),
    "track": ("src",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "object": ("data",),
    "blockquote": ("cite",),
    "q": ("cite",),
    "ins": ("cite",),
    "del": ("cite",),
    "body": ("background",),
    "meta": ("content",),
}
_SETS = frozenset({"srcset", "imagesrcset"})


def hrefs(parser: LexborHTMLParser, query: str = "a[href]", limit: int | None = None) -> list[str]:
    """The `href`, else `src`, as it stands, of each element a CSS query names; elements without are left out.

    A query may end in `::attr(name)`. Raises SelectorError, also when the query names only elements that
    can carry no URL (`h3` where `h3 a` was meant).
    """
    # Per link on pages of 69 links (measured): css + attrs.sget 531 ns, attrs[] 609, attributes[] 724,
    # tags("a") + attrs.get 654, a LexborCSSSelector of one's own 610; finding the nodes alone 382.
    if query == "a[href]":
        nodes = parser.css(query)
        return [href for node in islice(nodes, limit) if (href := node.attrs.sget("href"))]
    if "::" in query:
        return [text for text in select(parser, query).getall()[:limit] if text]
    nodes = find(parser, query)
    found = [href for node in islice(nodes, limit) if (href := node.attrs.sget("href") or node.attrs.sget("src"))]
    if nodes and not found and not any(node.tag in URL_ATTRIBUTES for node in islice(nodes, limit)):
        raise SelectorError(f"selector {query!r} names <{nodes[0].tag}>, which has no URL: add ' a'?")
    return found


def base(parser: LexborHTMLParser, url: str) -> str:
    """What relative URLs are joined to: the first `<base href>` that is http or https, else `url` itself."""
    own = urls.parse(url)
    for node in parser.css("base[href]"):
        try:
            return urls.canonical(node.attrs.sget("href") or "", own)
        except urls.BadURL:
            continue
    return url


def links(
    parser: LexborHTMLParser,
    base: str,
    headers: Headers,
    *,
    nofollow: bool = True,
    url: str | None = None,
    limit: int = MAX_LINKS,
    agent: str = "",
) -> list[Link]:
    """Every http(s) URL of the headers, then of the page in document order, canonical, each once.

    URLs of headers are relative to `url`, where it differs from `base`. With `nofollow`, a link that the
    page, its headers (for everybody or for `agent`) or its `rel` ask not to follow says so; a URL that
    also stands there without such a mark is followed. O(elements), the whole page in one walk.
    """
    everywhere = nofollow and (unfollowed(headers, agent) or _page_unfollowed(parser, agent))
    found: dict[str, Link] = {}
    _collect(found, _of_headers(headers), urls.parse(url or base), nofollow, everywhere, limit)
    if parser.root is not None:
        walk = (raw for node in parser.root.traverse() for raw in _of_element(node))
        _collect(found, walk, urls.parse(base), nofollow, everywhere, limit)
    return list(found.values())


Raw = tuple[str, str, str, str, LexborNode | None]  # URL, rel, tag, attribute, where its text is


def _collect(
    found: dict[str, Link], raws: Iterator[Raw], base: URL, nofollow: bool, everywhere: bool, limit: int
) -> None:
    for href, rel, tag, attribute, node in raws:
        try:
            url = urls.canonical(href, base)
        except urls.BadURL:
            continue
        marked = everywhere or (nofollow and bool(rel) and not _UNFOLLOWED.isdisjoint(rel.lower().split()))
        before = found.get(url)
        if before is not None and (marked or not before.nofollow):
            continue
        if before is None and len(found) >= limit:
            return
        text = " ".join(node.text().split())[:MAX_TEXT] if node is not None else ""
        found[url] = Link(url, text, rel, tag, attribute, marked)


def _of_element(node: LexborNode) -> Iterator[Raw]:
    tag = node.tag or ""
    names = URL_ATTRIBUTES.get(tag)
    if names is None:
        return
    attributes = node.attributes
    if tag == "meta":
        if (attributes.get("http-equiv") or "").strip(_SPACE).lower() == "refresh":
            target = refresh(attributes.get("content") or "")
            if target and target[1]:
                yield target[1], "", tag, "content", None
        return
    for name in names:
        value = attributes.get(name)
        if not value or not (value := value.strip(_SPACE)):
            continue
        if name in _SETS:
            for each in srcset(value):
                yield each, "", tag, name, None
        else:
            yield value, attributes.get("rel") or "", tag, name, node if tag in ("a", "area") else None


def _of_headers(headers: Headers) -> Iterator[Raw]:
    for value in headers.getall("link"):
        for target, rel in link_header(value):
            yield target, rel, "", "link", None
    for value in headers.getall("refresh"):
        target_ = refresh(value)
        if target_ and target_[1]:
            yield target_[1], "", "", "refresh", None


def srcset(value: str) -> Iterator[str]:
    """The URLs of a `srcset` (HTML Standard, 'parse a srcset attribute'). O(length)."""
    place, end = 0, len(value)
    while place < end:
        while place < end and (value[place] in _SPACE or value[place] == ","):
            place += 1
        start = place
        while place < end and value[place] not in _SPACE:
            place += 1
        found = value[start:place]
        if found.endswith(","):
            found = found.rstrip(",")
        else:
            depth = 0
            while place < end and (depth or value[place] != ","):  # descriptors, up to a comma outside ()
                depth += (value[place] == "(") - (value[place] == ")" and depth > 0)
                place += 1
        if found:
            yield found


def link_header(value: str) -> Iterator[tuple[str, str]]:
    """Targets and rel of a Link header (RFC 8288 3, appendix B.2); what is malformed ends it. O(length)."""
    place, end = 0, len(value)
    while place < end:
        start = value.find("<", place)
        if start < 0 or value[place:start].strip(" \t,"):
            return
        stop = value.find(">", start)
        if stop < 0:
            return
        rel, place = _parameters(value, stop + 1)
        yield value[start + 1 : stop].strip(), rel


def _parameters(value: str, place: int) -> tuple[str, int]:
    """The first `rel` of the parameters from `place` on, and where the next link begins."""
    rel: str | None = None
    part: list[str] = []
    quoted = escaped = False
    for at in range(place, len(value) + 1):
        char = value[at] if at < len(value) else ","
        if at < len(value) and escaped:
            escaped = False
        elif quoted and at < len(value):
            if char == "\\":
                escaped = True
                continue
            if char == '"':
                quoted = False
                continue
        elif char == '"':
            quoted = True
            continue
        elif char in ",;":
            name, _, text = "".join(part).partition("=")
            if rel is None and name.strip().lower() == "rel":
                rel = text.strip()
            part.clear()
            if char == ",":
                return rel or "", at + 1
            continue
        part.append(char)
    return rel or "", len(value)


def refresh(content: str) -> tuple[int, str] | None:
    """Seconds and URL ("" for none) of a refresh. O(length).

    HTML Standard, 'shared declarative refresh steps'.
    """
    text = content.lstrip(_SPACE)
    digits = 0
    while digits < len(text) and text[digits] in _DIGITS:
        digits += 1
    if not digits and not text.startswith("."):
        return None
    seconds = int(text[: min(digits, 9)] or "0")  # nobody waits longer; int() of a long string is not linear
    rest = text[digits:].lstrip("0123456789.")
    if rest and rest[0] not in ";," and rest[0] not in _SPACE:
        return None
    rest = rest.lstrip(_SPACE)
    if rest[:1] in (";", ","):
        rest = rest[1:].lstrip(_SPACE)
    if rest[:3].lower() == "url":
        after = rest[3:].lstrip(_SPACE)
        if after.startswith("="):
            rest = after[1:].lstrip(_SPACE)
        else:
            return seconds, _tidy(rest)
    if rest[:1] in ("'", '"'):
        end = rest.find(rest[0], 1)
        rest = rest[1:end] if end > 0 else rest[1:]
    return seconds, _tidy(rest)


def _tidy(url: str) -> str:
    """What a URL parser takes away first: spaces at both ends, tabs and line ends everywhere."""
    return url.strip(_SPACE).replace("\t", "").replace("\n", "").replace("\r", "")


_DIRECTIVES = frozenset(  # what may stand before a colon without being the name of a crawler
    ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
)


def unfollowed(headers: Headers, agent: str = "") -> bool:
    """Whether X-Robots-Tag asks everybody, or `agent` by name, not to follow the page's links."""
    for value in headers.getall("x-robots-tag"):
        applies = True
        for part in value.lower().split(","):
            name, colon, rest = part.partition(":")
            if colon and name.strip() not in _DIRECTIVES:
                applies = bool(agent) and name.strip() == agent.lower()
                part = rest
            if applies and part.strip() in ("nofollow", "none"):
                return True
    return False


def _page_unfollowed(parser: LexborHTMLParser, agent: str) -> bool:
    for node in parser.css("meta[name]"):
        attributes = node.attributes
        if (attributes["name"] or "").strip(_SPACE).lower() in ("robots", agent.lower() or "robots"):
            words = (attributes.get("content") or "").lower().replace(",", " ").split()
            if "nofollow" in words or "none" in words:
                return True
    return False
