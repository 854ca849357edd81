"""Where no job may write, however its output is named: what the server keeps, and what the runs do; and where one
that comes from a form may.

A path is judged by where it leads: through `..`, links and its variables.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from ..errors import UsageError
from ..folder import RUN_ID
from ..outputs.registry import expand
from .job import Job, Output
from .keys import numbered
from .places import Found, Place, Wrong
from .whole import EACH

POINTERS = frozenset({"latest", "current"})  # that a spider's folder has beside its runs


def destination(job: Job, output: Output, project: Path) -> Path:
    """Where an output leads; `{date}` and `{run}` stand for themselves."""
    path = expand(output.path, {"date": "{date}", "run": EACH, "spider": job.spider})
    return Path(os.path.realpath(project / path))


def spare(place: Path, shown: str, root: Path, home: Path, spiders: Collection[str]) -> None:
    """Raise UsageError when a destination is in the server's folder `home`, or a run's below `root`.

    All three are real paths.
    """
    if place.is_relative_to(home):
        raise UsageError(f"{shown!r} is in the folder of the server")
    below = place.relative_to(root).parts if place.is_relative_to(root) else ()
    if len(below) < 2 or below[0] not in spiders:
        return
    if below[1] in POINTERS:
        raise UsageError(f"{shown!r} is a name that the runs of spider {below[0]!r} need")
    if len(below) > 2 and (RUN_ID.fullmatch(below[1]) or below[1].startswith("{")):  # a date looks like one, too
        raise UsageError(f"{shown!r} is in the folder of a run, which keeps its own files there")


def forbidden(job: Job, output: Output, *, project: Path, root: Path, home: Path, spiders: Collection[str]) -> str:
    """Why a job from a form or the API must not have an output, "" where it may: below the project or `root`.

    Nor where other programs look for what they are to do. jobs.toml, which is its owner's, may have these.
    """
    place, path = destination(job, output, project), output.path
    within = [Path(os.path.realpath(each)) for each in (project, root)]
    parts = next((place.relative_to(each).parts for each in within if place.is_relative_to(each)), ())
    if not parts:
        return f"{path!r} is outside of the project: jobs.toml may have it, a form not"
    try:
        spare(place, path, root.resolve(), home.resolve(), spiders)
    except UsageError as error:
        return str(error)
    if any(part.startswith(".") for part in parts):
        return f"{path!r} is hidden: jobs.toml may have it, a form not"
    return ""


class Destinations:
    """Checks the outputs of several jobs of a project, whose runs are kept below `root`, together."""

    def __init__(self, root: Path, home: Path, project: Path, spiders: Collection[str]) -> None:
        self._root = root.resolve()
        self._home = home.resolve()
        self._project = project
        self._spiders = spiders
        self._taken: dict[Path, str] = {}  # by which job

    def check(self, job: Job) -> None:
        """Raise Mistakes when an output is not for a job to write, or another job writes it too."""
        found = Found()
        for at, output in numbered("output", job.output):
            with found:
                self._check(job, output, ("jobs", job.name, at))
        found.tell()

    def _check(self, job: Job, output: Output, where: Place) -> None:
        place = destination(job, output, self._project)
        try:
            spare(place, output.path, self._root, self._home, self._spiders)
        except UsageError as error:
            raise Wrong(where, str(error)) from error
        other = self._taken.setdefault(place, job.name)
        if other != job.name and EACH not in output.path:
            raise Wrong(where, f"{output.path} leads to a file that job {other!r} writes: give another path")
