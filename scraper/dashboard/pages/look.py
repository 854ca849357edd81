"""Light or dark, kept in a cookie; and the list of keys."""

from __future__ import annotations

from aiohttp import web

from ...jobs.access import Role
from ..auth import inside
from ..given import filled
from ..guard import scheme
from ..routes import Routes
from ..view import THEME, THEMES
from .show import show

YEAR = 365 * 86400
routes = Routes()


@routes.post("/theme", Role.NOBODY)
async def theme(request: web.Request) -> web.StreamResponse:
    """Choose colours; those of the system when it is neither light nor dark."""
    form = await filled(request)
    chosen = form.get("theme", "")
    answer = web.HTTPSeeOther(inside(form.get("next", "/")))
    if chosen in THEMES:
        answer.set_cookie(
            THEME, chosen, max_age=YEAR, path="/", httponly=True, samesite="Lax", secure=scheme(request) == "https"
        )
    else:
        answer.del_cookie(THEME, path="/")
    raise answer


@routes.get("/keys", Role.VIEWER)
async def keys(request: web.Request) -> web.StreamResponse:
    """The keys that the pages know."""
    return await show(request, "keys.html")
