"""What a test site answers: each kind of page is a function that makes a `Reply` from plain data.

Plain data, so that the same declaration can be handed to a site in another process as JSON.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from multidict import CIMultiDict

Pairs = tuple[tuple[str, str], ...]
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """One response: `delay` seconds pass before its head is sent; a repeated header is given as pairs."""

    status: int = 200
    body: str | bytes = b""
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()
    delay: float = 0.0

    @property
    def content(self) -> bytes:
        """The body as bytes."""
        return self.body.encode() if isinstance(self.body, str) else self.body

    @property
    def pairs(self) -> Pairs:
        """The headers in order, with a Content-Type for HTML when none is given and there is a body."""
        given = self.headers.items() if isinstance(self.headers, Mapping) else self.headers
        pairs = tuple((name, value) for name, value in given)
        if self.content and not any(name.lower() == "content-type" for name, _ in pairs):
            return (*pairs, ("Content-Type", HTML))
        return pairs

    def dump(self) -> list[Any]:
        """As JSON can carry it."""
        return [self.status, self.content.decode("latin-1"), self.pairs, self.delay]

    @classmethod
    def load(cls, data: list[Any]) -> Answer:
        """The inverse of `dump`."""
        status, body, headers, delay = data
        return cls(status, body.encode("latin-1"), tuple((name, value) for name, value in headers), delay)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request as a page sees it; `number` counts the visits of this page from 0."""

    method: str
    host: str
    target: str
    headers: CIMultiDict[str]
    body: bytes
    number: int

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def cookie(self, name: str) -> str | None:
        """The value of a cookie, None where it was not sent."""
        jar = SimpleCookie("; ".join(self.headers.getall("Cookie", [])))
        return jar[name].value if name in jar else None


Reply = Callable[[Visit], Answer]


def document(title: str, body: str) -> str:
    """A small HTML page."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"</head><body>{body}</body></html>"
    )


def _page(answers: list[list[Any]]) -> Reply:
    """Each visit gets the next answer, the last one for ever; 304 to a matching validator (RFC 9110 13)."""
    loaded = [Answer.load(answer) for answer in answers]

    def reply(visit: Visit) -> Answer:
        answer = loaded[min(visit.number, len(loaded) - 1)]
        own = CIMultiDict(answer.pairs)
        for condition, validator in (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified")):
            if condition in visit.headers and answer.status == 200:
                if visit.headers[condition] == own.get(validator):
                    return Answer(304, headers=answer.pairs, delay=answer.delay)
                break
        return answer

    return reply


def _echo() -> Reply:
    def reply(visit: Visit) -> Answer:
        seen = {
            "method": visit.method,
            "host": visit.host,
            "target": visit.target,
            "headers": list(visit.headers.items()),
            "body": visit.body.decode("latin-1"),
        }
        return Answer(200, json.dumps(seen), {"Content-Type": "application/json"})

    return reply


def _basic(user: str, password: str, body: str) -> Reply:
    """Basic authentication (RFC 7617)."""
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def reply(visit: Visit) -> Answer:
        if visit.headers.get("Authorization") == wanted:
            return Answer(200, body)
        return Answer(401, "who are you?", {"WWW-Authenticate": 'Basic realm="test", charset="UTF-8"'})

    return reply


def session_id(user: str, password: str) -> str:
    """The session cookie that a login with this name and password is given."""
    return blake2b(f"{user}\n{password}".encode(), digest_size=12).hexdigest()


def _login(user: str, password: str, inside: str) -> Reply:
    token = session_id(password, user)
    form = document(
        "Sign in",
        '<form method="post"><input name="user"><input name="password" type="password">'
        f'<input name="token" type="hidden" value="{token}"><button>Sign in</button></form>',
    )
    good = {"user": [user], "password": [password], "token": [token]}
    cookie = f"session={session_id(user, password)}; Path=/; HttpOnly; SameSite=Lax"

    def reply(visit: Visit) -> Answer:
        if visit.method != "POST":
            return Answer(200, form)
        if parse_qs(visit.body.decode("latin-1")) == good:
            return Answer(303, headers={"Location": inside, "Set-Cookie": cookie})
        return Answer(403, form)

    return reply


def _members(user: str, password: str, body: str, login: str) -> Reply:
    session = session_id(user, password)

    def reply(visit: Visit) -> Answer:
        if visit.cookie("session") == session:
            return Answer(200, body)
        return Answer(302, headers={"Location": login})

    return reply


def _wall(body: str, cookie: str) -> Reply:
    """A cookie wall: without the cookie a visitor is given it and sent to the same page again."""
    name, _, value = cookie.partition("=")

    def reply(visit: Visit) -> Answer:
        if visit.cookie(name) == value:
            return Answer(200, body)
        return Answer(302, headers={"Location": visit.target, "Set-Cookie": f"{cookie}; Path=/"})

    return reply


def tree_links(number: int, pages: int, fanout: int) -> list[int]:
    """The pages that page `number` of a tree links to: its children, its parent and two far ones."""
    first = number * fanout + 1
    children = list(range(first, min(first + fanout, pages)))
    far = [(number * 7 + 3) % pages, (number * 13 + 5) % pages]
    return [*children, max(0, (number - 1) // fanout), *far]


def tree_path(number: int) -> str:
    """Where a page of a tree lies; page 0 is the root of the site."""
    return f"/p/{number}" if number else "/"


def _tree(pages: int, fanout: int, size: int, delay: float) -> Reply:
    def reply(visit: Visit) -> Answer:
        number = 0 if visit.target == "/" else int(visit.target[3:]) if visit.target[3:].isdecimal() else -1
        if not 0 <= number < pages or tree_path(number) != visit.target:
            return Answer(404, "no such page")
        links = "".join(
            f'<li><a href="{tree_path(n)}">Page {n}</a></li>' for n in tree_links(number, pages, fanout)
        )
        text = document(f"Page {number}", f"<h1>Page {number}</h1><ul>{links}</ul>")
        return Answer(200, text.ljust(size), delay=delay)

    return reply


def _endless(prefix: str, fanout: int) -> Reply:
    """A tarpit: every page below `prefix` links to `fanout` pages one level deeper."""

    def reply(visit: Visit) -> Answer:
        here = visit.path.rstrip("/")
        links = "".join(f'<a href="{here}/{n}">deeper</a> ' for n in range(fanout))
        return Answer(200, document(f"Below {prefix}", links))

    return reply


KINDS: dict[str, Callable[..., Reply]] = {
    "page": _page,
    "echo": _echo,
    "basic": _basic,
    "login": _login,
    "members": _members,
    "wall": _wall,
    "tree": _tree,
    "endless": _endless,
}
