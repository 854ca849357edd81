"""The form of a job: its fields, the texts in them, and what these say."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from ..errors import Mistakes, UsageError
from ..jobs.job import CatchUp, Job, Overlap
from ..jobs.places import Found, Wrong, dotted
from ..jobs.toml import job_text
from ..jobs.words import spell

ROWS = 2  # empty rows for outputs
ONLY = (("items", "all items"), ("changes", "what has changed"))
YES_NO = (("true", "yes"), ("false", "no"))


class Field(msgspec.Struct, frozen=True):
    """One field: `name` is the key in jobs.toml; `kind` text, area, choice, list, lines, span, size or number."""

    name: str
    label: str
    kind: str = "text"
    help: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    example: str = ""


class Group(msgspec.Struct, frozen=True):
    """Fields that belong together; `folded` where few people need them."""

    title: str
    fields: tuple[Field, ...]
    folded: bool = True


OVERLAPS = {
    Overlap.SKIP: "skip the new run",
    Overlap.QUEUE_ONE: "let one run wait",
    Overlap.QUEUE_ALL: "let all runs wait",
    Overlap.CANCEL: "end the old run in good order",
    Overlap.KILL: "end the old run at once",
    Overlap.ALLOW: "let both run",
}
CATCH_UPS = {
    CatchUp.NONE: "none of them",
    CatchUp.LATEST: "the latest one",
    CatchUp.ALL: "all of them",
}
WHEN = Group(
    "When it runs",
    (
        Field(
            "schedule",
            "Schedule",
            help="Cron, @daily, or words. Empty: by hand, or after other jobs.",
            example="every day at 08:30",
        ),
        Field("timezone", "Time zone", example="Europe/Berlin"),
    ),
    folded=False,
)
MORE = (
    Group(
        "More about when",
        (
            Field(
                "after",
                "After these jobs",
                "list",
                "It also runs when one of them has finished. Names with commas.",
            ),
            Field("start", "Not before", example="2026-12-01", help="A date or time in its time zone."),
            Field("end", "Not after", example="2027-12-31"),
            Field("blackout", "Never begin in", "lines", "One window a line.", example="sat 00:00-24:00"),
            Field("jitter", "Begin later by up to", "span", example="5 minutes"),
        ),
    ),
    Group(
        "Limits and failures",
        (
            Field(
                "overlap",
                "When the run before is not over",
                "choice",
                choices=tuple((k.value, v) for k, v in OVERLAPS.items()),
            ),
            Field(
                "catch_up",
                "Of runs missed while no server ran, make up for",
                "choice",
                choices=tuple((k.value, v) for k, v in CATCH_UPS.items()),
            ),
            Field("catch_up_within", "Missed at most so long ago", "span", example="1 day"),
            Field("resume", "Go on with an interrupted crawl", "choice", choices=YES_NO),
            Field("retries", "Retries of a failed run", "number"),
            Field("retry_delay", "Wait before the first retry", "span", "Each wait is twice the one before."),
            Field("timeout", "Stop a run after", "span", example="2 hours"),
            Field("memory", "Stop a run that uses more than", "size", example="1 GiB"),
            Field("priority", "Priority", "number", "Higher runs first where runs wait for one another."),
            Field("parallel", "Runs of it at once", "number", "For overlapping runs that are let run."),
            Field("group", "Group", help="Jobs of a group share a limit: they visit the same hosts."),
            Field("keep", "Ended runs to keep", "number", "0 keeps all."),
        ),
    ),
    Group(
        "Alerts",
        (
            Field("alerts.failed", "A run has failed", "choice", choices=YES_NO),
            Field("alerts.items_below", "Fewer items than usual times", "number", "From 0 to 1.", example="0.5"),
            Field("alerts.items_above", "More items than usual times", "number", example="3"),
            Field(
                "alerts.coverage_drop",
                "A field is filled less often by",
                "number",
                "A share from 0 to 1.",
                example="0.2",
            ),
            Field("alerts.error_rate", "More pages fail than", "number", "A share from 0 to 1.", example="0.1"),
            Field("alerts.block_pages", "Hosts begin to refuse us", "choice", choices=YES_NO),
            Field("alerts.longer_than", "A run lasts longer than", "span", example="1 hour"),
            Field("alerts.no_run_in", "No good run for", "span", example="2 days"),
            Field(
                "alerts.to",
                "Tell these channels",
                "list",
                "Names of [channels] in jobs.toml, with commas. Empty: all.",
            ),
            Field("alerts.quiet", "Tell nobody in", "lines", "One window a line.", example="22:00-07:00"),
            Field("alerts.every", "Tell the same at most every", "span"),
        ),
    ),
)
ITEMS = Group(
    "Settings and items",
    (
        Field(
            "settings",
            "Settings of the crawl",
            "area",
            "Lines as in jobs.toml; type scraper settings to see all.",
            example="delay = 1.0",
        ),
        Field(
            "key",
            "Fields that tell items apart",
            "list",
            "With a key each good run is compared with the one before. Names with commas.",
            example="url",
        ),
    ),
    folded=False,
)
GROUPS = (WHEN, ITEMS, *MORE)
FIELDS = {field.name: field for group in GROUPS for field in group.fields}
NAMES = {"name": "Name", "spider": "Spider", "note": "Note"} | {name: each.label for name, each in FIELDS.items()}
FIRST, FOLDED = (
    [each.name for group in GROUPS if group.folded == folded for each in group.fields] for folded in (False, True)
)
ORDER = ("name", "spider", "note", "args", *FIRST, "output", *FOLDED)
OUTPUT_PATH = re.compile(r"output\.\d{1,3}\.path")
OUTPUT = re.compile(r"output(?:\[(\d+)\])?")
DOTS = 1000


def texts(job: Job) -> dict[str, str]:
    """What the fields of a job say, by name; arguments as `args.NAME`, outputs as `output.0.path`."""
    data = msgspec.to_builtins(job)
    found = {"name": job.name, "spider": job.spider, "note": job.note, "settings": _toml(job.settings)}
    for name, field in FIELDS.items():
        if name != "settings":
            table, _, key = name.rpartition(".")
            found[name] = _text((data[table] if table else data)[key], field.kind)
    for name, value in job.args.items():
        found[f"args.{name}"] = argument_text(value)
    for place, output in enumerate(job.output):
        found |= {
            f"output.{place}.path": output.path,
            f"output.{place}.only": output.only,
            f"output.{place}.append": "true" if output.append else "",
        }
    return found


def _toml(table: Mapping[str, Any]) -> str:
    whole = job_text(Job(name="x", spider="x", settings=dict(table)))
    return whole.partition("[jobs.x.settings]\n")[2].strip()


def _text(value: Any, kind: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if kind == "span":
        return spell(value)
    if kind == "size":
        return f"{value} bytes" if value else ""
    if isinstance(value, list | tuple):
        return ("\n" if kind == "lines" else ", ").join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def argument_text(value: Any) -> str:
    """An argument in its field: text as it is, all else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def data(given: Mapping[str, str]) -> tuple[dict[str, Any], list[Wrong]]:
    """What a form says, as `[jobs.NAME]` of jobs.toml has it; what is empty is left out.

    And what of it cannot be read, which is left out too.
    """
    wrong = Found()
    found: dict[str, Any] = {name: given.get(name, "").strip() for name in ("name", "spider", "note")}
    alerts: dict[str, Any] = {}
    for name, field in FIELDS.items():
        text = given.get(name, "").strip()
        if text and name != "settings":
            table, _, key = name.rpartition(".")
            (alerts if table else found)[key] = _value(text, field.kind)
    if alerts:
        found["alerts"] = alerts
    with wrong:
        if text := given.get("settings", "").strip():
            found["settings"] = _table(found["name"], "settings", text)
    with wrong:
        found["args"] = args(found["name"], given)
    found["output"] = [
        {"path": given[f"{root}.path"].strip(), "append": bool(given.get(f"{root}.append"))}
        | ({"only": "changes"} if given.get(f"{root}.only") == "changes" else {})
        for root in rows(given)
    ]
    return found, wrong.each


