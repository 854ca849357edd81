"""The JSON API about jobs, what applies to all of them, alerts and the audit log."""

from __future__ import annotations

from aiohttp import web

from ..errors import UsageError
from ..jobs.access import Role
from ..words import cut
from .answers import json
from .given import before, body, number, only, text_of, word
from .guard import who
from .routes import DESK, Routes

ROOT = "/api/v1"
JOB = ROOT + "/jobs/{job}"
routes = Routes()


def job(request: web.Request) -> str:
    """The name of the job in the path: it is looked for in the store, and is no path of a file."""
    return request.match_info["job"]


@routes.get(f"{ROOT}/me", Role.VIEWER)
async def me(request: web.Request) -> web.StreamResponse:
    """Who asks, and what he may."""
    own = who(request)
    return json({"name": own.name, "role": own.role.word})


@routes.get(f"{ROOT}/jobs", Role.VIEWER)
async def jobs(request: web.Request) -> web.StreamResponse:
    """All jobs."""
    return json({"jobs": await request.app[DESK].jobs()})


@routes.post(f"{ROOT}/jobs", Role.ADMIN)
async def add(request: web.Request) -> web.StreamResponse:
    """A new job."""
    desk = request.app[DESK]
    kept = await desk.put(await body(request), who(request).name, version=0)
    return json(await desk.job(kept.job.name), 201)


@routes.get(JOB, Role.VIEWER)
async def one(request: web.Request) -> web.StreamResponse:
    """One job."""
    return json(await request.app[DESK].job(job(request)))


@routes.on("PUT", JOB, Role.ADMIN)
async def put(request: web.Request) -> web.StreamResponse:
    """Add or replace a job; with `version` in the query only that version of it."""
    desk, given = request.app[DESK], await body(request)
    if given.setdefault("name", job(request)) != job(request):
        raise UsageError("a job keeps its name: remove it and add another")
    version = number(request, "version", -1)
    kept = await desk.put(given, who(request).name, version=version if version >= 0 else None)
    return json(await desk.job(kept.job.name))


@routes.on("DELETE", JOB, Role.ADMIN)
async def remove(request: web.Request) -> web.StreamResponse:
    """Take a job away."""
    await request.app[DESK].remove(job(request), who(request).name)
    return json({})


@routes.post(f"{JOB}/start", Role.OPERATOR)
async def start(request: web.Request) -> web.StreamResponse:
    """Run a job now."""
    args = only(await body(request), "args").get("args", {})
    if not isinstance(args, dict):
        raise UsageError(f'args must be an object such as {{"shelf": "art"}}, not {cut(repr(args), 60)}')
    return json(await request.app[DESK].start(job(request), who(request).name, args, role=who(request).role), 201)


@routes.post(f"{JOB}/pause", Role.OPERATOR)
async def pause(request: web.Request) -> web.StreamResponse:
    """Plan no more runs of a job."""
    why = text_of(only(await body(request), "why"), "why")
    await request.app[DESK].pause(job(request), why, who(request).name)
    return json(await request.app[DESK].job(job(request)))


@routes.post(f"{JOB}/unpause", Role.OPERATOR)
async def unpause(request: web.Request) -> web.StreamResponse:
    """Plan runs of a job again."""
    await request.app[DESK].unpause(job(request), who(request).name)
    return json(await request.app[DESK].job(job(request)))


@routes.get(f"{JOB}/series", Role.VIEWER)
async def series(request: web.Request) -> web.StreamResponse:
    """The last runs of a job that crawled, for plots."""
    desk = request.app[DESK]
    await desk.job(job(request))
    return json({"runs": await desk.series(job(request), number(request, "limit", 200, least=1, most=500))})


@routes.get(f"{ROOT}/spiders", Role.VIEWER)
async def spiders(request: web.Request) -> web.StreamResponse:
    """The spiders a job can be of."""
    return json({"spiders": await request.app[DESK].spiders()})


@routes.get(f"{ROOT}/spiders/{{spider}}", Role.OPERATOR)
async def spider(request: web.Request) -> web.StreamResponse:
    """A spider with its arguments; its file is imported for it."""
    return json(await request.app[DESK].describe(request.match_info["spider"]))


@routes.get(f"{ROOT}/apply", Role.VIEWER)
async def pending(request: web.Request) -> web.StreamResponse:
    """What applying jobs.toml would change."""
    return json({"changes": await request.app[DESK].pending()})


@routes.post(f"{ROOT}/apply", Role.ADMIN)
async def apply(request: web.Request) -> web.StreamResponse:
    """Apply jobs.toml."""
    return json({"changes": await request.app[DESK].apply(who(request).name)})


@routes.get(f"{ROOT}/server", Role.VIEWER)
async def server(request: web.Request) -> web.StreamResponse:
    """What holds for all jobs."""
    return json(await request.app[DESK].server())


@routes.get(f"{ROOT}/alerts", Role.VIEWER)
async def alerts(request: web.Request) -> web.StreamResponse:
    """Alerts, newest first; with `open=1` those that have not recovered."""
    desk, of = request.app[DESK], word(request, "job")
    if word(request, "open") == "1":
        return json({"alerts": await desk.open_alerts(of)})
    return json({"alerts": await desk.alerts(before(request), _limit(request), of)})


@routes.get(f"{ROOT}/deliveries", Role.OPERATOR)
async def deliveries(request: web.Request) -> web.StreamResponse:
    """Messages to people, newest first; with `failed=1` those that were given up."""
    failed = word(request, "failed") == "1"
    found = await request.app[DESK].deliveries(before(request), _limit(request), given_up=failed)
    return json({"deliveries": found})


@routes.get(f"{ROOT}/audit", Role.OPERATOR)
async def audit(request: web.Request) -> web.StreamResponse:
    """Who did what, newest first."""
    return json({"acts": await request.app[DESK].acts(before(request), _limit(request), word(request, "job"))})


def _limit(request: web.Request) -> int:
    return number(request, "limit", 50, least=1, most=500)
