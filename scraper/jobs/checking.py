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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..convert import wants
from ..discover import find
from ..errors import Mistakes, ScraperError, UsageError
from ..outputs.registry import check_writable, expand
from ..settings import WILDCARDS, Layer, Settings, from_environment, from_files, resolve
from ..spider import REQUIRED, Spider, arguments, check_start
from .declared import SAMPLE
from .job import Job
from .keys import numbered
from .places import Found, Place, Wrong
from .secret import has_secret

Environ = Mapping[str, str] | None
ARGUMENT = re.compile(r"argument '(\w+)")
COMMON = frozenset({  # header fields that are no secret whatever they say
    "accept", "accept-encoding", "accept-language", "cache-control", "dnt", "origin", "pragma", "referer",
    "user-agent",
})  # fmt: skip
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
    """A spider, as a form shows it. `keeps`: what is secret in a run of it and was not given for that run."""

    name: str
    summary: str = ""
    arguments: tuple[Argument, ...] = ()
    keeps: tuple[str, ...] = ()

    @property
    def declares(self) -> dict[str, dict[str, bool]]:
        """By its name, its arguments and whether each is secret."""
        return {self.name: {each.name: each.secret for each in self.arguments}}


class Question(msgspec.Struct, frozen=True):
    """What the process is asked: to describe a spider, or to check a job too.

    `given` are the arguments that are for one run, which somebody else may give than who made the job.
    """

    project: str
    spider: str
    job: Job | None = None
    given: tuple[str, ...] = ()


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong, and its place in the declaration of a job; none for what is no job's."""

    what: str
    place: Place = ()


class Answer(msgspec.Struct, frozen=True):
    """What it says: what is wrong, or how the spider is."""

    wrong: tuple[Fault, ...] = ()
    described: Described | None = None


class Checks:
    """Checks jobs of one project. What they share is read once: there may be thousands of one spider."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._kinds: dict[str, type[Spider]] = {}
        self._layers: tuple[Layer, Layer] | None = None  # of settings: the files', the environment's

    def check(self, job: Job) -> type[Spider]:
        """See that a job can run: its spider is in the project and takes its arguments, its settings and outputs
        hold.

        Imports the spider, and gives it. Raises Mistakes (UsageError): all that is wrong, with the job's table and
        key.
        """
        found, kind = Found(), Spider
        with found, _in(job, "spider"):
            kind = self._kind(job.spider)
        found.tell()  # nothing else can be known
        with found, _in(job, "args"):
            _begin(kind, job)
        with found, _in(job, "settings"):
            self.settings(kind, job)
        for key, output in numbered("output", job.output):
            with found, _in(job, key):
                path = expand(output.path, {**SAMPLE, "spider": kind.name})
                check_writable(str(self._project / path))
        found.tell()
        return kind

    def _kind(self, spider: str) -> type[Spider]:
        if spider not in self._kinds:
            self._kinds[spider] = find(spider, self._project)
        return self._kinds[spider]

    def settings(self, kind: type[Spider], job: Job) -> Settings:
        """Those that a run of a job has. Raises UsageError."""
        if self._layers is None:
            self._layers = from_files(self._project), from_environment()
        files, environment = self._layers
        own = (f"settings of spider {kind.name!r}", dict(kind.settings))
        return resolve([files, own, environment, ("settings", job.settings)])


def check(job: Job, project: Path) -> type[Spider]:
    """See that one job can run, as `Checks` does. Raises Mistakes (UsageError)."""
    return Checks(project).check(job)


def declares(kind: type[Spider]) -> dict[str, dict[str, bool]]:
    """By the name of a spider, its arguments and whether each is secret."""
    return {kind.name: {name: argument.secret for name, (_, argument) in arguments(kind).items()}}


def keeps(kind: type[Spider], job: Job, project: Path, given: Sequence[str]) -> tuple[str, ...]:
    """What a run has that is secret and is not among the arguments given for it: names of arguments and settings.

    A secret may be the spider's own default, and credentials may be in its settings or those of the project: they
    go where a run begins.
    """
    made, found = _begin(kind, job), []
    for name, (_, argument) in arguments(kind).items():
        value = msgspec.to_builtins(getattr(made, name), enc_hook=str)
        if name not in given and value and (argument.secret or has_secret(f"args.{name}", value)):
            found.append(name)
    settings = Checks(project).settings(kind, job)
    wide = [rule for pattern, rule in settings.hosts.items() if not WILDCARDS.isdisjoint(pattern)]
    if settings.auth or any(rule.auth for rule in wide):
        found.append("settings.auth")
    fields = [settings.headers, *(rule.headers or {} for rule in wide)]
    if {name.lower() for each in fields for name in each} - COMMON:
        found.append("settings.headers")
    return tuple(found)


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


async def checked(
    job: Job, project: Path, *, given: Sequence[str] = (), patience: float = PATIENCE, environ: Environ = None
) -> Described:
    """`check` in a process of its own. Raises Mistakes, also when it takes longer than `patience` seconds.

    `given` are the arguments that are for one run, `environ` is the environment of that process, ours by default.
    """
    try:
        return await _asked(Question(str(project), job.spider, job, tuple(given)), patience, environ)
    except Mistakes:
        raise
    except UsageError as error:
        raise Mistakes([Wrong(("jobs", job.name, "spider"), str(error))]) from error


async def described(
    spider: str, project: Path, *, patience: float = PATIENCE, environ: Environ = None
) -> Described:
    """What a spider takes, found out in a process of its own. Raises UsageError."""
    return await _asked(Question(str(project), spider), patience, environ)


def _begin(kind: type[Spider], job: Job) -> Spider:
    try:
        spider = kind(**job.args)
        check_start(spider)
    except ScraperError:
        raise
    except Exception as error:
        raise UsageError(f"spider {kind.name!r} cannot be made: {type(error).__name__}: {error}") from error
    return spider


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
        job = question.job
        kind = check(job, project) if job else find(question.spider, project)
        kept = keeps(kind, job, project, question.given) if job and question.given else ()
        answer = Answer(described=_described(kind, kept))
    except Mistakes as error:
        answer = Answer(wrong=tuple(Fault(each.what, each.place) for each in error.each if isinstance(each, Wrong)))
    except ScraperError as error:
        answer = Answer(wrong=(Fault(str(error)),))
    with os.fdopen(mine, "wb") as out:
        out.write(msgspec.json.encode(answer))
        out.flush()
    os._exit(0)  # whatever threads the spider has begun


def _described(kind: type[Spider], kept: tuple[str, ...]) -> Described:
    summary = (kind.__doc__ or "").strip().partition("\n")[0]
    made = []
    for name, (type_, argument) in arguments(kind).items():
        required = argument.default is REQUIRED
        default = None if required or argument.secret else msgspec.to_builtins(argument.default, enc_hook=str)
        if has_secret(f"args.{name}", default):
            default = None
        choices = tuple(map(str, argument.choices))
        made.append(Argument(name, wants(type_), required, default, argument.help, choices, argument.secret))
    return Described(kind.name, summary, tuple(made), kept)