def _value(text: str, kind: str) -> Any:
    if kind == "list":
        return [word.strip() for word in text.split(",") if word.strip()]
    if kind == "lines":
        return [line.strip() for line in text.splitlines() if line.strip()]
    return text


def _table(job: str, key: str, text: str) -> dict[str, Any]:
    try:
        return toml(text)
    except UsageError as error:
        raise Wrong(("jobs", job, key), f"must be lines such as delay = 1.0: {error}") from error


def toml(text: str) -> dict[str, Any]:
    """TOML that somebody has typed. Raises UsageError.

    Its reader takes memory by the square of the parts of a dotted key: with a key of 250 kB, more than there is.
    """
    if text.count(".") > DOTS:
        raise UsageError(f"more than {DOTS} dots")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of too many digits is a ValueError
        raise UsageError(str(error)) from error


def args(job: str, given: Mapping[str, str]) -> dict[str, Any]:
    """The arguments that a form says, those left empty left out. Raises UsageError."""
    found = {
        name.removeprefix("args."): argument(text)
        for name, text in given.items()
        if name.startswith("args.") and text.strip()
    }
    if text := given.get("args", "").strip():
        found |= _table(job, "args", text)
    return found


def argument(text: str) -> Any:
    """The value of an argument's field: numbers, true and false, lists and tables as JSON has them, else text."""
    plain = text.strip()
    if plain in ("true", "false") or plain[0] in "[{-0123456789":
        try:
            value = msgspec.json.decode(plain)
        except (msgspec.MsgspecError, RecursionError):
            return text
        return value
    return text


