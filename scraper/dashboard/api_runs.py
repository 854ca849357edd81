"""The JSON API about planned runs and what they left in their folders."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from ..jobs.access import Role
from .answers import json, sent
from .api import ROOT
from .given import before, number, run_number, word
from .guard import BEGUN, who
from .routes import DESK, Routes

RUN = ROOT + r"/runs/{run:\d{1,15}}"
TYPES = {
    "jsonl": "application/jsonl; charset=utf-8", "json": "application/json", "xml": "application/xml",
    "csv": "text/csv; charset=utf-8", "tsv": "text/tab-separated-values; charset=utf-8",
}  # fmt: skip
routes = Routes()


@routes.get(f"{ROOT}/runs", Role.VIEWER)
async def runs(request: web.Request) -> web.StreamResponse:
    """Planned runs, newest first: `job`, `state` (several with commas), `before`, `limit`."""
    states = [each for each in word(request, "state").split(",") if each]
    limit = number(request, "limit", 50, least=1, most=500)
    return json(await request.app[DESK].runs(word(request, "job"), states, before(request), limit))


@routes.get(RUN, Role.VIEWER)
async def one(request: web.Request) -> web.StreamResponse:
    """One planned run."""
    return json(await request.app[DESK].run(run_number(request)))


@routes.post(f"{RUN}/cancel", Role.OPERATOR)
async def cancel(request: web.Request) -> web.StreamResponse:
    """End a run in good order."""
    return json(await request.app[DESK].cancel(run_number(request), who(request).name))


@routes.post(f"{RUN}/kill", Role.OPERATOR)
async def kill(request: web.Request) -> web.StreamResponse:
    """End a run at once."""
    return json(await request.app[DESK].kill(run_number(request), who(request).name))


@routes.get(f"{RUN}/items", Role.VIEWER)
async def items(request: web.Request) -> web.StreamResponse:
    """Items of a run: `at`, `limit`, `search`."""
    return json(await request.app[DESK].items(*_lines(request, 0), word(request, "search")))


@routes.get(f"{RUN}/changes", Role.VIEWER)
async def changes(request: web.Request) -> web.StreamResponse:
    """What has changed against the run that it was compared with: `at`, `limit`, `search`."""
    return json(await request.app[DESK].changes(*_lines(request, 0), word(request, "search")))


@routes.get(f"{RUN}/log", Role.VIEWER)
async def log(request: web.Request) -> web.StreamResponse:
    """Lines of a run's log, by default the last: `at`, `limit`, `search`."""
    return json(await request.app[DESK].log(*_lines(request, -1), word(request, "search")))


@routes.get(f"{RUN}/moments", Role.VIEWER)
async def moments(request: web.Request) -> web.StreamResponse:
    """How a run went while it ran, by default the last moments: `at`, `limit`."""
    return json(await request.app[DESK].moments(*_lines(request, -1, 500)))


@routes.get(f"{RUN}/output", Role.VIEWER)
async def output(request: web.Request) -> web.StreamResponse:
    """The end of what the processes of a run printed."""
    return json({"text": await request.app[DESK].output(run_number(request))})


@routes.get(f"{RUN}/requests", Role.VIEWER)
async def requests(request: web.Request) -> web.StreamResponse:
    """Requests of a run: `which` as `export --requests` has it, `after`, `limit`."""
    which, after = word(request, "which", "failed"), number(request, "after", 0)
    limit = number(request, "limit", 100, least=1, most=500)
    return json(await request.app[DESK].requests(run_number(request), which, after, limit))


@routes.get(f"{RUN}/ledger", Role.VIEWER)
async def ledger(request: web.Request) -> web.StreamResponse:
    """What became of the requests of a run, in numbers."""
    return json(await request.app[DESK].ledger(run_number(request)))


@routes.get(f"{RUN}/explain", Role.VIEWER)
async def explain(request: web.Request) -> web.StreamResponse:
    """What became of the URL `url` in a run, and why."""
    return json(await request.app[DESK].explain(run_number(request), request.query.get("url", "")))


@routes.get(f"{RUN}/items.jsonl", Role.VIEWER)
async def download(request: web.Request) -> web.StreamResponse:
    """All items of a run so far, a line each."""
    async with request.app[DESK].journal(run_number(request)) as (size, parts):
        return await _saved(request, "jsonl", size, parts)


@routes.get(RUN + r"/items.{kind:csv|tsv|json|xml}", Role.VIEWER)
async def export(request: web.Request) -> web.StreamResponse:
    """All items of a run so far in another format."""
    kind = request.match_info["kind"]
    async with request.app[DESK].exported(run_number(request), kind) as (size, parts):
        return await _saved(request, kind, size, parts)


async def _saved(request: web.Request, kind: str, size: int, parts: AsyncIterator[bytes]) -> web.StreamResponse:
    """A file that is saved, as it is read."""
    answer = web.StreamResponse(headers=attached(request, f"items.{kind}", TYPES[kind]))
    answer.content_length = size
    await answer.prepare(request)
    request[BEGUN] = True
    if request.method != "HEAD":
        async for part in parts:
            await sent(request, answer, part)
    await answer.write_eof()
    return answer


def attached(request: web.Request, name: str, kind: str) -> dict[str, str]:
    """The fields of a file that is saved, never shown: what was scraped may be a page with script in it."""
    return {
        "Content-Disposition": f'attachment; filename="run-{run_number(request)}-{name}"',
        "Content-Type": kind,
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }


def _lines(request: web.Request, at: int, limit: int = 50) -> tuple[int, int, int]:
    number_of = number(request, "limit", limit, least=1, most=1000)
    return run_number(request), number(request, "at", at, least=-1), number_of
