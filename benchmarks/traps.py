"""A small site of URLs that crawlers like to merge, drop or rewrite.

Every address has a page of its own or a status of its own by the URL standard (WHATWG) and by the server, so a
crawler that promises to fetch every page once should fetch each.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a group is about -> its links as they stand in the HTML. Each leads to a page of its own.
GROUPS = {
    "names that differ in case": ("case/Page.html", "case/page.html", "case/PAGE.html"),
    "order of the query": ("order.html?a=1&amp;b=2", "order.html?b=2&amp;a=1"),
    "repeated and empty parameters": (
        "many.html?a=1&amp;a=2",
        "many.html?a=2&amp;a=1",
        "many.html?a=",
        "many.html?a",
    ),
    "tracking parameters": ("track.html", "track.html?utm_source=here", "track.html?gclid=1"),
    "with and without index.html": ("folder/", "folder/index.html"),
    "an empty query": ("query.html", "query.html?"),
    "letters beyond ASCII": ("caf\u00e9.html", "%C3%BCber.html"),
    "blanks in a name": ("two words.html", " edge.html "),
    "reserved characters": ("a+b.html", "semi;colon.html", "at@sign.html", "(paren).html", "star*.html"),
    "dots and doubled slashes": ("./dots/../dotted.html", "dots/./one.html", "dots//double.html"),
    "upper-case markup": ("loud.html",),
    "no title, two titles": ("untitled.html", "titled.html"),
    "nofollow": ("nofollow.html",),
    "deep folders": ("/".join("abcdefghij") + "/deep.html",),
    "a long query": ("long.html?q=" + "x" * 1500,),
    "not at .html": ("plain.htm",),
}
NEVER = ("mailto:a@b.test", "javascript:void(0)", "tel:1", "#part", "http://", "ftp://127.0.0.1/x")


def make(root: Path) -> Path:
    """Write the site."""
    root.mkdir(parents=True, exist_ok=True)
    links = []
    for hrefs in GROUPS.values():
        for href in hrefs:
            _write(root, href)
            links.append(_anchor(href))
    links += [f'<a href="{href}">elsewhere</a>' for href in NEVER]
    (root / "index.html").write_text(f"<title>traps</title>\n{chr(10).join(links)}\n", encoding="utf-8")
    return root


def _anchor(href: str) -> str:
    if href == "loud.html":
        return "<A HREF=loud.html>loud</A>"
    more = ' rel="nofollow"' if href == "nofollow.html" else ""
    return f'<a href="{href}"{more}>{href[:20]}</a>'


def _write(root: Path, href: str) -> None:
    path = root / unquote(href.partition("?")[0].strip())
    if href.endswith("/"):
        path /= "index.html"
    # Not resolved by `/`: a/../b needs a to exist.
    path.parent.mkdir(parents=True, exist_ok=True)
    name = "".join(char for char in path.name if char.isalnum())
    title = {"untitled.html": "", "titled.html": "<title>first</title><svg><title>second</title></svg>"}
    path.write_text(f"{title.get(href, f'<title>{name}</title>')}<p>{name}</p>\n", encoding="utf-8")


def missed(fetched: Iterable[str], expected: Iterable[str], base: str) -> dict[str, list[str]]:
    """Group by group, the pages that a crawler did not bring, of those the truth has; paths from the root.

    A URL that is only spelled otherwise counts as brought.
    """
    there = {plain(url) for url in fetched}
    lost = [url for url in expected if plain(url) not in there]
    named = {plain(base + _clean(href)): group for group, hrefs in GROUPS.items() for href in hrefs}
    found: dict[str, list[str]] = {}
    for url in lost:
        found.setdefault(named.get(plain(url), "others"), []).append(shown(url))
    return found


def plain(url: str) -> str:
    """A URL without percent-encoding, for comparison."""
    parts = urlsplit(url)
    return unquote(parts.path) + (f"?{unquote(parts.query)}" if parts.query or url.endswith("?") else "")


def shown(url: str) -> str:
    """The path of a URL, shortened."""
    path = plain(url)
    return path if len(path) < 60 else path[:57] + "..."


def _clean(href: str) -> str:
    """A link as it is after joining: what the groups write with entities, blanks and dots."""
    href = href.replace("&amp;", "&").strip()
    return href.replace("./dots/../", "").replace("/./", "/")
