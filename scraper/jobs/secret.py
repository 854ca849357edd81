"""What may be secret in a job, kept from whoever looks at it, and put back when he saves what he was shown.

It is told by its name (`password`, `settings.auth`), by an address with a password in it, or, for an argument, by
its spider, which declares it with `arg(secret=True)`: which these are is in sealed.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from ..identity import USERINFO
from ..settings import CREDENTIALS
from .job import Job
from .record import JobRun

S = TypeVar("S", bound=msgspec.Struct)
HIDDEN = "***"
SECRET = re.compile(r"pass|secret|token|webhook|api_?key|credential|cookie", re.IGNORECASE)
COMMAND = re.compile(r"channels\..+\.command")  # its words, which have tokens in them where a webhook would
OWN = ("args.", "settings.")  # where a value may be of any type
DEEP = 40  # lists and tables in one another; what is in more of them is hidden


class Veil:
    """Hides what is secret in jobs and runs; `declared` are the arguments that each spider says are."""

    def __init__(self, declared: Mapping[str, Collection[str]]) -> None:
        self.declared = declared

    def job(self, job: Job) -> Job:
        """A job with "***" for all that is secret in it."""
        return hidden(job, self.declared.get(job.spider, ()))

    def run(self, run: JobRun) -> JobRun:
        """A planned run as others than the runner see it: its arguments hidden like those of its job."""
        return replace(run, args=self._args(run.spider, run.args)) if run.args else run

    def record(self, spider: str, info: Mapping[str, Any]) -> dict[str, Any]:
        """A run.json, whose crawl may have known less of what is secret than is known now."""
        if not isinstance(info, Mapping):  # somebody else has written it
            return {}
        args = info.get("arguments")
        return {**info, "arguments": self._args(spider, args)} if isinstance(args, Mapping) else {**info}

    def _args(self, spider: str, args: Mapping[str, Any]) -> Any:
        return _hidden(args, "args", self.declared.get(spider, ()))


def sealed(run: JobRun) -> JobRun:
    """A planned run with "***" for every argument, for where nobody can be asked which are secret."""
    return replace(run, args=dict.fromkeys(run.args, HIDDEN)) if run.args else run


def hidden(value: S, declared: Collection[str] = ()) -> S:
    """The same with "***" for all that is secret; `declared` are arguments that are so whatever their name."""
    return msgspec.convert(_hidden(msgspec.to_builtins(value), "", declared), type(value))


def _hidden(value: Any, path: str, declared: Collection[str], depth: int = DEEP) -> Any:
    """A list of which something is secret is hidden whole, as it can be put back only whole."""
    if says_so(path, declared):
        return value if value in (None, "") else HIDDEN
    if not depth:
        return HIDDEN
    if isinstance(value, Mapping):
        return {
            key: _hidden(each, f"{path}.{key}" if path else str(key), declared, depth - 1)
            for key, each in value.items()
        }
    if COMMAND.fullmatch(path):
        return [each if not number else HIDDEN for number, each in enumerate(value)]
    loose = path.startswith(OWN)
    if isinstance(value, list | tuple) and loose:
        inner = [_hidden(each, path, declared, depth - 1) for each in value]
        return value if inner == [*value] else HIDDEN
    return HIDDEN if has_secret(path, value) and (loose or isinstance(value, str)) else value


def says_so(path: str, declared: Collection[str]) -> bool:
    """Whether a path is that of an argument, or within one, that its spider declares secret."""
    return bool(declared) and path.startswith("args.") and path.split(".", 2)[1] in declared


def has_secret(path: str, value: Any, declared: Collection[str] = ()) -> bool:
    """Whether a value may not be shown, or not all of it."""
    if says_so(path, declared):
        return value not in (None, "")
    if isinstance(value, bool) or value in (None, ""):
        return False
    if isinstance(value, list | tuple):
        return bool(COMMAND.fullmatch(path)) or any(has_secret(path, each) for each in value)
    if isinstance(value, Mapping):
        return any(has_secret(f"{path}.{key}", each, declared) for key, each in value.items())
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
