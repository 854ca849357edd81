"""The truth about a static site, found offline: what a correct crawler of it visits.

Shares no code with the crawler but the two parsers (HTML: selectolax, URLs: url-py).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from selectolax.lexbor import LexborHTMLParser
from url import URL, URLError

MEMO = 1_000_000  # resolved links that are remembered


class Expected(NamedTuple):
    """What a server answers for a URL: `kind` is html, file, directory (301), bare (403) or missing (404)."""

    status: int
    kind: str


HTML = Expected(200, "html")
FILE = Expected(200, "file")
DIRECTORY = Expected(301, "directory")
BARE = Expected(403, "bare")
MISSING = Expected(404, "missing")


def walk(root: Path, start: str, base_url: str) -> dict[str, Expected]:
    """Every URL that following each `a[href]` reaches from `start`, with the answer a file server gives.

    `root` is served at `base_url`, to which `start` is relative. Fragments are dropped, other origins are
    not entered. A directory without its slash counts, and so does where its redirect leads. The set of
    URLs is `set(walk(...))`. O(links).
    """
    base = URL.parse(base_url)
    first = str(base.join(start).with_fragment(None))
    found: dict[str, Expected] = {}
    links = _Links(base)
    waiting = deque([first])
    known = {first}
    while waiting:
        url = waiting.popleft()
        found[url], onward = _visit(root, base, url, links)
        for link in onward:
            if link not in known:
                known.add(link)
                waiting.append(link)
    return found


def _visit(root: Path, base: URL, url: str, links: _Links) -> tuple[Expected, list[str]]:
    parsed = URL.parse(url)
    path = os.fsdecode(unquote_to_bytes(parsed.path))
    inside = os.fsdecode(unquote_to_bytes(base.path))
    if not path.startswith(inside):
        return MISSING, []
    file = Path(f"{root}/{path.removeprefix(inside)}")
    try:
        if file.is_dir():
            if not path.endswith("/"):
                return DIRECTORY, [str(parsed.with_path(parsed.path + "/"))]
            file /= "index.html"
            if not file.is_file():
                return BARE, []
        elif path.endswith("/") or not file.is_file():
            return MISSING, []
    except OSError:  # a name longer than the file system allows
        return MISSING, []
    if file.suffix not in (".html", ".htm"):
        return FILE, []
    return HTML, list(links.of(file.read_bytes(), parsed))


class _Links:
    """Resolves the links of pages, each spelling once for a folder."""

    def __init__(self, base: URL) -> None:
        self._origin = (base.scheme, base.host_str, base.port)
        self._memo: dict[tuple[str, str], str] = {}

    def of(self, page: bytes, url: URL) -> Iterator[str]:
        """The absolute same-origin URLs of a page, without fragments."""
        tree = LexborHTMLParser(page)
        base = tree.css_first("base[href]")
        if base is not None:
            url = url.join(base.attributes["href"] or "")
        text = str(url)
        folder = text[: text.partition("?")[0].rindex("/")]
        hrefs = dict.fromkeys(node.attributes["href"] or "" for node in tree.css("a[href]"))
        for href in hrefs:
            link = self._memo.get((folder, href))
            if link is None:
                link = self._resolve(url, href)
                # What begins otherwise may be relative to the page itself (#part, ?query), not to its folder.
                if href[:1].isalnum() or href[:1] in "./":
                    if len(self._memo) >= MEMO:
                        self._memo.clear()
                    self._memo[folder, href] = link
            if link:
                yield link

    def _resolve(self, url: URL, href: str) -> str:
        """The absolute URL, or "" for one that is of no use here."""
        try:
            link = url.join(href)
        except (URLError, ValueError):
            return ""
        if (link.scheme, link.host_str, link.port) != self._origin:
            return ""
        return str(link.with_fragment(None))
