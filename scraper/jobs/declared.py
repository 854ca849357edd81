"""Jobs as people declare them: jobs.toml, a form, JSON. What is wrong is told with its place and what is near."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec

from ..convert import Unfit, fit, near
from ..errors import UsageError
from ..outputs.registry import STDOUT, open_output
from ..settings import NAMES, resolve
from ..spider import NAME as SPIDER_NAME
from ..url import BadURL, canonical
from .channels import check_headers
from .difference import Change as Change
from .difference import Declared as Declared
from .difference import difference as difference
from .job import Alerts, Channel, Job, Mail, Output, Overlap, Server
from .places import Place, Wrong, dotted, line_of
from .schedule import Schedule
from .space import limit
from .whole import EACH, fits
from .windows import windows
from .words import duration, size

T = TypeVar("T", bound=msgspec.Struct)
Reader = Callable[[Any, Place], Any]
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
NAMED = "the name of a job must be 1 to 64 letters, digits, '-' or '_', and not begin with '-'"
TABLES = ("server", "groups", "channels", "mail", "jobs")
SYSTEM = ("path", "command")  # texts that are given to the system
DEPTH = 16  # of tables in tables
SAMPLE = {"date": "2000-01-01", "run": "20000101-000000-0000"}
_AT = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$")
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


def read(path: Path) -> Declared:
    """A whole jobs.toml. Raises UsageError that names the file, the line, the table and the key."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = _AT.search(str(error))
        line = f":{said[1]}" if said and said[1] else ""
        raise UsageError(f"{path}{line}: {_AT.sub('', str(error))}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        declared = declared_from(data)
        fits(declared.server, declared.jobs)
    except Wrong as error:
        number = line_of(text, error.place)
        raise UsageError(f"{path}{f':{number}' if number else ''}: {error}") from error
    return declared


def declared_from(data: Mapping[str, Any]) -> Declared:
    """The tables of a jobs.toml, each for itself. Raises Wrong (UsageError)."""
    for name in data:
        if name not in TABLES:
            raise Wrong((name,), f"unknown table{near(name, TABLES)}")
    jobs = _table(data.get("jobs", {}), ("jobs",))
    return Declared(_server(data), {name: _job(name, each) for name, each in jobs.items()})


def job_from(name: str, data: Mapping[str, Any], where: str) -> Job:
    """One job from its keys, wherever they come from: `where` stands before what is wrong. Raises UsageError."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{NAMED}, not {name[:80]!r}" if name else f"{NAMED}; `name` is missing")
    try:
        return _job(name, data)
    except Wrong as error:
        raise UsageError(f"{where}: {error}") from error


def args_from(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of one run of the job `name`, as those of a job may be. Raises UsageError."""
    return _data(data, ("jobs", name, "args"))


def server_from(data: Mapping[str, Any], where: str) -> Server:
    """What holds for all jobs, from the tables server, groups, channels and mail. Raises UsageError."""
    try:
        return _server(data)
    except Wrong as error:
        raise UsageError(f"{where}: {error}") from error


def _job(name: str, data: object) -> Job:
    place = ("jobs", name)
    if not NAME.fullmatch(name):
        raise Wrong(place, NAMED)
    job = _made(Job, data, place, _JOB, name=name)
    if not SPIDER_NAME.fullmatch(job.spider) or job.spider.endswith(".py"):
        raise Wrong((*place, "spider"), f"must be the name of a spider, not {job.spider!r}; see `scraper list`")
    try:
        Schedule.parse(job)
    except UsageError as error:
        key, _, text = str(error).partition(" ")
        name, _, at = key.rstrip(":").partition("[")
        raise Wrong((*place, name), text, f"[{at}" if at else "") from error
    _together(job, place)
    return job


def _together(job: Job, place: Place) -> None:
    """What keys of one job can have wrong only together."""
    if job.parallel > 1 and job.overlap is not Overlap.ALLOW:
        raise Wrong((*place, "parallel"), f'is for overlap = "allow", not for "{job.overlap.value}"')
    for output in job.output:
        if output.only == "changes" and not job.key:
            raise Wrong((*place, "output"), 'only = "changes" needs `key`: the fields that tell items apart')
        if job.parallel > 1 and EACH not in output.path:
            raise Wrong((*place, "output"), f"two runs at once would write {output.path}: put {EACH} into the path")
        _check_output(job, output, (*place, "output"))


def _check_output(job: Job, output: Output, place: Place) -> None:
    if output.path == STDOUT:
        raise Wrong(place, "a job has no standard output: give the path of a file")
    try:
        open_output(output.path, append=output.append, variables={**SAMPLE, "spider": job.spider})
    except UsageError as error:
        raise Wrong(place, str(error)) from error


def _server(data: Mapping[str, Any]) -> Server:
    groups = _table(data.get("groups", {}), ("groups",))
    channels = _table(data.get("channels", {}), ("channels",))
    mail = data.get("mail")
    server = _made(
        Server,
        data.get("server", {}),
        ("server",),
        {"address": _address, "free_space": _room},
        groups={name: _fitted("parallel", each, int, ("groups", name)) for name, each in groups.items()},
        channels={name: _channel(each, ("channels", name)) for name, each in channels.items()},
        mail=None if mail is None else _made(Mail, mail, ("mail",), {}),
    )
    for name, channel in server.channels.items():
        if channel.email and server.mail is None:
            raise Wrong(("channels", name, "email"), "needs the table [mail]: the server that sends it")
    return server


def _channel(data: object, place: Place) -> Channel:
    channel = _made(Channel, data, place, {"webhook": _address})
    ways = [name for name in ("webhook", "email", "command") if getattr(channel, name)]
    if len(ways) != 1:
        raise Wrong(
            place, f"must have exactly one of webhook, email and command, not {' and '.join(ways) or 'none'}"
        )
    for name in ("secret", "headers", "allow_private"):
        if getattr(channel, name) and not channel.webhook:
            raise Wrong((*place, name), "is for a webhook")
    try:
        check_headers(channel.headers)
    except UsageError as error:
        raise Wrong((*place, "headers"), str(error)) from error
    return channel


def _made(kind: type[T], data: object, place: Place, readers: Mapping[str, Reader], **fixed: Any) -> T:
    """A value from a table: each key by its reader, or else by its type."""
    hints = _hints(kind)
    known = [field for field in _fields(kind) if field.name not in fixed]
    names = [field.name for field in known]
    values = dict(fixed)
    for name, value in _table(data, place).items():
        if name not in names:
            hint = near(name, names) or (_elsewhere(name, place) if kind is Job else "")
            raise Wrong((*place, name), f"unknown key{hint}")
        here = (*place, name)
        try:
            values[name] = (
                readers[name](value, here) if name in readers else _fitted(name, value, hints[name], here)
            )
        except Unfit as error:
            raise Wrong(here, str(error), error.path) from error
    for field in known:
        if field.required and not values.get(field.name):
            raise Wrong((*place, field.name), "is missing")
    return kind(**values)


# Found out once: a file may have thousands of jobs.
_hints = cache(get_type_hints)
_fields = cache(msgspec.structs.fields)


def _elsewhere(name: str, place: Place) -> str:
    """The table of a job that has a key of this name."""
    table = "alerts" if name in Alerts.__struct_fields__ else "settings" if name in NAMES else ""
    return f"; it belongs in [{dotted((*place, table))}]" if table else ""


def _table(data: object, place: Place) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        shown = "" if place[0] == "channels" else f", not {data!r}"  # it may be a webhook's address
        raise Wrong(place, f"must be a table{shown}")
    return data


def _fitted(name: str, value: Any, kind: Any, place: Place) -> Any:
    """A value by its type, and, if it is a number, within its bounds."""
    try:
        made = fit(value, kind)
    except Unfit as error:
        raise Wrong(place, str(error), error.path) from error
    if name in SYSTEM:
        _no_nul(made, place)
    if name in RANGES and made is not None:
        least, most = RANGES[name]
        if not least <= made <= most:
            raise Wrong(place, f"must be from {least:,} to {most:,}, not {made:,.12g}")
    return made


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
    for number, word in enumerate(words):
        if not word.strip():
            raise Wrong(place, "must not be empty", f"[{number}]")
        if word in words[:number]:
            raise Wrong(place, f"has {word!r} twice")
    return words


def _windows(value: Any, place: Place) -> tuple[str, ...]:
    """Times of day; a single text is one, as it may have commas."""
    texts: tuple[str, ...] = (value,) if isinstance(value, str) and value else fit(value, tuple[str, ...])
    try:
        windows(texts, place[-1])
    except UsageError as error:
        at, _, text = str(error).removeprefix(place[-1]).partition(" ")
        raise Wrong(place, text, at.rstrip(":")) from error
    return texts


def _room(value: Any, place: Place) -> tuple[str, ...]:
    """Limits of free space; one needs no list, and none at all is "none", 0 or an empty list."""
    if _none(value) or value == 0:
        return ()
    many = isinstance(value, list | tuple)
    texts: tuple[str, ...] = fit(value, tuple[str, ...]) if many else (str(value),)
    for number, text in enumerate(texts):
        try:
            limit(text, 0)
        except Unfit as error:
            raise Wrong(place, f"{error}, or a share such as '5 %'", f"[{number}]" if many else "") from error
    return texts


def _outputs(value: Any, place: Place) -> tuple[Output, ...]:
    """A path, a table, or a list of these."""
    many = value if isinstance(value, list | tuple) else [value] if value else []
    return tuple(_made(Output, {"path": each} if isinstance(each, str) else each, place, {}) for each in many)


def _data(value: Any, place: Place) -> dict[str, Any]:
    """A table of plain data."""
    made: dict[str, Any] = fit(value, dict[str, Any])
    return {name: _plain(each, (*place, str(name))) for name, each in made.items()}


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
    made = _data(value, place)
    for name, each in made.items():
        try:
            resolve([("settings", {name: each})])
        except UsageError as error:
            raise Wrong((*place, name), str(error).removeprefix("settings: ")) from error
    return made


def _address(value: Any, place: Place) -> str:
    text: str = fit(value, str)
    if text:
        try:
            canonical(text)
        except BadURL as error:
            raise Wrong(place, f"must be an address such as https://host/path, not {text!r}") from error
    return text


def _alerts(value: Any, place: Place) -> Alerts:
    return _made(Alerts, value, place, _ALERTS)


_JOB: dict[str, Reader] = {
    "args": _data,
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
