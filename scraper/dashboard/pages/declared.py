"""jobs.toml: what applying it would change."""

from __future__ import annotations

from aiohttp import web

from ...errors import UsageError
from ...jobs.access import Role
from ...jobs.admission import FILE
from ..guard import who
from ..routes import DESK, Routes
from .show import going, show

routes = Routes()


@routes.get("/declared", Role.VIEWER)
async def declared(request: web.Request) -> web.StreamResponse:
    """The difference between jobs.toml and the jobs as they are."""
    desk = request.app[DESK]
    trouble, changes = "", []
    there = (desk.project / FILE).is_file()
    if there:
        try:
            changes = await desk.pending()
        except UsageError as error:
            trouble = str(error)
    return await show(request, "declared.html", there=there, changes=changes, trouble=trouble, file=FILE)


@routes.post("/declared", Role.ADMIN)
async def apply(request: web.Request) -> web.StreamResponse:
    """Make the jobs what jobs.toml says."""
    await request.app[DESK].apply(who(request).name)
    raise going("/declared", "applied")
