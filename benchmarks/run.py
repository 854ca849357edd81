"""Compares the contenders on one site: `python -m benchmarks.run [--rounds 3] [--json PATH]`.

Each runs in a process of its own on one core, the server on the other; the rounds are interleaved, so that a
machine that grows slower does so for all, and a ratio is always of two laps of one round.
"""

from __future__ import annotations

import argparse
import json
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import check
from .site import Cores, Site, install, serve, warm

CONTENDERS = ("floor", "handwritten", "memory", "ours")
TOLD = ("aiohttp", "selectolax", "url-py", "msgspec", "uvloop")
Lap = dict[str, float]


def main() -> int:
    """Run everything; 1 when a crawl was not exact or ours is below `--least` of the floor."""
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is ended too
    if given.install:
        install()
    cores = Cores.pick()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        laps: dict[str, list[Lap]] = {name: [] for name in given.only}
        with serve(work / "timed", cores, generated=given.generated, static=given.static) as site:
            print(f"{site.what}, {_machine(cores)}")
            urls = _prepare(site, work)
            for number in range(given.rounds):
                for name in given.only:
                    lap = contend(name, site, urls, work / f"{name}.jsonl" if name != "floor" else None, cores)
                    laps[name].append(lap)
                    speed = lap["answered"] / lap["seconds"]
                    print(f"round {number + 1} {name:12} {speed:8,.0f} pages/s", flush=True)
        faults = [] if given.no_check else exactness(work / "check", cores, given)
    result = summary(site, laps, cores) | {"exact": None if given.no_check else not faults, "faults": faults}
    _print(result)
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    low = result["ratios"].get("ours", {"median": 1.0})["median"] < given.least
    return 1 if faults or low else 0


def contend(name: str, site: Site, urls: Path, items: Path | None, cores: Cores) -> Lap:
    """One lap of one contender. Raises CalledProcessError when it fails."""
    command = [sys.executable, "-m", f"benchmarks.contenders.{name}", site.start, "--urls", str(urls)]
    if items is not None:
        command += ["--items", str(items)]
    if cores.contender is not None:
        command += ["--core", str(cores.contender)]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]).stdout
    lap: Lap = json.loads(told)
    return lap


def exactness(work: Path, cores: Cores, given: argparse.Namespace) -> list[str]:
    """Crawl once more on a server that keeps a record, and compare it with the truth and with the floor."""
    with serve(work, cores, generated=given.generated, static=given.static, log=True) as site:
        expected = site.expected()
        urls = _write_urls(work / "urls.txt", expected)
        lap = contend("ours", site, urls, work / "ours.jsonl", cores)
        faults = []
        if site.log is not None:
            faults = list(check.record_faults(site.requests(), expected))
        else:
            print("no record of requests: nginx is not there; judged by the items alone")
        contend("floor", site, urls, work / "floor.jsonl", cores)
        found, reference = check.items(work / "ours.jsonl"), check.items(work / "floor.jsonl")
    if lap["answered"] != len(expected):
        faults.append(f"{lap['answered']:,} URLs answered of {len(expected):,}")
    return [*faults, *check.faults(found, reference, expected)]


def summary(site: Site, laps: dict[str, list[Lap]], cores: Cores) -> dict[str, Any]:
    """Everything as data: per contender pages/s, microseconds of CPU a page, peak bytes; ratios to the floor."""
    contenders = {}
    for name, runs in laps.items():
        contenders[name] = {
            "pages_per_second": _spread([lap["answered"] / lap["seconds"] for lap in runs]),
            "cpu_us_per_page": _spread([lap["cpu"] / lap["answered"] * 1e6 for lap in runs]),
            "peak_bytes": max(lap["peak"] for lap in runs),
            "pages": runs[0]["answered"],
        }
    ratios = {}
    for name, runs in laps.items():
        if "floor" in laps and name != "floor":
            pairs = zip(runs, laps["floor"], strict=True)
            ratios[name] = _spread([_speed(lap) / _speed(floor) for lap, floor in pairs])
    if {"ours", "memory"} <= laps.keys():  # of the time of a page, and of its processor time
        pairs = [*zip(laps["ours"], laps["memory"], strict=True)]
        ratios["durable time"] = _spread([_speed(memory) / _speed(ours) for ours, memory in pairs])
        ratios["durable cpu"] = _spread([ours["cpu"] / memory["cpu"] for ours, memory in pairs])
    return {
        "site": site.what,
        "machine": _machine(cores),
        "versions": {name: version(name) for name in TOLD},
        "contenders": contenders,
        "ratios": ratios,
    }


def _speed(lap: Lap) -> float:
    return lap["answered"] / lap["seconds"]


def _spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def _print(result: dict[str, Any]) -> None:
    heads = (("pages/s", 8), ("(min", 8), ("max)", 8), ("us CPU/page", 12), ("peak MB", 8), ("of floor", 9))
    print("\n" + " " * 12, *(f"{text:>{width}}" for text, width in (*heads, ("(min", 6), ("max)", 6))))
    for name, each in result["contenders"].items():
        speed, ratio = each["pages_per_second"], result["ratios"].get(name)
        row = f"{name:12} {speed['median']:8,.0f} {speed['min']:8,.0f} {speed['max']:8,.0f}"
        row += f" {each['cpu_us_per_page']['median']:12,.0f} {each['peak_bytes'] / 1e6:8,.0f}"
        if ratio:
            row += f" {ratio['median']:9.3f} {ratio['min']:6.3f} {ratio['max']:6.3f}"
        print(row)
    for name in ("time", "cpu"):
        if ratio := result["ratios"].get(f"durable {name}"):
            shown = f"{ratio['median']:.3f} ({ratio['min']:.3f}, {ratio['max']:.3f})"
            print(f"durability costs {shown} times the {name} of a crawl in memory")
    if result["exact"] is not None:
        print("exact: every URL once, nothing else, same titles" if result["exact"] else "NOT EXACT")
    for fault in result["faults"]:
        print(f"  {fault}")


def _prepare(site: Site, work: Path) -> Path:
    warm(site.root)
    expected = site.expected()
    missing = sum(answer.status != 200 for answer in expected.values())
    print(f"{len(expected):,} URLs reachable, {missing} of them missing")
    return _write_urls(work / "urls.txt", expected)


def _write_urls(path: Path, urls: Sequence[str] | dict[str, Any]) -> Path:
    path.write_text("".join(f"{url}\n" for url in urls), encoding="utf-8")
    return path


def _machine(cores: Cores) -> str:
    pinned = (
        "one shared core"
        if cores.contender is None
        else f"contender on core {cores.contender}, server on {cores.server}"
    )
    return f"Python {platform.python_version()} on {platform.machine()}, {pinned}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Compare with the floor.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where the result goes")
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=CONTENDERS, help="contenders, by comma"
    )
    parser.add_argument("--least", type=float, default=0.0, help="least median ratio of ours to the floor")
    parser.add_argument("--install", action="store_true", help="get site and server with apt-get")
    parser.add_argument("--generated", action="store_true", help="crawl the generated site")
    parser.add_argument("--static", action="store_true", help="serve with the project's own static server")
    parser.add_argument("--no-check", action="store_true", help="leave the exactness check out")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
