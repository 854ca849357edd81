"""The files of a planned run, read a part at a time, also while it writes them.

Which file it is comes from the store's row and from constants here, never from who asks; no link is followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from ..errors import StoreError, UsageError
from ..folder import RunFolder
from ..frontier.ledger import Ledger
from .record import JobRun
from .shown import LinesPage

ITEMS, LOG, MOMENTS, CHANGES = "items.jsonl", "log.jsonl", "live.jsonl", "changes.jsonl"
INFO, STATS, COMPARED, STATE = "run.json", "stats.json", "changes.json", "state.sqlite"
BUDGET = 24 * 2**20  # bytes that one request reads at most
PART = 2**17  # bytes that are searched at once
SHOWN = 2 * 2**20  # bytes that it gives at most
LONGEST = 2**20  # bytes of a line that is shown; of a longer one only its size
SMALL = 4 * 2**20  # bytes of a file that is read whole
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)


class NotThere(UsageError):
    """Something that was asked for by its name or number is not there."""


def folder_of(root: Path, run: JobRun) -> RunFolder:
    """The folder of a run's crawl. Raises NotThere when it has none, or none any more."""
    if not run.run:
        raise NotThere(f"run {run.id} has not begun to crawl")
    for name in (run.spider, run.run):
        if name in ("", ".", "..") or "/" in name or "\0" in name or os.sep in name:
            raise NotThere(f"run {run.id} has no folder of a name that is allowed")
    path = root / run.spider / run.run
    if path.is_symlink() or path.parent.is_symlink() or not path.is_dir():
        raise NotThere(f"the folder of run {run.id}, {run.spider}/{run.run}, is not there any more")
    return RunFolder(path)