def rows(given: Mapping[str, str]) -> list[str]:
    """The names of the rows of outputs that are filled in, in their order: `output.2`."""
    return [name.removesuffix(".path") for name in given if OUTPUT_PATH.fullmatch(name) and given[name].strip()]


def beside(error: UsageError, given: Mapping[str, str], names: Iterable[str]) -> dict[str, list[str]]:
    """What is wrong with a job, by the field that it stands beside: `names` are those of its arguments."""
    known = {*NAMES, *names}
    found: dict[str, list[str]] = {}
    for each in error.each if isinstance(error, Mistakes) else (error,):
        field, what = _field(each, given, known) if isinstance(each, Wrong) else ("", str(each))
        found.setdefault(field, []).append(what)
    return {name: found[name] for name in sorted(found, key=_order)}


def _order(name: str) -> int:
    """Where a field stands on the page: arguments before all groups, outputs before those that are folded."""
    table = name.partition(".")[0]
    return ORDER.index(table if table in ("args", "output") else name) if name else -1


def _field(wrong: Wrong, given: Mapping[str, str], known: Collection[str]) -> tuple[str, str]:
    """(field, what is wrong)."""
    key = wrong.place[2:]
    name = ".".join(key)
    if name in known:
        return name, wrong.what
    if output := OUTPUT.fullmatch(key[0] if key else ""):
        filled = rows(given)
        row = filled[int(output[1] or 0)] if int(output[1] or 0) < len(filled) else "output"
        return row, ": ".join(filter(None, [dotted(key[1:]), wrong.what]))
    if key and key[0] in ("settings", "args"):
        return key[0], f"{wrong.where}: {wrong.what}"
    return "", str(wrong)


def label(name: str) -> str:
    """How a field is called on the page."""
    if name.startswith("output."):
        return f"Output {int(name.removeprefix('output.')) + 1}"
    return NAMES.get(name) or {"args": "Arguments", "output": "Outputs"}.get(name, name.removeprefix("args."))
