"""The values of the keys of a declaration: each read by what it is, and told with its place where it is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from functools import cache
from typing import Any, TypeVar, get_type_hints

import msgspec

from ..convert import Unfit, among, fit, near
from ..errors import UsageError
from ..settings import NAMES, resolve
from ..url import BadURL, canonical
from ..words import cut
from .job import Alerts, Job, Output
from .places import Found, Place, Wrong, dotted
from .space import limit
from .windows import Window, windows
from .words import duration, size

T = TypeVar("T", bound=msgspec.Struct)
V = TypeVar("V")
Reader = Callable[[Any, Place], Any]
SYSTEM = ("path", "command")  # texts that are given to the system
DEPTH = 16  # of tables in tables
NOTE = 10_000  # characters of a note: all jobs are read at once, and there may be thousands
# name of a number: the least, the most
RANGES = {
    "retries": (0, 1000),
    "parallel": (1, 10_000),
    "priority": (-1_000_000, 1_000_000),
    "keep": (0, 2**31),
    "keep_days": (0, 36_525),
    "port": (1, 65_535),
    "items_below": (0, 1),
    "items_above": (1, 1_000_000),
    "coverage_drop": (0, 1),
    "error_rate": (0, 1),
}


def made(kind: type[T], data: object, place: Place, readers: Mapping[str, Reader], **fixed: Any) -> T:
    """A value from a table. Raises Mistakes: all that is wrong in it."""
    found = Found()
    values = values_of(kind, data, place, readers, found, **fixed)
    found.tell()
    return kind(**values)


def values_of(
    kind: type[msgspec.Struct],
    data: object,
    place: Place,
    readers: Mapping[str, Reader],
    found: Found,
    **fixed: Any,
) -> dict[str, Any]:
    """What is right in a table: each key by its reader, or else by its type. Raises Wrong where it is no table."""
    hints = _hints(kind)
    known = [field for field in _fields(kind) if field.name not in fixed]
    names = [field.name for field in known]
    values = dict(fixed)
    for name, value in table(data, place).items():
        here = (*place, name)
        with found:
            if name not in names:
                elsewhere = "" if near(name, names) or kind is not Job else _elsewhere(name, place)
                raise Wrong(here, f"unknown key{elsewhere or among(name, names)}")
            try:
                read = readers.get(name)
                values[name] = read(value, here) if read else fitted(name, value, hints[name], here)
            except Unfit as error:
                raise Wrong(here, str(error), error.path) from error
    for field in known:
        with found:
            if field.required and not values.get(field.name) and field.name not in found.keys(len(place)):
                raise Wrong((*place, field.name), "is missing")
    return values


# Found out once: a file may have thousands of jobs.
_hints = cache(get_type_hints)
_fields = cache(msgspec.structs.fields)


def _elsewhere(name: str, place: Place) -> str:
    """The table of a job that has a key of this name."""
    table = "alerts" if name in Alerts.__struct_fields__ else "settings" if name in NAMES else ""
    return f"; it belongs in [{dotted((*place, table))}]" if table else ""


def table(data: object, place: Place) -> Mapping[str, Any]:
    """A table, as it is. Raises Wrong where it is none."""
    if not isinstance(data, Mapping):
        shown = "" if place[0] == "channels" else f", not {cut(repr(data), 60)}"  # it may be a webhook's address
        raise Wrong(place, f"must be a table{shown}")
    return data


def fitted(name: str, value: Any, kind: Any, place: Place) -> Any:
    """A value by its type, and, if it is a number, within its bounds."""
    try:
        right = fit(value, kind)
    except Unfit as error:
        raise Wrong(place, str(error), error.path) from error
    if name == "note" and len(right) > NOTE:
        raise Wrong(place, f"must have at most {NOTE:,} characters, not {len(right):,}")
    if name in SYSTEM:
        _no_nul(right, place)
    if name in RANGES and right is not None:
        least, most = RANGES[name]
        if not least <= right <= most:
            raise Wrong(place, f"must be from {least:,} to {most:,}, not {right:,.12g}")
    return right


def _no_nul(value: Any, place: Place) -> None:
    """The system takes it in no path and in no word of a command; the fields of a key are such words."""
    texts = value if isinstance(value, tuple) else (value,)
    for number, text in enumerate(texts):
        if isinstance(text, str) and "\0" in text:
            raise Wrong(place, "must not have a NUL character", f"[{number}]" if texts is value else "")


def _span(value: Any, place: Place) -> float:
    return duration(value)


def _positive_span(value: Any, place: Place) -> float | None:
    seconds = None if _none(value) else duration(value)
    if seconds == 0:
        raise Wrong(place, "must be more than nothing; leave it out for no limit")
    return seconds


def _memory(value: Any, place: Place) -> int | None:
    bytes_ = None if _none(value) else size(value)
    if bytes_ is not None and bytes_ < 2**24:
        raise Wrong(place, f"must be at least 16 MiB, which no crawl stays below, not {value!r}")
    return bytes_


def _none(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in ("", "none"))


def _moment(value: Any, place: Place) -> str:
    """TOML has dates of its own."""
    return value.isoformat() if isinstance(value, date) else str(fit(value, str))


def _words(value: Any, place: Place) -> tuple[str, ...]:
    words: tuple[str, ...] = fit(value, tuple[str, ...])
    _no_nul(words, place)
    found = Found()
    for number, word in enumerate(words):
        with found:
            if not word.strip():
                raise Wrong(place, "must not be empty", f"[{number}]")
            if word in words[:number]:
                raise Wrong(place, f"has {word!r} twice")
    found.tell()
    return words


def _windows(value: Any, place: Place) -> tuple[str, ...]:
    """Times of day; a single text is one, as it may have commas."""
    texts: tuple[str, ...] = (value,) if isinstance(value, str) and value else fit(value, tuple[str, ...])
    found = Found()
    for number, text in enumerate(texts):
        with found:
            try:
                Window.parse(text)
            except Unfit as error:
                raise Wrong(place, f"{text[:60]!r} {error}", f"[{number}]") from error
    found.tell()
    try:
        windows(texts, place[-1])
    except UsageError as error:
        raise Wrong(place, str(error).removeprefix(f"{place[-1]}: ")) from error
    return texts


def room(value: Any, place: Place) -> tuple[str, ...]:
    """Limits of free space; one needs no list, and none at all is "none", 0 or an empty list."""
    if _none(value) or value == 0:
        return ()
    many = isinstance(value, list | tuple)
    texts: tuple[str, ...] = fit(value, tuple[str, ...]) if many else (str(value),)
    found = Found()
    for number, text in enumerate(texts):
        with found:
            try:
                limit(text, 0)
            except Unfit as error:
                raise Wrong(place, f"{error}, or a share such as '5 %'", f"[{number}]" if many else "") from error
    found.tell()
    return texts


def numbered(key: str, many: Sequence[V]) -> list[tuple[str, V]]:
    """Things of one key, each with its name in a place: `output[1]` where there are several."""
    return [(f"{key}[{number}]" if len(many) > 1 else key, each) for number, each in enumerate(many)]


def _outputs(value: Any, place: Place) -> tuple[Output, ...]:
    """A path, a table, or a list of these."""
    many = value if isinstance(value, list | tuple) else [value] if value else []
    found, outputs = Found(), []
    for at, each in numbered(place[-1], many):
        with found:
            outputs.append(made(Output, {"path": each} if isinstance(each, str) else each, (*place[:-1], at), {}))
    found.tell()
    return tuple(outputs)


def data_of(value: Any, place: Place) -> dict[str, Any]:
    """A table of plain data."""
    given: dict[str, Any] = fit(value, dict[str, Any])
    found, plain = Found(), {}
    for name, each in given.items():
        with found:
            plain[name] = _plain(each, (*place, str(name)))
    found.tell()
    return plain


def _plain(value: Any, place: Place, depth: int = DEPTH) -> Any:
    """What JSON and TOML both have, so that a job can be kept and written as either."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if not depth:
        raise Wrong(place[:3], f"has more than {DEPTH} tables in one another")
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise Wrong(place, f"names must be text, not {name!r}")
        return {name: _plain(each, (*place, name), depth - 1) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, place, depth - 1) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise Wrong(place, f"must be a number, not {value}")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise Wrong(place, "must have at most 63 bits")
    if not isinstance(value, str | int | float | bool):
        raise Wrong(place, f"must be text, a number, true or false, a list or a table, not {value!r}")
    return value


