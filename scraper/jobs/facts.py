"""What the rules of a job need to know of a run: read from the store and the folders of its crawls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..changes.keep import kept
from ..errors import StoreError
from ..folder import RunFolder
from ..frontier.ledger import Ledger
from .alerts import BLOCK, BLOCKS, COVERAGE, MOST, Facts, Pages, Shares, wanted
from .job import Job
from .record import GOOD, JobRun, State
from .store import Jobs


def facts(store: Jobs, root: Path, job: Job, run: JobRun) -> Facts:
    """What is known of a run that has ended; `root` holds the folders of all runs. Raises StoreError (the jobs').

    O(1) but for `block_pages`, which reads the answers of a run that was kept out anywhere, and of one before it.
    """
    good = _before(store, run)
    asked = wanted(job.alerts)
    shares, usual = None, []
    if COVERAGE in asked:
        shares = _shares(_folder(root, run))
        usual = [found for each in good if (found := _shares(_folder(root, each))) is not None]
    blocks = before = None
    if BLOCK in asked and (blocks := _blocks(_folder(root, run))):
        before = _last_free(store, root, run)
    return Facts(
        run=run, good=good, shares=shares, usual_shares=tuple(usual), blocks=blocks, blocks_before=before,
        untold=bool(job.key) and run.told == "" and run.state is State.FINISHED,
    )  # fmt: skip


def _before(store: Jobs, run: JobRun) -> tuple[JobRun, ...]:
    """The good runs of a job that were over when this one ended, newest first."""
    found = store.last(run.job, GOOD, 2 * MOST)  # some may have ended since, where runs overlap
    return tuple(each for each in found if each.id != run.id and each.ended <= run.ended)[:MOST]


def _last_free(store: Jobs, root: Path, run: JobRun) -> Pages | None:
    """Where the last good run was kept out; while an alert is open the last one before that.

    Else a run that was kept out, and finished all the same, would make it the usual.
    """
    first = min([each.run for each in store.open_alerts(run.job) if each.rule == BLOCK], default=run.id)
    found = store.runs(job=run.job, states=GOOD, before=min(first, run.id), limit=1)
    return _blocks(_folder(root, found[0])) if found else None


def _folder(root: Path, run: JobRun) -> RunFolder:
    return RunFolder(root / run.spider / run.run)


def _shares(folder: RunFolder) -> Shares | None:
    """How often each field is filled in, None where nobody has counted."""
    found = kept(folder)
    if found is None or not found.items:
        return None
    return {field: filled / found.items for field, filled in found.coverage.items()}


def _blocks(folder: RunFolder, statuses: Sequence[int] = BLOCKS) -> Pages | None:
    """The pages with such a status by host, None where it is not known."""
    counted = folder.read_stats().get("statuses")
    if isinstance(counted, dict) and not any(str(status) in counted for status in statuses):
        return {}  # most runs: their answers need not be read
    try:
        with Ledger(folder.state, 0.0) as ledger:
            return ledger.hosts_with(statuses)
    except StoreError:
        return None
