"""Whether a job goes with its spider. That takes an import of the spider, which runs its author's code.

For a server that is done in a process of its own, with a time limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import site
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..convert import wants
from ..discover import find
from ..errors import Mistakes, ScraperError, UsageError
from ..outputs.registry import check_writable, expand
from ..settings import from_environment, from_files, resolve
from ..spider import REQUIRED, Spider, arguments, check_start
from .declared import SAMPLE
from .job import Job
from .keys import numbered
from .places import Found, Place, Wrong

Environ = Mapping[str, str] | None
ARGUMENT = re.compile(r"argument '(\w+)")
PATIENCE = 30.0  # seconds for the import of a spider
# The same package as ours is to be found, and, by -P, no file of the project that is called like a library.
PACKAGE = str(Path(__file__).resolve().parents[2])
START = "import sys; sys.path[:0] = {!r}; from scraper.jobs.checking import main; main()"


class Argument(msgspec.Struct, frozen=True):
    """An argument of a spider, as a form shows it: `kind` in words, `default` as JSON has it."""

    name: str
    kind: str
    required: bool = False
    default: Any = None
    help: str = ""
    choices: tuple[str, ...] = ()
    secret: bool = False


class Described(msgspec.Struct, frozen=True):
    """A spider, as a form shows it."""

    name: str
    summary: str = ""
    arguments: tuple[Argument, ...] = ()


class Question(msgspec.Struct, frozen=True):
    """What the process is asked: to describe a spider, or to check a job too."""

    project: str
    spider: str
    job: Job | None = None


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong, and its place in the declaration of a job; none for what is no job's."""

    what: str
    place: Place = ()


class Answer(msgspec.Struct, frozen=True):
    """What it says: what is wrong, or how the spider is."""

    wrong: tuple[Fault, ...] = ()
    described: Described | None = None


def check(job: Job, project: Path) -> type[Spider]:
    """See that a job can run: its spider is in the project and takes its arguments, its settings and outputs hold.

    Imports the spider, and gives it. Raises Mistakes (UsageError): all that is wrong, with the job's table and key.
    """
    found, kind = Found(), Spider
    with found, _in(job, "spider"):
        kind = find(job.spider, project)
    found.tell()  # nothing else can be known
    with found, _in(job, "args"):
        _begin(kind, job)
    with found, _in(job, "settings"):
        own = (f"settings of spider {kind.name!r}", dict(kind.settings))
        resolve([from_files(project), own, from_environment(), ("settings", job.settings)])
    for key, output in numbered("output", job.output):
        with found, _in(job, key):
            path = expand(output.path, {**SAMPLE, "spider": kind.name})
            check_writable(str(project / path))
    found.tell()
    return kind


@contextlib.contextmanager
def _in(job: Job, key: str) -> Iterator[None]:
    """Give what is wrong the place of a key: of arguments the one that the text names."""
    try:
        yield
    except UsageError as error:
        each = error.each if isinstance(error, Mistakes) else (error,)
        raise Mistakes([_placed(("jobs", job.name, key), str(one)) for one in each]) from error


def _placed(place: Place, what: str) -> Wrong:
    named = ARGUMENT.search(what) if place[-1] == "args" else None
    return Wrong((*place, named[1]) if named else place, what.removeprefix("settings: "))


async def checked(job: Job, project: Path, *, patience: float = PATIENCE, environ: Environ = None) -> Described:
    """`check` in a process of its own. Raises Mistakes, also when it takes longer than `patience` seconds.

    `environ` is the environment of that process, ours by default.
    """
    try:
        return await _asked(Question(str(project), job.spider, job), patience, environ)
    except Mistakes:
        raise
    except UsageError as error:
        raise Mistakes([Wrong(("jobs", job.name, "spider"), str(error))]) from error


async def described(
    spider: str, project: Path, *, patience: float = PATIENCE, environ: Environ = None
) -> Described:
    """What a spider takes, found out in a process of its own. Raises UsageError."""
    return await _asked(Question(str(project), spider), patience, environ)


def _begin(kind: type[Spider], job: Job) -> None:
    try:
        check_start(kind(**job.args))
    except ScraperError:
        raise
    except Exception as error:
        raise UsageError(f"spider {kind.name!r} cannot be made: {type(error).__name__}: {error}") from error


async def _asked(question: Question, patience: float, environ: Environ) -> Described:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-c",
        START.format([] if PACKAGE in (*site.getsitepackages(), site.getusersitepackages()) else [PACKAGE]),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=question.project,
        env=None if environ is None else dict(environ),
        start_new_session=True,
    )
    what = f"spider {question.spider!r}"
    try:
        async with asyncio.timeout(patience):
            said, _ = await child.communicate(msgspec.json.encode(question))
    except TimeoutError as error:
        raise UsageError(f"{what} takes longer than {patience:g} s to be imported") from error
    finally:
        with contextlib.suppress(ProcessLookupError):  # with all that it has begun
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
    try:
        answer = msgspec.json.decode(said, type=Answer)
    except msgspec.MsgspecError as error:
        raise UsageError(f"{what} ended the process that imported it (exit code {child.returncode})") from error
    if answer.described is None:
        if all(each.place for each in answer.wrong):
            raise Mistakes([Wrong(each.place, each.what) for each in answer.wrong])
        raise UsageError("; ".join(each.what for each in answer.wrong))
    return answer.described


def main() -> None:
    """What the process does: read one question, say one answer. What the spider prints goes nowhere."""
    mine = os.dup(1)
    os.dup2(2, 1)
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    project = Path(question.project)
    try:
        kind = check(question.job, project) if question.job else find(question.spider, project)
        answer = Answer(described=_described(kind))
    except Mistakes as error:
        answer = Answer(wrong=tuple(Fault(each.what, each.place) for each in error.each if isinstance(each, Wrong)))
    except ScraperError as error:
        answer = Answer(wrong=(Fault(str(error)),))
    with os.fdopen(mine, "wb") as out:
        out.write(msgspec.json.encode(answer))
        out.flush()
    os._exit(0)  # whatever threads the spider has begun


def _described(kind: type[Spider]) -> Described:
    summary = (kind.__doc__ or "").strip().partition("\n")[0]
    made = []
    for name, (type_, argument) in arguments(kind).items():
        required = argument.default is REQUIRED
        default = None if required or argument.secret else msgspec.to_builtins(argument.default, enc_hook=str)
        choices = tuple(map(str, argument.choices))
        made.append(Argument(name, wants(type_), required, default, argument.help, choices, argument.secret))
    return Described(kind.name, summary, tuple(made))
