"""XML 1.0: `<items><item><title>..</title></item></items>`, one item a line.

An object's keys become elements, a list's parts `<value>` elements, null an empty element. A key that is no
element name is made one and kept in a `name` attribute; characters XML cannot hold become U+FFFD.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import msgspec

HEAD = b'<?xml version="1.0" encoding="utf-8"?>\n<items>\n'
TAIL = b"</items>\n"
# XML 1.0 2.2 allows no other control characters, and no surrogates (which JSON lines do not hold either).
ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
# Letters that every edition of XML 1.0 takes in a name, the fourth of expat included; the rest is spelt `_`.
LETTER = "A-Za-z_\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff\u038e-\u03a1\u03a3-\u03ce\u0410-\u044f\u4e00-\u9fa5"
NOT_NAME = re.compile(f"[^{LETTER}0-9.-]")
NOT_START = re.compile(f"[^{LETTER}]|[xX][mM][lL]")

_text = msgspec.json.Decoder(str)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])


class XmlItems:
    """An XML document of items (.xml)."""

    def __init__(self, state: bytes | None = None) -> None:
        self._begun = state == b"begun"

    def render(self, lines: Sequence[bytes]) -> bytes:
        """One `<item>` a line; numbers are spelt as in the journal."""
        if not lines:
            return b""
        parts = [] if self._begun else [HEAD.decode()]
        self._begun = True
        for line in lines:
            parts.append("<item>")
            _members(line, parts)
            parts.append("</item>\n")
        return "".join(parts).encode()

    def settle(self) -> bytes:
        """Nothing is kept back."""
        return b""

    def tail(self) -> bytes:
        """The end of the root element."""
        return TAIL if self._begun else HEAD + TAIL

    def state(self) -> bytes:
        """Whether the root element was begun."""
        return b"begun" if self._begun else b""

    def adopt(self, first: bytes, last: bytes, size: int) -> tuple[int, bytes]:
        """Go on within an existing `<items>` element: its end tag is cut off."""
        end = last.rstrip()
        if b"<items>" not in first or not end.endswith(b"</items>"):
            raise ValueError("it does not end with </items>")
        self._begun = True
        return len(last) - len(end) + len(b"</items>"), b""

    def rewrite(self) -> None:
        """Never."""


def _members(raw: bytes | msgspec.Raw, parts: list[str]) -> None:
    for key, value in _object.decode(raw).items():
        start, end = _tags(key)
        parts.append(start)
        _value(value, parts)
        parts.append(end)


def _value(raw: msgspec.Raw, parts: list[str]) -> None:
    """A JSON value as the content of its element; depth is bounded by the item's."""
    data = bytes(raw)
    match data[:1]:
        case b'"':
            parts.append(_escaped(_text.decode(data)))
        case b"{":
            _members(data, parts)
        case b"[":
            for part in _array.decode(data):
                parts.append("<value>")
                _value(part, parts)
                parts.append("</value>")
        case b"n":
            pass
        case _:
            parts.append(data.decode())


@lru_cache(maxsize=4096)
def _tags(key: str) -> tuple[str, str]:
    name = NOT_NAME.sub("_", key)
    if not name or NOT_START.match(name):
        name = "_" + name
    if name == key:
        return f"<{name}>", f"</{name}>"
    kept = _escaped(key).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")
    return f'<{name} name="{kept}">', f"</{name}>"


def _escaped(text: str) -> str:
    """Text for an element; a carriage return is spelt out, or a reader would make it a newline (2.11)."""
    if "&" in text or "<" in text or ">" in text:
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = text.replace("\r", "&#13;")
    return text if text.isprintable() else ILLEGAL.sub("\ufffd", text)
