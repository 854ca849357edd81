"""Which run a command crawls: the newest unfinished one that is the same crawl and young enough, else a new one."""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from .errors import UsageError
from .folder import (
    ENDED,
    FINISHED,
    INTERRUPTED,
    Place,
    RunFolder,
    RunInfo,
    age,
    checked_id,
    find,
    runs_of,
)
from .identity import Identity
from .lock import alone
from .outputs import Output
from .outputs.registry import STDOUT, VARIABLE, expand, open_output
from .settings import Settings

COUNTING = 2.0  # seconds that the numbers of a line may take


class Words(msgspec.Struct, frozen=True):
    """How a person starts anew, and continues a run, from where this is told."""

    fresh: str = "--fresh"
    resume: Callable[[RunFolder], str] = lambda folder: f"scraper crawl --resume {folder.run}"


class Choice(msgspec.Struct, frozen=True):
    """A run to continue, with its record (both None: a new one); and one line that says why, if there is one."""

    folder: RunFolder | None = None
    info: RunInfo | None = None
    said: str = ""


def which(home: Path, identity: Identity, settings: Settings, now: float, words: Words) -> Choice:
    """The rule; `home` is the folder of a spider's runs, `now` in wall-clock seconds.

    Raises UsageError when a living process has the run that would be continued.
    """
    others: list[tuple[RunFolder, str]] = []
    for folder, info in unfinished(home):
        differences = identity.differences(info)
        if folder.held():
            if not differences:
                raise UsageError(f"{folder.busy()}; {words.fresh} starts another one beside it")
            continue
        if not differences and not (why := _hindered(home, folder, info, settings, now)):
            return Choice(folder, info, _continuing(folder, info, now, words))
        others.append((folder, " and ".join(differences) or why))
    return Choice(said=_anew(home, others, words))


def _hindered(home: Path, folder: RunFolder, info: RunInfo, settings: Settings, now: float) -> str:
    """Why the same crawl is not continued, "" when nothing is against it."""
    ended = (each.read() for each in runs_of(home) if each.run != folder.run and each.ended())
    if any(each.identity == info.identity and each.started > info.started for each in ended):
        return "a newer run of the same crawl has ended"
    if not folder.state.is_file():
        return "it kept no state"
    if info.retried:
        return "was being retried"
    if info.planned:
        return "is one of a job, whose server goes on with it"
    if settings.durability == "none":
        return "durability = none keeps no state"
    if now - _young_from(folder, info, settings.resume_within) >= settings.resume_within:
        return f"it is older than resume_within ({_span(settings.resume_within)})"
    return ""


def _young_from(folder: RunFolder, info: RunInfo, within: float) -> float:
    """When the age of a run begins: at its start, or when it was last alive if it had worked longer than `within`.

    So the crawl of yesterday is not continued in place of today's, and one of several days still is.
    """
    alive = info.ended or folder.alive()
    return alive if alive - info.started >= within else info.started


def unfinished(home: Path) -> list[tuple[RunFolder, RunInfo]]:
    """The runs of a spider that have not ended, newest first; those that cannot be read are left out."""
    found = []
    for folder in runs_of(home):
        with suppress(UsageError):
            info = folder.read()
            if info.state not in ENDED:
                found.append((folder, info))
    return sorted(found, key=lambda pair: (pair[1].started, pair[1].run), reverse=True)


def named(root: Path, name: str, words: Words) -> tuple[RunFolder, RunInfo]:
    """The unfinished run that a person named: as `find` does, and SPIDER means its newest. Raises UsageError."""
    theirs = unfinished(root / name) if (root / name).is_dir() and not (root / name / "run.json").is_file() else []
    able = [pair for pair in theirs if pair[0].state.is_file()]
    folder = (able or theirs)[0][0] if theirs else find(root, name)
    info = folder.read()
    if info.state in ENDED:
        what = "has finished" if info.state == FINISHED else f"has ended ({info.state.replace('_', ' ')})"
        raise UsageError(
            f"run {info.run} {what}: there is nothing to continue; `scraper retry {info.run}` fetches again what "
            f"failed, {words.fresh} crawls all anew"
        )
    if folder.held():
        raise UsageError(folder.busy())
    if not folder.state.is_file():
        raise UsageError(_stateless(info, words))
    return folder, info


