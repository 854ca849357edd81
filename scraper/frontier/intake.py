"""What a page led to: links checked against scope, depth and the seen set before a Request exists.

A link costs one dictionary lookup when the same href was met before in the same folder and what came of it
holds for good: no URL, out of scope, known (a page that was taken is known from then on). What depends on
the page (its depth), or may yet become known in another way, is not remembered.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable
from typing import Any

from url import URL

from .. import url as urls
from ..reasons import Reason
from ..request import Request, altered
from ..response import Follow
from ..settings import Settings
from .scope import Scope, suspicious

DUPLICATE = Reason.DUPLICATE  # an enumeration's member is slow to look up
MEMO_SIZE = 50_000  # hrefs and folders; about 6 MB
# A path of plain segments, after some "../": it is joined to a canonical base by putting the two together.
_SEGMENT = r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]*"
_PLAIN = re.compile(rf"((?:\.\./)*)((?:{_SEGMENT}/)*(?:{_SEGMENT})?)").fullmatch
LONGEST_KEPT = 512  # characters of an href that is remembered


class Intake:
    """Turns links into requests; `drops` counts what was left out, by reason."""

    def __init__(self, scope: Scope, settings: Settings, seen: Container[int]) -> None:
        self.drops: Counter[Reason] = Counter()
        self.too_deep: dict[str, Any] = {}  # URLs met beyond `max_depth`, for the ledger: with parent and depth
        self._deep: set[int] = set()  # their fingerprints
        self._scope = scope
        self._seen = seen
        self._max_depth = settings.max_depth
        self._max_links = settings.max_links
        self._traps = settings.traps
        self._memo: dict[tuple[str, str], dict[str, Reason]] = {}
        self._memo_size = 0

    def seeds(self, requests: Iterable[Request]) -> list[Request]:
        """Requests to begin with; each defines the scope of what it leads to."""
        taken: list[Request] = []
        known: set[int] = set()
        for request in requests:
            label = self._scope.label(request.url)
            seed = request.replace(scope=label, seed=True, depth=0, token=0)
            self._consider(seed, taken, known)
        return taken

    def links(self, page: Request, links: Iterable[Request | Follow]) -> list[Request]:
        """Requests for what a page led to, each once and none that is known. The caller queues them all.

        Of more than `max_links` the first ones are looked at.
        """
        taken: list[Request] = []
        known: set[int] = set()
        left = self._max_links
        fields = {
            "depth": page.depth + 1, "parent": page.token, "scope": page.scope, "referer": page.url,
            "seed": False, "counted": False, "tries": 0, "due": 0.0, "hops": (), "token": 0, "kills": 0,
            "started": False,
        }  # fmt: skip
        for link in links:
            number = len(link) if isinstance(link, Follow) else 1
            if number > left:
                self.drops[Reason.TOO_MANY_LINKS] += number - left
            if isinstance(link, Follow):
                if link.refused:
                    self.drops[Reason.NOFOLLOW] += link.refused
                hrefs = link.hrefs if number <= left else link.hrefs[:left]
                self._follow(hrefs, link.base, link.template.replace(**fields), taken, known)
            elif left:
                self._consider(link.replace(**fields), taken, known)
            left = max(0, left - number)
        return taken

    def moved(self, page: Request, target: Request) -> Request | None:
        """Where a page was redirected to, or None when that is out of scope; a seed takes its scope along."""
        if page.seed:
            return target.replace(scope=self._scope.label(target.url))
        return target if self._scope.accepts(target.url, target.host, page.scope) else None

    def _consider(self, request: Request, taken: list[Request], known: set[int]) -> None:
        mark = request.fingerprint
        reason, _ = self._reason(request.url, mark, request, not request.again and mark in known)
        if reason is None:
            known.add(mark)
            taken.append(request)
        else:
            self.drops[reason] += 1

    def _follow(
        self, hrefs: list[str], base: str, template: Request, taken: list[Request], known: set[int]
    ) -> None:
        """O(1) for an href met before in this folder, one URL join for a new one."""
        try:
            parsed = urls.parse(base)
        except urls.BadURL as error:
            self.drops[error.reason] += len(hrefs)
            return
        plain = not (template.again or template.key or template.session or template.body is not None)
        base = str(parsed)
        folders = _folders(base)
        memo = self._folder(base, template.scope) if plain and template.method == "GET" else None
        met = set() if template.again else known  # one that is asked for again is still asked for once here
        itself: Reason | None = None  # what became of the page's own URL
        duplicates = 0
        for href in hrefs:
            cut = href.find("#")
            if cut == 0 and itself is not None:  # most links of a long page lead to places on it
                verdict: Reason | None = itself
            else:
                if cut > 0 and href[cut - 1] > " ":  # a space there is stripped at the end, and escaped before "#"
                    href = href[:cut]  # and many others to places on one other page
                verdict = memo.get(href) if memo is not None else None
            if verdict is None:
                url = _joined(href, folders) if len(href) <= LONGEST_KEPT else ""
                verdict, lasting = self._new(url or href, None if url else parsed, template, taken, met)
                if cut == 0:
                    itself = verdict or DUPLICATE
                elif lasting and memo is not None and _same_in_folder(href):
                    memo[href] = verdict or DUPLICATE
                    self._memo_size += 1
            if verdict is DUPLICATE:
                duplicates += 1
            elif verdict is not None:
                self.drops[verdict] += 1
        if duplicates:
            self.drops[Reason.DUPLICATE] += duplicates
        if met is not known:
            known |= met

    def _new(
        self, url: str, base: URL | None, template: Request, taken: list[Request], known: set[int]
    ) -> tuple[Reason | None, bool]:
        """Why a URL (relative to `base`, or canonical) is left out, None when it is taken; and whether for good."""
        if base is not None:
            try:
                url = urls.canonical(url, base)
            except urls.BadURL as error:
                return error.reason, True
        if template.key:
            mark = template.fingerprint
        else:
            mark = urls.fingerprint(url, template.method, template.body, template.session)
        reason, lasting = self._reason(url, mark, template, mark in known)
        if reason is None:
            known.add(mark)
            taken.append(altered(template, url=url))
        return reason, lasting

    def _reason(self, url: str, mark: int, request: Request, known: bool) -> tuple[Reason | None, bool]:
        """Why a URL is left out, and whether it always will be: so ordered that what is lasting comes first."""
        if not self._scope.accepts(url, urls.netloc(url), request.scope):
            return Reason.OUT_OF_SCOPE, True
        if known or (mark in self._seen and not request.again):
            return Reason.DUPLICATE, True
        if self._max_depth and request.depth > self._max_depth:
            if mark not in self._deep:
                self._deep.add(mark)
                self.too_deep[url] = {"parent": request.parent, "depth": request.depth}
            return Reason.TOO_DEEP, False
        if self._traps and not request.seed and suspicious(url):
            return Reason.OUT_OF_SCOPE, False  # unless it becomes known in another way
        return None, True

    def _folder(self, base: str, label: str) -> dict[str, Reason]:
        """The verdicts of a folder, by the base URL of a page in it."""
        end = base.find("?")
        folder = base[: base.rfind("/", 0, end if end >= 0 else len(base)) + 1]
        memo = self._memo.get((folder, label))
        if memo is None or self._memo_size > MEMO_SIZE:
            if self._memo_size > MEMO_SIZE:
                self._memo.clear()
                self._memo_size = 0
            memo = self._memo[folder, label] = {}
            self._memo_size += 1
        return memo


def _folders(base: str) -> list[str]:
    """The folder of a canonical URL and all above it, up to the root."""
    path = base.partition("#")[0].partition("?")[0]
    root = path.find("/", path.find("//") + 2)
    found = []
    cut = path.rfind("/")
    while cut >= root >= 0:
        found.append(path[: cut + 1])
        cut = path.rfind("/", 0, cut)
    return found


def _joined(href: str, folders: list[str]) -> str:
    """The canonical URL of a plain relative path, "" when it is no such: a third of the cost of the URL rules."""
    match = _PLAIN(href) if href and folders else None
    if match is None:
        return ""
    up = len(match[1]) // 3
    return (folders[up] if up < len(folders) else folders[-1]) + match[2]


def _same_in_folder(href: str) -> bool:
    """Whether an href is short and means the same on every page of a folder.

    Not "", "?x" and "#x", which depend on the page; so does "http:?x" (WHATWG URL 4.4, a special scheme
    without slashes is relative), and tabs, line breaks and spaces before them are ignored.
    """
    if len(href) > LONGEST_KEPT or not _is_path(href):
        return False
    _, colon, rest = href.partition(":")
    return not colon or _is_path(rest)


def _is_path(text: str) -> bool:
    return text[:1] > " " and text[0] not in "?#"
