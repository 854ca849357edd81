"""The guard before the parse: pages built to cost far more than their size.

lexbor parses most things in linear time, but measured on one core: 16,000 nested `<div>` take 0.3 s and four
times that for twice as many (each looks up the stack for an open `p`); 1,000 times `<p><b n>` take 0.13 s and
160 MB, four times that for twice as many (each `p` opens all the unclosed `b` again); 10,000 different
attributes of one element take 0.15 s, quadratic too; 4,000 pieces of 500 bytes of text between comments in a
table take 0.7 s and 1.3 GB (each is copied in front of the table together with all before it: see fostered.py).
100,000 `<option>` took 19 s until its mutation events were switched off (see reader.py).

`suspicious` counts: below its limits nothing can cost more than 3 s in a thread, or 0.1 s on the loop (`large`
sends to a thread what could). Only what it names is read tag by tag, by a tokenizer in one linear regex and a
model of the parser's stack that closes nothing a parser would keep open. Formatting elements are counted
everywhere, as a few hundred bytes of them do harm. What takes many bytes to do harm is looked for at random
places, which nobody can prepare for, and which lie so close that some fall into the smallest such run. No regex
looks at more than SLICE bytes in one go: it holds the interpreter's lock, and so the loop, until it returns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import random

from .elements import RAW
from .fostered import fosters
from .nesting import ATTRIBUTE, COMMENT, MAX_ATTRIBUTES, NODES, Nesting

LARGE = 256 * 1024  # bytes; about 3 ms of parsing
MANY = 8_000  # tags; nested as deep as they go they cost 70 ms
FEW = 1_250  # tags; however they are mixed they open fewer than NODES again
SHORT = 5_000  # bytes, 6 for each formatting element and 3 for what opens them again: fewer than NODES
DEEP = 32_000  # tags; nested they cost 1.2 s
GAP = 16 * 1024  # bytes without '>' hold about 4,000 attributes: 25 ms
SLICE = 256 * 1024  # bytes; a millisecond of the fastest regex here, five of the slowest
EVERY = 8 * 1024  # bytes, of which one place is looked at for what takes many
NEAR = 4 * 1024  # the same for what opens formatting elements again
UNSEEN = 3_000  # tags that may lie between two such places
CUT = 2  # elements that are cut in two at the ends of a piece

# Closed with nothing but text inside; strict about quotes, so that none is seen where there is none.
_ATTRIBUTES = rb"(?:[^<>\"'=]++|=(?:\"[^\"<>]*+\"|'[^'<>]*+'|[^\"'<>= \t\n\f\r]++))*+"
_TEXT_ONLY = rb"(?:[\t\n\f\r /]" + _ATTRIBUTES + rb")?+>[^<]*</\1>"
# A formatting element with attributes (of those without, a parser keeps three) that holds more than text; most tags
# fail at their second byte.
_FORMAT = re.compile(
    rb"<(?=[bcefistuBCEFISTU][mtioMTIO\t\n\f\r /])"
    rb"([a-zA-Z](?:|[mMtT]|[iI][gG]|[oO][dDnN][eEtT]|[mMtT][aArR][a-zA-Z]{2,3}))"
    rb"[\t\n\f\r /](?!" + _ATTRIBUTES + rb">[^<]*</\1>)"
)
_INLINE_LEAF = re.compile(rb"<(a|b|code|em|i|small|span|strong|sub|sup|td|th)" + _TEXT_ONLY)
_LEAF = re.compile(
    rb"<([a-zA-Z][a-zA-Z0-9]*+)" + _TEXT_ONLY + rb"|<(?:br|hr|img|input|link|meta|wbr)"
    rb"(?:[\t\n\f\r /]" + _ATTRIBUTES + rb")?+>"
)  # fmt: skip
_HIDDEN = re.compile(rb"=[\t\n\f\r ]*+(?:\"[^\">]*+>|'[^'>]*+>)")  # a '>' that ends no tag
_RAW_TEXT = b"|".join(name + rb"(?=[\t\n\f\r />])[^>]*+(?:[^<]++|<(?!/" + name + rb"))*+" for name in sorted(RAW))
# Tags that have few attributes, raw text and comments passed over.
_FEW = re.compile(
    rb"(?:[^<]++|<(?:(?i:" + _RAW_TEXT + rb")"
    rb"|/?[a-zA-Z][^\t\n\f\r />]*+(?:[\t\n\f\r /]*+"
    + ATTRIBUTE
    + rb"){0,%d}+[\t\n\f\r /]*+(?:>|\Z)" % MAX_ATTRIBUTES
    + rb"|"
    + COMMENT
    + rb"|[!?/](?!--)[^>]*+|(?![a-zA-Z!?/]))){1,4096}+"
)


def large(html: bytes) -> bool:
    """Whether a page should be parsed in a thread: its parse could take 0.1 s. O(length)."""
    size = len(html)
    if size <= 3 * MANY or size > LARGE:
        return size > LARGE
    return 2 * _tags(html) > MANY and html.count(b"<") > MANY


def suspicious(html: bytes) -> bool:
    """Whether a page could cost more than the limits above. O(length), a tenth of the parse."""
    size = len(html)
    if size <= SHORT:
        return False
    if size <= 2 * GAP:
        return html.count(b"<") > FEW and _opens_again(html)
    if _hides_attributes(html) or fosters(html) or _opens_again(html):
        return True
    return size > 3 * DEEP and 4 * _tags(html) > 3 * DEEP and _can_nest(html)


def check(html: bytes) -> None:
    """Refuse a page that would cost too much. Raises FetchError(HTML_BOMB). O(length)."""
    if suspicious(html):
        Nesting(html).run()


def _places(size: int, every: int, length: int) -> Iterator[int]:
    """A random place in each run of `every` bytes where `length` bytes can be looked at."""
    room = every - length
    return (start + int(room * random()) for start in range(0, size, every))


def _slices(html: bytes) -> Iterator[tuple[int, int]]:
    """The page in slices that begin at a '<', or far from any."""
    start, size = 0, len(html)
    while start < size:
        stop = html.find(b"<", start + SLICE, start + 2 * SLICE)
        stop = stop if stop > 0 else min(start + 2 * SLICE, size)
        yield start, stop
        start = stop


def _tags(html: bytes) -> int:
    """About how many tags a page has."""
    return EVERY // 512 * sum(html.count(b"<", at, at + 512) for at in _places(len(html), EVERY, 512))


def _exactly(html: bytes) -> int:
    return sum(html.count(b"<", at, at + SLICE) for at in range(0, len(html), SLICE))


# -- what is opened again and again ---------------------------------------------------------------------


def _opens_again(html: bytes) -> bool:
    """Whether unclosed formatting elements may be opened again too often."""
    size = len(html)
    most = NODES if size <= LARGE else 2 * NODES
    formats = sum(len(_FORMAT.findall(html, start, stop)) for start, stop in _slices(html))
    if formats * size <= 3 * most:  # three bytes are the shortest tag
        return False
    tags = _exactly(html)
    if tags <= FEW or formats * tags <= most:
        return False
    again = _opening(html, tags)
    return formats * again > most and _unclosed(html, most // again) * again > most


def _opening(html: bytes, tags: int) -> int:
    """At most how many start tags are none of inline elements with only text, which close nothing."""
    count = 0
    for at in _places(len(html), NEAR, 512):
        part = _INLINE_LEAF.sub(b"", html[at : at + 512])
        count += part.count(b"<") - part.count(b"</")
    return min(tags, count * (NEAR // 512) * 5 // 4 + UNSEEN)


def _unclosed(html: bytes, enough: int) -> int:
    """At most how many formatting elements are open at once, counted as closely as `enough` needs."""
    count = 0
    for start, stop in _slices(html):
        part = html[start:stop]
        for _ in range(4):  # a closed one may hold others that are closed
            open_ = len(_FORMAT.findall(part))
            if not open_:
                break
            part = _LEAF.sub(b"", part)
        count += open_
        if count > enough:
            break
    return count


# -- what nests deeply ----------------------------------------------------------------------------------


def _can_nest(html: bytes) -> bool:
    """Whether too many tags may nest: seen in short pieces, and then in longer ones, which cut less apart."""
    return _nests(html, 2 * 1024) and _nests(html, 2 * EVERY)


def _nests(html: bytes, length: int) -> bool:
    """Whether too many tags look up a stack on which too many can be open at once, a quarter more than are seen.

    Inline elements with only text look nothing up; elements that are closed with nothing open inside do not
    add to the depth, nor do end tags.
    """
    parts = [html[at : at + length] for at in _places(len(html), 4 * EVERY, length)]
    before = sum(part.count(b"<") for part in parts)
    most = 4 * before * DEEP // (5 * _exactly(html)) if before else 0
    parts = [_INLINE_LEAF.sub(b"", part) for part in parts]
    looking = sum(max(0, part.count(b"<") - CUT) for part in parts)
    for _ in range(8):  # levels of elements inside each other
        if looking * _opened(parts) <= most * most:
            return False
        parts = [_LEAF.sub(b"", part) for part in parts]
    return looking * _opened(parts) > most * most


def _opened(parts: list[bytes]) -> int:
    """The start tags of all parts, but for those of elements that may have been cut in two."""
    return sum(max(0, part.count(b"<") - part.count(b"</") - CUT) for part in parts)


# -- what hides in one tag ------------------------------------------------------------------------------


def _hides_attributes(html: bytes) -> bool:
    """Whether one tag may have very many attributes: no '>' for long, or only such as stand in quotes."""
    size = len(html)
    if any(html.find(b">", place, place + GAP) < 0 for place in range(0, size - GAP, GAP)):
        return True
    for at in _places(size, EVERY if size <= LARGE else 2 * EVERY, 128):
        stop = html.find(b">", at + 127, at + GAP) + 1
        if _HIDDEN.search(html, at, stop or at + GAP) is not None:
            return not _few_attributes(html)
    return False


def _few_attributes(html: bytes) -> bool:
    place, size = 0, len(html)
    while place < size:
        tokens = _FEW.match(html, place)
        if tokens is None or tokens.end() == place:
            return False
        place = tokens.end()
    return True
