"""The web application of `scraper serve`, put together in one place."""

from __future__ import annotations

from aiohttp import web

from ..jobs.access import Access, Role
from ..jobs.desk import Desk
from . import api, api_access, api_runs, auth, events, health, pages
from .answers import told
from .guard import ACCESS, OPTIONS, Options, dress, guarded
from .requests import LOG, Log, logged
from .routes import DESK, ROLES, Routes, add, check
from .view import HERE, VIEW, Static, View

LARGEST = 256 * 1024  # bytes of what is sent to us


def build(
    desk: Desk,
    access: Access,
    options: Options,
    *,
    web_pages: bool = True,
    log: Log | None = None,
) -> web.Application:
    """The application: pages (unless `web_pages` is false), the API, events, health, metrics.

    `log` is given an entry for each request.

    Raises RuntimeError when a route has no role.
    """
    # from the outside in
    app = web.Application(middlewares=[logged, told, guarded], client_max_size=LARGEST)
    static = Static(HERE / "static")
    app[DESK], app[ACCESS], app[OPTIONS], app[VIEW] = desk, access, options, View(static)
    app[ROLES] = {}
    app[LOG] = log or Log()
    app[auth.LANES] = auth.Lanes()
    for part in (api, api_runs, api_access, events, health):
        add(app, part.routes)
    events.prepare(app)
    health.prepare(app)
    if web_pages:
        files = Routes()
        files.get("/static/{name:.+}", Role.NOBODY)(static.answer)
        pages.prepare(app[VIEW].env)
        for routes in (files, auth.routes, *pages.parts):
            add(app, routes)
    app.on_response_prepare.append(dress)
    check(app)
    return app