def begun(root: Path, run: str) -> tuple[RunFolder, RunInfo] | None:
    """The run of exactly this id, whatever its state; None when it has not begun. Raises UsageError."""
    for record in root.glob(f"*/{checked_id(run)}/run.json"):
        folder = RunFolder(record.parent)
        return folder, folder.read()
    return None


def exactly(root: Path, run: str, identity: Identity, settings: Settings, now: float, words: Words) -> Choice:
    """Continue the run of exactly this id, or begin it. Raises UsageError."""
    if (found := begun(root, run)) is None:
        return Choice()
    folder, info = found
    if folder.held():
        raise UsageError(folder.busy())
    if folder.state.is_file():
        return going_on(folder, info, identity, settings, now, words)
    check_spider(info, identity.spider)
    if folder.items.is_file() and folder.items.stat().st_size:
        raise UsageError(_stateless(info, words))
    return Choice(folder, info, f"beginning run {run}, which had not come to its first page")


def _stateless(info: RunInfo, words: Words) -> str:
    return (
        f"run {info.run} cannot be continued: it kept no state (durability = none); start anew with "
        f"{words.fresh}, or save its items with `scraper export {info.run} -o PATH`"
    )


def going_on(
    folder: RunFolder, info: RunInfo, identity: Identity, settings: Settings, now: float, words: Words
) -> Choice:
    """Continue the run that a person named, old or changed as it may be. Raises UsageError."""
    check_spider(info, identity.spider)
    if settings.durability == "none":
        raise UsageError(f"run {info.run} keeps its state on disk: it cannot go on with durability = none")
    changed = " and ".join(identity.differences(info))
    return Choice(folder, info, _continuing(folder, info, now, words, f", though {changed}" if changed else ""))


def check_spider(info: RunInfo, spider: str) -> None:
    """Raise UsageError for a run of another spider."""
    if info.spider != spider:
        raise UsageError(f"run {info.run} is one of spider {info.spider!r}, not of {spider!r}")


def begin(
    root: Path,
    identity: Identity,
    choice: Choice,
    places: Iterable[Place],
    now: float,
    *,
    again: Callable[[], Choice],
    run: str = "",
) -> RunFolder:
    """Make the folder of a new run, or open that of the chosen one again; it is held when this returns.

    `again` is asked once more for a new run, when no other process can begin one; `run` is the id that it gets.
    Raises UsageError when another process was quicker.
    """
    if choice.folder is None:
        return _made(root, identity, places, now, again, run)
    folder = choice.folder
    folder.take()
    try:
        info = folder.read()
        if info.state in ENDED:
            raise UsageError(f"run {info.run} has just been ended by another process")
        info.outputs = [*places]
        folder.reopen(identity.into(info))
    except BaseException:
        folder.release()
        raise
    return folder


def _made(
    root: Path, identity: Identity, places: Iterable[Place], now: float, again: Callable[[], Choice], run: str
) -> RunFolder:
    new = not root.exists()
    home = root / identity.spider
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the run folder {home}: {error.strerror}") from error
    with alone(home):
        if (other := again().folder) is not None:
            raise UsageError(f"run {other.run} has just been begun, and left, by another process: try again")
        folder = RunFolder.make(root, identity.spider, now, run)
        folder.made_root = new
        folder.take()
        try:
            info = identity.info(folder.run, now)
            info.pid, info.outputs, info.planned = os.getpid(), joined(info, places), bool(run)
            folder.write(info)
        except BaseException:
            folder.discard()
            raise
    return folder


