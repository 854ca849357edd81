"""Which HTML elements behave how in the parser (HTML Standard 13.2.4 and 13.2.6), as far as depth goes."""

from __future__ import annotations


def _names(text: str) -> frozenset[bytes]:
    return frozenset(text.encode().split())


FORMAT = _names("a b big code em font i nobr s small strike strong tt u")
HEADINGS = _names("h1 h2 h3 h4 h5 h6")
RAW = _names("script style title textarea xmp iframe noembed noframes plaintext")
MARKERS = _names("applet object marquee td th caption template")
TABLE = _names("table tbody thead tfoot tr")
# Void elements, and those a parser has one of anyway.
UNSTACKED = _names(
    "area base basefont bgsound br col embed frame hr img input keygen link meta param source track wbr "
    "html head body frameset"
)
# In these an open `p` ends.
BLOCK = HEADINGS | _names(
    "address article aside blockquote center dd details dialog dir div dl dt fieldset figcaption figure footer "
    "form header hgroup li listing main menu nav ol p pre search section summary ul"
)
INTEGRATION = _names(":foreignobject :desc :title :mi :mo :mn :ms :mtext :annotation-xml")
SPECIAL = (
    BLOCK | MARKERS | TABLE | INTEGRATION | UNSTACKED | RAW | _names("button select colgroup noscript")
) - _names("dialog")
BREAKOUT = HEADINGS | _names(
    "b big blockquote body br center code dd div dl dt em embed head hr i img li listing menu meta nobr ol p "
    "pre ruby s small span strong strike sub sup table tt u ul var"
)

_SCOPE = _names("applet caption html table td th marquee object select template") | INTEGRATION
_TABLE_SCOPE = _names("table template")
_ITEM_STOPS = (SPECIAL | _names("option optgroup")) - _names("address div p")
_IN_TABLE = _names("caption colgroup tbody thead tfoot tr td th")
_ROWS = _names("caption colgroup tr td th")
_CELLS = _names("caption colgroup td th")
TABLE_PARTS = _IN_TABLE

Close = tuple[frozenset[bytes], frozenset[bytes]]  # what is closed, and where the search for it ends

# What a start tag closes first.
CLOSES: dict[bytes, Close] = {
    b"li": (_names("li"), _ITEM_STOPS - _names("li")),
    b"dd": (_names("dd dt"), _ITEM_STOPS),
    b"dt": (_names("dd dt"), _ITEM_STOPS),
    b"button": (_names("button"), _SCOPE),
    b"select": (_names("select"), _SCOPE),
    b"table": (_names("table"), _names("td th caption template")),
    b"td": (_CELLS, _TABLE_SCOPE),
    b"th": (_CELLS, _TABLE_SCOPE),
    b"tr": (_ROWS, _TABLE_SCOPE),
} | dict.fromkeys((b"tbody", b"thead", b"tfoot", b"caption", b"colgroup"), (_IN_TABLE, _TABLE_SCOPE))

# Which elements at the top of the stack end when a start tag comes.
IMPLIED: dict[bytes, frozenset[bytes]] = {
    b"option": _names("option"),
    b"optgroup": _names("option optgroup"),
    b"rt": _names("rt rp rb"),
    b"rp": _names("rt rp rb"),
} | dict.fromkeys(HEADINGS, HEADINGS)

CLOSE_P: Close = (_names("p"), _SCOPE | _names("button"))

_ENDS: dict[bytes, Close] = (
    dict.fromkeys(HEADINGS, (HEADINGS, _SCOPE))
    | {name: (frozenset((name,)), _TABLE_SCOPE - {name}) for name in _IN_TABLE | {b"table"}}
    | {
        b"p": CLOSE_P,
        b"li": (_names("li"), _SCOPE | _names("ol ul")),
        b"template": (_names("template"), frozenset()),
    }
)


def ends(name: bytes) -> Close:
    """What an end tag closes, and where the search for it ends."""
    return _ENDS.get(name) or (frozenset((name,)), _SCOPE if name in SPECIAL else SPECIAL)


# Elements that change what is open even when they are closed at once.
TELLING = TABLE_PARTS | UNSTACKED | CLOSES.keys() | IMPLIED.keys() | _names("form svg math template")
