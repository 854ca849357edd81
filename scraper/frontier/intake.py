"""What a page led to, checked against scope, depth and the seen set before a Request exists.

In two phases: the sieve needs no shared state (see there), and what it leaves is taken here, where the one seen
set is asked. In one process the second follows upon the first; a sieve of another process sends what it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from typing import Any

from ..reasons import Reason
from ..request import Request, altered
from ..response import Follow
from ..settings import Settings
from .scope import Scope
from .sieve import Group, Sieve, Sifted


class Intake:
    """Turns links into requests; `drops` counts what was left out, by reason."""

    def __init__(self, scope: Scope, settings: Settings, seen: Container[int]) -> None:
        self.drops: Counter[Reason] = Counter()
        self.too_deep: dict[str, Any] = {}  # URLs met beyond `max_depth`, for the ledger: with parent and depth
        self.sieve = Sieve(scope, settings, seen)
        self._deep: set[int] = set()  # their fingerprints
        self._scope = scope
        self._seen = seen

    def seeds(self, requests: Iterable[Request]) -> list[Request]:
        """Requests to begin with; each defines the scope of what it leads to."""
        taken: list[Request] = []
        known: set[int] = set()
        for request in requests:
            label = self._scope.label(request.url)
            mark = request.fingerprint
            if not self._scope.accepts(request.url, request.host, label):
                self.drops[Reason.OUT_OF_SCOPE] += 1
            elif not request.again and (mark in known or mark in self._seen):
                self.drops[Reason.DUPLICATE] += 1
            else:
                known.add(mark)
                taken.append(request.replace(scope=label, seed=True, depth=0, token=0))
        return taken

    def links(self, page: Request, links: Iterable[Request | Follow]) -> list[Request]:
        """Requests for what a page led to, each once and none that is known. The caller queues them all."""
        return self.take(page, self.sieve.sift(page, links))[0]

    def take(self, page: Request, sifted: Sifted) -> tuple[list[Request], list[int]]:
        """Requests for those candidates that are new, and their fingerprints. The caller queues them all.

        O(1) for a candidate. What was left out is counted here, when the page's outcome is accepted.
        """
        for reason, number in sifted.drops.items():
            self.drops[reason] += number
        requests: list[Request] = []
        marks: list[int] = []
        for group in sifted.groups:
            found, fresh = self._fresh(group)
            if group.reason is not None:
                self._leave_out(group.reason, found, fresh, page)
            elif fresh:
                template = altered(group.template, **_of(page))
                requests += [altered(template, url=url) for url in found]
                marks += fresh
        return requests, marks

    def _fresh(self, group: Group) -> tuple[Sequence[str], Sequence[int]]:
        """URLs and marks of those that are not known."""
        found, marks, seen = group.urls or (group.template.url,), group.marks, self._seen
        if group.template.again:
            return found, marks
        fresh = [place for place, mark in enumerate(marks) if mark not in seen]
        if len(fresh) == len(marks):
            return found, marks
        self.drops[Reason.DUPLICATE] += len(marks) - len(fresh)
        return [found[place] for place in fresh], [marks[place] for place in fresh]

    def _leave_out(self, reason: Reason, found: Sequence[str], marks: Sequence[int], page: Request) -> None:
        self.drops[reason] += len(marks)
        if reason is Reason.TOO_DEEP:
            for url, mark in zip(found, marks, strict=True):
                if mark not in self._deep:
                    self._deep.add(mark)
                    self.too_deep[url] = {"parent": page.token, "depth": page.depth + 1}

    def moved(self, page: Request, target: Request) -> Request | None:
        """Where a page was redirected to, or None when that is out of scope; a seed takes its scope along."""
        if page.seed:
            return target.replace(scope=self._scope.label(target.url))
        return target if self._scope.accepts(target.url, target.host, page.scope) else None


def _of(page: Request) -> dict[str, Any]:
    """What a request has from the page it was found on, and nothing of an earlier life."""
    return {
        "depth": page.depth + 1, "parent": page.token, "scope": page.scope, "referer": page.url, "seed": False,
        "counted": False, "tries": 0, "due": 0.0, "hops": (), "token": 0, "kills": 0, "started": False,
    }  # fmt: skip
