"""Users, tokens, the audit log, what holds for all jobs, and what this is."""

from __future__ import annotations

import asyncio
import platform
import sqlite3
from importlib.metadata import version

from aiohttp import web

from ...errors import UsageError
from ...jobs.access import Role
from ..auth import costly
from ..events import HUB
from ..given import before, filled, word
from ..guard import ACCESS, who
from ..routes import DESK, Routes
from .show import going, onward, show

PAGE = 100
WORDS = ("viewer", "operator", "admin")
PACKAGES = ("scraper", "aiohttp", "selectolax", "msgspec", "cronsim", "jinja2")
SHIPPED = (("htmx", "2.0.11", "0BSD"), ("uPlot", "1.6.32", "MIT"))
routes = Routes()


@routes.get("/settings", Role.VIEWER)
async def about(request: web.Request) -> web.StreamResponse:
    """What this is, how it is, and what holds for all jobs."""
    desk = request.app[DESK]
    return await show(
        request,
        "about.html",
        health=await desk.health(),
        server=await desk.server(),
        packages=[(name, version(name)) for name in PACKAGES],
        shipped=SHIPPED,
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        root=str(desk.root),
        project=str(desk.project),
    )


@routes.get("/settings/audit", Role.OPERATOR)
async def audit(request: web.Request) -> web.StreamResponse:
    """Who did what."""
    job = word(request, "job")
    acts = await request.app[DESK].acts(before(request), PAGE, job)
    older = onward(request, before=acts[-1].id) if len(acts) == PAGE else ""
    return await show(request, "audit.html", acts=acts, older=older, job=job, paged=before(request) is not None)


@routes.get("/settings/users", Role.ADMIN)
async def users(request: web.Request) -> web.StreamResponse:
    """Who may log in, and the tokens of programs."""
    return await _users(request)


async def _users(request: web.Request, *, status: int = 200, **values: str) -> web.StreamResponse:
    access = request.app[ACCESS]
    given = {"made": "", "secret": "", "wrong": "", "of": ""} | values
    return await show(
        request,
        "users.html",
        status=status,
        users=await asyncio.to_thread(access.users),
        tokens=await asyncio.to_thread(access.tokens),
        roles=WORDS,
        **given,
    )


@routes.post("/settings/users", Role.ADMIN)
async def add_user(request: web.Request) -> web.StreamResponse:
    """A new user; the password stands in this answer and nowhere else."""
    form = await filled(request)
    name, role = form.get("name", ""), form.get("role", "")
    try:
        made = await costly(request, request.app[ACCESS].add_user, name, role)
    except UsageError as error:
        return await _users(request, status=400, wrong=str(error), of="user")
    await request.app[DESK].acted(who(request).name, "user", f"{name}: {role}")
    return await _users(request, made=f"The password of {name}", secret=made)


@routes.post("/settings/users/{user}/role", Role.ADMIN)
async def role(request: web.Request) -> web.StreamResponse:
    """Another role for a user."""
    name, chosen = request.match_info["user"], (await filled(request)).get("role", "")
    try:
        await asyncio.to_thread(request.app[ACCESS].set_role, name, chosen)
    except UsageError as error:
        return await _users(request, status=400, wrong=str(error), of="user")
    await request.app[DESK].acted(who(request).name, "user", f"{name}: {chosen}")
    request.app[HUB].recheck()
    raise going("/settings/users", "user")


@routes.post("/settings/users/{user}/password", Role.ADMIN)
async def password(request: web.Request) -> web.StreamResponse:
    """A new password for a user, whose sessions end."""
    name = request.match_info["user"]
    try:
        made = await costly(request, request.app[ACCESS].reset, name)
    except UsageError as error:
        return await _users(request, status=400, wrong=str(error), of="user")
    await request.app[DESK].acted(who(request).name, "password", name)
    request.app[HUB].recheck()
    return await _users(request, made=f"The new password of {name}", secret=made)


@routes.post("/settings/users/{user}/remove", Role.ADMIN)
async def remove_user(request: web.Request) -> web.StreamResponse:
    """Take a user away, with his sessions and tokens."""
    name = request.match_info["user"]
    try:
        await asyncio.to_thread(request.app[ACCESS].remove_user, name)
    except UsageError as error:
        return await _users(request, status=400, wrong=str(error), of="user")
    await request.app[DESK].acted(who(request).name, "remove user", name)
    request.app[HUB].recheck()
    raise going("/settings/users", "user-removed")


@routes.post("/settings/tokens", Role.ADMIN)
async def add_token(request: web.Request) -> web.StreamResponse:
    """A new token; what it is stands in this answer and nowhere else."""
    form, own = await filled(request), who(request)
    name, role_, days = (form.get(key, "").strip() for key in ("name", "role", "days"))
    try:
        if days and not (days.isascii() and days.isdecimal() and len(days) < 6):
            raise UsageError(f"days must be a whole number, not {days[:60]!r}")
        made, token = await asyncio.to_thread(
            request.app[ACCESS].add_token, name, role_, own.name, float(days or 0), owner=own.user
        )
    except UsageError as error:
        return await _users(request, status=400, wrong=str(error), of="token")
    await request.app[DESK].acted(own.name, "token", f"{made.id} {made.name}: {made.role}")
    return await _users(request, made=f"The token {made.name}", secret=token)


@routes.post(r"/settings/tokens/{token:\d{1,15}}/remove", Role.ADMIN)
async def remove_token(request: web.Request) -> web.StreamResponse:
    """A token opens nothing any more."""
    number = int(request.match_info["token"])
    await asyncio.to_thread(request.app[ACCESS].remove_token, number)
    await request.app[DESK].acted(who(request).name, "remove token", str(number))
    request.app[HUB].recheck()
    raise going("/settings/users", "token-removed")
