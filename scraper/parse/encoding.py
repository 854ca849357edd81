"""From the bytes of a page to text: which encoding, and decoding it the way browsers do.

The order is that of browsers: byte order mark, Content-Type header, the page's own declaration. A page that
declares nothing is UTF-8 when it has bytes beyond ASCII and all of them are valid UTF-8 (chance does not
make that), else windows-1252. Nothing here raises, whatever the server sent.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from typing import Final

from .labels import resolve
from .prescan import FIRST, prescan

DEFAULT: Final = "windows-1252"
BINARY_SNIFF: Final = 1445  # bytes, MIME Sniffing Standard 5.2
_UTF8_BOM: Final = codecs.BOM_UTF8
_TOKEN: Final = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_QUOTABLE: Final = "".join(chr(code) for code in (9, *range(0x20, 0x7F), *range(0x80, 0x100)))
_HTTP_SPACE: Final = "\t\n\r "


@lru_cache(maxsize=512)
def charset(content_type: str) -> str | None:
    """The encoding a Content-Type header names (MIME Sniffing Standard 4.4, labels of the Encoding Standard).

    None when it names none, or one nobody knows; a type that is no `type/subtype` is passed over whole.
    """
    essence, _, rest = content_type.strip(_HTTP_SPACE).partition(";")
    main, _, sub = essence.rstrip(_HTTP_SPACE).partition("/")
    if not _only(main, _TOKEN) or not _only(sub, _TOKEN):
        return None
    while rest:
        rest = rest.lstrip(_HTTP_SPACE)
        field, _, after = rest.partition(";")
        name, equals, value = field.partition("=")
        if equals and rest[len(name) + 1 : len(name) + 2] == '"':
            value, after = _quoted(rest, len(name) + 2)
        else:
            value = value.rstrip(_HTTP_SPACE)
            equals = equals if value else ""
        rest = after
        if equals and name.lower() == "charset" and not value.strip(_QUOTABLE):
            return resolve(value)
    return None


def _only(text: str, allowed: str) -> bool:
    return bool(text) and not text.strip(allowed)


def _quoted(text: str, at: int) -> tuple[str, str]:
    """The quoted string whose first character is at `at`, and what follows the next semicolon."""
    value = []
    while at < len(text) and text[at] != '"':
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
        value.append(text[at])
        at += 1
    return "".join(value), text[at:].partition(";")[2]


def sniff(body: bytes) -> str | None:
    """The encoding a body declares: by byte order mark, `<meta>` or XML declaration."""
    return _mark(body) or prescan(body)


def encoding(body: bytes, content_type: str) -> str:
    """The WHATWG name, in lower case, of the encoding to read a body in. O(1) when the header names it."""
    return _mark(body) or charset(content_type) or _plainly(body) or prescan(body) or _guess(body)


def _plainly(body: bytes) -> str | None:
    """What the prescan would find in the commonest head of all, told at a tenth of its cost."""
    place = body.find(b'<meta charset="utf-8">', 0, FIRST)
    if place < 0:
        return None
    head = body[:place]
    outside = head.count(b'"') % 2 == 0 and b"'" not in head and b"<!--" not in head
    return "utf-8" if outside and head.rstrip()[-1:] in (b">", b"") else None


def _mark(body: bytes) -> str | None:
    first = body[:2]
    if first == b"\xef\xbb":
        return "utf-8" if body[2:3] == b"\xbf" else None
    if first == b"\xff\xfe":
        return "utf-16le"
    return "utf-16be" if first == b"\xfe\xff" else None


def _guess(body: bytes) -> str:
    if body.isascii():
        return DEFAULT
    try:
        # A body cut in the middle of a character is still UTF-8, if it has a whole one before that.
        _, read = codecs.utf_8_decode(body, "strict", False)
    except UnicodeDecodeError:
        return DEFAULT
    return "utf-8" if read == len(body) or not body[:read].isascii() else DEFAULT


def decode(body: bytes, encoding: str) -> str:
    """The body as text, without its byte order mark; what cannot be decoded becomes U+FFFD. Never raises.

    `encoding` is any label of the Encoding Standard; an unknown one counts as windows-1252.
    """
    if encoding == "utf-8":
        return body.removeprefix(_UTF8_BOM).decode("utf-8", "replace")
    name = resolve(encoding) or DEFAULT
    if name in _MULTIBYTE:
        codec, errors = _MULTIBYTE[name]
        text = body.decode(codec, errors)
        for theirs, ours in _SIGNS.get(name, ()):
            text = text.replace(theirs, ours)
        return text
    if name == "utf-8":
        return decode(body, name)
    if name in _MARKS:
        return body.removeprefix(_MARKS[name]).decode(name, "replace")
    if name == "replacement":
        return "\ufffd" if body else ""
    return codecs.charmap_decode(body, "replace", _table(name))[0]


def utf8(body: bytes, encoding: str) -> bytes:
    """The body in UTF-8 for the HTML parser: the same object when it is UTF-8 or plain ASCII already.

    Invalid bytes of a UTF-8 body are left in; the parser's text has U+FFFD for them.
    """
    if encoding == "utf-8":
        return body.removeprefix(_UTF8_BOM)
    if encoding not in _NOT_ASCII and body.isascii():
        return body
    return decode(body, encoding).encode("utf-8", "replace")


@lru_cache(maxsize=32)
def _table(name: str) -> str:
    """The 256 characters of a single-byte encoding: Python's, and C1 controls where it has none."""
    codec = _PYTHON_NAMES.get(name) or name.replace("windows-", "cp")
    characters = [bytes((byte,)).decode(codec, "replace") for byte in range(256)]
    for byte in range(0x80, 0xA0):
        if characters[byte] == "\ufffd":
            characters[byte] = chr(byte)
    for byte, character in _NEWER.get(name, {}).items():
        characters[byte] = character
    return "".join(characters)


