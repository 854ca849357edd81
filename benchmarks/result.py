"""What was measured, as data: one JSON file a release, of one entry a shape, each replaced by its next run."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import scraper

from . import peers
from .laps import Lap, speed
from .site import Cores

FOLDER = Path(__file__).parent / "results"
TOLD = ("aiohttp", "selectolax", "url-py", "msgspec", "uvloop")
Result = dict[str, Any]


def spread(values: list[float]) -> dict[str, float]:
    """Smallest, middle, largest."""
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def summary(laps: Mapping[str, list[Lap]], titles: Mapping[str, str], floor: str = "floor") -> Result:
    """Per contender: pages a second, microseconds of CPU a page, peak bytes; ratios to the floor of the round.

    `floor` names the contender that is the floor. `speed_of_floor` is higher for faster, `cpu_of_floor` for
    dearer.
    """
    found = {}
    for name, runs in laps.items():
        each: Result = {
            "title": titles.get(name, name),
            "pages_per_second": spread([speed(lap) for lap in runs]),
            "cpu_us_per_page": spread([cost(lap) for lap in runs]),
            "peak_bytes": max(lap["peak"] for lap in runs),
            "pages": min(lap["answered"] for lap in runs),
            "part": any(lap.get("part", False) for lap in runs),
            "rounds": len(runs),
        }
        if floor in laps and name != floor:
            pairs = [(lap, lap.get("floor", base)) for lap, base in zip(runs, laps[floor], strict=False)]
            each["speed_of_floor"] = spread([speed(lap) / speed(base) for lap, base in pairs])
            each["cpu_of_floor"] = spread([cost(lap) / cost(base) for lap, base in pairs])
        if parts := [speed(lap["floor"]) for lap in runs if "floor" in lap]:
            each["floor_on_its_pages"] = spread(parts)
        if gaps := [lap["longest_gap"] for lap in runs if "longest_gap" in lap]:
            each["longest_gap"] = spread(gaps)
        found[name] = each
    return {"floor": floor, "contenders": found} | _within(laps)


def _within(laps: Mapping[str, list[Lap]]) -> Result:
    """What durability multiplies (the time of a page and its processor time), and what two processes do."""
    found = {}
    if {"ours", "memory"} <= laps.keys():
        pairs = [*zip(laps["ours"], laps["memory"], strict=False)]
        found["durable_time"] = spread([speed(memory) / speed(ours) for ours, memory in pairs])
        found["durable_cpu"] = spread([cost(ours) / cost(memory) for ours, memory in pairs])
    if {"ours", "processes"} <= laps.keys():
        pairs = [*zip(laps["processes"], laps["ours"], strict=False)]
        found["processes_of_ours"] = spread([speed(both) / speed(one) for both, one in pairs])
    return found


def cost(lap: Lap) -> float:
    """Microseconds of the processor a page."""
    return float(lap["cpu"] / lap["answered"] * 1e6)


def machine(cores: Cores) -> str:
    """Where it ran."""
    count = os.cpu_count() or 1
    where = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {count} cores"
    if cores.contender is None:
        return f"{where}, contender and server on the same ones"
    return f"{where}, contender on core {cores.contender}, server on core {cores.server}"


def versions() -> dict[str, str]:
    """Of what the figures depend on, ours and the peers'."""
    found = {}
    for name in TOLD:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not there"
    return found | peers.versions()


def label(name: str = "") -> str:
    """The name of a result: the version of the package, and what was added."""
    return f"{scraper.__version__}-{name}" if name else scraper.__version__


def load(path: Path) -> Result:
    """A result that was kept; an empty one where there is none."""
    if not path.exists():
        return {"name": path.stem, "version": scraper.__version__, "shapes": {}}
    kept: Result = json.loads(path.read_text(encoding="utf-8"))
    return kept


def save(path: Path, result: Result) -> None:
    """Keep a result, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    new.replace(path)
