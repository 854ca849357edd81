"""What a run has changed against the one that it was compared with."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from ...convert import among
from ...errors import UsageError
from ...jobs.access import Role
from ..given import number, run_number, word
from ..routes import DESK, Routes
from .crawled import of
from .run import RUN, values
from .show import onward, show

PAGE = 50
KINDS = ("added", "changed", "removed")
OURS = frozenset({"_change", "_key", "_old", "_why"})
routes = Routes()


class Field(msgspec.Struct, frozen=True):
    """One field of a change: old and new, `had` and `has` whether it was and is there."""

    name: str
    old: Any = None
    new: Any = None
    had: bool = False
    has: bool = False


class Change(msgspec.Struct, frozen=True):
    """One item that was added, changed or removed."""

    what: str
    key: list[tuple[str, Any]]
    fields: list[Field]
    why: str = ""


@routes.get(RUN + "/changes", Role.VIEWER)
async def changes(request: web.Request) -> web.StreamResponse:
    """Items added, changed and removed, with old and new values side by side."""
    about = await of(request)
    kind, search, at = word(request, "kind"), word(request, "search"), number(request, "at", 0)
    if kind and kind not in KINDS:
        raise UsageError(f"there are no changes of the kind {kind!r}{among(kind, KINDS)}")
    wanted = search or (f'"_change":"{kind}"' if kind else "")
    found = await request.app[DESK].changes(run_number(request), at, PAGE, wanted)
    made = [change(each) for each in values(found) if isinstance(each, dict)]
    compared = about["page"].compared
    return await show(
        request,
        "changes.html",
        **about,
        changes=[each for each in made if kind in ("", each.what)],
        compared=compared if isinstance(compared, dict) else {},
        kinds=KINDS,
        kind=kind,
        search=search,
        first=onward(request, at=None),
        paged=at > 0,
        next=onward(request, at=found.next) if found.next is not None else "",
    )


def change(line: dict[str, Any]) -> Change:
    """A line of changes.jsonl."""
    what, key, old = str(line.get("_change", "")), line.get("_key"), line.get("_old")
    keys = key if isinstance(key, dict) else {}
    item = {name: value for name, value in line.items() if name not in OURS}
    if what == "changed" and isinstance(old, dict):
        fields = [_field(name, before, item) for name, before in old.items()]
    elif what == "removed":
        fields = [Field(name, old=value, had=True) for name, value in item.items() if name not in keys]
    else:
        fields = [Field(name, new=value, has=True) for name, value in item.items() if name not in keys]
    return Change(what, list(keys.items()), fields, str(line.get("_why", "")))


def _field(name: str, before: Any, item: dict[str, Any]) -> Field:
    """A field that differs. A value of null was null, or was not there: both are told as none."""
    value: Any = item
    has = True
    if name in item:
        value = item[name]
    else:
        for part in name.split("."):
            has = has and isinstance(value, dict) and part in value
            value = value[part] if has else None
    return Field(name, before, value, had=before is not None, has=has)
