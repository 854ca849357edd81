"""What every request passes before its route sees it: the name it asks for, who asks, what he may, and whether a
page of ours sent it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from ..jobs.access import Access, Role, Who
from .given import FORM, filled
from .routes import UNSAFE, role_of

FIELD, HEADER = "csrf", "X-CSRF-Token"
NOBODY = Who(name="", role=Role.NOBODY)
BEARER = {"WWW-Authenticate": 'Bearer realm="scraper"'}
# What a browser may do with an answer: nothing is loaded, sent or framed but what is ours.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
FIELDS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # not `no-referrer`: browsers then send "Origin: null" with our own forms
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Server": "scraper",
}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How the dashboard is reached. `names` are the host names it answers to besides localhost and addresses.

    `proxy`: what X-Forwarded-* say is believed; `open_metrics`: /metrics needs no token from this machine;
    `streams`: clients that may follow events at once, `own_streams` those of one user.
    """

    port: int = 0
    names: frozenset[str] = frozenset()
    proxy: bool = False
    open_metrics: bool = False
    streams: int = 64
    own_streams: int = 16


ACCESS: web.AppKey[Access] = web.AppKey("access", Access)
WHO: web.RequestKey[Who] = web.RequestKey("who", Who)
BEGUN: web.RequestKey[bool] = web.RequestKey("begun", bool)  # its answer is under way
OPTIONS: web.AppKey[Options] = web.AppKey("options", Options)


def who(request: web.Request) -> Who:
    """Who asks; somebody without a name where nobody needs to be known."""
    found: Who = request.get(WHO, NOBODY)
    return found


def csrf(request: web.Request) -> str:
    """What the forms of a session must send along, "" without a session."""
    session = who(request).session
    return hmac.new(session.encode(), b"csrf", hashlib.sha256).hexdigest() if session else ""


def cookie(request: web.Request) -> str:
    """The name of the session's cookie: cookies are not told apart by port, and there may be two servers.

    Over https one that no other host of the domain, and nobody who speaks http, can set (RFC 6265bis, 4.1.3.2).
    """
    return f"{'__Host-' if scheme(request) == 'https' else ''}scraper_{request.app[OPTIONS].port}"


def address(request: web.Request) -> str:
    """Where a request comes from; with a proxy what the nearest one says, without the port that some give."""
    told = _forwarded(request, "X-Forwarded-For")
    host = told.removeprefix("[").partition("]")[0] if told.count(":") != 1 else told.partition(":")[0]
    try:
        return str(ip_address(host))
    except ValueError:  # no proxy has said so, or none that says what it knows
        return request.remote or ""


def scheme(request: web.Request) -> str:
    """http, or what a proxy says it was asked by."""
    return "https" if _forwarded(request, "X-Forwarded-Proto").lower() == "https" else "http"


def host(request: web.Request) -> str:
    """The Host that was asked for, in lower case, with its port."""
    return (_forwarded(request, "X-Forwarded-Host") or request.headers.get(hdrs.HOST, "")).lower()


def _forwarded(request: web.Request, name: str) -> str:
    """What the nearest proxy says, "" without one: the last word, as what comes before may be anybody's."""
    told = request.headers.getall(name, []) if request.app[OPTIONS].proxy else []
    return told[-1].rpartition(",")[2].strip() if told else ""


@web.middleware
async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request through to its route, or raise what is wrong with it."""
    if not _is_ours(_hostname(host(request)), request.app[OPTIONS].names):
        # a page elsewhere whose name was made to point here (DNS rebinding)
        raise web.HTTPMisdirectedRequest(text="this server has another name: see `scraper serve --name`")
    request[WHO] = await asyncio.to_thread(_known, request)  # it may have to wait for the disk
    role = role_of(request)
    if role is None:
        return await handler(request)  # raises 404 or 405
    own = who(request)
    if own.role < role:
        if own.name:
            raise web.HTTPForbidden(text=f"this needs the role {role.word}, you are {own.role.word}")
        raise web.HTTPUnauthorized(text="log in first", headers=BEARER)
    if request.method in UNSAFE and not own.token:
        _same_origin(request)
        if own.session and role > Role.NOBODY:
            await _own_form(request)
    return await handler(request)


def _known(request: web.Request) -> Who:
    """Who asks: by the token in `Authorization: Bearer`, or by the session's cookie."""
    access = request.app[ACCESS]
    kind, _, word = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if kind:
        found = access.token(word.strip()) if kind.lower() == "bearer" else None
        if found is None and role_of(request) != Role.NOBODY:
            raise web.HTTPUnauthorized(
                text="there is no such token, or it has ended",
                headers=BEARER,
            )
        return found or NOBODY
    return access.session(request.cookies.get(cookie(request), "")) or NOBODY


def _hostname(netloc: str) -> str:
    """A Host without its port, "" for what is none: RFC 9110 7.2 has nothing in it but these two."""
    if not netloc.isascii() or any(each in netloc for each in "@/?#\\"):
        return ""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


def _is_ours(name: str, names: frozenset[str]) -> bool:
    """Whether we answer to a name. An address cannot be made to point elsewhere."""
    if name == "localhost" or name in names:
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _same_origin(request: web.Request) -> None:
    """Refuse what a page of another site, or of no site that is known, has sent."""
    origin = request.headers.get(hdrs.ORIGIN, "").lower()
    if origin != f"{scheme(request)}://{host(request)}":
        shown = "no page that is known" if origin in ("", "null") else "another site"
        raise web.HTTPForbidden(text=f"the request was sent by {shown} (Origin): programs use a token")


async def _own_form(request: web.Request) -> None:
    """Refuse what does not have the secret of the session's own forms."""
    given = request.headers.get(HEADER, "")
    if not given and request.content_type == FORM:
        given = (await filled(request)).get(FIELD, "")
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), csrf(request).encode()):
        raise web.HTTPForbidden(text="the form is of an earlier session: load the page again")


async def dress(request: web.Request, response: web.StreamResponse) -> None:
    """Give every answer the fields that keep a browser from doing more than it should."""
    for name, value in FIELDS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = FIELDS["Server"]
    response.headers.setdefault("Cache-Control", "no-store")
    if scheme(request) == "https":
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