_PYTHON_NAMES: Final = {
    "ibm866": "cp866",
    "iso-8859-8-i": "iso-8859-8",
    "macintosh": "mac_roman",
    "x-mac-cyrillic": "mac_cyrillic",
}
# Where the Encoding Standard's index is newer than Python's codec.
_NEWER: Final = {"koi8-u": {0xAE: "ў", 0xBE: "Ў"}, "windows-1255": {0xCA: "\u05ba"}}
_MARKS: Final = {"utf-16le": codecs.BOM_UTF16_LE, "utf-16be": codecs.BOM_UTF16_BE}
_NOT_ASCII: Final = frozenset({"utf-16le", "utf-16be", "iso-2022-jp", "replacement"})
_MULTIBYTE: Final = {
    "gbk": ("gb18030", "scraper.gbk"),
    "gb18030": ("gb18030", "scraper.gbk"),
    "big5": ("big5hkscs", "replace"),
    "euc-jp": ("euc_jp", "scraper.euc-jp"),
    "iso-2022-jp": ("iso2022_jp_ext", "replace"),
    "shift_jis": ("cp932", "replace"),
    "euc-kr": ("cp949", "replace"),
}
# Signs that Python's codecs map by older tables than browsers do (and to which nothing else maps).
_JIS: Final = tuple(zip("\u301c\u2016\u2212¢£¬", "\uff5e\u2225\uff0d\uffe0\uffe1\uffe2", strict=True))
_BIG5: Final = (
    "\u2022\uff64\u203e\u223c\u2641\u2609¥¢£",
    "\u2027\ufe51¯\uff5e\u2295\u2299\uffe5\uffe0\uffe1",
)
_GBK: Final = (("\ue5e5", "\u3000"),)
_SIGNS: Final = {
    "euc-jp": _JIS,
    "iso-2022-jp": _JIS,
    "gbk": _GBK,
    "gb18030": _GBK,
    "big5": tuple(zip(*_BIG5, strict=True)),
}


def _gbk_error(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    euro = error.object[error.start] == 0x80
    return ("€", error.start + 1) if euro else ("\ufffd", error.end)


def _euc_jp_error(error: UnicodeError) -> tuple[str, int]:
    """The characters of Windows (circled digits, company marks) that Python's EUC-JP has not."""
    assert isinstance(error, UnicodeDecodeError)
    pair = error.object[error.start : error.start + 2]
    if len(pair) == 2 and min(pair) > 0xA0 and max(pair) < 0xFF:
        row, cell = pair[0] - 0xA1, pair[1] - 0xA1
        lead = 0x81 + row // 2 + (0x40 if row >= 62 else 0)
        trail = cell + (0x9F if row % 2 else 0x40 + (cell >= 63))
        return bytes((lead, trail)).decode("cp932", "replace")[:1], error.start + 2
    # An ASCII byte is never part of a broken character: it may be the `<` of a tag.
    return "\ufffd", error.start + 1 if pair[-1] < 0x80 else error.end


codecs.register_error("scraper.gbk", _gbk_error)
codecs.register_error("scraper.euc-jp", _euc_jp_error)

# Magic numbers of what is served where pages are expected: pictures, documents, archives, fonts, media.
_MAGIC: Final = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"%PDF-", b"PK\x03\x04", b"PK\x05\x06",
    b"\x1f\x8b\x08", b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd",
    b"wOFF", b"wOF2", b"\0\1\0\0", b"OTTO\0", b"OggS\0", b"ID3", b"fLaC", b"\x1a\x45\xdf\xa3", b"\0\0\1\0",
    b"II*\0", b"MM\0*", b"\xd0\xcf\x11\xe0", b"\x7fELF", b"\0asm", b"SQLite format 3\0",
)  # fmt: skip
_BINARY_BYTES: Final = bytes((*range(9), 0x0B, *range(0x0E, 0x1B), *range(0x1C, 0x20)))
_BINARY_TYPES: Final = ("image/", "audio/", "video/", "font/", "application/pdf", "application/zip")


_MARKUP: Final = re.compile(rb"\s{0,62}+<[a-zA-Z!?/]")


def is_markup(body: bytes) -> bool:
    """Whether a body begins like HTML or XML: nearly every page, told without its headers."""
    return _MARKUP.match(body) is not None


def is_binary(body: bytes, content_type: str) -> bool:
    """Whether a body is no text, whatever its type says, by its first BINARY_SNIFF bytes.

    A known signature or a binary data byte (MIME Sniffing Standard 3) makes it binary, a byte order mark
    or the look of markup makes it text, and only after these does a declared picture, sound, film, font,
    PDF or zip count.
    """
    if not body or is_markup(body) or _mark(body):
        return False
    if body.startswith(_MAGIC) or (body[:4] == b"RIFF" and body[8:12] in (b"WEBP", b"WAVE", b"AVI ")):
        return True
    head = body[:BINARY_SNIFF]
    if len(head.translate(None, _BINARY_BYTES)) < len(head):
        return charset(content_type) not in _MARKS
    declared = content_type.lstrip(_HTTP_SPACE)[:24].lower()
    return declared.startswith(_BINARY_TYPES) and not declared.startswith("image/svg")
