"""Where a job that comes from a form or the API may write its items; jobs.toml, which is its owner's, may more."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path


def forbidden(path: str, *, project: Path, root: Path, home: Path, spiders: Collection[str]) -> str:
    """Why items must not go to a path, "" where they may: below the project or the output folder `root`.

    Nor do they go to the server's own folder `home`, where a run keeps its own files, or where other programs look
    for what they are to do. `spiders` are the names of all there are.
    """
    place, output = _real(project / path), _real(root)
    parts = next(
        (place.relative_to(each).parts for each in (_real(project), output) if place.is_relative_to(each)), ()
    )
    below = place.relative_to(output).parts if place.is_relative_to(output) else ()
    if not parts:
        return f"{path!r} is outside of the project: jobs.toml may have it, a form not"
    if place.is_relative_to(_real(home)):
        return f"{path!r} is in the folder of the server: give another path"
    if any(part.startswith(".") for part in parts):
        return f"{path!r} is hidden: jobs.toml may have it, a form not"
    if len(below) > 2 and below[0] in (*spiders, "{spider}"):
        return f"{path!r} is in the folder of a run, which keeps its own files there: give another path"
    return ""


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
