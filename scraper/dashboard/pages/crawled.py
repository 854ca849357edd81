"""What a run left in its folder: items, requests, log."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ...errors import UsageError
from ...frontier.entries import REASONS, STATES
from ...jobs.access import Role
from ...jobs.shown import RunPage
from ..given import number, run_number, word
from ..routes import DESK, Routes
from ..written import words
from .run import RUN, values
from .show import onward, show, zones

ITEMS, LINES, REQUESTS = 50, 200, 100
COLUMNS = 40  # of a table of items; the others are in the item itself
LEVELS = ("warning", "error")
routes = Routes()


async def of(request: web.Request) -> dict[str, Any]:
    """What every page about a run needs: the run, the zone of its job."""
    page: RunPage = await request.app[DESK].run(run_number(request))
    zone = (await zones(request)).get(page.run.job, "UTC")
    return {"page": page, "run": page.run, "zone": zone}


@routes.get(RUN + "/items", Role.VIEWER)
async def items(request: web.Request) -> web.StreamResponse:
    """Items in a table: the columns are all that these have."""
    about = await of(request)
    at, search = number(request, "at", 0), word(request, "search")
    before = number(request, "before", 0)  # items on the pages before
    found = await request.app[DESK].items(run_number(request), at, ITEMS, search)
    rows = list(zip(found.at, values(found), strict=True))
    names = columns([row for _, row in rows])
    return await show(
        request,
        "items.html",
        **about,
        rows=rows,
        columns=names[:COLUMNS],
        numeric=numeric([row for _, row in rows], names),
        more_columns=max(0, len(names) - COLUMNS),
        before=before,
        counted=not search and (not at or before > 0),
        total=about["run"].items,
        search=search,
        at=at,
        first=onward(request, at=None, before=None),
        next=onward(request, at=found.next, before=before + len(rows)) if found.next is not None else "",
        looked=found.looked,
    )


def columns(rows: list[Any]) -> list[str]:
    """The names that items have, in the order in which they are met."""
    return list(dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row))


def numeric(rows: list[Any], names: list[str]) -> set[str]:
    """The columns that have numbers alone, which stand to the right, their heads too."""
    kinds: dict[str, set[bool]] = {name: set() for name in names}
    for row in rows:
        for name, value in row.items() if isinstance(row, dict) else ():
            kinds[name].add(isinstance(value, int | float) and not isinstance(value, bool))
    return {name for name, found in kinds.items() if found == {True}}


@routes.get(RUN + r"/items/{at:\d{1,15}}", Role.VIEWER)
async def item(request: web.Request) -> web.StreamResponse:
    """One item, whole."""
    at = int(request.match_info["at"])
    found = await request.app[DESK].items(run_number(request), at, 1)
    if found.at != [at]:
        raise web.HTTPNotFound(text=f"no item begins at byte {at} of this run's items")
    return await show(request, "item.html", **await of(request), at=at, item=values(found)[0], next=found.next)


@routes.get(RUN + "/requests", Role.VIEWER)
async def requests(request: web.Request) -> web.StreamResponse:
    """The ledger of a run: counts, a URL explained, requests by what became of them."""
    desk, run, which = request.app[DESK], run_number(request), word(request, "which", "all") or "all"
    about = await of(request)
    url, told, trouble, unknown = request.query.get("url", "").strip(), None, "", ""
    if url:
        try:
            told = await desk.explain(run, url)
        except UsageError as error:
            trouble = str(error)
    ledger, found = await desk.ledger(run), None
    try:
        found = await desk.requests(run, which, number(request, "after", 0), REQUESTS)
    except UsageError as error:
        unknown = str(error)
    return await show(
        request,
        "requests.html",
        **about,
        ledger=ledger,
        total=sum(each.number for each in ledger.counts),
        found=found,
        which=which,
        choices=choices(which),
        url=url[:4000],
        told=told,
        trouble=trouble,
        unknown=unknown,
        next=onward(request, after=found.next) if found is not None and found.next is not None else "",
        first=onward(request, after=None, url=None),
        paged=bool(number(request, "after", 0)),
    )


def choices(which: str) -> list[tuple[str, str]]:
    """What can be chosen of the requests, with how it is called; also what the address asks for beside it."""
    found = [(each, words(each)) for each in STATES]
    found += [(f"failed:{each}", f"failed: {words(each)}") for each in REASONS]
    return found if which in dict(found) else [*found, (which, which)]


@routes.get(RUN + "/log", Role.VIEWER)
async def log(request: web.Request) -> web.StreamResponse:
    """The log of a run: its end, or from some byte on, or what is looked for."""
    about = await of(request)
    search = word(request, "search")
    at = number(request, "at", 0 if search else -1, least=-1)
    found = await request.app[DESK].log(run_number(request), at, LINES, search)
    return await show(
        request,
        "log.html",
        **about,
        lines=[each for each in values(found) if isinstance(each, dict)],
        search=search,
        at=at,
        first=onward(request, at=0),
        next=onward(request, at=found.next) if found.next is not None else "",
        output=await request.app[DESK].output(run_number(request)),
    )
