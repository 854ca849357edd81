"""The pages."""

from __future__ import annotations

import jinja2
from aiohttp import web

from ..jobs.access import Role
from .routes import DESK, Routes
from .view import page

routes = Routes()


def prepare(env: jinja2.Environment) -> None:
    """Give the templates their filters."""


@routes.get("/", Role.VIEWER)
async def jobs(request: web.Request) -> web.StreamResponse:
    """All jobs."""
    return page(request, "jobs.html", jobs=await request.app[DESK].jobs())
