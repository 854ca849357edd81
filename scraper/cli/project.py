"""Where a command stands: the project's folder, the spider that a word means, the settings in force."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..discover import FOLDER, find
from ..folder import RunFolder
from ..settings import Layer, Settings, from_environment, from_files, from_pairs, resolve
from ..spider import Spider, check_begun


def project() -> Path:
    """The current folder or the nearest above it that is a project; the current one when none is."""
    here = Path.cwd()
    for place in (here, *here.parents):
        if (place / "scraper.toml").is_file() or (place / FOLDER).is_dir() or _has_table(place / "pyproject.toml"):
            return place
    return here


def _has_table(path: Path) -> bool:
    try:
        return "scraper" in tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError):
        return False


def output_folder(given: str | None) -> Path:
    """Where runs are kept: as given, else `output` of the project; relative to the current folder if it can."""
    folder = Path(given) if given else project() / "output"
    return shown(folder)


def shown(path: Path) -> Path:
    """A path as a person here would write it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path


def run_word(folder: RunFolder) -> str:
    """A run as it is to be typed here: its id where runs are kept by default, else its folder."""
    usual = folder.path.resolve().parent.parent == output_folder(None).resolve()
    return folder.run if usual else shlex.quote(str(shown(folder.path)))


def spider_class(word: str) -> type[Spider]:
    """The spider that a name or `FILE.py` means, imported. Raises UsageError."""
    return find(word, project())


def made(kind: type[Spider], pairs: Iterable[str]) -> Spider:
    """A spider with the arguments of the command line. Raises UsageError."""
    spider = kind(**from_pairs(pairs, "-a")[1])
    check_begun(spider)
    return spider


def layers(
    kind: type[Spider] | None,
    pairs: Iterable[str],
    *,
    log_level: str | None = None,
    own: Mapping[str, Any] | None = None,
) -> list[Layer]:
    """Where settings come from, weakest first, above the defaults; `own` are those of a run. Raises UsageError."""
    found = [from_files(project())]
    if kind is not None:
        found.append((f"settings of spider {kind.name!r}", dict(kind.settings)))
    found += [from_environment(), ("the settings of the run", own or {}), from_pairs(pairs)]
    if log_level:
        found.append(("--log-level", {"log_level": log_level}))
    return found


def settings_of(
    kind: type[Spider] | None,
    pairs: Iterable[str],
    *,
    log_level: str | None = None,
    own: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings in force. Raises UsageError."""
    return resolve(layers(kind, pairs, log_level=log_level, own=own))
