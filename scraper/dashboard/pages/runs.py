"""All planned runs, newest first."""

from __future__ import annotations

from aiohttp import web

from ...jobs.access import Role
from ...jobs.record import State
from ..given import before, word
from ..routes import DESK, Routes
from .show import onward, show, zones

PAGE = 50
routes = Routes()
# What is asked for together.
GROUPS = {"open": ("queued", "running"), "bad": ("failed", "rule_broken")}


@routes.get("/runs", Role.VIEWER)
async def runs(request: web.Request) -> web.StreamResponse:
    """Runs: of a job, in a state."""
    desk, job, state = request.app[DESK], word(request, "job"), word(request, "state")
    states = GROUPS.get(state, (state,) if state else ())
    found = await desk.runs(job, states, before(request), PAGE)
    known = await zones(request)
    return await show(
        request,
        "runs.html",
        runs=found.runs,
        older=onward(request, before=found.next) if found.next else "",
        paged=before(request) is not None,
        first=onward(request, before=None),
        job=job,
        state=state,
        states=[each.value for each in State],
        names=sorted(known),
        zones=known,
    )
