"""Keeps what comparing came to in the folder of the newer run, in changes.jsonl and changes.json."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path
from typing import IO

import msgspec
from msgspec import structs

from ..errors import OutputError
from ..folder import RunFolder
from ..outputs.disk import cut_at, owned, put_in_place
from .compare import Compared, compare

LINES, RESULT = "changes.jsonl", "changes.json"
COUNTS = ("added", "changed", "removed", "same", "unseen", "unsure", "told")  # not there where nothing was compared


class Kept(Compared, kw_only=True):
    """What is kept of a comparison, and whether its changes were written to all outputs that are to have them."""

    told: bool = False


def keep(old: RunFolder | None, new: RunFolder, key: Sequence[str]) -> Kept:
    """Compare two runs into the folder of the new one; see `compare`.

    Of the old one those items count that were there when it was compared itself: what a retry has added since
    was never told. changes.json is replaced last: where it is there, changes.jsonl is its own and whole. Without a
    key there are no lines. Raises UsageError, StoreError, OutputError; then the folder is as it was.
    """
    before = kept(old) if old is not None else None
    with _beside(new.path / LINES) as file:
        most = before.items if before is not None else None
        done = compare(old, new, key, file.write, scratch=new.path, most=most)
        file.flush()
        (new.path / RESULT).unlink(missing_ok=True)  # it is of other lines
    result = Kept(**structs.asdict(done))
    _write(new, result)
    return result


def again(old: RunFolder | None, new: RunFolder, key: Sequence[str]) -> Kept | None:
    """What was kept of this very comparison by a key, else None: its lines stay, as outputs may have some."""
    done = kept(new)
    if done is None or not key or (done.old, done.key) != (old.run if old is not None else "", tuple(key)):
        return None
    return done if (new.path / LINES).is_file() else None


def tell(folder: RunFolder, done: Kept) -> None:
    """Put on record that the changes are in all outputs. Raises OutputError."""
    if not done.told:
        _write(folder, structs.replace(done, told=True))


def kept(folder: RunFolder) -> Kept | None:
    """What was kept of a run; None when nothing was, or it cannot be read."""
    try:
        return msgspec.json.decode((folder.path / RESULT).read_bytes(), type=Kept)
    except (OSError, msgspec.MsgspecError):
        return None


def _write(folder: RunFolder, done: Kept) -> None:
    fields = msgspec.to_builtins(done)
    for name in () if done.key else COUNTS:
        del fields[name]
    with _beside(folder.path / RESULT) as file:
        file.write(msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n")


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
