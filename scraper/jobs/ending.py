"""How a crawl stands when its process has gone: from its record, its figures and its state, told in words."""

from __future__ import annotations

import signal
from typing import Any

import msgspec

from ..errors import StoreError, UsageError
from ..folder import BROKE_RULE, ENDED, FAILED, FINISHED, INTERRUPTED, RunFolder, RunInfo
from ..frontier.ledger import Ledger
from ..logs import clean
from .runner import Ended

USAGE, PROMISED = 2, 130  # exit codes
LONGEST = 400  # characters of a cause
ERROR = "error: "  # begins the line with which a command says what is wrong


def ended(folder: RunFolder, pid: int, code: int | None, at: float, said: bytes) -> Ended:
    """How a run stands after process `pid` of it has ended with `code` (None: nobody saw it).

    `at` is the wall-clock second, `said` the end of what the processes of the run have written.
    """
    said = _own(said, pid)
    info = record(folder)
    if info is None:
        return Ended(at=at, exit_code=code, why=_unbegun(code, said))
    if info.state in ENDED:
        numbers: dict[str, Any] = {"pages": info.pages, "items": info.items, "failed": info.failed}
        return Ended(
            at=info.ended or at, exit_code=info.exit_code if code is None else code, state=info.state,
            why=_ended(info, folder.read_stats()), bytes=_number(folder.read_stats().get("bytes")), **numbers,
        )  # fmt: skip
    own = info.pid == pid  # else the record is of the process before it
    if own and code is None and info.state == INTERRUPTED:
        code = info.exit_code
    state = info.state if folder.state.is_file() or not _kept_items(folder) else FAILED  # it cannot be continued
    return Ended(at=at, exit_code=code, state=state, why=_cut_off(info, own, code, said), **counts(folder))


def cause(code: int | None, said: bytes) -> str:
    """Why a process that ended so has failed, in its own words where it has any."""
    if code is not None and code < 0:
        return f"it was ended by {_signal(-code)}"
    return _error(said) or f"it ended with exit code {code}"


def begins(pid: int, run: str, spider: str, stamp: str) -> str:
    """The line that stands before what a process has written."""
    return f"[{stamp}: process {pid} works on run {run} of {spider}]"


def _own(said: bytes, pid: int) -> bytes:
    """What this process has written, without those before it."""
    before, _, behind = said.rpartition(f": process {pid} works on run ".encode())
    return behind.partition(b"\n")[2] if before else said


def _kept_items(folder: RunFolder) -> bool:
    return folder.items.is_file() and folder.items.stat().st_size > 0


def record(folder: RunFolder) -> RunInfo | None:
    """run.json, None when the run has not begun or its record cannot be read."""
    try:
        return folder.read()
    except UsageError:
        return None


def counts(folder: RunFolder) -> dict[str, Any]:
    """Pages, items, failed pages and bytes of a crawl as they are durable; {} when it has kept nothing."""
    try:
        with Ledger(folder.state, 0.0) as ledger:
            return ledger.durable()
    except StoreError:
        return {}


def _ended(info: RunInfo, stats: dict[str, Any]) -> str:
    """In words why a run ended as it did, "" when it simply finished."""
    said = [str(each) for each in stats.get("said", ()) if each]
    if info.state == FINISHED:
        return "" if info.why == "finished" else info.why
    if info.state == BROKE_RULE:
        return _short("; ".join(said) or info.why)
    cause = _cause(stats)
    words = said[:1] or ([] if info.why in ("", "finished", "broken") else [info.why])
    return _short("; ".join([*words, cause] if cause else words) or "it failed")


def _cause(stats: dict[str, Any]) -> str:
    """The first kind of error, as the summary tells it."""
    causes = stats.get("errors") or ()
    if not causes or not isinstance(causes[0], dict):
        return ""
    first = causes[0]
    where = f" at {first['where']}" if first.get("where") else ""
    detail = f": {first['detail']}" if first.get("detail") else ""
    number = _number(first.get("count"))
    times = f" ({number:,} times)" if number > 1 else ""
    return f"{first.get('reason', 'an error')}{where}{detail}{times}"


def _cut_off(info: RunInfo, own: bool, code: int | None, said: bytes) -> str:
    """Why a run has not ended, though its process has."""
    if code == PROMISED:
        return "interrupted"
    if code == USAGE:
        return _error(said) or "the command was refused"
    if own and info.state == INTERRUPTED and info.why not in ("", "interrupted"):
        return _short(_error(said) or info.why)
    return _unbegun(code, said)


def _unbegun(code: int | None, said: bytes) -> str:
    """What an exit code alone says."""
    if code is None:
        return "its process is gone"
    if code < 0:
        return f"its process was ended by {_signal(-code)}"
    return _error(said) or f"its process ended with exit code {code}"


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name} (by hand, or the system was short of memory)" if name == "SIGKILL" else name


def _error(said: bytes) -> str:
    """The last line in which the command itself says what is wrong, else the last of all."""
    lines = [clean(line) for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    for line in reversed(lines):
        if line.startswith(ERROR):
            return _short(line.removeprefix(ERROR))
    return _short(lines[-1]) if lines else ""


def _short(text: str) -> str:
    text = clean(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _number(value: Any) -> int:
    try:
        return msgspec.convert(value, int)
    except msgspec.ValidationError:
        return 0
