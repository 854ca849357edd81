"""What may be secret in a job, kept from whoever looks at it, and put back when he saves what he was shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from ..settings import CREDENTIALS
from .difference import HIDDEN, SECRET

S = TypeVar("S", bound=msgspec.Struct)


def hidden(value: S) -> S:
    """The same with "***" for all that a name says is secret."""
    return msgspec.convert(_hidden(msgspec.to_builtins(value), ""), type(value))


def _hidden(value: Any, path: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _hidden(each, f"{path}.{key}" if path else str(key)) for key, each in value.items()}
    if isinstance(value, str) and value and is_secret(path) and not value.startswith("env:"):
        return HIDDEN
    return value


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
