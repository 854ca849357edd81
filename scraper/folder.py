"""A run is one folder: `<output>/<spider>/<run id>/`, with `current` and `latest` beside it."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from .errors import OutputError, UsageError
from .lock import Lock, lives
from .outputs.registry import STDOUT
from .settings import near

SCHEMA = 2
RUNNING, FINISHED, FAILED, BROKE_RULE, INTERRUPTED = "running", "finished", "failed", "rule_broken", "interrupted"
ENDED = frozenset({FINISHED, FAILED, BROKE_RULE})
RUN_ID = re.compile(r"[0-9][0-9A-Za-z_-]{0,79}")


class Place(msgspec.Struct, frozen=True):
    """An output of a run: its absolute path, or `-`; and whether it adds to what was there before the run."""

    path: str
    append: bool = False


class RunInfo(msgspec.Struct, kw_only=True):
    """What run.json says: which spider with what, when (wall-clock seconds), and how it stands.

    `identity` and `digests` tell two crawls apart (see `scraper.identity`); `starts` counts the processes that
    have worked on the run, `pid` is the last of them.
    """

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
    outputs: list[Place] = []
    identity: str = ""
    digests: dict[str, str] = {}
    starts: int = 1
    pid: int = 0
    planned: bool = False  # its id was given: whoever did so deletes it, and `keep_runs` is not about it
    retried: bool = False  # its failures are being fetched again: only a command that names it goes on with it
    schema: int = SCHEMA


class RunFolder:
    """The files of one run. Raises UsageError where the folder cannot be made."""

    def __init__(self, path: Path, *, made_root: bool = False) -> None:
        self.path = path
        self.made_root = made_root  # the folder of all runs came to be with this one
        self.made = False  # by this object
        self.before: RunInfo | None = None  # what run.json said until this process went on with the run
        self._lock = Lock(path)

    @classmethod
    def make(cls, root: Path, spider: str, started: float, run: str = "") -> RunFolder:
        """A new folder, named by `run` or an id that is made now; `current` points at it.

        One that was named may be there, and empty: its process died before it had said anything.
        """
        new = not root.exists()
        path = root / spider / (checked_id(run) if run else new_id(started))
        try:
            path.mkdir(parents=True, exist_ok=bool(run))
            _point(path.parent / "current", path.name)
            for above in (path.parent, root, root.parent):
                _force(above)
        except OSError as error:
            raise UsageError(f"cannot make the run folder {path}: {error.strerror}") from error
        folder = cls(path, made_root=new)
        folder.made = True
        return folder

    def reopen(self, info: RunInfo) -> None:
        """Go on with this run, which is held and whose record is `info`; `current` points at it again."""
        self.before = self.read()
        info.state, info.ended, info.why, info.exit_code = RUNNING, 0.0, "", None
        info.starts, info.pid, info.schema = info.starts + 1, os.getpid(), SCHEMA
        self.write(info)
        with suppress(OSError):  # a copy of a run may lie where no link can be made
            _point(self.path.parent / "current", self.run)

    @property
    def resumed(self) -> bool:
        """Whether this process goes on with what an earlier one began."""
        return self.before is not None

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

    @property
    def state(self) -> Path:
        """The state of the crawl; without it a run cannot be continued."""
        return self.path / "state.sqlite"

    @property
    def black_box(self) -> Path:
        """What was being worked on, should the process die of it."""
        return self.path / "inflight"

    def cursor(self, name: str) -> Path:
        """Where the cursor of an output is kept: one file for one place, however its path was written."""
        if name == STDOUT:
            return self.path / "outputs" / "stdout"
        digest = hashlib.blake2b(os.fsencode(os.path.realpath(name)), digest_size=8)
        return self.path / "outputs" / digest.hexdigest()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep every other process out for as long as the run lives, as `take` does; it may be taken already."""
        self.take()
        try:
            yield
        finally:
            self.release()

    def take(self) -> None:
        """Lock the folder; a lock ends with its process, however that ends. Raises UsageError when it is held."""
        try:
            self._lock.take()
        except BlockingIOError as error:
            raise UsageError(self.busy()) from error
        except OSError as error:
            raise UsageError(f"{self.path} is not the folder of a run: {error.strerror}") from error

    def release(self) -> None:
        """Let other processes have the run."""
        self._lock.release()

    def held(self) -> bool:
        """Whether a living process holds the folder; where there are no locks, whether run.json says so."""
        try:
            taken = self._lock.taken()
        except OSError:  # it has been deleted just now
            return False
        return self.read().state == RUNNING if taken is None else taken

    def busy(self) -> str:
        """That a living process has the run, and which."""
        try:
            pid = self.read().pid
        except UsageError:
            pid = 0
        who = "this" if pid == os.getpid() else "another"
        return f"run {self.run} is being crawled by {who} process" + (f" (pid {pid})" if lives(pid) else "")

    def write(self, info: RunInfo) -> None:
        """Replace run.json. Raises OutputError."""
        self._replace("run.json", info)

    def write_stats(self, stats: Any) -> None:
        """Replace stats.json."""
        self._replace("stats.json", stats)

    def read(self) -> RunInfo:
        """run.json, of this or an older version. Raises UsageError when it is missing, newer, or not ours."""
        try:
            return _info((self.path / "run.json").read_bytes(), self.run)
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

    def alive(self) -> float:
        """The wall-clock second of its last sign of life: when one of its files was last written."""
        at = 0.0
        with suppress(OSError), os.scandir(self.path) as files:
            for file in files:
                with suppress(OSError):
                    at = max(at, file.stat().st_mtime)
        return at

    def read_stats(self) -> dict[str, Any]:
        """stats.json, {} when the run has none yet."""
        try:
            return msgspec.json.decode((self.path / "stats.json").read_bytes(), type=dict[str, Any])
        except (OSError, msgspec.MsgspecError):
            return {}

    def close(self, info: RunInfo, *, keep: int) -> None:
        """The run has ended: point `latest` at it, and delete the oldest ended runs beyond `keep`."""
        self.write(info)
        if info.state not in ENDED:
            return
        if info.state == FINISHED:
            try:
                _point(self.path.parent / "latest", self.run)
            except OSError as error:
                text = f"{self.path.parent / 'latest'} cannot be pointed at the run: {error.strerror}"
                raise OutputError(f"{text}; the run itself is whole") from error
        current = self.path.parent / "current"
        with suppress(OSError):
            if current.readlink().name == self.run:
                current.unlink()
        if keep and not info.planned:
            self._prune(keep)

    def discard(self) -> None:
        """Take back a run in which nothing happened; one that had been begun before is left as it was."""
        if self.before is not None:
            with suppress(OutputError):
                self.write(self.before)
            self.before = None
        elif self.made:
            self._remove()
        self.release()

    def _remove(self) -> None:
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
        if self.path.parent.name != self.read().spider:
            return  # kept somewhere else by hand
        latest = _target(self.path.parent / "latest")
        others = (each for each in runs_of(self.path.parent) if each.run not in (self.run, latest))
        ended = [each for each in others if each.ended() and not each.read().planned and not each.held()]
        for old in ended[: max(0, len(ended) + 1 - keep)]:
            shutil.rmtree(old.path, ignore_errors=True)

    def _replace(self, name: str, data: Any) -> None:
        beside = self.path / f"{name}.new"
        try:
            with beside.open("wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path / name)
            _force(self.path)
        except OSError as error:
            with suppress(OSError):
                beside.unlink()
            raise OutputError(f"{self.path / name} cannot be written: {error.strerror}") from error


def new_id(started: float) -> str:
    """The id of a run: the time (wall-clock seconds) and a few random letters; what sorts runs is `age`."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(started))}-{secrets.token_hex(2)}"


def checked_id(text: str) -> str:
    """A run's id that was given from outside, which will be the name of a folder. Raises UsageError."""
    if not RUN_ID.fullmatch(text):
        raise UsageError(
            f"{text!r} cannot be the id of a run: a digit, then letters, digits, '-' and '_', 80 at most"
        )
    return text


def _force(folder: Path) -> None:
    """Force the names in a folder to the disk, so that they survive a loss of power."""
    if os.name != "posix":
        return
    try:
        opened = os.open(folder, os.O_RDONLY)
    except PermissionError:  # one above ours, that we may only pass through
        return
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot
            raise
    finally:
        os.close(opened)


def _info(data: bytes, run: str) -> RunInfo:
    """A run's record. Raises UsageError when it is of a newer version, msgspec.MsgspecError when it is none."""
    schema = msgspec.json.decode(data, type=_Version).schema
    if schema > SCHEMA:
        raise UsageError(
            f"run {run} was made by a newer version of scraper (its record has schema {schema}, "
            f"this version knows {SCHEMA}): use that version, or start anew with --fresh"
        )
    if schema == SCHEMA:
        return msgspec.json.decode(data, type=RunInfo)
    old = msgspec.json.decode(data, type=dict[str, Any])  # schema 1: outputs were paths alone
    old["outputs"] = [{"path": path} for path in old.get("outputs", ())]
    return msgspec.convert(old, RunInfo)


class _Version(msgspec.Struct):
    schema: int = 1


def age(folder: RunFolder) -> tuple[float, str]:
    """Sorts runs from the oldest to the newest; ids do not: those of one second are in no order."""
    with suppress(UsageError):
        return folder.read().started, folder.run
    return 0.0, folder.run


def runs_of(folder: Path) -> list[RunFolder]:
    """The runs of one spider, oldest first; one whose record cannot be read comes before all others."""
    found = (RunFolder(path.parent) for path in folder.glob("*/run.json"))
    return sorted((each for each in found if not each.path.is_symlink()), key=age)


def all_runs(root: Path) -> Iterator[RunFolder]:
    """Every run below the output folder, spider by spider."""
    if root.is_dir():
        for spider in sorted(path for path in root.iterdir() if path.is_dir()):
            yield from runs_of(spider)


def find(root: Path, name: str) -> RunFolder:
    """A run by its id (or the beginning of it), `SPIDER`, `SPIDER/latest`, or its folder. Raises UsageError.

    `SPIDER` alone is its last run that has ended, well or not, or its newest when none has.
    """
    if (Path(name) / "run.json").is_file():
        return RunFolder(Path(name).resolve())
    spider, _, which = name.partition("/")
    if (root / spider).is_dir():
        pointed = root / spider / which
        if which and (pointed / "run.json").is_file():
            return RunFolder(pointed.resolve())
        if not which and (theirs := runs_of(root / spider)):
            return ([each for each in theirs if each.ended()] or theirs)[-1]
    known = list(all_runs(root))
    matching = [each for each in known if each.run.startswith(name)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UsageError(
            f"{name!r} is the beginning of {len(matching)} runs: {', '.join(e.run for e in matching[:5])}"
        )
    hint = near(name, {each.run for each in known} | {each.path.parent.name for each in known})
    raise UsageError(f"no run {name!r} in {root}{hint}")


def _point(link: Path, target: str) -> None:
    beside = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
    try:
        os.symlink(target, beside)
        beside.replace(link)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise


def _target(link: Path) -> str:
    try:
        return link.readlink().name
    except OSError:
        return ""
