"""What people are told of: alerts, and the messages about them."""

from __future__ import annotations

from aiohttp import web

from ...jobs.access import Role
from ..given import before, word
from ..guard import who
from ..routes import DESK, Routes
from .show import onward, show, zones

PAGE = 50
MESSAGES = 20
routes = Routes()


@routes.get("/alerts", Role.VIEWER)
async def alerts(request: web.Request) -> web.StreamResponse:
    """Alerts: those that have not recovered, and earlier ones."""
    desk, job = request.app[DESK], word(request, "job")
    found, standing = await desk.alerts(before(request), PAGE, job), await desk.open_alerts(job)
    known = await zones(request)
    sees = who(request).role >= Role.OPERATOR
    return await show(
        request,
        "alerts.html",
        open=standing,
        alerts=[each for each in found if each.ended],
        deliveries=await desk.deliveries(None, MESSAGES) if sees else [],
        job=job,
        names=sorted(known),
        zones=known,
        older=onward(request, before=found[-1].id) if len(found) == PAGE else "",
        paged=before(request) is not None,
        channels=sorted((await desk.server()).channels),
    )
