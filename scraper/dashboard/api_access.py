"""The JSON API about users and tokens."""

from __future__ import annotations

import asyncio

from aiohttp import web

from ..errors import UsageError
from ..jobs.access import Role
from ..words import cut
from .answers import json
from .api import ROOT
from .auth import costly
from .events import HUB
from .given import body, only, text_of
from .guard import ACCESS, who
from .routes import DESK, Routes

TOKEN = ROOT + r"/tokens/{token:\d{1,15}}"
USER = ROOT + "/users/{user}"
routes = Routes()


@routes.get(f"{ROOT}/tokens", Role.ADMIN)
async def tokens(request: web.Request) -> web.StreamResponse:
    """All tokens, without what they are."""
    return json({"tokens": await asyncio.to_thread(request.app[ACCESS].tokens)})


@routes.post(f"{ROOT}/tokens", Role.ADMIN)
async def add_token(request: web.Request) -> web.StreamResponse:
    """A new token: `name`, `role`, `days` (0: for ever). What it is stands in this answer and nowhere else."""
    given = only(await body(request), "name", "role", "days")
    days = given.get("days", 0)
    if isinstance(days, bool) or not isinstance(days, int | float):
        raise UsageError(f"days must be a number, not {cut(repr(days), 60)}")
    name, role, own = text_of(given, "name"), text_of(given, "role", "viewer"), who(request)
    made, token = await asyncio.to_thread(
        request.app[ACCESS].add_token, name, role, own.name, float(days), owner=own.user
    )
    await request.app[DESK].acted(own.name, "token", f"{made.id} {made.name}: {made.role}")
    return json({"token": token, "made": made}, 201)


@routes.on("DELETE", TOKEN, Role.ADMIN)
async def remove_token(request: web.Request) -> web.StreamResponse:
    """A token opens nothing any more."""
    number = int(request.match_info["token"])
    await asyncio.to_thread(request.app[ACCESS].remove_token, number)
    await request.app[DESK].acted(who(request).name, "remove token", str(number))
    request.app[HUB].recheck()
    return json({})


@routes.get(f"{ROOT}/users", Role.ADMIN)
async def users(request: web.Request) -> web.StreamResponse:
    """All users."""
    return json({"users": await asyncio.to_thread(request.app[ACCESS].users)})


@routes.post(f"{ROOT}/users", Role.ADMIN)
async def add_user(request: web.Request) -> web.StreamResponse:
    """A new user: `name`, `role`. The password stands in this answer and nowhere else."""
    given = only(await body(request), "name", "role")
    name, role = text_of(given, "name"), text_of(given, "role", "viewer")
    word = await costly(request, request.app[ACCESS].add_user, name, role)
    await request.app[DESK].acted(who(request).name, "user", f"{name}: {role}")
    return json({"name": name, "role": role, "password": word}, 201)


@routes.on("PUT", USER, Role.ADMIN)
async def change_user(request: web.Request) -> web.StreamResponse:
    """Another `role` for a user, and at most that for his tokens."""
    name, role = request.match_info["user"], text_of(only(await body(request), "role"), "role")
    await asyncio.to_thread(request.app[ACCESS].set_role, name, role)
    await request.app[DESK].acted(who(request).name, "user", f"{name}: {role}")
    request.app[HUB].recheck()
    return json({"name": name, "role": role})


@routes.on("DELETE", USER, Role.ADMIN)
async def remove_user(request: web.Request) -> web.StreamResponse:
    """Take a user away, with his sessions and tokens."""
    name = request.match_info["user"]
    await asyncio.to_thread(request.app[ACCESS].remove_user, name)
    await request.app[DESK].acted(who(request).name, "remove user", name)
    request.app[HUB].recheck()
    return json({})


@routes.post(f"{USER}/password", Role.ADMIN)
async def reset(request: web.Request) -> web.StreamResponse:
    """A new password for a user, whose sessions end: `password`, or one that is made and stands in the answer."""
    name, given = request.match_info["user"], text_of(only(await body(request), "password"), "password")
    word = await costly(request, request.app[ACCESS].reset, name, given)
    await request.app[DESK].acted(who(request).name, "password", name)
    request.app[HUB].recheck()
    return json({"name": name} if given else {"name": name, "password": word})
