"""What only several jobs together can have wrong: chains, channels, outputs."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..convert import near
from ..outputs.registry import expand
from .job import Job, Server
from .places import Wrong

EACH = "{run}"  # in a path: another file for each run


def fits(server: Server, jobs: Mapping[str, Job]) -> None:
    """Check that what jobs name is there, and that each writes its own files. Raises Wrong (UsageError)."""
    for job in jobs.values():
        for name in job.after:
            if name not in jobs:
                raise Wrong(("jobs", job.name, "after"), f"there is no job {name!r}{near(name, jobs)}")
        for name in job.alerts.to:
            if name not in server.channels:
                there = near(name, server.channels) or f"; there are {', '.join(server.channels) or 'none'}"
                raise Wrong(("jobs", job.name, "alerts", "to"), f"there is no channel {name!r}{there}")
    _no_circle(jobs)
    _own_files(jobs)


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
            elif name not in done:
                path[name] = len(path)
                stack.append((name, True))
                stack += [(each, False) for each in jobs[name].after]


def _own_files(jobs: Mapping[str, Job]) -> None:
    taken: dict[str, str] = {}
    for job in jobs.values():
        for output in job.output:
            if EACH in output.path:
                continue
            path = expand(output.path, {"date": "{date}", "run": EACH, "spider": job.spider})
            path = os.path.abspath(path)
            if path in taken:
                other = "twice" if taken[path] == job.name else f"by job {taken[path]!r} too"
                raise Wrong(("jobs", job.name, "output"), f"{output.path} is written {other}: give another path")
            taken[path] = job.name
