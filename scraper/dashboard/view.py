"""Pages made from templates. All that goes into one is escaped, wherever it comes from."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import hdrs, web

from .guard import csrf, who

HERE = Path(__file__).parent
FOREVER = "public, max-age=31536000, immutable"
THEME, THEMES = "scraper_theme", ("light", "dark")
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2"}


class Static:
    """The files of static/, in memory: a name that is not among them is no path to anything."""

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, tuple[bytes, str, str]] = {}
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.is_file() and not path.is_symlink():
                data = path.read_bytes()
                kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
                self._files[path.relative_to(folder).as_posix()] = data, kind, hashlib.sha256(data).hexdigest()[:16]

    def address(self, name: str) -> str:
        """Where a file is had, another address for each of its versions. Raises KeyError."""
        return f"/static/{name}?v={self._files[name][2]}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One file; it may be kept for ever where its version was asked for."""
        found = self._files.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound(text="there is no such file")
        data, kind, version = found
        keep = FOREVER if request.query.get("v") == version else "no-cache"
        fields = {hdrs.ETAG: f'"{version}"', hdrs.CACHE_CONTROL: keep, hdrs.CONTENT_TYPE: kind}
        if kind.startswith("text/"):
            fields[hdrs.CONTENT_TYPE] = f"{kind}; charset=utf-8"
        if request.headers.get(hdrs.IF_NONE_MATCH) == f'"{version}"':
            return web.Response(status=304, headers=fields)
        answer = web.Response(body=data, headers=fields)
        if len(data) > 1000 and kind.startswith(("text/", "image/svg")):
            answer.enable_compression()
        return answer


class View:
    """Templates with what every page needs: `who`, `csrf`, `path`, `theme`, and `static(name)`, a file's address.

    `env` is the environment of the templates, for filters and globals.
    """

    def __init__(self, static: Static) -> None:
        self.env = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self.env.globals["static"] = static.address

    def page(self, request: web.Request, template: str, /, *, status: int = 200, **values: Any) -> web.Response:
        """A page of a template and its values."""
        text = self.env.get_template(template).render(
            who=who(request), csrf=csrf(request), path=request.path_qs, theme=theme(request), **values
        )
        return web.Response(text=text, content_type="text/html", status=status)


def theme(request: web.Request) -> str:
    """Which colours were chosen: light, dark, or "" for those of the system."""
    chosen = request.cookies.get(THEME, "")
    return chosen if chosen in THEMES else ""


VIEW: web.AppKey[View] = web.AppKey("view", View)


def page(request: web.Request, template: str, /, *, status: int = 200, **values: Any) -> web.Response:
    """A page of a template and its values, by the view of the request's application."""
    return request.app[VIEW].page(request, template, status=status, **values)
