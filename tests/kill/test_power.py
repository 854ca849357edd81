"""With `durability = "power"` a crawl survives what a loss of power does to files that were not synced."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from scraper.testing.trial_site import TrialProcess

from .disk import Disk
from .harness import Ordeal, spread

CUTS = 6  # losses of power in each test


@pytest.mark.parametrize("everything", [True, False], ids=["all", "some"])
def test_what_was_not_synced_may_be_lost(
    trial: TrialProcess, tmp_path: Path, chance: random.Random, shim: Path, everything: bool
) -> None:
    trial.forget()
    folder, log = tmp_path / "work", tmp_path / "shim.bin"
    env = {"LD_PRELOAD": str(shim), "SHIM_BELOW": str(folder), "SHIM_LOG": str(log), "SHIM_DATA": "1"}
    ordeal = Ordeal(trial, folder, more=("-s", "durability=power"), env=env)
    folder.mkdir()
    disk = Disk(folder, log)
    ordeal.finish(
        chance,
        spread,
        most=CUTS,
        between=lambda: disk.lose(chance, everything=everything),
    )
    print(f"{ordeal.told()}, {disk.lost} operations lost")
    assert ordeal.faults() + ordeal.broken_runs() == []
    assert len(ordeal.runs()) == 1
    disk.lose(chance, everything=True)
    assert ordeal.faults() == [], "after it had finished"
