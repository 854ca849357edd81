"""What all pages have in common: what is told after something was done, times in a job's zone, open alerts."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from ...jobs.access import Role
from ..given import word
from ..guard import who
from ..routes import DESK
from ..view import page

# What was done, by the word in the address that the browser is sent on to: nothing else can be shown there.
DONE = {
    "started": "The run is planned; it begins as soon as there is room for it.",
    "paused": "The job is paused: no more runs are planned.",
    "unpaused": "The job goes on: runs are planned again.",
    "saved": "The job is saved.",
    "added": "The job is added.",
    "removed": "The job is removed; its history stays.",
    "cancelled": "The run was asked to end in good order.",
    "killed": "The run is ended at once.",
    "applied": "The jobs are now what jobs.toml says.",
    "user": "The user is saved.",
    "user-removed": "The user is removed, logged out everywhere, and the tokens of that user have ended.",
    "token-removed": "The token opens nothing any more.",
}


async def show(request: web.Request, template: str, /, *, status: int = 200, **values: Any) -> web.Response:
    """A page: with the time, what was just done, how many alerts are open, and what who asks may do."""
    desk, own = request.app[DESK], who(request)
    return page(
        request,
        template,
        status=status,
        now=desk.clock.wall(),
        done=DONE.get(word(request, "done"), ""),
        alarms=len(await desk.open_alerts()),
        may_run=own.role >= Role.OPERATOR,
        may_edit=own.role >= Role.ADMIN,
        **values,
    )


async def zones(request: web.Request) -> dict[str, str]:
    """The time zone of each job."""
    store = request.app[DESK].store
    kept = await asyncio.to_thread(store.jobs)
    return {each.job.name: each.job.timezone for each in kept}


def going(path: str, done: str = "", **query: object) -> web.HTTPSeeOther:
    """Where a form sends the browser on to, with the word for what was done."""
    given = {name: str(value) for name, value in ({"done": done} | query).items() if value}
    return web.HTTPSeeOther(f"{path}?{urlencode(given)}" if given else path)


def onward(request: web.Request, **query: object) -> str:
    """The same page with another query: what is None or "" is left out."""
    given = {name: value for name, value in (dict(request.query) | query).items() if value not in (None, "")}
    given.pop("done", None)
    return f"{request.path}?{urlencode(given, errors='replace')}" if given else request.path
