"""What an HTML page says of its own encoding, read from its first bytes.

The rules are those of the HTML Standard (13.2.3.2, "prescan a byte stream to determine its encoding").
They are made for 1,024 bytes; browsers go on to the end of the head, and so does this, up to LATE bytes.
"""

from __future__ import annotations

import re
from typing import Final

from .labels import resolve

FIRST: Final = 1024  # bytes
LATE: Final = 32 * 1024  # bytes

# One attribute, and one tag with all of its attributes, as the standard's "get an attribute" reads them.
# The quantifiers of bytes are possessive: each is looked at a few times at most, whatever the page is (that
# of attributes is not: Python before 3.11.5 gets alternatives wrong in one, and there is nothing to retry).
# The lookahead keeps a value whose quote is never closed from being read as another attribute.
_EQUALS: Final = rb"[\t\n\f\r ]*+="
_ATTRIBUTE: Final = (
    rb"[\t\n\f\r /]*+([^\t\n\f\r />][^\t\n\f\r /=>]*+)(?:" + _EQUALS + rb"[\t\n\f\r ]*+"
    rb"""(?:"([^"]*+)"|'([^']*+)'|(?!["'])([^\t\n\f\r >]*+))|(?!""" + _EQUALS + rb"))"
)
_attribute: Final = re.compile(_ATTRIBUTE)
_TO_END: Final = rb"(?:" + re.sub(rb"\((?!\?)", b"(?:", _ATTRIBUTE) + rb")*[\t\n\f\r /]*+>"
_tag: Final = re.compile(rb"<(?:meta(?=[\t\n\f\r /])|/?[a-z][^\t\n\f\r >]*+)" + _TO_END)
_META: Final = tuple(b"<meta" + bytes((after,)) for after in b"\t\n\f\r /")
_charset: Final = re.compile(rb"charset[\t\n\f\r ]*+=[\t\n\f\r ]*+")
_unquoted: Final = re.compile(rb"[^\t\n\f\r ;]++")
_CONTROLS: Final = bytes(range(0x21))


def prescan(body: bytes) -> str | None:
    """The encoding that `<meta>` or an XML declaration names. O(LATE) at most, usually the first tags."""
    if body.startswith((b"<\0?\0x\0", b"\0<\0?\0x")):
        return "utf-16le" if body[0] else "utf-16be"
    found = _scan(body[:FIRST].lower())
    if found is None and len(body) > FIRST and (end := _end_of_head(body)) > FIRST:
        found = _scan(body[:end].lower())
    return found or _xml(body)


def _end_of_head(body: bytes) -> int:
    end = min(len(body), LATE)
    for mark in (b"</head", b"<body", b"</HEAD", b"<BODY"):
        if (at := body.find(mark, 0, end)) >= 0:
            end = at
    return end


def _scan(data: bytes) -> str | None:
    """The first encoding that a meta tag of `data`, in lower case, names. O(n)."""
    if b"<meta" not in data or b"charset" not in data:
        return None
    at = data.find(b"<")
    while at >= 0:
        follows = data[at + 1 : at + 2]
        if tag := _tag.match(data, at):
            if data.startswith(_META, at) and (found := _meta(data, at + 5, tag.end() - 1)):
                return found
            at = tag.end() - 1
        elif follows.isalpha() or (follows == b"/" and data[at + 2 : at + 3].isalpha()):
            return None  # a tag that never ends
        elif data.startswith(b"<!--", at):
            at = data.find(b"-->", at + 2)  # `<!-->` is a whole comment
        elif follows in (b"!", b"/", b"?"):
            at = data.find(b">", at + 2)
        at = data.find(b"<", at + 1) if at >= 0 else at
    return None


def _meta(data: bytes, at: int, end: int) -> str | None:
    attributes: dict[bytes, bytes] = {}
    charset: str | None = None
    pragma = True  # whether nothing is missing that makes the content attribute count
    for found in _attribute.finditer(data, at, end):
        name, double, single, bare = found.groups()
        if name in attributes:
            continue
        attributes[name] = value = double or single or bare or b""
        if name == b"charset":
            charset, pragma = _label(value) or "", True
        elif name == b"content" and charset is None and (named := _of_content(value)):
            charset, pragma = named, False
    if not pragma and attributes.get(b"http-equiv") != b"content-type":
        return None
    return _of_meta(charset)


def _of_content(value: bytes) -> str | None:
    """The "algorithm for extracting a character encoding from a meta element"."""
    found = _charset.search(value)
    if found is None:
        return None
    rest = value[found.end() :]
    quote = rest[:1]
    if quote in (b'"', b"'"):
        inside, closed, _ = rest[1:].partition(quote)
        return _label(inside) if closed else None
    bare = _unquoted.match(rest)
    return _label(bare[0]) if bare else None


def _label(value: bytes) -> str | None:
    return resolve(value.decode("latin-1"))


def _of_meta(name: str | None) -> str | None:
    # Bytes in which this could be read are not UTF-16.
    return "utf-8" if name in ("utf-16le", "utf-16be") else name or None


def _xml(body: bytes) -> str | None:
    """The encoding of an XML declaration ("get an XML encoding")."""
    if not body.startswith(b"<?xml"):
        return None
    declaration = body[5 : body.find(b">", 5, FIRST)]
    _, found, rest = declaration.partition(b"encoding")
    rest = rest.lstrip(_CONTROLS)
    if not found or not rest.startswith(b"="):
        return None
    rest = rest[1:].lstrip(_CONTROLS)
    quote = rest[:1]
    value, closed, _ = rest[1:].partition(quote) if quote in (b'"', b"'") else (b"", b"", b"")
    if not closed or min(value, default=0) <= 0x20:
        return None
    return _of_meta(_label(value))