def _settings(value: Any, place: Place) -> dict[str, Any]:
    """Settings of a crawl; what its spider sets is not known here."""
    plain, found = data_of(value, place), Found()
    for name, each in plain.items():
        with found:
            try:
                resolve([("settings", {name: each})])
            except UsageError as error:
                raise Wrong((*place, name), str(error).removeprefix("settings: ")) from error
    found.tell()
    return plain


def address(value: Any, place: Place) -> str:
    """A URL, or "" for none."""
    text: str = fit(value, str)
    if text:
        try:
            canonical(text)
        except BadURL as error:
            raise Wrong(place, f"must be an address such as https://host/path, not {text!r}") from error
    return text


def _alerts(value: Any, place: Place) -> Alerts:
    return made(Alerts, value, place, _ALERTS)


JOB: dict[str, Reader] = {
    "args": data_of,
    "settings": _settings,
    "output": _outputs,
    "key": _words,
    "after": _words,
    "alerts": _alerts,
    "blackout": _windows,
    "start": _moment,
    "end": _moment,
    "catch_up_within": _span,
    "jitter": _span,
    "retry_delay": _span,
    "timeout": _positive_span,
    "memory": _memory,
}
_ALERTS: dict[str, Reader] = {
    "to": _words,
    "quiet": _windows,
    "every": _span,
    "longer_than": _positive_span,
    "no_run_in": _positive_span,
}
