"""A model of the HTML parser's stack, read tag by tag: how deep a page nests and what it opens again.

One linear regex makes the tokens. The stack closes nothing that a parser would keep open, so that what it
shows is never less (give or take a small factor) than what the parser will do.
"""

from __future__ import annotations

import re

from ..errors import FetchError
from ..reasons import Reason
from .elements import (
    BLOCK,
    BREAKOUT,
    CLOSE_P,
    CLOSES,
    FORMAT,
    IMPLIED,
    INTEGRATION,
    MARKERS,
    RAW,
    SPECIAL,
    TABLE,
    TABLE_PARTS,
    TELLING,
    UNSTACKED,
    Close,
    ends,
)

NODES = 400_000  # 0.1 s and 130 MB
MAX_DEPTH = 512  # where browsers stop to nest as well
MAX_ATTRIBUTES = 512  # of one element
MAX_FOSTERED = 500_000_000  # bytes copied while text moves out of a table: 80 ms and 170 MB
TOKENS = 1_500_000  # tags that are read one by one: 3 s
MOVING = TABLE | {b"~~"}  # where text moves in front of the table, or to the end of a template
STEPS = 64  # looks up the stack for each tag, on the average; pages of people need less than 10

ATTRIBUTE = (
    rb"[^\t\n\f\r />][^\t\n\f\r />=]*+"
    rb"(?:[\t\n\f\r ]*+=[\t\n\f\r ]*+"
    rb"(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|[^\t\n\f\r >\"'][^\t\n\f\r >]*+)?+)?+"
)
COMMENT = rb"!--(?:-?>|(?:[^-]++|-(?!-!?>))*+(?:--!?>|\Z))"
_SPACE = rb"[\t\n\f\r /]{1,4096}+"
_MANY = rb"{0,%d}+" % (3 * MAX_ATTRIBUTES)  # attributes and what is between them: one with more is refused
# A start tag takes the end tag with it when only text stands between: half of the tags of most pages.
_TOKEN = re.compile(
    rb"<(?:([a-zA-Z][^\t\n\f\r />]*+)((?:" + _SPACE + rb"|" + ATTRIBUTE + rb")" + _MANY + rb")(?:>([^<]*+</\1>)?)?"
    rb"|/([a-zA-Z][^\t\n\f\r />]*+)(?:" + _SPACE + rb"|" + ATTRIBUTE + rb")" + _MANY + rb">?"
    rb"|" + COMMENT + rb"|[!?/][^>]*+>?"
    rb"|(?=[^a-zA-Z!?/])(?:[^<]*+<(?=[^a-zA-Z!?/])){0,4096}+)"  # text: no search goes on for long
)
_ATTRIBUTES = re.compile(ATTRIBUTE)
_ENDS = {name: re.compile(rb"</" + name + rb"(?=[\t\n\f\r />])", re.IGNORECASE) for name in RAW}
_SCRIPT = re.compile(rb"<!--|-->|</?script(?=[\t\n\f\r />])", re.IGNORECASE)


class _Format:
    """An active formatting element; `open` while it is on the stack."""

    __slots__ = ("attributes", "name", "open")

    def __init__(self, name: bytes, attributes: bytes) -> None:
        self.name = name
        self.attributes = attributes
        self.open = True


