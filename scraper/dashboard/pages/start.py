"""A run with other arguments than its job's: a form of the spider's arguments, with what is wrong beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from ...errors import UsageError
from ...jobs.access import Role
from ...jobs.desk import NotAllowed
from ...jobs.shown import JobPage
from ..fields import args, argument_text, beside, label
from ..given import filled
from ..guard import who
from ..routes import DESK, Routes
from .form import arguments_of
from .jobs import JOB, name_of
from .show import going, show

routes = Routes()


@routes.get(JOB + "/run", Role.OPERATOR)
async def ask(request: web.Request) -> web.StreamResponse:
    """The form; the fields have the job's own arguments."""
    page = await request.app[DESK].job(name_of(request))
    given = {f"args.{name}": argument_text(value) for name, value in page.job.args.items()}
    return await _form(request, page, given)


@routes.post(JOB + "/run", Role.OPERATOR)
async def run(request: web.Request) -> web.StreamResponse:
    """Run the job now with these; what is left as it is stays the job's own."""
    desk = request.app[DESK]
    page, given = await desk.job(name_of(request)), await filled(request)
    own = page.job.args
    try:
        typed = args(page.job.name, given)
        changed = {name: value for name, value in typed.items() if _text(own, name) != given.get(f"args.{name}")}
        made = await desk.start(page.job.name, who(request).name, changed, role=who(request).role)
    except UsageError as error:
        return await _form(request, page, given, error)
    raise going(f"/runs/{made.id}", "started")


def _text(own: Mapping[str, Any], name: str) -> str | None:
    """What stood in the field of an argument: "***" for a secret one, which stays as it is with that."""
    return argument_text(own[name]) if name in own else None


async def _form(
    request: web.Request, page: JobPage, given: Mapping[str, str], error: UsageError | None = None
) -> web.StreamResponse:
    about, rows, trouble = await arguments_of(request, page.job.spider, given)
    wrong = beside(error, given, [row.name for row in rows]) if error is not None else {}
    status = 200 if error is None else 403 if isinstance(error, NotAllowed) else 400
    shown = {row.name for row in rows}
    return await show(
        request,
        "job_run.html",
        status=status,
        job=page.job,
        about=about,
        spider=page.job.spider,
        rows=rows,
        given=given,
        trouble=trouble,
        wrong={name: texts for name, texts in wrong.items() if name in shown},
        labels={name: label(name) for name in wrong},
        other=[text for name, texts in wrong.items() if name not in shown for text in texts],
    )
