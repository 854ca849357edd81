"""Keeps what comparing came to in the folder of the newer run, in changes.jsonl and changes.json."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path
from typing import IO

import msgspec

from ..errors import OutputError
from ..folder import RunFolder
from ..outputs.disk import cut_at, owned, put_in_place
from .compare import Compared, compare

LINES, RESULT = "changes.jsonl", "changes.json"
COUNTS = ("added", "changed", "removed", "same", "unseen", "unsure")  # not there where nothing was compared


def keep(old: RunFolder | None, new: RunFolder, key: Sequence[str]) -> Compared:
    """Compare two runs into the folder of the new one; see `compare`.

    changes.json is replaced last: where it is there, changes.jsonl is whole. Without a key there are no lines.
    Raises UsageError, StoreError, OutputError; then the folder is as it was.
    """
    lines = new.path / LINES
    with _beside(lines) as file:
        done = compare(old, new, key, file.write, scratch=new.path)
    told = msgspec.to_builtins(done)
    for name in () if done.key else COUNTS:
        del told[name]
    with _beside(new.path / RESULT) as file:
        file.write(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
    return done


def kept(folder: RunFolder) -> Compared | None:
    """What was kept of a run; None when nothing was, or it cannot be read."""
    try:
        return msgspec.json.decode((folder.path / RESULT).read_bytes(), type=Compared)
    except (OSError, msgspec.MsgspecError):
        return None


@contextmanager
def _beside(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name when it is whole, one process at a time; what a kill has left is overwritten."""
    beside = path.with_name(f"{path.name}.new")
    try:
        raw = owned(beside, path)
        file = BufferedWriter(raw)
        try:
            cut_at(raw, 0)
            yield file
            file.flush()
            put_in_place(raw, beside, path)
        except BaseException:
            with suppress(OSError):
                beside.unlink()
            raise
        finally:
            with suppress(OSError):  # what a full disk did not take is told already
                file.close()
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}; make room there and compare again"
        ) from error
