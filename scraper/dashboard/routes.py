"""The routes of one part of the dashboard, each declared with the role that it needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from aiohttp import web

from ..jobs.access import Role
from ..jobs.desk import Desk

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Routes:
    """Routes in the order in which they were declared; there is no way to declare one without a role."""

    def __init__(self) -> None:
        self._found: list[tuple[str, str, Role, Answer]] = []

    def get(self, path: str, role: Role) -> Callable[[Answer], Answer]:
        """What answers GET (and HEAD)."""
        return self.on("GET", path, role)

    def post(self, path: str, role: Role) -> Callable[[Answer], Answer]:
        """What answers POST."""
        return self.on("POST", path, role)

    def on(self, method: str, path: str, role: Role) -> Callable[[Answer], Answer]:
        """What answers a method."""

        def declared(answer: Answer) -> Answer:
            self._found.append((method, path, role, answer))
            return answer

        return declared

    def __iter__(self) -> Iterator[tuple[str, str, Role, Answer]]:
        return iter(self._found)


DESK: web.AppKey[Desk] = web.AppKey("desk", Desk)
ROLES: web.AppKey[dict[web.AbstractRoute, Role]] = web.AppKey("roles", dict)


def add(app: web.Application, routes: Routes) -> None:
    """Give an application these routes, and remember their roles; GET also answers HEAD."""
    for method, path, role, answer in routes:
        resource = app.router.add_resource(path)
        for each in (method, "HEAD") if method == "GET" else (method,):
            app[ROLES][resource.add_route(each, answer)] = role


def role_of(request: web.Request) -> Role | None:
    """The role that the route of a request needs; None where there is no such page or method."""
    if request.match_info.http_exception is not None:
        return None
    return request.app[ROLES][request.match_info.route]


def check(app: web.Application) -> None:
    """Raise RuntimeError when an application has a route of which nobody knows who may use it."""
    for route in app.router.routes():
        if route not in app[ROLES]:
            raise RuntimeError(f"the route {route.method} {route.resource} has no role")
