"""What may be secret in a job, kept from whoever looks at it, and put back when he saves what he was shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from ..identity import USERINFO
from ..settings import CREDENTIALS
from .record import JobRun

S = TypeVar("S", bound=msgspec.Struct)
HIDDEN = "***"
SECRET = re.compile(r"pass|secret|token|webhook|api_?key|credential|cookie", re.IGNORECASE)
COMMAND = re.compile(r"channels\..+\.command")  # its words, which have tokens in them where a webhook would
OWN = ("args.", "settings.")  # where a value may be of any type


def hidden(value: S) -> S:
    """The same with "***" for all that a name says is secret, and for addresses with a password."""
    return msgspec.convert(_hidden(msgspec.to_builtins(value), ""), type(value))


def hidden_run(run: JobRun) -> JobRun:
    """A planned run as others than the runner see it: its arguments hidden like those of its job."""
    return replace(run, args=_hidden(run.args, "args")) if run.args else run


def _hidden(value: Any, path: str) -> Any:
    """A list of which something is secret is hidden whole, as it can be put back only whole."""
    if isinstance(value, Mapping):
        return {key: _hidden(each, f"{path}.{key}" if path else str(key)) for key, each in value.items()}
    if COMMAND.fullmatch(path):
        return [each if not number else HIDDEN for number, each in enumerate(value)]
    loose = path.startswith(OWN)
    if isinstance(value, list | tuple) and loose:
        inner = [_hidden(each, path) for each in value]
        return value if inner == [*value] else HIDDEN
    return HIDDEN if has_secret(path, value) and (loose or isinstance(value, str)) else value


def has_secret(path: str, value: Any) -> bool:
    """Whether a value that is no table may not be shown."""
    if isinstance(value, bool) or value in (None, ""):
        return False
    if isinstance(value, list | tuple):
        return bool(COMMAND.fullmatch(path)) or any(has_secret(path, each) for each in value)
    if isinstance(value, Mapping):
        return any(has_secret(f"{path}.{key}", each) for key, each in value.items())
    if not isinstance(value, str):
        return is_secret(path)
    if path.startswith(OWN) and USERINFO.search(value):
        return True
    return is_secret(path) and not value.startswith("env:")


def is_secret(path: str) -> bool:
    """Whether a name, with the names of what it is in, is one of a secret: `settings.auth`, `args.password`."""
    return bool(SECRET.search(path) or CREDENTIALS.search(path))


def restored(new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """New values with what was there before in the place of each "***"."""
    made: dict[str, Any] = {}
    for key, value in new.items():
        before = old.get(key) if isinstance(old, Mapping) else None
        if isinstance(value, Mapping):
            made[key] = restored(value, before if isinstance(before, Mapping) else {})
        else:
            made[key] = before if value == HIDDEN and before is not None else value
    return made
