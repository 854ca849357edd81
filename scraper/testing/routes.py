"""How a test says what a site answers, the same for a site in the loop and one in a process of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .answers import Answer, tree_path
from .hits import Hit

LOOPBACK = "127.0.0.1"


class Routes(ABC):
    """The table of pages of a site and the record of its visitors.

    A path with a query answers that very target, one without any query; one that ends in `*` answers
    everything below. `host=None` answers for every host that has no page of its own there. Whatever is
    not declared is a 404.
    """

    port: int = 0
    scheme: str = "http"

    @abstractmethod
    def declare(self, kind: str, path: str, host: str | None, given: dict[str, Any]) -> None:
        """Answer `path` with a page of a kind of `answers.KINDS`, made from plain data."""

    @property
    @abstractmethod
    def hits(self) -> list[Hit]:
        """Every request so far, in the order of arrival."""

    @abstractmethod
    def forget(self) -> None:
        """Empty the record of hits."""

    def hits_of(self, host: str | None = None, path: str | None = None) -> list[Hit]:
        """The hits of one host, of one path (without query), or of both."""
        return [hit for hit in self.hits if host in (None, hit.host) and path in (None, hit.path, hit.target)]

    def url(self, path: str = "/", host: str = LOOPBACK) -> str:
        """The address of a page, with the site's port."""
        return f"{self.scheme}://{host}:{self.port}{path}"

    def page(
        self,
        path: str,
        content: str | bytes = b"",
        *,
        host: str | None = None,
        status: int = 200,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        delay: float = 0.0,
        times: Sequence[Answer] = (),
    ) -> None:
        """A page: `times` are the answers to the first visits, one each, before it shows itself.

        `delay` (seconds) passes before the head. A page with an ETag or Last-Modified header answers 304
        to a request that names the same.
        """
        answers = [*times, Answer(status, content, headers, delay)]
        self.declare("page", path, host, {"answers": [answer.dump() for answer in answers]})

    def redirect(self, path: str, to: str, status: int = 302, *, host: str | None = None) -> None:
        """A redirect; `to` is sent as it is given."""
        self.page(path, host=host, status=status, headers={"Location": to})

    def robots(self, answer: str | int, *, host: str | None = None, delay: float = 0.0) -> None:
        """The robots.txt: its text, or the status that is sent instead."""
        if isinstance(answer, int):
            self.page("/robots.txt", host=host, status=answer, delay=delay)
        else:
            self.page("/robots.txt", answer, host=host, headers={"Content-Type": "text/plain"}, delay=delay)

    def tree(
        self,
        pages: int = 1000,
        fanout: int = 8,
        *,
        host: str | None = None,
        size: int = 0,
        delay: float = 0.0,
    ) -> set[str]:
        """A connected site of `pages` pages from "/", each at least `size` bytes; gives all their paths.

        Every page has its children, its parent and two far pages as links (`answers.tree_links`), and the
        title "Page N".
        """
        given = {"pages": pages, "fanout": fanout, "size": size, "delay": delay}
        self.declare("tree", "/", host, given)
        self.declare("tree", "/p/*", host, given)
        return {tree_path(number) for number in range(pages)}

    def endless(self, prefix: str = "/deep", fanout: int = 3, *, host: str | None = None) -> None:
        """A trap: below `prefix` every page links to `fanout` deeper ones."""
        for path in (prefix, prefix + "/*"):
            self.declare("endless", path, host, {"prefix": prefix, "fanout": fanout})

    def echo(self, path: str = "/echo", *, host: str | None = None) -> None:
        """A page that tells, as JSON, the method, host, target, headers (pairs) and body it was sent."""
        self.declare("echo", path, host, {})

    def basic(self, path: str, user: str, password: str, body: str = "", *, host: str | None = None) -> None:
        """A page behind basic authentication."""
        self.declare("basic", path, host, {"user": user, "password": password, "body": body})

    def login(
        self,
        user: str,
        password: str,
        body: str = "welcome",
        *,
        path: str = "/login",
        inside: str = "/account",
        host: str | None = None,
    ) -> None:
        """A login form at `path` (user, password and a hidden token) and a page `inside` it opens."""
        who = {"user": user, "password": password}
        self.declare("login", path, host, who | {"inside": inside})
        self.declare("members", inside, host, who | {"body": body, "login": path})

    def wall(self, path: str, body: str, cookie: str = "seen=1", *, host: str | None = None) -> None:
        """A page that redirects to itself until it is sent the cookie it sets."""
        self.declare("wall", path, host, {"body": body, "cookie": cookie})