def variables(spider: str, run: str, started: float) -> dict[str, str]:
    """What `{date}`, `{run}` and `{spider}` in an output's path stand for."""
    return {"date": time.strftime("%Y-%m-%d", time.localtime(started)), "run": run, "spider": spider}


def absolute(path: str, names: Mapping[str, str]) -> str:
    """An output's path, filled in and independent of the current folder. Raises UsageError."""
    return path if path == STDOUT else os.path.abspath(expand(path, names))


def resumable(folder: RunFolder, info: RunInfo) -> bool:
    """Whether a run can be continued; one that a living process has cannot."""
    return info.state not in ENDED and folder.state.is_file() and not folder.held()


def joined(info: RunInfo, given: Iterable[Place]) -> list[Place]:
    """The outputs of a run that goes on: its own, but for standard output, and those given now.

    Two that lead to one file are one. Raises UsageError when one is now to be added to, and was begun anew.
    """
    names = variables(info.spider, info.run, info.started)
    found = {os.path.realpath(place.path): place for place in info.outputs if place.path != STDOUT}
    for place in given:
        path = absolute(place.path, names)
        real = path if path == STDOUT else os.path.realpath(path)
        if real in found and place.append and not found[real].append:
            raise UsageError(f"run {info.run} replaces {place.path}: leave --append out, or start with --fresh")
        found.setdefault(real, Place(path, place.append))
    return [*found.values()]


def opened(info: RunInfo, typed: Iterable[str], *, csv_safe: bool) -> Iterator[tuple[str, Output]]:
    """The outputs of a run, closed yet, by the names that were typed for them, else by their paths."""
    names = variables(info.spider, info.run, info.started)
    words = {absolute(path, names): expand(path, names) for path in typed}
    for place in info.outputs:
        literal = {name: f"{{{name}}}" for name in VARIABLE.findall(place.path)}  # it is filled in already
        output = open_output(
            place.path, append=place.append, variables={"run": info.run} | literal, csv_safe=csv_safe
        )
        yield words.get(place.path, place.path), output


def progress(folder: RunFolder) -> tuple[int, int] | None:
    """How many requests of a run are answered and how many to go; None when its state does not say in time."""
    end = time.monotonic() + COUNTING
    try:
        base = sqlite3.connect(f"{folder.state.resolve().as_uri()}?mode=ro", uri=True, timeout=COUNTING)
        with closing(base):
            base.set_progress_handler(lambda: time.monotonic() > end, 100_000)  # steps of its virtual machine
            counts = [base.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("answer", "queue")]
    except sqlite3.Error:
        return None
    return counts[0], counts[1]


def _continuing(folder: RunFolder, info: RunInfo, now: float, words: Words, changed: str = "") -> str:
    """The line that says which run goes on."""
    ago = _span(now - (info.ended or folder.alive()))
    how = "died"
    if info.state == INTERRUPTED:
        how = "was interrupted" if info.exit_code != 1 else "broke off"
    because = f" ({info.why})" if how == "broke off" and info.why else ""
    numbers = progress(folder)
    left = f": {numbers[0]:,} answered, {numbers[1]:,} to go" if numbers else ""
    return f"continuing run {info.run}, which {how} {ago} ago{because}{changed}{left} ({words.fresh} starts anew)"


def _anew(home: Path, others: list[tuple[RunFolder, str]], words: Words) -> str:
    """Why the newest unfinished run is not the one; nothing of one that a newer run has made up for."""
    last = next((age(folder) for folder in reversed(runs_of(home)) if folder.ended()), (0.0, ""))
    for folder, why in others:
        if age(folder) > last:
            how = f"; to continue it: {words.resume(folder)}" if folder.state.is_file() else ""
            return f"starting a new run; {folder.run} is unfinished but {why}{how}"
    return ""


def _span(seconds: float) -> str:
    """`3 min`, `2 h`, `5 days`: as exact as a person wants it."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= (2 if unit == "days" else 1) * length:
            return f"{math.floor(seconds / length)} {unit}"
    return f"{max(0, math.floor(seconds))} s"
