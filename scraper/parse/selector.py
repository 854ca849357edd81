"""CSS selectors with `::text` and `::attr(name)`, on top of lexbor.

The words are parsel's: `response.css("h1::text").get()` gives the first direct text node of an `h1`,
`"p ::text"` every text below a `p`, `"a::attr(href)"` the attribute where there is one. Parts of a group
(`"h1::text, a::attr(href)"`) come in document order of their elements. Unlike in parsel, the texts of one
element stay together when matched elements lie inside each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from re import Pattern
from typing import Any, Generic, NamedTuple, TypeVar, cast, overload

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from ..errors import SelectorError
from ..url import printable

T = TypeVar("T")
D = TypeVar("D")
M = TypeVar("M", covariant=True)
Root = LexborHTMLParser | LexborNode

_PSEUDO = re.compile(r"::(?:(text)|attr\(\s*([^\s()]+)\s*\))\s*\Z")
_TEXT = "text"
MEMO = 2048
_valid: set[str] = set()  # selectors that lexbor has taken: those can wait until they are asked for


class Part(NamedTuple):
    """One part of a selector group: `below` means every descendant as well (`p ::text`)."""

    css: str
    kind: str  # "" the element, "text" its text nodes, "attr" an attribute
    name: str = ""
    below: bool = False


@lru_cache(maxsize=2048)
def split(query: str) -> tuple[Part, ...]:
    """A selector as its parts, in one pass; parts without `::` stay one part. Raises SelectorError."""
    if "::" not in query:
        return (Part(query, ""),)
    return tuple(_part(text) for text in _groups(query))


def _part(text: str) -> Part:
    found = _PSEUDO.search(text)
    if found is None:
        return Part(text.strip(), "")
    head = text[: found.start()].lstrip()
    bare = head.removesuffix("*")
    below = not bare or bare[-1].isspace()
    css = bare.rstrip() if below else head
    if css and css[-1] in ">+~":  # "ul > *::text": the star stands for one level, not for all below
        css, below = f"{css} *", False
    return Part(css or "*", _TEXT if found[1] else "attr", found[2] or "", below)


def _groups(query: str) -> Iterator[str]:
    """Cut at the commas that stand outside quotes, brackets and parentheses."""
    start = depth = 0
    quote = ""
    escaped = False
    for place, char in enumerate(query):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
        elif char == "," and depth == 0:
            yield query[start:place]
            start = place + 1
    yield query[start:]


def find(root: Root, css: str) -> list[LexborNode]:
    """Elements in document order, each once, for a selector without `::`. Raises SelectorError."""
    try:
        nodes = root.css(css)
    except (SelectolaxError, UnicodeEncodeError) as error:
        raise SelectorError(f"selector {css!r} is not valid CSS") from error
    if "," not in css:
        return nodes
    return list({node.mem_id: node for node in nodes}.values())  # lexbor tells once for every part


def select(root: Root, query: str, url: str = "") -> Selection[Any]:
    """What a selector names below (and including) `root`; `url` is the page, for errors."""
    parts = split(query)
    if len(parts) == 1:
        if (part := parts[0]).css not in _valid or part.below:
            found = _matches(root, part)
            _valid.add(part.css) if len(_valid) < MEMO else _valid.clear()
            return Selection(found, query, url)
        return Selection(None, query, url, root, part)
    nodes = find(root, ", ".join(part.css for part in parts))
    order = {node.mem_id: place for place, node in enumerate(nodes)}
    ordered = [
        (order[node.mem_id], value)
        for part in parts
        for node in _owners(root, part)
        for value in _values(node, part)
    ]
    ordered.sort(key=lambda pair: pair[0])
    return Selection([value for _, value in ordered], query, url)


def _matches(root: Root, part: Part) -> Sequence[LexborNode | str]:
    nodes = _owners(root, part)
    if not part.kind:
        return nodes
    if part.kind != _TEXT and not part.below:  # one call for a link: the way of nearly every page
        name, none = part.name, None
        return [value for node in nodes if (value := node.attrs.sget(name, none)) is not none]
    return [value for node in nodes for value in _values(node, part)]


def _first(root: Root, part: Part) -> LexborNode | str | None:
    """The first match without looking for the others: 2 us instead of 50 for a title at the top of a page."""
    node = root.css_first(part.css)
    if node is None:
        return None
    if part.kind == _TEXT and not part.below:
        child = node.first_child
        while child is not None and not child.is_text_node:
            child = child.next
        values: list[Any] = [child.text_content] if child is not None else []
    else:
        values = _values(node, part)
    return values[0] if values else next(iter(_matches(root, part)), None)


def _owners(root: Root, part: Part) -> list[LexborNode]:
    if not part.below:
        return find(root, part.css)
    if part.css != "*":
        return _outermost(find(root, part.css))
    top = root.root if isinstance(root, LexborHTMLParser) else root  # "::text" alone: all from one place
    return [top] if top is not None else []


def _outermost(nodes: list[LexborNode]) -> list[LexborNode]:
    """Leave out what lies inside another match. O(matches x depth)."""
    ids = {node.mem_id for node in nodes}
    kept = []
    for node in nodes:
        above = node.parent
        while above is not None and above.mem_id not in ids:
            above = above.parent
        if above is None:
            kept.append(node)
    return kept


def _values(node: LexborNode, part: Part) -> list[Any]:
    if not part.kind:
        return [node]
    if part.kind == _TEXT:
        nodes = node.traverse(include_text=True) if part.below else node.iter(include_text=True)
        return [each.text_content for each in nodes if each.is_text_node]
    owners: Iterable[LexborNode] = node.traverse() if part.below else (node,)
    sets = (owner.attributes for owner in owners if owner.is_element_node)
    return [attributes[part.name] or "" for attributes in sets if part.name in attributes]


class Element:
    """One element of a page."""

    __slots__ = ("_url", "node")

    def __init__(self, node: LexborNode, url: str = "") -> None:
        self.node = node
        self._url = url

    def __repr__(self) -> str:
        return f"<Element {self.html[:60]!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Element) and self.node.mem_id == other.node.mem_id

    def __hash__(self) -> int:
        return hash(self.node.mem_id)

    @property
    def tag(self) -> str:
        """The tag name, in lower case."""
        return self.node.tag or ""

    @property
    def attrib(self) -> dict[str, str]:
        """The attributes; one without a value is ""."""
        return {name: value or "" for name, value in self.node.attributes.items()}

    @property
    def text(self) -> str:
        """All text inside, as it stands."""
        return self.node.text()

    @property
    def html(self) -> str:
        """The element with its tags."""
        return self.node.html or ""

    def get(self) -> str:
        """The same as `html`, as parsel has it."""
        return self.html

    def css(self, query: str) -> Selection[Any]:
        """What a selector names from this element down. Raises SelectorError."""
        return select(self.node, query, self._url)

    def xpath(self, query: str) -> Selection[Any]:
        """Not in the core: raises SelectorError."""
        raise no_xpath(query)


class Selection(Sequence[M], Generic[M]):
    """What a selector found: a sequence of Elements, or of strings with `::text` and `::attr(name)`.

    Looked for when it is asked for: `get()` alone stops at the first match.
    """

    __slots__ = ("_known", "_part", "_query", "_root", "_url")

    def __init__(
        self,
        found: Sequence[LexborNode | str] | None,
        query: str,
        url: str = "",
        root: Root | None = None,
        part: Part | None = None,
    ) -> None:
        self._known = found
        self._query = query
        self._url = url
        self._root = root
        self._part = part

    @property
    def _found(self) -> Sequence[LexborNode | str]:
        if self._known is None:
            if self._root is None or self._part is None:
                return ()
            self._known = _matches(self._root, self._part)
        return self._known

    def __repr__(self) -> str:
        return f"<Selection {self._query!r}: {len(self._found)} found>"

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[M]:
        return (self._shown(match) for match in self._found)

    @overload
    def __getitem__(self, index: int) -> M: ...
    @overload
    def __getitem__(self, index: slice) -> Selection[M]: ...
    def __getitem__(self, index: int | slice) -> M | Selection[M]:
        if isinstance(index, slice):
            return Selection(self._found[index], self._query, self._url)
        return self._shown(self._found[index])

    def _shown(self, match: LexborNode | str) -> M:
        return cast("M", match if isinstance(match, str) else Element(match, self._url))

    @overload
    def get(self) -> str | None: ...
    @overload
    def get(self, default: D) -> str | D: ...
    def get(self, default: Any = None) -> Any:
        """The first match: its HTML, or the string; `default` when there is none."""
        if self._known is None and self._root is not None and self._part is not None:
            first = _first(self._root, self._part)
            return default if first is None else _string(first)
        return _string(self._found[0]) if self._found else default

    def getall(self) -> list[str]:
        """Every match: its HTML, or the string."""
        if self._part is not None and self._part.kind:
            return cast("list[str]", [*self._found])
        return [_string(match) for match in self._found]

    @property
    def attrib(self) -> dict[str, str]:
        """The attributes of the first match, {} when there is none."""
        first = self._found[0] if self._found else ""
        return {} if isinstance(first, str) else Element(first).attrib

    @overload
    def one(self, *, strip: str | None = None) -> str: ...
    @overload
    def one(self, kind: type[Element], *, strip: str | None = None) -> Element: ...
    @overload
    def one(self, kind: Callable[[str], T], *, strip: str | None = None) -> T: ...
    def one(self, kind: Any = str, *, strip: str | None = None) -> Any:
        """The only match, trimmed and turned into `kind`; `one(Element)` gives the element itself.

        `strip` goes from both ends before: as a whole (`"EUR"`), else any of its characters. Of several
        strings the blank ones do not count. Raises SelectorError for none, several, or no such value.
        """
        found = self._found
        if len(found) > 1 and isinstance(found[0], str):
            found = [match for match in found if not isinstance(match, str) or match.strip()] or found
        if len(found) != 1:
            raise self._error(f"found {len(found)} where one() wants 1")
        if kind is Element:
            if isinstance(found[0], str):
                raise self._error("gives strings, not elements")
            return Element(found[0], self._url)
        text = _trimmed(_string(found[0]), strip)
        try:
            return text if kind is str else kind(text)
        except (ValueError, TypeError, ArithmeticError) as error:
            hint = "" if isinstance(found[0], str) else "; it gives HTML, add ::text for the text"
            name = getattr(kind, "__name__", repr(kind))
            raise self._error(f"cannot make {name} of {text[:100]!r}{hint}") from error

    def re(self, pattern: str | Pattern[str]) -> list[str]:
        """Every match of a regular expression in every string or HTML; of groups, each group.

        A pattern that backtracks without end blocks the crawl: keep it linear. Raises SelectorError.
        """
        compiled = self._compiled(pattern)
        return [text for match in self._found for text in _groups_of(compiled, _string(match))]

    @overload
    def re_first(self, pattern: str | Pattern[str]) -> str | None: ...
    @overload
    def re_first(self, pattern: str | Pattern[str], default: D) -> str | D: ...
    def re_first(self, pattern: str | Pattern[str], default: Any = None) -> Any:
        """The first match of a regular expression, else `default`."""
        compiled = self._compiled(pattern)
        for match in self._found:
            for text in _groups_of(compiled, _string(match)):
                return text
        return default

    def css(self, query: str) -> Selection[Any]:
        """The selector applied to each element in turn; what two of them contain is there twice."""
        split(query)
        found: list[LexborNode | str] = []
        for match in self._found:
            if isinstance(match, str):
                raise self._error("gives strings: css() needs elements")
            found += select(match, query, self._url)._found
        return Selection(found, f"{self._query} -> {query}", self._url)

    def xpath(self, query: str) -> Selection[Any]:
        """Not in the core: raises SelectorError."""
        raise no_xpath(query)

    def _compiled(self, pattern: str | Pattern[str]) -> Pattern[str]:
        try:
            return re.compile(pattern)
        except re.error as error:
            raise self._error(f"{pattern!r} is no regular expression: {error}") from error

    def _error(self, what: str) -> SelectorError:
        place = f" on {printable(self._url)}" if self._url else ""
        return SelectorError(f"selector {self._query!r}{place}: {what}")


def no_xpath(query: str) -> SelectorError:
    """The error of every `xpath()` while there is no XPath."""
    return SelectorError(
        f"XPath needs the extra 'extract', which this version does not ship yet: use css() (asked: {query!r})"
    )


def _string(match: LexborNode | str) -> str:
    return match if isinstance(match, str) else match.html or ""


def _trimmed(text: str, strip: str | None) -> str:
    text = text.strip()
    if strip:
        whole = text.removeprefix(strip).removesuffix(strip)
        text = (whole if whole != text else text.strip(strip)).strip()
    return text


def _groups_of(pattern: Pattern[str], text: str) -> Iterator[str]:
    for match in pattern.finditer(text):
        if pattern.groups:
            yield from (group or "" for group in match.groups())
        else:
            yield match[0]
