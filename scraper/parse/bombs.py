"""The guard before the parse: pages built to cost far more than their size.

lexbor parses most things in linear time, but measured on one core: 16,000 nested `<div>` take 0.3 s and four
times that for twice as many (each looks up the stack for an open `p`); 1,000 times `<p><b n>` take 0.13 s and
160 MB, four times that for twice as many (each `p` opens all the unclosed `b` again); 10,000 different
attributes of one element take 0.15 s, quadratic too; so does text between comments in a table. 100,000
`<option>` took 19 s until its mutation events were switched off (see reader.py).

`suspicious` counts: below its limits nothing can cost more than 3 s in a thread, or 0.1 s on the loop (`large`
sends to a thread what could). Only what it names is read tag by tag, by a tokenizer in one linear
regex and a model of the parser's stack that closes nothing a parser would keep open. What the counts cannot
see is '>' quoted inside the attributes of one huge tag: below LARGE that costs at most about a second, above
it every tag of a page with such a '>' is looked at.
"""

from __future__ import annotations

import re
from random import randrange

from .elements import RAW
from .nesting import ATTRIBUTE, COMMENT, MAX_ATTRIBUTES, NODES, Nesting

LARGE = 256 * 1024  # bytes; about 3 ms of parsing
MANY = 8_000  # tags; nested as deep as they go they cost 70 ms
TAGS = 20_000  # tags; nested they cost 0.5 s
FEW = 1_250  # tags; however they are mixed they open fewer than NODES again
DEEP = 32_000  # tags; nested they cost 1.2 s
SAMPLE = 4096  # bytes, of every 8 times as many
GAP = 16 * 1024  # bytes without '>' hold about 4,000 attributes: 25 ms

_FORMAT_NAME = rb"[biusBIUS]|[tTeE][tTmM]|[bB][iI][gG]|[cCfF][oO][dDnN][eEtT]|[sS][mMtT][aArR][a-zA-Z]{2,3}"
_FORMAT_TAG = re.compile(rb"<(?=[bcefistuBCEFISTU])(?:" + _FORMAT_NAME + rb")[\t\n\f\r /]")
# Closed with nothing but text inside; strict about quotes, so that none is seen where there is none.
_TEXT_ONLY = (
    rb"(?:[\t\n\f\r /](?:[^<>\"'=]++|=(?:\"[^\"<>]*+\"|'[^'<>]*+'|[^\"'<>= \t\n\f\r]++))*+)?+>"
    rb"[^<]*</\1>"
)
_FORMAT_LEAF = re.compile(rb"<(" + _FORMAT_NAME + rb")(?=[\t\n\f\r /])" + _TEXT_ONLY)
_INLINE_LEAF = re.compile(rb"<(a|b|code|em|i|small|span|strong|sub|sup|td|th)" + _TEXT_ONLY)
_LEAF = re.compile(
    rb"<([a-zA-Z][a-zA-Z0-9]*+)" + _TEXT_ONLY + rb"|<(?:br|hr|img|input|link|meta|wbr)(?:[ /][^<>\"']*+)?+>"
)
_HIDDEN = re.compile(rb"=[\t\n\f\r ]*+(?:\"[^\">]*+>|'[^'>]*+>)")  # a '>' that ends no tag
_RAW_TEXT = b"|".join(name + rb"(?=[\t\n\f\r />])[^>]*+(?:[^<]++|<(?!/" + name + rb"))*+" for name in sorted(RAW))
# A page whose tags have few attributes, raw text and comments passed over.
_FEW = re.compile(
    rb"(?:[^<]++|<(?:(?i:" + _RAW_TEXT + rb")"
    rb"|/?[a-zA-Z][^\t\n\f\r />]*+(?:[\t\n\f\r /]*+"
    + ATTRIBUTE
    + rb"){0,%d}+[\t\n\f\r /]*+(?:>|\Z)" % MAX_ATTRIBUTES
    + rb"|"
    + COMMENT
    + rb"|[!?/](?!--)[^>]*+|(?![a-zA-Z!?/])))*+\Z"
)


def large(html: bytes) -> bool:
    """Whether a page should be parsed in a thread: its parse could take 0.1 s. O(length)."""
    return len(html) > LARGE or (len(html) > 3 * MANY and html.count(b"<") > MANY)


def suspicious(html: bytes) -> bool:
    """Whether a page could cost more than the limits above. O(length), a tenth to a fifth of the parse."""
    size = len(html)
    tags = html.count(b"<")
    if tags > TAGS:
        looking, open_ = _can_nest(html, tags)
        if looking * open_ > DEEP * DEEP:
            return True
        tags = looking
    if tags > FEW and _unclosed(html, NODES // tags) * tags > NODES:
        return True
    if size > LARGE and _HIDDEN.search(html) is not None:
        return _FEW.match(html) is None
    return size > 2 * GAP and any(html.find(b">", place, place + GAP) < 0 for place in range(0, size - GAP, GAP))


def _can_nest(html: bytes, tags: int) -> tuple[int, int]:
    """About how many tags look up the stack, how many can be open at once, and a quarter more of each.

    Inline elements with only text look nothing up; elements that are closed with nothing open inside do not
    add to the depth. Told from samples at random places, which nobody can prepare for.
    """
    before = looking = left = 0
    for place in range(0, len(html), 8 * SAMPLE):
        start = place + randrange(7 * SAMPLE)
        part = html[start : start + SAMPLE]
        before += part.count(b"<")
        part = _INLINE_LEAF.sub(b"", part)
        looking += part.count(b"<")
        for _ in range(4):
            part, found = _LEAF.subn(b"", part)
            if not found:
                break
        left += part.count(b"<")
    if not before:
        return tags, tags
    return min(tags, tags * 5 * looking // (4 * before)), min(tags, tags * 5 * left // (4 * before))


def _unclosed(html: bytes, enough: int) -> int:
    """At most how many formatting elements are open at once, counted as closely as `enough` needs."""
    count = len(_FORMAT_TAG.findall(html))
    if count > enough:
        count -= len(_FORMAT_LEAF.findall(html))
    for _ in range(3):  # a closed one may hold others that are closed
        if count <= enough:
            break
        html = _LEAF.sub(b"", html)
        count = len(_FORMAT_TAG.findall(html))
    return count


def check(html: bytes) -> None:
    """Refuse a page that would cost too much. Raises FetchError(HTML_BOMB). O(length)."""
    if suspicious(html):
        Nesting(html).run()
