"""A write, sync, truncation or rename that fails ends the crawl with one clear line, and the next start mends it.

The shim (shim.c) lets the k-th operation fail, for one k after the other. `pytest tests/kill --every` takes all.
"""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest

from scraper.testing.trial_site import TrialProcess

from . import readers
from .disk import Operation, operations
from .harness import Ordeal, differences

FIRST, EVERY = 6, 150  # in the suite: the first ones, one of so many, and the last of each sort
ERRORS = {"disk full": (errno.ENOSPC, "1"), "i/o error": (errno.EIO, "0")}
WORDS = {
    "disk full": r"No space left on device|database or disk is full|disk I/O error",
    "i/o error": r"(?i)input/output|I/O error",
}
COUNTED = "WSTR"
DRAWN = re.compile(r"[0-9a-f]{8,}")  # in the names of cursors and pointers


def _environment(shim: Path, folder: Path, **more: str) -> dict[str, str]:
    log = folder.with_suffix(".ops")
    return {"LD_PRELOAD": str(shim), "SHIM_BELOW": str(folder), "SHIM_LOG": str(log)} | more


def _operations(site: TrialProcess, shim: Path, folder: Path) -> list[Operation]:
    """What a crawl does that nothing disturbs."""
    ordeal = Ordeal(site, folder)
    assert ordeal.once(env=_environment(shim, folder)).code == 0, ordeal.ends[-1].said
    return [each for each, _ in operations(folder.with_suffix(".ops")) if each.what in COUNTED and each.number]


def _chosen(known: Sequence[Operation], every: bool, turn: int) -> list[int]:
    """Numbers of operations; each is tried with one of the errors, or with `every` all are with both."""
    if every:
        return [each.number for each in known]
    chosen = {each.number for each in known if each.number <= FIRST or each.number % EVERY == 0}
    chosen.update({(each.what, DRAWN.sub("#", Path(each.path).name)): each.number for each in known}.values())
    return sorted(chosen)[turn :: len(ERRORS)]


@pytest.mark.timeout(0)
@pytest.mark.parametrize("how", ERRORS)
def test_whichever_operation_fails_it_says_so_and_the_next_start_is_exact(
    small: list[TrialProcess], tmp_path: Path, shim: Path, request: pytest.FixtureRequest, how: str
) -> None:
    known = _operations(small[0], shim, tmp_path / "calm")
    numbers = _chosen(known, request.config.getoption("--every", False), list(ERRORS).index(how))
    free: SimpleQueue[TrialProcess] = SimpleQueue()
    for site in small:
        free.put(site)

    def one(k: int) -> list[str]:
        site = free.get()
        site.forget()
        try:
            return [f"{k}: {fault}" for fault in _tried(site, tmp_path / f"work{k}", shim, k, how)]
        finally:
            free.put(site)

    with ThreadPoolExecutor(len(small)) as pool:
        faults = [fault for each in pool.map(one, numbers) for fault in each]
    print(f"{len(numbers)} of {len(known)} operations failed with: {how}")
    assert not faults, "\n".join(faults)


def _tried(site: TrialProcess, folder: Path, shim: Path, k: int, how: str) -> Iterator[str]:
    """What is wrong when the k-th operation fails, and after the next start."""
    number, stay = ERRORS[how]
    ordeal = Ordeal(site, folder)
    env = _environment(shim, folder, SHIM_FAIL=str(k), SHIM_ERRNO=str(number), SHIM_STAY=stay)
    end = ordeal.once(env=env)
    failed = [each for each, _ in operations(folder.with_suffix(".ops")) if each.what == "!"]
    at = f"{chr(failed[0].at)} {Path(failed[0].path).name}" if failed else "nothing"
    said = end.said.strip()[-600:]
    if "Traceback" in end.said:
        yield f"{at}: a traceback: {said}"
    if end.code == 0:
        if failed and (wrong := ordeal.item_faults(site.trial.truth().items)):
            yield f"{at}: exit code 0, yet {wrong}"
    elif end.code != 1 and not (end.code == 2 and not site.visits):  # 2: it could not even begin
        yield f"{at}: exit code {signal.Signals(-end.code).name if end.code < 0 else end.code}: {said}"
    elif not re.search(WORDS[how], end.said):
        yield f"{at}: it does not say why: {said}"
    yield from (f"{at}: {each}" for each in _under_final_names(ordeal))
    if end.code == 1 and stay == "0" and "/output/" not in failed[0].path:  # an output's: the crawl goes on
        journal = readers.read(ordeal.runs()[-1] / "items.jsonl")[0]
        yield from (f"{at}: {each}" for each in differences("the crawl", journal, site.trial.truth().items))
    again = ordeal.once()
    if again.code:
        yield f"{at}: the next start ended with {again.code}: {again.said.strip()[-600:]}"
    else:
        yield from (f"{at}: after the next start: {each}" for each in ordeal.faults())


def _under_final_names(ordeal: Ordeal) -> Iterator[str]:
    """What stands under a final name after a failure must be whole."""
    truth = ordeal.site.trial.truth().items
    for name, held in ordeal.held().items() if ordeal.runs() else ():
        if (ordeal.folder / name).exists():
            if isinstance(held, str):
                yield f"{name} is broken: {held}"
            elif held.total() != truth.total():
                yield f"{name} holds {held.total()} items under its final name"
