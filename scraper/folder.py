"""A run is one folder: `<output>/<spider>/<run id>/`, with `current` and `latest` beside it."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from .errors import OutputError, UsageError
from .settings import near

try:
    import fcntl
except ImportError:  # Windows: there a run that died looks like one that runs
    fcntl = None  # type: ignore[assignment]

SCHEMA = 1
RUNNING, FINISHED, FAILED, BROKE_RULE, INTERRUPTED = "running", "finished", "failed", "rule_broken", "interrupted"
ENDED = frozenset({FINISHED, FAILED, BROKE_RULE})


class RunInfo(msgspec.Struct, kw_only=True):
    """What run.json says: which spider with what, when (wall-clock seconds), and how it stands."""

    run: str
    spider: str
    source: str = ""
    arguments: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    started: float = 0.0
    ended: float = 0.0
    state: str = RUNNING
    why: str = ""
    exit_code: int | None = None
    items: int = 0
    pages: int = 0
    failed: int = 0
    outputs: list[str] = []
    schema: int = SCHEMA


class RunFolder:
    """The files of one run. Raises UsageError where the folder cannot be made."""

    def __init__(self, path: Path, *, made_root: bool = False) -> None:
        self.path = path
        self.made_root = made_root  # the folder of all runs came to be with this one

    @classmethod
    def make(cls, root: Path, spider: str, started: float) -> RunFolder:
        """A new folder, named by the time and a few random letters; `current` points at it."""
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(started))
        new = not root.exists()
        path = root / spider / f"{stamp}-{secrets.token_hex(2)}"
        try:
            path.mkdir(parents=True)
            _point(path.parent / "current", path.name)
        except OSError as error:
            raise UsageError(f"cannot make the run folder {path}: {error.strerror}") from error
        return cls(path, made_root=new)

    @property
    def run(self) -> str:
        """The run's id."""
        return self.path.name

    @property
    def items(self) -> Path:
        """The journal of items."""
        return self.path / "items.jsonl"

    @property
    def rejected(self) -> Path:
        """Items that could not be written, with why."""
        return self.path / "rejected.jsonl"

    @property
    def log(self) -> Path:
        """The log as JSON lines."""
        return self.path / "log.jsonl"

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Lock the folder for as long as the run lives: a lock ends with its process, however that ends."""
        held = self._lock()
        try:
            yield
        finally:
            if held is not None:
                os.close(held)

    def held(self) -> bool:
        """Whether a living process holds the folder."""
        if fcntl is None:
            return self.read().state == RUNNING
        held = self._lock()
        if held is not None:
            os.close(held)
        return held is None

    def _lock(self) -> int | None:
        if fcntl is None:
            return None
        folder = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held by another, or a file system without locks
            os.close(folder)
            return None
        return folder

    def write(self, info: RunInfo) -> None:
        """Replace run.json. Raises OutputError."""
        self._replace("run.json", info)

    def write_stats(self, stats: Any) -> None:
        """Replace stats.json."""
        self._replace("stats.json", stats)

    def read(self) -> RunInfo:
        """run.json. Raises UsageError when it is missing or not ours."""
        try:
            return msgspec.json.decode((self.path / "run.json").read_bytes(), type=RunInfo)
        except OSError as error:
            raise UsageError(f"{self.path} is not the folder of a run: {error.strerror}") from error
        except msgspec.MsgspecError as error:
            raise UsageError(f"{self.path / 'run.json'} cannot be read: {error}") from error

    def ended(self) -> bool:
        """Whether it has ended for good; not so when run.json cannot be read."""
        try:
            return self.read().state in ENDED
        except UsageError:
            return False

    def read_stats(self) -> dict[str, Any]:
        """stats.json, {} when the run has none yet."""
        try:
            found: dict[str, Any] = msgspec.json.decode((self.path / "stats.json").read_bytes())
        except (OSError, msgspec.MsgspecError):
            return {}
        return found

    def close(self, info: RunInfo, *, keep: int) -> None:
        """The run has ended: point `latest` at it, and delete the oldest ended runs beyond `keep`."""
        self.write(info)
        if info.state not in ENDED:
            return
        if info.state == FINISHED:
            _point(self.path.parent / "latest", self.run)
        current = self.path.parent / "current"
        with suppress(OSError):
            if current.readlink().name == self.run:
                current.unlink()
        if keep:
            self._prune(keep)

    def discard(self) -> None:
        """Take back a run in which nothing happened."""
        current = self.path.parent / "current"
        with suppress(OSError):
            if current.readlink().name == self.run:
                current.unlink()
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):  # only when they are empty
            self.path.parent.rmdir()
            if self.made_root:
                self.path.parent.parent.rmdir()

    def _prune(self, keep: int) -> None:
        latest = _target(self.path.parent / "latest")
        others = (each for each in runs_of(self.path.parent) if each.run not in (self.run, latest))
        ended = [each for each in others if each.ended()]
        for old in ended[: max(0, len(ended) + 1 - keep)]:
            shutil.rmtree(old.path, ignore_errors=True)

    def _replace(self, name: str, data: Any) -> None:
        beside = self.path / f"{name}.new"
        try:
            beside.write_bytes(msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n")
            beside.replace(self.path / name)
        except OSError as error:
            with suppress(OSError):
                beside.unlink()
            raise OutputError(f"{self.path / name} cannot be written: {error.strerror}") from error


def runs_of(folder: Path) -> list[RunFolder]:
    """The runs of one spider, oldest first."""
    if not folder.is_dir():
        return []
    found = [RunFolder(path) for path in sorted(folder.iterdir()) if not path.is_symlink() and path.is_dir()]
    return [each for each in found if (each.path / "run.json").is_file()]


def all_runs(root: Path) -> Iterator[RunFolder]:
    """Every run below the output folder, spider by spider."""
    if root.is_dir():
        for spider in sorted(path for path in root.iterdir() if path.is_dir()):
            yield from runs_of(spider)


def find(root: Path, name: str) -> RunFolder:
    """A run by its id (or the beginning of it), `SPIDER`, `SPIDER/latest`, or its folder. Raises UsageError.

    `SPIDER` alone is its last finished run, or its newest when none has finished.
    """
    if (Path(name) / "run.json").is_file():
        return RunFolder(Path(name).resolve())
    spider, _, which = name.partition("/")
    if (root / spider).is_dir():
        pointed = root / spider / (which or "latest")
        if (pointed / "run.json").is_file():
            return RunFolder(pointed.resolve())
        if not which and (theirs := runs_of(root / spider)):
            return theirs[-1]
    known = list(all_runs(root))
    matching = [each for each in known if each.run.startswith(name)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UsageError(
            f"{name!r} is the beginning of {len(matching)} runs: {', '.join(e.run for e in matching[:5])}"
        )
    hint = near(name, [each.run for each in known] + [path.name for path in root.glob("*")])
    raise UsageError(f"no run {name!r} in {root}{hint}")


def _point(link: Path, target: str) -> None:
    beside = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
    os.symlink(target, beside)
    beside.replace(link)


def _target(link: Path) -> str:
    try:
        return link.readlink().name
    except OSError:
        return ""
