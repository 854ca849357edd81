"""Which run the next good one of a job is compared with, so that no change is lost.

It is the last one whose changes were told completely: kept in its folder, and written into every output that is to
have them. What was not told, because its comparison was killed or a disk was full, the next one tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from ..changes.items import Items
from ..changes.keep import kept
from ..changes.values import Key
from ..errors import StoreError, UsageError
from ..folder import RunFolder
from .record import GOOD, JobRun, as_told
from .store import Jobs

MOST = 100  # runs of an older version that are looked at


def baseline(store: Jobs, root: Path, run: JobRun, key: Sequence[str]) -> str:
    """The crawl that a run is compared with by a key, "" for none; `root` holds the folders of all runs.

    What was told by another key, or of another spider, does not count. Raises StoreError.
    """
    found = store.base(run.job, run.spider, key)
    if found is not None:
        return found.run
    if store.told(run.job, run.spider):
        return ""
    with store.change():  # so that nobody deletes it meanwhile
        old = _older(store, root, run, tuple(key))
        if old is not None:  # from now on as if it were of this version: the run that is compared may not be told
            store.update(replace(old, told=as_told(key)))
    return old.run if old is not None else ""


def _older(store: Jobs, root: Path, run: JobRun, key: tuple[str, ...]) -> JobRun | None:
    """Of the good runs of an older version the newest that was compared by this key; where none was, the newest."""
    olds = [each for each in store.last(run.job, GOOD, MOST) if each.told is None and each.spider == run.spider]
    for each in olds:
        done = kept(RunFolder(root / each.spider / each.run))
        if done is not None and done.key:
            return each if done.key == key else None
    return olds[0] if olds and _has(RunFolder(root / olds[0].spider / olds[0].run), key) else None


def _has(folder: RunFolder, key: tuple[str, ...]) -> bool:
    """Whether the first item of a run has a key: else it could never be compared with."""
    try:
        with Items(folder) as items:
            for each in items:
                return Key(key).of(each.item) is not None
    except (UsageError, StoreError):
        return False
    return True
