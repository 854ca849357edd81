"""What is declared, whole, and how two of them differ."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

import msgspec

from .job import Channel, Job, Mail, Server
from .secret import HIDDEN, OWN, Veil, has_secret
from .toml import short_outputs, value_text

LONGEST = 60  # characters of a value that are shown
NONE, CHANGED = "(none)", "(changed)"


class Declared(msgspec.Struct, frozen=True):
    """A whole jobs.toml, checked."""

    server: Server = Server()
    jobs: dict[str, Job] = {}


class Differs(msgspec.Struct, frozen=True):
    """One key that has another value: `args.shelf`, from what to what, as jobs.toml has it.

    What may be secret is not shown; `new` is "(changed)" where both would look alike.
    """

    key: str
    old: str
    new: str


class Change(msgspec.Struct, frozen=True):
    """What becomes of one job, or, with no name, of what holds for all of them."""

    what: Literal["add", "change", "remove"]
    job: str
    keys: tuple[Differs, ...] = ()
    note: str = ""


def difference(old: Declared, new: Declared, veil: Veil | None = None) -> list[Change]:
    """What to change to get from one to the other: the server first, then the jobs by name."""
    found = []
    declared = veil.declared if veil is not None else {}
    if keys := _keys(old.server, new.server):
        found.append(Change("change", "", keys))
    for name in sorted(old.jobs.keys() | new.jobs.keys()):
        before, after = old.jobs.get(name), new.jobs.get(name)
        if after is None:
            found.append(Change("remove", name))
        elif before is None:
            found.append(Change("add", name, _keys(_BLANK, after, declared.get(after.spider, ()))))
        elif before != after and (
            keys := _keys(before, after, {*declared.get(before.spider, ()), *declared.get(after.spider, ())})
        ):
            found.append(Change("change", name, keys))
    return found


def text(changes: list[Change]) -> str:
    """Changes for people: `+ shop`, `- old`, `~ news`, and below each its keys; one line when there are none."""
    lines = []
    for change in changes:
        sign = {"add": "+", "change": "~", "remove": "-"}[change.what]
        lines.append(f"{sign} {change.job or 'server'}" + (f"  ({change.note})" if change.note else ""))
        for key in change.keys:
            value = key.new if change.what == "add" else f"{key.old} -> {key.new}"
            lines.append(f"    {key.key}: {value}")
    return "\n".join(lines) or "nothing has changed"


def _keys(old: Job | Server, new: Job | Server, declared: Collection[str] = ()) -> tuple[Differs, ...]:
    before = _BLANK_LEAVES if old is _BLANK else dict(_leaves(msgspec.to_builtins(old)))
    after = dict(_leaves(msgspec.to_builtins(new)))
    names = [*after, *(name for name in before if name not in after)]
    found = []
    for name in names:
        had, has = before.get(name), after.get(name)
        if name != "name" and had != has and not (None in (had, has) and _usual(name, had, has)):
            was, now = _shown(name, had, declared), _shown(name, has, declared)
            found.append(Differs(name, was, now if now != was else CHANGED))
    return tuple(found)


def _usual(name: str, had: Any, has: Any) -> bool:
    """Whether a channel or mail that has come or gone has what nobody wrote at this key."""
    table, _, key = name.partition(".")
    usual = _CHANNEL if table == "channels" else _MAIL if table == "mail" else {}
    return key.rpartition(".")[2] in usual and usual[key.rpartition(".")[2]] == (has if had is None else had)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and (value or not path):
        for key, part in value.items():
            yield from _leaves(part, f"{path}.{key}" if path else str(key))
    elif value not in ({}, None):
        yield path, value


def _shown(name: str, value: Any, declared: Collection[str]) -> str:
    if value in (None, "", [], ()):
        return NONE
    if has_secret(name, value, declared):
        return HIDDEN
    if name == "output":
        value = short_outputs(value)
    said = value_text("" if name.startswith(OWN) else name.rpartition(".")[2], value)
    return said if len(said) <= LONGEST else said[: LONGEST - 3] + "..."


def _defaults(kind: type[msgspec.Struct]) -> dict[str, Any]:
    fields = [each for each in msgspec.structs.fields(kind) if each.default is not msgspec.NODEFAULT]
    return {each.name: each.default for each in fields}


_BLANK = Job(name="", spider="")  # what a job that is added is compared with
_BLANK_LEAVES = dict(_leaves(msgspec.to_builtins(_BLANK)))
_CHANNEL, _MAIL = _defaults(Channel), _defaults(Mail)