class Nesting:
    """The stack of open elements and the list of active formatting elements (HTML Standard 13.2.4)."""

    def __init__(self, html: bytes) -> None:
        self.html = html
        self.stack: list[bytes] = []  # names; ":name" in SVG and MathML; b"" for one taken from the middle
        self.entries: list[_Format | None] = []  # beside the stack: its formatting elements
        self.formats: list[_Format | None] = []  # None is a marker
        self.open: dict[bytes, int] = {}
        self.steps = 100_000
        self.made = 0
        self.tokens = TOKENS
        self.run_text = 0
        self.fostered = 0
        self.odd = False  # in a template of columns a parser ignores tags, raw text ones too

    def run(self) -> None:
        """Read the whole page."""
        place: int | None = 0
        while place is not None:
            place = self._tokens(place)

    def _tokens(self, place: int) -> int | None:
        """Read tokens from `place` until one says that the text goes on elsewhere, or to the end."""
        last = place
        for token in _TOKEN.finditer(self.html, place):
            if token.start() > last:
                self._text(last, token.start())
            last = token.end()
            self.steps += STEPS
            self.tokens -= 1
            name, attributes, leaf, end = token.groups()
            if name is not None:
                name = name.lower()
                if len(attributes) > 2 * MAX_ATTRIBUTES:
                    _count(attributes)
                    self._whole(last)
                if leaf is not None and name not in TELLING and not self.formats and self._plain(name):
                    continue
                raw = self._start(name, attributes)
                if leaf is not None:
                    self._text(token.start(3), last)
                    self._end(name)
                elif raw:
                    return self._raw_end(name, last)
            elif end is not None:
                self._whole(last)
                self._end(end.lower())
            elif self.html[token.start() + 1] not in b"!?/":
                self._text(token.start(), last)
            elif self._foreign() and self.html.startswith(b"<![CDATA[", token.start()):
                stop = self.html.find(b"]]>", token.start())
                return stop + 3 if stop >= 0 else None
            if len(self.stack) > MAX_DEPTH:
                _refuse(f"elements nested deeper than {MAX_DEPTH}")
            if self.tokens < 0:
                _refuse("too many tags to look at, which may nest")
            if self.steps < 0 or self.made > NODES:
                _refuse("unclosed elements that are opened again and again")
        return None

    def _whole(self, end: int) -> None:
        if self.html[end - 1] != 0x3E and end < len(self.html):
            _refuse(f"a tag with more than {MAX_ATTRIBUTES} attributes")

    def _raw_end(self, name: bytes, place: int) -> int | None:
        """Where the text of a script, style, title ... ends; None when it goes on to the end of the page."""
        if name == b"script":
            state = 0  # 1 in a comment, 2 in a script inside a comment (HTML Standard 13.2.5.15 to 31)
            for token in _SCRIPT.finditer(self.html, place):
                mark = token[0].lower()
                if mark == b"<!--":
                    state = state or 1
                elif mark == b"-->":
                    state = 0
                elif mark == b"<script":
                    state = 2 if state else 0
                elif state == 2:
                    state = 1
                else:
                    return token.start()
            return None
        end = _ENDS[name].search(self.html, place)
        return end.start() if end else None

    def _foreign(self) -> bool:
        return bool(self.stack) and self.stack[-1][:1] == b":" and self.stack[-1] not in INTEGRATION

    def _plain(self, name: bytes) -> bool:
        """Whether an element here neither closes nor changes anything when it comes and goes."""
        return not self._foreign() and not (name in BLOCK and self.open.get(b"p"))

    def _leave_foreign(self) -> None:
        while self._foreign():
            self._pop(len(self.stack) - 1)

    def _text(self, start: int, end: int) -> None:
        if self.formats:
            self._reconstruct()
        if self.stack and self.stack[-1] in MOVING and not self.html[start:end].isspace():
            self.run_text += end - start  # it moves in front of the table, joined to all that is there
            self.fostered += self.run_text
            if self.fostered > MAX_FOSTERED:
                _refuse("text between the cells of a table")

    def _start(self, name: bytes, attributes: bytes) -> bool:
        """Open an element; true when what follows is its raw text."""
        if self._foreign():
            if name not in BREAKOUT and not (name == b"font" and attributes):
                if not _self_closing(attributes):
                    self._push(b":" + name)
                return False
            self._leave_foreign()
        if name in RAW and not self.odd:
            return True
        if name in UNSTACKED:
            if self.formats:
                self._reconstruct()
            if name == b"col":
                self.odd = self.odd or self._table() == b"template"
            elif name == b"input":
                self._close(CLOSES[b"select"])
            return False
        if name in (b"svg", b"math"):
            if not _self_closing(attributes):
                self._push(b":" + name)
            return False
        self._open(name, attributes)
        return False

    def _open(self, name: bytes, attributes: bytes) -> None:
        if name in TABLE_PARTS:
            around = self._table()
            if around != b"table":
                if around:  # depending on what came before a parser takes it or not: never closed by name
                    self._push(b"~" if name in MARKERS else b"~~")
                return
        if name in CLOSES:
            closed = self._close(CLOSES[name], lowest=name in TABLE_PARTS)
            if closed and name == b"select":  # a parser takes it for an end tag
                return
        elif name in IMPLIED and self.stack and self.stack[-1] in IMPLIED[name]:
            self._pop(len(self.stack) - 1)
        if name in BLOCK:
            if self.open.get(b"p"):
                self._close(CLOSE_P)
        elif name in FORMAT:
            if name in (b"a", b"nobr"):
                self._end_format(name)
            self._reconstruct()
            self._format(name, attributes)
            return
        elif self.formats and name not in TABLE:
            self._reconstruct()
        self._push(name)
        if name in MARKERS:
            self.formats.append(None)

    def _push(self, name: bytes, entry: _Format | None = None) -> None:
        self.stack.append(name)
        self.entries.append(entry)
        self.open[name] = self.open.get(name, 0) + 1

    def _pop(self, size: int) -> None:
        """Close what is above the lowest `size` elements."""
        while len(self.stack) > size or (self.stack and not self.stack[-1]):
            name = self.stack.pop()
            entry = self.entries.pop()
            self.open[name] -= 1
            if entry is not None:
                entry.open = False
            if name in MARKERS:
                while self.formats and self.formats.pop() is not None:
                    pass

    def _table(self) -> bytes:
        """The nearest of table and template around, b"" for none."""
        if not self.open.get(b"template"):
            return b"table" if self.open.get(b"table") else b""
        for name in reversed(self.stack):
            self.steps -= 1
            if name in (b"table", b"template"):
                return name
        return b""

    def _close(self, close: Close, lowest: bool = False) -> bool:
        """Close the first, or the `lowest`, of some names that stands above certain others; false for none."""
        names, stops = close
        if not any(self.open.get(name) for name in names):
            return False
        found = -1
        for place in range(len(self.stack) - 1, -1, -1):
            self.steps -= 1
            if self.stack[place] in names:
                found = place
                if not lowest:
                    break
            elif self.stack[place] in stops:
                break
        if found < 0:
            return False
        self._pop(found)
        return True

    def _end(self, name: bytes) -> None:
        if self._foreign() and name in (b"p", b"br"):
            self._leave_foreign()
        elif self._foreign():
            for place in range(len(self.stack) - 1, -1, -1):
                self.steps -= 1
                if self.stack[place][:1] != b":":
                    break
                if self.stack[place] == b":" + name:
                    self._pop(place)
                    return
        if name in FORMAT:
            self._end_format(name)
        elif name == b"form":
            self._end_form()
        else:
            self._close(ends(name))

    def _format(self, name: bytes, attributes: bytes) -> None:
        """Open a formatting element; of those that are alike at most three are opened again later."""
        alike = []
        for at in range(len(self.formats) - 1, -1, -1):
            self.steps -= 1
            other = self.formats[at]
            if other is None:
                break
            if other.name == name and other.attributes == attributes:
                alike.append(at)
        if len(alike) >= 3:
            del self.formats[alike[-1]]
        entry = _Format(name, attributes)
        self._push(name, entry)
        self.formats.append(entry)

    def _end_format(self, name: bytes) -> None:
        """The adoption agency, as far as it goes for depth: blocks inside stay open."""
        for at in range(len(self.formats) - 1, -1, -1):
            self.steps -= 1
            entry = self.formats[at]
            if entry is None:
                break
            if entry.name == name:
                del self.formats[at]
                if entry.open:
                    self._take(entry)
                return
        self._close(ends(name))

    def _take(self, entry: _Format) -> None:
        block = False
        for place in range(len(self.stack) - 1, -1, -1):
            self.steps -= 1
            if self.entries[place] is entry:
                break
            block = block or self.stack[place] in SPECIAL
        if not block:
            self._pop(place)
            return
        self._remove(place)
        self._leave_foreign()

    def _end_form(self) -> None:
        """A form is taken out of the stack alone; what is open inside stays open."""
        if not self.open.get(b"form"):
            return
        for place in range(len(self.stack) - 1, -1, -1):
            self.steps -= 1
            if self.stack[place] == b"form":
                self._remove(place)
                self._pop(len(self.stack))
                return
            if self.stack[place] in ends(b"form")[1]:
                return

    def _remove(self, place: int) -> None:
        self.open[self.stack[place]] -= 1
        self.stack[place], self.entries[place] = b"", None
        self.open[b""] = self.open.get(b"", 0) + 1

    def _reconstruct(self) -> None:
        """Open again the formatting elements that were closed by something else."""
        formats = self.formats
        first = len(formats)
        while first:
            entry = formats[first - 1]
            if entry is None or entry.open:
                break
            first -= 1
        for entry in formats[first:]:
            if entry is not None:
                entry.open = True
                self._push(entry.name, entry)
                self.made += 1


def _self_closing(attributes: bytes) -> bool:
    """Whether the tag ends in `/>`, and the slash is not the end of an unquoted value."""
    if attributes[-1:] != b"/":
        return False
    last = attributes.rsplit(None, 1)[-1]
    return b"=" not in last or last[-2:-1] in (b'"', b"'")


def _count(attributes: bytes) -> None:
    for number, _ in enumerate(_ATTRIBUTES.finditer(attributes)):
        if number >= MAX_ATTRIBUTES:
            _refuse(f"an element with more than {MAX_ATTRIBUTES} attributes")


def _refuse(why: str) -> None:
    raise FetchError(Reason.HTML_BOMB, why)