def opened(path: Path) -> BinaryIO:
    """A file of a run, or of the jobs' home, to be read. Raises NotThere also for a link or what is no file."""
    try:
        inside = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | NOFOLLOW)
        try:
            number = os.open(path.name, os.O_RDONLY | os.O_NONBLOCK | NOFOLLOW, dir_fd=inside)
        finally:
            os.close(inside)
    except OSError as error:
        raise NotThere(f"{path.name} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise NotThere(f"{path.name} is no file")
    return os.fdopen(number, "rb", 2**18)


def whole(path: Path) -> Any:
    """A small JSON file, {} where there is none or it cannot be read."""
    try:
        with opened(path) as file:
            return msgspec.json.decode(file.read(SMALL))
    except (NotThere, OSError, msgspec.MsgspecError):
        return {}


def items_end(folder: RunFolder) -> int:
    """How many bytes of a run's items are durable. The journal may be longer while a commit is under way."""
    try:
        with opened(folder.items) as file:
            size = os.fstat(file.fileno()).st_size
    except NotThere:
        return 0
    if folder.state.is_file() and not folder.state.is_symlink():
        with suppress(StoreError), Ledger(folder.state, 0.0) as ledger:
            return min(size, ledger.position("items"))
    return _whole_end(folder.items, size)


def _whole_end(path: Path, size: int) -> int:
    """Where the last whole line of a file of that size ends."""
    with opened(path) as file:
        while size:
            start = max(0, size - PART)
            file.seek(start)
            cut = file.read(size - start).rfind(b"\n") + 1
            if cut:
                return start + cut
            size = start
    return 0


def lines(path: Path, at: int, most: int, *, end: int | None = None, search: str = "") -> LinesPage:
    """Whole lines from the byte `at` on (one in the midst of a line goes on with the next), at most `most`.

    With `search` only lines in which it is found, in either case where it is ASCII. Reads at most BUDGET bytes:
    `next` says where to go on. Raises NotThere.
    """
    wanted = _needles(search)
    found: list[msgspec.Raw] = []
    places: list[int] = []
    shown = 0
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        end = size if end is None else min(end, size)
        here = start = min(max(0, at), end)
        if here and here < end:
            file.seek(here - 1)
            while (skipped := file.readline(LONGEST)) and not skipped.endswith(b"\n"):
                pass
            here = file.tell()
        file.seek(here)
        while here < end and len(found) < most and here - start < BUDGET and shown < SHOWN:
            if wanted and (passed := _without(file, end - here, wanted)):
                here += passed
                continue
            line, length = _line(file)
            if not length or here + length > end or (line and not line.endswith(b"\n")):
                break  # its end is not written yet
            if _fits(line, wanted):
                value = _json(line, length)
                found.append(value)
                places.append(here)
                shown += min(length, LONGEST)
            here += length
    over = here >= end or (len(found) < most and here - start < BUDGET and shown < SHOWN)
    return LinesPage(lines=found, at=places, next=None if over else here, end=end, looked=here - start)


def _without(file: BinaryIO, most: int, wanted: Sequence[bytes]) -> int:
    """Step over the lines before the first in which something wanted is; how many bytes these are."""
    here = file.tell()
    part = file.read(min(PART, most))
    part = part[: part.rfind(b"\n") + 1]
    low = part.lower()
    hits = [hit for each in wanted if (hit := low.find(each)) >= 0]
    passed = low.rfind(b"\n", 0, min(hits)) + 1 if hits else len(part)
    file.seek(here + passed)
    return passed


def _line(file: BinaryIO) -> tuple[bytes, int]:
    """The next line and its length; of one that is too long nothing but its length."""
    line = file.readline(LONGEST)
    length = len(line)
    if length < LONGEST or line.endswith(b"\n"):
        return line, length
    while length < BUDGET and (rest := file.readline(LONGEST)):
        length += len(rest)
        if rest.endswith(b"\n"):
            break
    return b"", length


def last(path: Path, most: int, *, end: int | None = None) -> LinesPage:
    """The last whole lines of a file, at most `most`; `next` is None, `end` where to go on. Raises NotThere."""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        end = size if end is None else min(end, size)
        start = max(0, end - SHOWN)
        file.seek(start)
        data = file.read(end - start)
    if start:
        data, start = _after_newline(data, start)
    data = data[: data.rfind(b"\n") + 1]
    whole_end = start + len(data)
    parts = data.splitlines(keepends=True)[-most:] if most > 0 else []
    here = whole_end - sum(map(len, parts))
    places = []
    for part in parts:
        places.append(here)
        here += len(part)
    return LinesPage(
        lines=[_json(part, len(part)) for part in parts], at=places, next=None, end=whole_end, looked=len(data)
    )


def text(path: Path, most: int) -> str:
    """The last bytes of a text as text of whole lines, without what would drive a terminal. Raises NotThere."""
    with opened(path) as file:
        start = max(0, os.fstat(file.fileno()).st_size - most)
        file.seek(start)
        data = file.read(most)
    if start:
        data, _ = _after_newline(data, start)
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in data.decode("utf-8", "replace"))


def _after_newline(data: bytes, start: int) -> tuple[bytes, int]:
    cut = data.find(b"\n") + 1
    return data[cut:], start + cut


def _needles(search: str) -> tuple[bytes, ...]:
    """What is looked for in the bytes of a line: as typed, and as JSON writes it."""
    if not search:
        return ()
    raw = search.encode("utf-8", "replace").lower()
    return tuple(dict.fromkeys((raw, msgspec.json.encode(search)[1:-1].lower())))


def _fits(line: bytes, wanted: Sequence[bytes]) -> bool:
    if not wanted:
        return True
    low = line.lower()
    return any(each in low for each in wanted)


def _json(line: bytes, length: int) -> msgspec.Raw:
    """A line as the JSON it is; what is none, or too long, is told as an object that says so."""
    if not line:
        return msgspec.Raw(msgspec.json.encode({"_too_long": length}))
    try:
        msgspec.json.decode(line)
    except msgspec.MsgspecError:
        return msgspec.Raw(msgspec.json.encode({"_unreadable": line[:1000].decode("utf-8", "replace")}))
    return msgspec.Raw(line.rstrip(b"\n"))
