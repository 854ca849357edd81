"""Hrefs of a page: plain ones joined without the URL rules, and which mean the same in a whole folder. Pure.

A third of the cost of the rules. What is not plain is "" here, and the rules decide.
"""

from __future__ import annotations

import re
from functools import lru_cache

from .. import url as urls

# Characters that the URL rules leave as they are, in a path and in a query (WHATWG URL 1.3, 4.4). No "%": an escape
# may be in lower case; no ":", which may end a scheme. A segment that begins with a dot is left to the rules, too.
_CHARACTERS = r"/0-9A-Za-z_.~!$&()*+,;=@-"
_PLAIN = re.compile(rf"(?!\.)[{_CHARACTERS}]*+(?:\?[?:{_CHARACTERS}]*+)?+").fullmatch
LONGEST = 512  # characters of an href that is joined here, and remembered
LONGEST_FOLDER = 4096  # characters; with LONGEST within the length of a URL


def folder(url: str) -> str:
    """The folder of a canonical URL: what its plain links are relative to."""
    query = url.find("?")
    return url[: url.rfind("/", 0, query if query >= 0 else len(url)) + 1]


def above(path: str) -> dict[str, str]:
    """What "", "../", "../../" and "/" lead to from a folder, up to the root; empty for one that is too long."""
    if not path or len(path) > LONGEST_FOLDER:
        return {}
    root = path.find("/", path.find("//") + 2)
    found = {"": path, "/": path[: root + 1]}
    cut = len(path) - 1
    ups = ""
    while cut > root:
        cut = path.rfind("/", 0, cut)
        ups += "../"
        found[ups] = path[: cut + 1]
    return found


def joined(href: str, folders: dict[str, str]) -> str:
    """The canonical URL of a plain href on a page in `folders` (see `above`), "" when it is not plain."""
    if not 0 < len(href) <= LONGEST:
        return ""
    first = href[0]
    if first == ".":
        cut = href.rfind("../") + 3
        start = folders.get(href[:cut])
    elif first == "/":
        cut = 1
        start = folders.get("/") if href[1:2] != "/" else None
    elif first == "h" and (start := root(href)):
        cut = len(start)
    else:
        cut = 0
        start = folders.get("") if first != "?" else None
    if start is None:
        return ""
    path = href[cut:]
    return start + path if _PLAIN(path) and "/." not in path else ""


def root(href: str) -> str:
    """The canonical URL of the root of a host that an absolute href begins with, "" when it does not so.

    Such an href is a URL on that host, unless it is too long.
    """
    if not href.startswith(("https://", "http://")):
        return ""
    start = href[: href.find("/", 8) + 1]
    return start if _is_root(start) else ""


@lru_cache(maxsize=4096)
def _is_root(text: str) -> bool:
    """Whether a text is the canonical URL of a host's root."""
    try:
        return text.count("/") == 3 and urls.canonical(text) == text
    except urls.BadURL:
        return False


def same_in_folder(href: str) -> bool:
    """Whether an href, without fragment, is short and means the same on every page of a folder.

    Not "", "?x" and "#x", which depend on the page; so does "http:?x" (WHATWG URL 4.4, a special scheme
    without slashes is relative), and tabs, line breaks and spaces before them are ignored.
    """
    if len(href) > LONGEST or not _is_path(href):
        return False
    _, colon, rest = href.partition(":")
    return not colon or _is_path(rest)


def _is_path(text: str) -> bool:
    return text[:1] > " " and text[0] not in "?#"
