"""What only several jobs together can have wrong: chains, channels, outputs."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from ..convert import among
from ..outputs.registry import expand
from .job import Job
from .keys import numbered
from .places import Found, Wrong

EACH = "{run}"  # in a path: another file for each run


def fits(channels: Collection[str], jobs: Mapping[str, Job], *, others: Collection[str] = ()) -> None:
    """Check that what jobs name is there, and that each writes its own files. Raises Mistakes (UsageError).

    `others` are names of jobs that are there too, of which nothing else is known.
    """
    found = Found()
    known = dict.fromkeys([*jobs, *others])
    for job in jobs.values():
        for name in job.after:
            with found:
                if name not in known:
                    raise Wrong(("jobs", job.name, "after"), f"there is no job {name!r}{among(name, known)}")
        for name in job.alerts.to:
            with found:
                if name not in channels:
                    place = ("jobs", job.name, "alerts", "to")
                    raise Wrong(place, f"there is no channel {name!r}{among(name, channels)}")
    with found:
        _no_circle(jobs)
    _own_files(jobs, found)
    found.tell()


def _no_circle(jobs: Mapping[str, Job]) -> None:
    """Walks each chain once, without recursion: it may be long."""
    done: set[str] = set()
    for first in jobs:
        path: dict[str, int] = {}
        stack = [(first, False)]
        while stack:
            name, left = stack.pop()
            if left:
                done.add(name)
                del path[name]
            elif name in path:
                circle = [*list(path)[path[name] :], name]
                raise Wrong(("jobs", name, "after"), f"jobs would run in a circle: {' after '.join(circle)}")
            elif name in jobs and name not in done:
                path[name] = len(path)
                stack.append((name, True))
                stack += [(each, False) for each in jobs[name].after]


def _own_files(jobs: Mapping[str, Job], found: Found) -> None:
    taken: dict[str, str] = {}
    for job in jobs.values():
        for at, output in numbered("output", job.output):
            if EACH in output.path:
                continue
            path = expand(output.path, {"date": "{date}", "run": EACH, "spider": job.spider})
            path = os.path.abspath(path)
            with found:
                if path in taken:
                    other = "twice" if taken[path] == job.name else f"by job {taken[path]!r} too"
                    raise Wrong(("jobs", job.name, at), f"{output.path} is written {other}: give another path")
            taken.setdefault(path, job.name)
