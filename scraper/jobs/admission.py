"""Which jobs are let in: those of a form, of the API and of jobs.toml, by what they say, where they write, and what
their spiders say, each in a process of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from ..convert import among
from ..discover import listed
from ..errors import Mistakes, UsageError
from . import secret
from .checking import Described, checked, described
from .declared import job_from, looked, right_of
from .difference import Declared
from .job import Job, Output
from .keys import numbered
from .owned import Destinations, forbidden
from .places import Found, Wrong, lined
from .sealed import Declares
from .serving import secrets
from .store import Jobs, taken

FILE = "jobs.toml"
CHECKS = 2  # spiders imported at once


class Admission:
    """Checks jobs of the spiders of `project`, whose runs are kept below `root`. Nothing is kept here."""

    def __init__(self, store: Jobs, *, root: Path, project: Path) -> None:
        self._store = store
        self._root = root
        self._project = project
        self._path = project / FILE
        self._few = asyncio.Semaphore(CHECKS)

    async def described(self, spider: str) -> Described:
        """A spider of the project with its arguments. Raises UsageError."""
        _registered(spider, await asyncio.to_thread(self._spiders))
        async with self._few:
            return await described(spider, self._project, environ=await asyncio.to_thread(self._environ))

    def declared(self) -> Declared:
        """What jobs.toml says; no spider is asked. Raises Mistakes (UsageError): all that is wrong, by line."""
        declared, wrong = self._looked()
        self._tell(wrong)
        return declared

    async def applied(self) -> tuple[Declared, Declares]:
        """What jobs.toml says, and what the spiders of the jobs that it changes declare.

        Raises Mistakes: all that is wrong, by line.
        """
        declared, wrong = await asyncio.to_thread(self._looked)
        pending = await asyncio.to_thread(self._store.pending, declared)
        changed = [each.job for each in pending if each.what != "remove"]
        checks = (self.check(declared.jobs[name]) for name in changed if name)
        found = Found()
        declares: dict[str, Mapping[str, bool]] = {}
        for each in await asyncio.gather(*checks, return_exceptions=True):
            with found:
                if isinstance(each, BaseException):
                    raise each
                declares |= each.declares
        await asyncio.to_thread(self._tell, [*wrong, *found.each])
        return declared, declares

    async def checked(self, data: Mapping[str, Any], *, new: bool = False) -> tuple[Job, Described]:
        """The job that `put` would keep, and its spider; with `new` there must be none of its name.

        Raises Mistakes.
        """
        name = str(data.get("name", ""))
        try:
            before = msgspec.to_builtins((await asyncio.to_thread(self._store.job, name)).job)
        except UsageError:
            before = {}
        given = secret.restored({key: value for key, value in data.items() if key != "name"}, before)
        found, job, about = Found(), None, None
        with found:
            job = await asyncio.to_thread(job_from, name, given, "")
        asked = job or await asyncio.to_thread(right_of, name, given, found)
        if asked is not None:
            with found:
                about = await self._goes(asked, name, {each["path"] for each in before.get("output", ())})
        if new and before and found.each:  # where nothing else is wrong, the store says so
            found.each.insert(0, Wrong(("jobs", name, "name"), taken(name)))
        found.tell(f"job {name!r}" if name else "job")
        assert job is not None
        assert about is not None
        return job, about

    async def _goes(self, job: Job, name: str, old: Collection[str]) -> Described:
        """See that a form may have such a job, of whose outputs it had the `old` ones; gives its spider.

        Raises Mistakes.
        """
        found, place, about = Found(), ("jobs", name), None
        names = await asyncio.to_thread(self._spiders)
        for at, output in numbered("output", job.output):
            why = "" if output.path in old else await asyncio.to_thread(self._forbidden, job, output, names)
            with found:
                if why:
                    raise Wrong((*place, at), why)
        if found.each:  # nor is it tried whether they can be written
            job = replace(job, output=())
        try:
            _registered(job.spider, names)
            about = await self.check(job)
        except Mistakes as error:
            found.each += [
                Wrong((*place, *each.place[2:]), each.what) for each in error.each if isinstance(each, Wrong)
            ]
        except UsageError as error:
            found.each.append(Wrong((*place, "spider"), str(error)))
        found.tell()
        assert about is not None
        return about

    def _forbidden(self, job: Job, output: Output, spiders: Collection[str]) -> str:
        home = self._store.home
        return forbidden(job, output, project=self._project, root=self._root, home=home, spiders=spiders)

    async def check(self, job: Job, given: Sequence[str] = ()) -> Described:
        """See that its spider takes it, the arguments `given` by who asks for a run; gives the spider.

        As many as are asked for wait for each other. Raises UsageError.
        """
        async with self._few:
            environ = await asyncio.to_thread(self._environ)
            return await checked(job, self._project, given=given, environ=environ)

    def _environ(self) -> dict[str, str]:
        """What the code of a spider may see of our environment."""
        names = set(secrets(self._store.server()))
        return {name: value for name, value in os.environ.items() if name not in names}

    def _looked(self) -> tuple[Declared, list[Wrong]]:
        declared, wrong = looked(self._path)
        found, destinations = Found(), Destinations(self._root, self._store.home, self._project, self._spiders())
        for job in declared.jobs.values():
            with found:
                destinations.check(job)
        return declared, [*wrong, *found.each]

    def _tell(self, wrong: Sequence[Wrong]) -> None:
        if wrong:
            raise Mistakes(lined(self._path, self._path.read_text("utf-8-sig"), wrong))

    def _spiders(self) -> list[str]:
        return [each.name for each in listed(self._project)]


def _registered(spider: str, names: list[str]) -> None:
    """See that it is one by its name: no word of a form is the path of a file to be run. Raises UsageError."""
    if spider not in names:
        raise UsageError(f"there is no spider {spider!r}{among(spider, names)}")
