"""What a page's links are, without any shared state: resolved, within the scope, told apart, most of them known.

A duplicate costs one lookup of its href in a set, when the same href was met before in the same folder. What holds
for good is remembered for a folder: no URL, out of scope, known (a request that was taken is known from then on).
What depends on the page (its depth), or may yet become known in another way, is judged anew. A link that may be
new is handed on as a candidate, and is known here only when `told` has its mark: a page that is given up before
its candidates were taken hides them from no other.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence

import msgspec
from url import URL

from .. import url as urls
from ..reasons import Reason
from ..request import Request
from ..response import Follow
from ..settings import Settings
from . import hrefs as rules
from .hrefs import LONGEST
from .scope import Scope, suspicious

DUPLICATE, TOO_DEEP, OUT_OF_SCOPE = Reason.DUPLICATE, Reason.TOO_DEEP, Reason.OUT_OF_SCOPE  # slow to look up
MEMO_SIZE = 50_000  # hrefs and folders; about 6 MB
MANY = 1_000  # links of a page: those of most take less than a millisecond
SLICE = 250  # links between two steps: one or two milliseconds
LONGEST_FOREIGN = urls.MAX_LENGTH // 12  # characters of an href; one may become twelve in a URL
Found = tuple[str, int]  # a canonical URL and the mark (fingerprint) of the request for it


def many(links: Sequence[Request | Follow]) -> bool:
    """Whether a page has so many links that they had better be sifted in steps."""
    return len(links) > MANY or any(type(link) is Follow and len(link.hrefs) > MANY for link in links)


class Group(msgspec.Struct, array_like=True, gc=False):
    """Links that differ in their URL only; without `urls` it is `template` itself. One mark for each.

    With a `reason` they are left out, for that reason where they are not known already.
    """

    template: Request
    marks: list[int]
    urls: list[str] = []
    reason: Reason | None = None


class Sifted(msgspec.Struct, array_like=True, gc=False):
    """What a page led to, as plain data: groups in the order of the page, and counts of what was left out."""

    groups: list[Group] = []
    drops: dict[Reason, int] = {}

    @property
    def marks(self) -> Iterator[int]:
        """The marks of all candidates: told, once these were handed on."""
        return (mark for group in self.groups if group.reason is None for mark in group.marks)

    def drop(self, reason: Reason, number: int) -> None:
        """So many more were left out."""
        if number:
            self.drops[reason] = self.drops.get(reason, 0) + number


class _Folder:
    """What is known of the hrefs on the pages of one folder, for requests of one kind."""

    __slots__ = ("above", "known", "meant", "within")

    def __init__(self, path: str, scope: Scope, label: str) -> None:
        self.known: set[str] = set()  # those that lead to what is known
        self.meant: dict[str, Reason | Found] = {}  # others: why they are left out for good, or what they mean
        self.above = rules.above(path)
        # How URLs begin that need not be looked at for the scope; no URL contains a space.
        root = self.above.get("/", "")
        self.within = root if root and scope.accepts_all(urls.netloc(root), label) else " "

    @property
    def size(self) -> int:
        """In hrefs that are known."""
        return len(self.known) + 2 * len(self.meant) + 4


class _Links:
    """Links of one page with one template: what they are relative to, and what was met of them.

    `base` is canonical, or "" when it cannot be; `kind` "" for links of which nothing is remembered.
    """

    __slots__ = ("_parsed", "base", "kind", "label", "mark", "met", "template")

    def __init__(self, page: Request, follow: Follow, met: set[int]) -> None:
        self.template = template = follow.template
        self.label = page.scope
        self.met = set() if template.again else met  # one that is asked for again is asked for once here
        self.mark = _marking(template)  # gives the fingerprint of the request for a URL
        self.base = page.url
        self._parsed: URL | None = None
        if follow.base != page.url:
            self._parsed = urls.parse(follow.base)
            try:
                self.base = urls.normal(self._parsed)
            except urls.BadURL:
                self.base = ""
        plain = self.base and not (template.again or template.key or template.body is not None)
        self.kind = f"{template.method} {template.session}" if plain else ""

    def canonical(self, href: str) -> str:
        """By the URL rules. Raises BadURL."""
        if self._parsed is None:
            self._parsed = urls.parse(self.base)
        return urls.canonical(href, self._parsed)


def _marking(template: Request) -> Callable[[str], int]:
    """What gives the fingerprint of the request for a URL."""
    if template.key:
        mark = template.fingerprint
        return lambda url: mark
    method, body, session = template.method, template.body, template.session
    if method == "GET" and body is None and not session:
        return urls.fingerprint
    return lambda url: urls.fingerprint(url, method, body, session)


class Sieve:
    """Sifts the links of pages. `told` has the marks that were handed on from here before; others do no harm."""

    def __init__(self, scope: Scope, settings: Settings, told: Container[int]) -> None:
        self._scope = scope
        self._told = told
        self._max_depth = settings.max_depth
        self._max_links = settings.max_links
        self._traps = settings.traps
        self._memo: OrderedDict[tuple[str, str, str], _Folder] = OrderedDict()  # the one used last comes last
        self._memo_size = 0

    def sift(self, page: Request, links: Iterable[Request | Follow]) -> Sifted:
        """What a page led to; of more than `max_links` the first ones are looked at."""
        sifted = Sifted()
        for _ in self.steps(page, links, sifted):
            pass
        return sifted

    async def slowly(self, page: Request, links: Iterable[Request | Follow]) -> Sifted:
        """The same for many links: in steps, between which others have their turn."""
        sifted = Sifted()
        for _ in self.steps(page, links, sifted):
            await asyncio.sleep(0)
        return sifted

    def steps(self, page: Request, links: Iterable[Request | Follow], sifted: Sifted) -> Iterator[None]:
        """The same in steps of about SLICE links, into `sifted`, which is whole when they have ended."""
        met: set[int] = set()
        deep = 0 < self._max_depth <= page.depth
        done = 0
        for part in self._parts(page, links, met, sifted):
            if isinstance(part, Request):
                self._request(part, page.scope, met, deep, sifted)
                done += 1
            else:
                self._hrefs(*part, deep, sifted)
                done += len(part[0])
            if done >= SLICE:
                done = 0
                yield

    def _parts(
        self, page: Request, links: Iterable[Request | Follow], met: set[int], sifted: Sifted
    ) -> Iterator[Request | tuple[list[str], _Links]]:
        """What is looked at in one go."""
        left = self._max_links
        for link in links:
            given = len(link) if isinstance(link, Follow) else 1
            number = min(given, left)
            left -= number
            sifted.drop(Reason.TOO_MANY_LINKS, given - number)
            if isinstance(link, Follow):
                sifted.drop(Reason.NOFOLLOW, link.refused)
                try:
                    of = _Links(page, link, met)
                except urls.BadURL as error:
                    sifted.drop(error.reason, number)
                    continue
                for start in range(0, number, SLICE):
                    yield link.hrefs[start : min(start + SLICE, number)], of
                met |= of.met
            elif number:
                yield link

    def _request(self, link: Request, label: str, met: set[int], deep: bool, sifted: Sifted) -> None:
        """One that a spider has made itself."""
        url, mark = link.url, link.fingerprint
        if not self._scope.accepts(url, urls.netloc(url), label):
            sifted.drop(OUT_OF_SCOPE, 1)
        elif not link.again and (mark in met or mark in self._told):
            sifted.drop(DUPLICATE, 1)
        elif self._doubtful(url, deep):
            sifted.groups.append(Group(link, [mark], [], _doubt(deep)))
        else:
            met.add(mark)
            sifted.groups.append(Group(link, [mark]))

    def _doubtful(self, url: str, deep: bool) -> bool:
        """Whether a URL is left out as long as it is not known."""
        return deep or (self._traps and suspicious(url))

    def _hrefs(self, hrefs: list[str], of: _Links, deep: bool, sifted: Sifted) -> None:
        """O(1) for an href met before in its folder, one URL join for a new one."""
        folder = self._folder(of)
        known = folder.known
        others = [href for href in hrefs if href not in known]
        sifted.drop(DUPLICATE, len(hrefs) - len(others))
        if not others:
            return
        size = folder.size
        pages = [href for href in others if not "#" <= href < "$"]  # not those that begin with "#"
        if len(pages) < len(others) and self._knows(of, folder):
            sifted.drop(DUPLICATE, len(others) - len(pages))  # places on the page itself, most links of a long one
            others = pages
        if found := self._others(others, of, folder, sifted):
            self._candidates(found, of, deep, sifted)
        if of.kind:
            self._memo_size += folder.size - size
            while self._memo_size > MEMO_SIZE:
                _, oldest = self._memo.popitem(last=False)
                self._memo_size -= oldest.size

    def _others(self, hrefs: list[str], of: _Links, folder: _Folder, sifted: Sifted) -> list[Found]:
        """What hrefs mean that are not known in their folder; those that turn out to be known are counted."""
        known, meant, above, within = folder.known, folder.meant, folder.above, folder.within
        told, again, mark = self._told, of.template.again, of.mark
        joined = rules.joined
        left: list[Found] = []
        left_out: list[Reason] = []
        for href in hrefs:
            cut = href.find("#")
            if cut > 0 and href[cut - 1] > " ":  # a space there is stripped at the end, and escaped before "#"
                place, href = href, href[:cut]
                if href in known:
                    if len(place) <= LONGEST:
                        known.add(place)
                    continue
            found = meant.get(href)
            if found is None:
                url = joined(href, above)
                if url.startswith(within):
                    found = meant[href] = (url, mark(url))
                else:
                    found = self._found(href, url, of, folder)
            if not isinstance(found, tuple):
                left_out.append(found)
            elif again or found[1] not in told:
                left.append(found)
            elif meant.pop(href, None) is not None:
                known.add(href)
        for reason in set(left_out):
            sifted.drop(reason, left_out.count(reason))
        sifted.drop(DUPLICATE, len(hrefs) - len(left) - len(left_out))
        return left

    def _candidates(self, left: list[Found], of: _Links, deep: bool, sifted: Sifted) -> None:
        """Those that were not met on this page before are handed on, also those that are doubtful."""
        met = of.met
        candidates = Group(of.template, [], [])
        doubtful = Group(of.template, [], [], _doubt(deep))
        duplicates = 0
        for url, mark in left:
            if mark in met:
                duplicates += 1
                continue
            group = candidates
            if self._doubtful(url, deep):
                group = doubtful
            else:
                met.add(mark)
            group.urls.append(url)
            group.marks.append(mark)
        sifted.drop(DUPLICATE, duplicates)
        sifted.groups += [group for group in (candidates, doubtful) if group.marks]

    def _found(self, href: str, url: str, of: _Links, folder: _Folder) -> Reason | Found:
        """What an href (joined to `url`, or "") means, or why it is left out for good; both remembered."""
        lasting = True
        found: Reason | Found = OUT_OF_SCOPE
        if not url and not self._foreign(href, of.label):
            lasting = rules.same_in_folder(href)
            try:
                url = of.canonical(href)
            except urls.BadURL as error:
                found = error.reason
        if url and self._scope.accepts(url, urls.netloc(url), of.label):
            found = (url, of.mark(url))
        if lasting:  # on every page of the folder
            folder.meant[href] = found
        return found

    def _foreign(self, href: str, label: str) -> bool:
        """Whether an absolute href leads to a host that is not within the scope; false when that is not sure."""
        root = rules.root(href) if len(href) <= LONGEST_FOREIGN else ""
        return bool(root) and not self._scope.reaches(urls.netloc(root), label)

    def _knows(self, of: _Links, folder: _Folder) -> bool:
        """Whether the page itself is known."""
        url = of.base
        name = url[len(folder.above.get("", url)) :]
        if name in folder.known and ":" not in name:  # as other pages of the folder have linked to it
            return True
        if not url or of.template.again or of.mark(url) not in self._told:
            return False
        return self._scope.accepts(url, urls.netloc(url), of.label)

    def _folder(self, of: _Links) -> _Folder:
        """The folder of a base URL, by the label of the scope and the kind of the request."""
        path = rules.folder(of.base)
        key = (path, of.label, of.kind)
        folder = self._memo.get(key)
        if folder is None:
            folder = _Folder(path, self._scope, of.label)
            if of.kind:
                self._memo[key] = folder
                self._memo_size += folder.size
        else:
            self._memo.move_to_end(key)
        return folder


def _doubt(deep: bool) -> Reason:
    """Why what is doubtful is left out."""
    return TOO_DEEP if deep else OUT_OF_SCOPE
