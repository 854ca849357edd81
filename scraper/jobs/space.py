"""Room on the disk: how much there is, whether it is little, and whether a folder can be written at all."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile

import msgspec

from ..convert import Unfit
from ..errors import StoreError
from ..words import size as shown
from .alerts import Verdict
from .job import DAY
from .words import size

RULE = "free_space"
AGAIN = DAY  # seconds until people are told again of a disk that stays so full
RECOVERED = 1.1  # times the limit must be free before it is enough again: crawls come and go
PAGE = 4096  # bytes that are written to see whether it can be done
_SHARE = re.compile(r"\s*(\d{1,3}(?:\.\d{1,9})?)\s*%\s*", re.ASCII)


class Space(msgspec.Struct, frozen=True):
    """Bytes of a file system: those that are free for us, and all."""

    free: int
    total: int


def least(folders: Sequence[Path]) -> Space:
    """The one with the least free space of the file systems that these folders are on. Raises OSError."""
    found = [shutil.disk_usage(folder) for folder in folders]
    return min((Space(each.free, each.total) for each in found), key=lambda each: each.free)


def limit(text: str, total: int) -> float:
    """Bytes of a limit: a size ("1 GiB"), or a share of the file system ("5 %"). Raises Unfit."""
    share = _SHARE.fullmatch(text)
    if share is None:
        return size(text)
    if not 0 < float(share[1]) < 100:
        raise Unfit(f"must be more than 0 % and less than 100 %, not {text!r}")
    return total * float(share[1]) / 100


def judged(found: Space, limits: Sequence[str], *, opened: bool) -> Verdict | None:
    """Whether there is less than each of these limits, or, while the alert is `opened`, enough again; else None.

    Pure. Without limits there always is enough.
    """
    bytes_ = min((limit(each, found.total) for each in limits), default=0.0)
    said = f"{shown(found.free)} of {shown(found.total)} are free on the disk of the output folder"
    if found.free < bytes_:
        return Verdict(RULE, True, f"{said}, less than {shown(bytes_)}", least=AGAIN)
    if opened and found.free >= bytes_ * RECOVERED:
        return Verdict(RULE, False, said)
    return None


def check_writable(folder: Path) -> None:
    """See that a folder can be written, by a file that has no name and is gone at once. Raises StoreError."""
    try:
        with TemporaryFile(dir=folder, buffering=0) as probe:
            if probe.write(b"\0" * PAGE) < PAGE:
                raise StoreError(f"{folder} cannot be written: there is no room on the disk")
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror}") from error
