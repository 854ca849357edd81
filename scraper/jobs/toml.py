"""A job as TOML, as it would stand in jobs.toml: reading it gives the same job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .job import Alerts, Job, Output
from .places import dotted
from .words import duration, spell

SPANS = frozenset({"catch_up_within", "jitter", "retry_delay", "timeout", "longer_than", "no_run_in", "every"})
TABLES = ("args", "settings", "alerts")  # tables of their own, below the job
ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def job_text(job: Job) -> str:
    """The table of a job and those below it; what is as it is by default is left out."""
    given = _changed(job, Job(name=job.name, spider=""))
    given["alerts"] = _changed(job.alerts, Alerts())
    if "output" in given:
        given["output"] = _outputs(job)
    del given["name"]
    lines = [f"[{dotted(('jobs', job.name))}]"]
    lines += [_line(name, value) for name, value in given.items() if name not in TABLES]
    for table in TABLES:
        if inner := given.get(table):
            lines += ["", f"[{dotted(('jobs', job.name, table))}]"]
            lines += [_line(name, value, own=table != "alerts") for name, value in inner.items()]
    return "\n".join(lines) + "\n"


def _outputs(job: Job) -> Any:
    return short_outputs(msgspec.to_builtins(job.output))


def short_outputs(outputs: Sequence[dict[str, Any]]) -> Any:
    """Outputs as people write them: a path where the rest is as usual, and no list of one."""
    many = [_differing(each) for each in outputs]
    many = [each["path"] if each.keys() == {"path"} else each for each in many]
    return many[0] if len(many) == 1 else many


def _differing(output: dict[str, Any]) -> dict[str, Any]:
    usual = msgspec.to_builtins(Output(""))
    return {name: value for name, value in output.items() if value != usual[name]}


def _changed(made: Job | Alerts, usual: Job | Alerts) -> dict[str, Any]:
    """The fields with another value than the usual one, as plain data; and the name of a job."""
    plain, default = msgspec.to_builtins(made), msgspec.to_builtins(usual)
    return {name: value for name, value in plain.items() if name == "name" or value != default[name]}


def _line(name: str, value: Any, *, own: bool = False) -> str:
    return f"{dotted_key(name)} = {_value(value) if own else value_text(name, value)}"


def value_text(name: str, value: Any) -> str:
    """The value of a key of a job, not of its spider's own `args` and `settings`: a duration in words."""
    if name in SPANS and isinstance(value, int | float):
        said = spell(value)
        return _value(said if duration(said) == value else value)
    return _value(value)


def dotted_key(name: str) -> str:
    """One name of a key, in quotes where TOML wants them."""
    plain = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if plain else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(map(_letter, value)) + '"'
    if isinstance(value, Mapping):
        inner = ", ".join(
            f"{dotted_key(name)} = {_value(each)}" for name, each in value.items() if each is not None
        )
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return repr(value)


def _letter(letter: str) -> str:
    """TOML 1.0: control characters in a basic string are escaped."""
    if letter in ESCAPES:
        return ESCAPES[letter]
    return f"\\u{ord(letter):04x}" if ord(letter) < 32 or ord(letter) == 127 else letter
