"""All jobs; one job with its history; run now, pause, remove."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ...errors import UsageError
from ...jobs.access import Role
from ...jobs.job import Job
from ...jobs.shown import JobLine
from ..charts import history, spark
from ..fields import FIELDS, texts, toml
from ..given import before, filled, word
from ..guard import who
from ..routes import DESK, Routes
from .show import going, onward, show, zones

JOB = r"/jobs/{job}"
PLOTTED = 200  # runs of a plot
PAGE = 25  # runs of a page of history
routes = Routes()


def name_of(request: web.Request) -> str:
    """The name of the job in the path."""
    return request.match_info["job"]


@routes.get("/", Role.VIEWER)
async def jobs(request: web.Request) -> web.StreamResponse:
    """All jobs."""
    desk, wanted = request.app[DESK], word(request, "search").strip()
    lines = await desk.jobs()
    return await show(
        request,
        "jobs.html",
        jobs=[(line, spark(line.recent)) for line in lines if _fits(line, wanted)],
        number=len(lines),
        search=wanted,
        zones=await zones(request),
        project=desk.project.name,
        spiders=await desk.spiders() if not lines else [],
        trouble=(await desk.health()).trouble,
    )


def _fits(line: JobLine, wanted: str) -> bool:
    """Whether a job is looked for: by its name, spider, group or note."""
    texts = (line.name, line.spider, line.group, line.note)
    return any(wanted.casefold() in text.casefold() for text in texts)


@routes.get(JOB, Role.VIEWER)
async def job(request: web.Request) -> web.StreamResponse:
    """One job."""
    desk, name, older = request.app[DESK], name_of(request), before(request)
    page = await desk.job(name)
    found = await desk.runs(name, (), older, PAGE)
    series = await desk.series(name, PLOTTED)
    return await show(
        request,
        "job.html",
        page=page,
        job=page.job,
        zone=page.job.timezone,
        runs=found.runs,
        older=onward(request, before=found.next) if found.next else "",
        paged=older is not None,
        series=series,
        plots=history(series, page.job.timezone) if len(series) > 1 else "",
        rules=rules(page.job),
    )


def rules(job: Job) -> list[tuple[str, str]]:
    """The alerts of a job, also those it is not to have: (what the form calls it, its value)."""
    given = texts(job)
    return [
        (field.label, {"true": "yes", "false": "no"}.get(given[name], given[name].replace("\n", "; ")))
        for name, field in FIELDS.items()
        if name.startswith("alerts.") and given[name]
    ]


@routes.post(JOB + "/start", Role.OPERATOR)
async def start(request: web.Request) -> web.StreamResponse:
    """Run a job now, with the arguments that the form may have as TOML."""
    form = await filled(request)
    own, args = who(request), table(form.get("args", ""))
    run = await request.app[DESK].start(name_of(request), own.name, args, role=own.role)
    raise going(f"/runs/{run.id}", "started")


@routes.post(JOB + "/pause", Role.OPERATOR)
async def pause(request: web.Request) -> web.StreamResponse:
    """Plan no more runs of a job."""
    form = await filled(request)
    await request.app[DESK].pause(name_of(request), form.get("why", "")[:500], who(request).name)
    raise going(_back(request), "paused")


@routes.post(JOB + "/unpause", Role.OPERATOR)
async def unpause(request: web.Request) -> web.StreamResponse:
    """Plan runs of a job again."""
    await request.app[DESK].unpause(name_of(request), who(request).name)
    raise going(_back(request), "unpaused")


@routes.post(JOB + "/remove", Role.ADMIN)
async def remove(request: web.Request) -> web.StreamResponse:
    """Take a job away."""
    await request.app[DESK].remove(name_of(request), who(request).name)
    raise going("/", "removed")


def _back(request: web.Request) -> str:
    """To the list where the form stood there, else to the job."""
    return "/" if request.query.get("from") == "list" else f"/jobs/{request.rel_url.parts[2]}"


def table(text: str) -> dict[str, Any]:
    """Lines of `name = value` as jobs.toml has them. Raises UsageError."""
    try:
        return toml(text)
    except UsageError as error:
        raise UsageError(f'must be lines such as shelf = "art": {error}') from error
