"""Whether pieces of text in a table itself may be copied too often, each with all before it.

A parser moves such text in front of the table and joins it to what it has moved there last. Counted are pieces that
may be joined: text behind a tag that opens no element in front of the table, neither in a cell nor behind an
element that came since the last such text. Tags are read as a parser reads them, quotes and comments too; where
that depends on what came long before (templates, drawings, scripts inside of comments), each tag that follows
counts.

Windows at random places tell whether there are enough. Let d pieces be of L bytes each, T of them text. They copy
d * d * T / 2 bytes. A window that begins in text, T of L do, is read as the parser reads it, whatever quotes
elsewhere hide: at least d * T / L pieces are found, times the size of the page, at least d * L, twice what is
copied.
"""

from __future__ import annotations

import re
from functools import cache
from random import random

from .elements import RAW
from .nesting import ATTRIBUTE, COMMENT, MAX_FOSTERED

LEAST = 140_000  # bytes of the smallest page that does harm
WINDOW = 2 * 1024  # bytes
SOME = 16  # one of so many bytes is looked at
TEXT = 128 * 1024  # bytes that are searched for long pieces in one go

_END = rb"(?=[\t\n\f\r />]|\Z)"
_REST = rb"(?:[\t\n\f\r /]++|" + ATTRIBUTE + rb")*+(?:>|\Z)"
_TAG = rb"[a-z][^\t\n\f\r />]*+" + _REST
# Names by their first letter: a branch is left at it.
_PARTS = rb"t(?:able|body|d|foot|h|head|r|emplate)|c(?:aption|ol|olgroup)"
_RAW = rb"s(?:cript|tyle)|t(?:itle|extarea)|xmp|iframe|no(?:embed|frames)|plaintext"
_ODD = (
    rb"(?:t(?:able|body|d|foot|h|head|r|emplate|itle|extarea)|c(?:aption|ol|olgroup)|s(?:cript|tyle|vg)|h(?:tml|ead)|body"
    rb"|f(?:orm|rame|rameset)|i(?:nput|frame)|math|no(?:embed|frames)|plaintext|xmp)" + _END
)
_MARKUP = rb"(?:/?" + _TAG + rb"|" + COMMENT + rb"|[!?/](?!--)[^>]*+(?:>|\Z)|(?![a-z!?/]))"  # behind a '<'
_SHAPES = rb"(?:g|path|circle|rect|line|poly(?:gon|line)|ellipse|defs|use|stop|symbol)" + _END + _REST
_DRAWING = (
    rb"<svg" + _END + _REST + rb"(?:[^<]++|<title>[^<]*+</title>|</?" + _SHAPES + rb"){0,2048}+(?:</svg>|\Z)[^<]*+"
)
# A cell, up to what may end it.
_OUT = rb"(?:/?(?:" + _PARTS + rb"|" + _RAW + rb")" + _END + rb"|/(?:svg|math)|!\[)"
_CELL = rb"<t[dh]" + _END + _REST + rb"(?:[^<]++|" + _DRAWING + rb"|<(?!" + _OUT + rb")" + _MARKUP + rb"){0,2048}+"
# An element in front of the table, or a tag that opens one, what ends with it, and the first text behind.
_ELEMENT = (
    rb"<(?!" + _ODD + rb")(?P<name>[a-z][^\t\n\f\r />]*+)" + _REST + rb"(?:[^<]*+</(?P=name)[\t\n\f\r ]*+>)?+"
    rb"(?:[\t\n\f\r ]*+</(?!(?:" + _PARTS + rb")" + _END + rb")[a-z0-9]++>)*+[^<]*+"
)
_PLAIN = b"|".join(name + _END + _REST + rb"[^<]*+(?:</" + name + _END + _REST + rb"|\Z)" for name in sorted(RAW))
_SCRIPT = (
    rb"script" + _END + _REST + rb"(?:[^<]++|<(?!/script" + _END + rb"|!--))*+(?:</script" + _END + _REST + rb"|\Z)"
)
_UNREAD = rb"(?:svg|math|template|" + _RAW + rb")" + _END + rb"|!\["
_OTHER = (
    rb"(?><(?:(?=[instpx])(?:"
    + _SCRIPT
    + rb"|"
    + _PLAIN
    + rb")|(?!"
    + _UNREAD
    + rb")"
    + _MARKUP
    + rb"))[\t\n\f\r ]*+"
)
_CALM = _ELEMENT + rb"|" + _CELL + rb"|" + _DRAWING
# Up to the next piece, or to what is not read. Not possessive: Python 3.11 fails where groups are in such a loop.
_PIECE = (
    rb"(?:" + _CALM + rb"|" + _OTHER + rb"(?=<|\Z)){0,64}"
    rb"(?:(?!" + _CALM.replace(b"name", b"same") + rb")" + _OTHER + rb"(?P<text>[^<]++))?"
)
_START = re.compile(rb"<[a-z]")


def fosters(html: bytes) -> bool:
    """Whether a page may have too much text copied. O(length), 1 ms for a megabyte of tags."""
    size = len(html)
    if size <= LEAST or 2 * sampled(html) * size <= MAX_FOSTERED:  # few may be seen of few long ones
        return False
    html = html.lower()
    if b"<table" not in html and b"<template" not in html:
        return False
    count, text = pieces(html)
    return count * (text + _longest(html)) > MAX_FOSTERED


def sampled(html: bytes) -> int:
    """About how many pieces of text may be joined to others."""
    found, every = 0, WINDOW * SOME
    for start in range(0, len(html), every):
        at = start + int((every - WINDOW) * random())
        part = html[at : at + WINDOW].lower()
        first = _START.search(part)  # an end tag before it may belong to what began before the window
        found += pieces(part if first is None else part[first.start() :])[0]
    return found * SOME


def pieces(html: bytes) -> tuple[int, int]:
    """How many pieces of text may be joined to others, and their bytes; of lower-case HTML. O(length)."""
    count = text = 0
    size = len(html)
    place, match = html.find(b"<"), _piece().match
    while 0 <= place < size:
        found = match(html, place)
        if found is None or found.end() == place:
            return count + html.count(b"<", place), text + size - place
        if found["text"] is not None:
            count += 1
            text += len(found["text"])
        place = found.end()
    return count, text


@cache
def _piece() -> re.Pattern[bytes]:
    """Made when a page is large enough to be looked at: it takes 16 ms, at the start of every process otherwise."""
    return re.compile(_PIECE)


def _longest(html: bytes) -> int:
    """At least the bytes of the longest text."""
    parts = (html[at : at + TEXT] for at in range(0, len(html), TEXT))
    return max(len(html) if b"<" not in part else 2 * max(map(len, part.split(b"<"))) for part in parts)
