"""A new job, and a job to be changed: the form, with what is wrong beside its fields."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from aiohttp import web

from ...errors import Mistakes, UsageError
from ...jobs import secret
from ...jobs.access import Role
from ...jobs.checking import Described
from ...jobs.desk import Conflict
from ...jobs.job import Job
from ...jobs.places import Wrong
from ...jobs.record import Kept
from ..fields import GROUPS, ONLY, ROWS, argument_text, beside, data, label, texts
from ..given import filled, word
from ..guard import who
from ..routes import DESK, Routes
from .jobs import JOB, name_of
from .show import going, show

MOST_OUTPUTS = 50
routes = Routes()


class Row(msgspec.Struct, frozen=True):
    """The field of an argument."""

    name: str
    label: str
    kind: str  # text, choice, secret
    wants: str
    help: str = ""
    required: bool = False
    default: str = ""
    choices: tuple[tuple[str, str], ...] = ()


@routes.get("/new-job", Role.ADMIN)
async def new(request: web.Request) -> web.StreamResponse:
    """The form of a new job."""
    given = texts(Job(name="", spider=word(request, "spider")))
    return await _form(request, given, version=0)


@routes.get(JOB + "/edit", Role.ADMIN)
async def edit(request: web.Request) -> web.StreamResponse:
    """The form of a job; one of jobs.toml is changed there."""
    page = await request.app[DESK].job(name_of(request))
    if page.line.source == "file":
        return await show(request, "job_of_file.html", page=page, job=page.job)
    return await _form(request, texts(page.job), version=page.line.version, old=page.job.name)


@routes.post("/new-job", Role.ADMIN)
async def add(request: web.Request) -> web.StreamResponse:
    """Add a job."""
    return await _save(request, "")


@routes.post(JOB + "/edit", Role.ADMIN)
async def save(request: web.Request) -> web.StreamResponse:
    """Change a job, if nobody has changed it meanwhile."""
    page = await request.app[DESK].job(name_of(request))
    if page.line.source == "file":
        raise UsageError(f"job {page.job.name!r} is declared in jobs.toml: change it there")
    return await _save(request, page.job.name)


@routes.get("/arguments", Role.ADMIN)
async def arguments(request: web.Request) -> web.StreamResponse:
    """The fields of a spider's arguments: a part of the form."""
    spider = word(request, "spider")
    about, trouble = await _described(request, spider)
    rows = _rows(about, {})
    return await show(
        request,
        "job_arguments.html",
        rows=rows,
        given={},
        spider=spider,
        about=about,
        wrong={"spider": [trouble]} if trouble else {},
    )


async def _save(request: web.Request, old: str) -> web.StreamResponse:
    given = await filled(request)
    version = int(given["version"]) if given.get("version", "").isdecimal() else 0
    if old:
        given["name"] = old
    if "choose" in given:
        return await _form(request, given, version=version, old=old)
    try:
        kept = await _put(request, given, version)
    except Conflict as error:
        about = Wrong(("jobs", given["name"], "name"), str(error)) if not old else error
        return await _form(request, given, version=version, old=old, wrong=about, status=409)
    except UsageError as error:
        return await _form(request, given, version=version, old=old, wrong=error, status=400)
    raise going(f"/jobs/{kept.job.name}", "saved" if old else "added")


async def _put(request: web.Request, given: Mapping[str, str], version: int) -> Kept:
    """Keep the job of a form. Raises Mistakes: all that is wrong, also beside what cannot be read."""
    desk = request.app[DESK]
    made, wrong = data(given)
    if not wrong:
        return await desk.put(made, who(request).name, version=version)
    try:
        await desk.admission.checked(made, new=version == 0)
    except Mistakes as error:
        raise Mistakes([*wrong, *error.each]) from error
    raise Mistakes(wrong)


async def _form(
    request: web.Request,
    given: Mapping[str, str],
    *,
    version: int,
    old: str = "",
    wrong: UsageError | None = None,
    status: int = 200,
) -> web.StreamResponse:
    desk, spider = request.app[DESK], given.get("spider", "")
    about, trouble = await _described(request, spider)
    args = _rows(about, given)
    found = beside(wrong, given, [row.name for row in args]) if wrong is not None else {}
    if trouble:
        found.setdefault("spider", [trouble])
    rows = [str(place) for place in range(min(_last_output(given) + ROWS, MOST_OUTPUTS))]
    return await show(
        request,
        "job_form.html",
        status=status,
        given=given,
        wrong=found,
        labels={name: label(name) for name in found},
        old=old,
        version=version,
        spiders=await desk.spiders(),
        spider=spider,
        about=about,
        rows=args,
        groups=GROUPS,
        outputs=rows,
        only=ONLY,
    )


def _last_output(given: Mapping[str, str]) -> int:
    """How many rows for outputs the form needs for those that it has."""
    places = (
        name.split(".")[1]
        for name, text in given.items()
        if name.startswith("output.") and text and name.endswith(".path")
    )
    return max((int(place) + 1 for place in places if place.isdecimal() and len(place) < 4), default=0)


async def _described(request: web.Request, spider: str) -> tuple[Described | None, str]:
    """What a spider takes; or why that is not known."""
    desk = request.app[DESK]
    if spider not in {each.name for each in await desk.spiders()}:
        return None, ""
    try:
        return await desk.describe(spider), ""
    except UsageError as error:
        return None, str(error)


async def arguments_of(
    request: web.Request, spider: str, given: Mapping[str, str]
) -> tuple[Described | None, list[Row], str]:
    """What a spider takes, the fields of its arguments, and why these are not known; its file is imported."""
    about, trouble = await _described(request, spider)
    return about, _rows(about, given), trouble


def _rows(about: Described | None, given: Mapping[str, str]) -> list[Row]:
    """A field for each argument of the spider, and for each that the job has beside them."""
    made = []
    for each in about.arguments if about is not None else ():
        kind, choices = "secret" if each.secret else "text", tuple((text, text) for text in each.choices)
        if each.kind == "true or false":
            choices = (("true", "true"), ("false", "false"))
        if choices:
            kind = "choice"
        default = "" if each.required or each.default is None else argument_text(each.default)
        made.append(
            Row(f"args.{each.name}", each.name, kind, each.kind, each.help, each.required, default, choices)
        )
    known = {row.name for row in made}
    for name in given:
        if name.startswith("args.") and name not in known and given[name]:
            secret_ = secret.is_secret(name)
            made.append(
                Row(
                    name,
                    name.removeprefix("args."),
                    "secret" if secret_ else "text",
                    "",
                    "not known as an argument of this spider",
                )
            )
    return made
