"""What a page led to: links checked against scope, depth and the seen set before a Request exists.

A link costs one dictionary lookup when the same href was met before in the same folder: whatever came of
it then (queued, known, out of scope) holds for good, so only the verdict is remembered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from itertools import islice

from url import URL

from .. import url as urls
from ..reasons import Reason
from ..request import Request
from ..response import Follow
from ..settings import Settings
from .scope import Scope, suspicious

OK, DUPLICATE = Reason.OK, Reason.DUPLICATE  # an enumeration's member is slow to look up
MEMO_SIZE = 50_000  # hrefs; about 6 MB


class Intake:
    """Turns links into requests; `drops` counts what was left out, by reason."""

    def __init__(self, scope: Scope, settings: Settings, seen: Container[int]) -> None:
        self.drops: Counter[Reason] = Counter()
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
            seed = request.replace(scope=label, seed=True, depth=0)
            self._consider(seed, taken, known)
        return taken

    def links(self, page: Request, links: Iterable[Request | Follow]) -> list[Request]:
        """Requests for what a page led to, each once and none that is known."""
        taken: list[Request] = []
        known: set[int] = set()
        parent = page.fingerprint
        number = 0
        for link in links:
            left = self._max_links - number
            if left <= 0:
                self.drops[Reason.TOO_MANY_LINKS] += len(link) if isinstance(link, Follow) else 1
                continue
            number += len(link) if isinstance(link, Follow) else 1
            fields = {
                "depth": page.depth + 1, "parent": parent, "scope": page.scope,
                "referer": page.url, "seed": False,
            }  # fmt: skip
            if isinstance(link, Follow):
                self.drops[Reason.TOO_MANY_LINKS] += max(0, len(link) - left)
                self._follow(link.with_(**fields), taken, known, left)
            else:
                self._consider(link.replace(**fields), taken, known)
        return taken

    def moved(self, page: Request, target: Request) -> Request | None:
        """Where a page was redirected to, or None when that is out of scope; a seed takes its scope along."""
        if page.seed:
            return target.replace(scope=self._scope.label(target.url))
        return target if self._scope.accepts(target.url, target.host, page.scope) else None

    def _consider(self, request: Request, taken: list[Request], known: set[int]) -> None:
        reason = self._reason(request.url, request.scope, request.depth, request.seed)
        mark = request.fingerprint
        if reason is None and not request.again and (mark in self._seen or mark in known):
            reason = Reason.DUPLICATE
        if reason is not None:
            self.drops[reason] += 1
            return
        known.add(mark)
        taken.append(request)

    def _follow(self, follow: Follow, taken: list[Request], known: set[int], most: int) -> None:
        """O(1) for an href met before in this folder, one URL join for a new one."""
        template = follow.template
        if template.again or template.key or template.session or template.method != "GET":
            for request in islice(follow, most):
                self._consider(request, taken, known)
            return
        base = follow.base
        folder = base[: base.rfind("/", 0, base.find("?") if "?" in base else None) + 1]
        memo = self._folder(folder, template.scope)
        parsed = None
        duplicates = 0
        for href in follow.hrefs if len(follow) <= most else follow.hrefs[:most]:
            cut = href.find("#")
            if cut >= 0:
                href = href[:cut]  # many links of a page go to places on one other page
            verdict = memo.get(href)
            if verdict is None:
                if parsed is None:
                    parsed = urls.parse(base)
                verdict, lasting = self._new(href, parsed, template, taken, known)
                if lasting and href[:1] not in ("", "?"):  # those depend on the page, not the folder
                    memo[href] = verdict
                    self._memo_size += 1
            if verdict is DUPLICATE:
                duplicates += 1
            elif verdict is not OK:
                self.drops[verdict] += 1
        self.drops[DUPLICATE] += duplicates

    def _new(
        self, href: str, base: URL, template: Request, taken: list[Request], known: set[int]
    ) -> tuple[Reason, bool]:
        """What becomes of an href, and whether the same would become of it on any later page."""
        try:
            url = urls.canonical(href, base)
        except urls.BadURL as error:
            return error.reason, True
        mark = urls.fingerprint(url)
        if mark in self._seen or mark in known:
            return DUPLICATE, True
        reason = self._reason(url, template.scope, template.depth, seed=False)
        if reason is not None:
            return reason, reason is not Reason.TOO_DEEP
        known.add(mark)
        taken.append(template.replace(url=url))
        return OK, False  # the next time it is met, it is a duplicate

    def _reason(self, url: str, label: str, depth: int, seed: bool) -> Reason | None:
        if not self._scope.accepts(url, urls.netloc(url), label):
            return Reason.OUT_OF_SCOPE
        if self._max_depth and depth > self._max_depth:
            return Reason.TOO_DEEP
        if self._traps and not seed and suspicious(url):
            return Reason.OUT_OF_SCOPE
        return None

    def _folder(self, folder: str, label: str) -> dict[str, Reason]:
        if self._memo_size > MEMO_SIZE:
            self._memo.clear()
            self._memo_size = 0
        return self._memo.setdefault((folder, label), {})
