"""One run: while it goes, and what it came to."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from ...jobs.access import Role
from ...jobs.shown import LinesPage, RunPage
from ..charts import course, rates, thinned
from ..given import run_number
from ..guard import who
from ..routes import DESK, Routes
from .show import going, show, zones

RUN = r"/runs/{run:\d{1,15}}"
MOMENTS = 1000
ROWS = 40  # of the table beside the plot
LOG, ITEMS = 50, 10  # lines that are shown while it goes
HOSTS = 200  # of the politeness table
routes = Routes()


@routes.get(RUN, Role.VIEWER)
async def run(request: web.Request) -> web.StreamResponse:
    """One run."""
    desk, number = request.app[DESK], run_number(request)
    page = await desk.run(number)
    known = await zones(request)
    zone = known.get(page.run.job, "UTC")
    moments = _tables(await desk.moments(number, -1, MOMENTS)) if "moments" in page.has else []
    last = moments[-1] if moments else {}
    log = _tables(await desk.log(number, -1, LOG)) if "log" in page.has else []
    items = _tables(await desk.items(number, -1, ITEMS)) if "items" in page.has else []
    return await show(
        request,
        "run.html",
        page=page,
        run=page.run,
        zone=zone,
        there=page.run.job in known,
        last=last,
        kinds=kinds(page, last),
        log=log,
        items=items,
        plots=course(moments, zone),
        moments=thinned(rates(moments), ROWS),
        **summed(page),
        output=await desk.output(number) if "output" in page.has else "",
    )


@routes.post(RUN + "/cancel", Role.OPERATOR)
async def cancel(request: web.Request) -> web.StreamResponse:
    """End a run in good order."""
    await request.app[DESK].cancel(run_number(request), who(request).name)
    raise going(f"/runs/{run_number(request)}", "cancelled")


@routes.post(RUN + "/kill", Role.OPERATOR)
async def kill(request: web.Request) -> web.StreamResponse:
    """End a run at once."""
    await request.app[DESK].kill(run_number(request), who(request).name)
    raise going(f"/runs/{run_number(request)}", "killed")


def values(page: LinesPage) -> list[Any]:
    """The lines as values."""
    return [msgspec.json.decode(line) for line in page.lines]


def _tables(page: LinesPage) -> list[dict[str, Any]]:
    return [each for each in values(page) if isinstance(each, dict)]


def kinds(page: RunPage, last: dict[str, Any]) -> list[tuple[str, str, int]]:
    """(end, reason, number) of what did not end well, the most first; from the last moment while it goes."""
    found = page.stats.get("reasons") if isinstance(page.stats, dict) else None
    found = found if isinstance(found, dict) else last.get("reasons", {})
    made = []
    for name, number in found.items() if isinstance(found, dict) else ():
        end, _, reason = str(name).partition(":")
        if end in ("failed", "retry", "dropped") and isinstance(number, int):
            made.append((end, reason, number))
    return sorted(made, key=lambda each: (each[0] != "failed", -each[2]))


def summed(page: RunPage) -> dict[str, Any]:
    """What stats.json tells, so far as it is what it should be: a file may hold anything."""
    stats = page.stats if isinstance(page.stats, dict) else {}
    errors, hosts, statuses = stats.get("errors"), stats.get("politeness"), stats.get("statuses")
    kept = hosts if isinstance(hosts, dict) else {}
    told = stats["said"] if isinstance(stats.get("said"), list) else []
    polite = [(host, sent) for host, sent in kept.items() if isinstance(sent, dict)]
    return {
        "errors": [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else [],
        "polite": [(host, sent, kept_to(sent)) for host, sent in polite[:HOSTS]],
        "more_hosts": max(0, len(polite) - HOSTS),
        "statuses": statuses if isinstance(statuses, dict) else {},
        "rules": [each for each in map(str, told) if each not in page.run.why],
    }


def kept_to(told: dict[str, Any]) -> bool | None:
    """Whether a host was treated as it was to be; None where that cannot be told."""
    try:
        gap, delay = told.get("least_gap"), float(told.get("delay", 0))
        near = gap is not None and float(gap) < delay
        return not (near or int(told.get("early", 0)) or int(told["most_parallel"]) > int(told["per_host"]))
    except (KeyError, TypeError, ValueError):
        return None
