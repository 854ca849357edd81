"""Compares the framework with its floor and other crawlers: `python -m benchmarks.run [--shape all] [--peers]`.

Each contender runs in a process of its own on one core, the server on the other; the rounds are interleaved, so
that a machine that grows slower does so for all, and a ratio is always of two laps of one round. What was measured
is kept as benchmarks/results/<version>.json, drawn beside it as .svg; docs/benchmarks.md tells how each
number comes about.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import crawling, peers, plot, report, result, timing
from .crawling import SHAPES, Wanted
from .roster import ROSTER
from .site import Cores, install, missing

# Shapes that are programs of their own, each with `--json PATH`; those that are not there are left out of `all`.
PROGRAMS = {"engine": "benchmarks.engine", "delays": "benchmarks.broad"}
ALL = (*SHAPES, "parse", "start", *PROGRAMS)


def main() -> int:
    """Run what was asked for; 1 when a crawl was not exact or ours is below `--least` of the floor."""
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and contenders are ended too
    _set_up(given)
    cores = Cores.pick()
    name = given.name or ("quick" if given.pages or given.generated else "")
    path = given.results / f"{result.label(name)}.json"
    kept = result.load(path)
    about = {"machine": result.machine(cores), "versions": result.versions()}
    print(about["machine"])
    low = wrong = False
    for shape in given.shape:
        found = measure(shape, given, cores)
        if found is None:
            continue
        kept["shapes"][shape] = found | about | {"date": time.strftime("%Y-%m-%d")}
        kept["name"] = path.stem
        result.save(path, kept)
        path.with_suffix(".svg").write_text(plot.drawing(kept), encoding="utf-8")
        print(f"\n{report.text(shape, found)}\n", flush=True)
        wrong |= bool(found.get("faults"))
        ours = found.get("contenders", {}).get("ours", {})
        low |= shape == "site" and ours.get("speed_of_floor", {"median": 1.0})["median"] < given.least
    print(f"kept: {path} and {path.with_suffix('.svg').name}; python -m benchmarks.report {path} gives Markdown")
    if given.json:
        given.json.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return int(low or wrong)


def measure(shape: str, given: argparse.Namespace, cores: Cores) -> dict[str, Any] | None:
    """One shape, or None when its program is not there."""
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        if shape in PROGRAMS:
            return _program(PROGRAMS[shape], work / "told.json")
        if shape == "parse":
            return timing.parse(given.pages, given.rounds, work, cores, say, generated=given.generated)
        if shape == "start":
            return timing.start(timing.TRIES, cores, say)
        wanted = Wanted(
            only=given.only, rounds=given.rounds, pages=given.pages, cut=given.seconds, generated=given.generated,
            static=given.static, check=not given.no_check,
        )  # fmt: skip
        return {"rounds": given.rounds, **crawling.run(SHAPES[shape], wanted, work, cores, say)}


def say(text: str) -> None:
    """One line of progress."""
    print(text, flush=True)


def _program(module: str, path: Path) -> dict[str, Any] | None:
    if importlib.util.find_spec(module) is None:
        say(f"without {module}: not there")
        return None
    subprocess.run([sys.executable, "-m", module, "--json", str(path)], check=True, cwd=peers.ROOT)
    return {"program": module, "data": json.loads(path.read_text(encoding="utf-8"))}


def _set_up(given: argparse.Namespace) -> None:
    """Get what is missing and may be got, and say what stands in for what is not."""
    wanted = [name for name in missing() if not (given.generated and name == "rust-doc")]
    if wanted and (given.install or (os.geteuid() == 0 and not given.no_install and not given.static)):
        try:
            install()
        except (PermissionError, subprocess.CalledProcessError) as error:
            if given.install:
                raise SystemExit(f"{error}; without --install stand-ins are used") from error
    for name in missing():
        stand_in = "a generated site" if name == "rust-doc" else "our own static server"
        say(f"{name} is not there: {stand_in} stands in")
    if given.peers:
        for trouble in peers.install():
            say(trouble)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", type=_names(ALL), default=["site"], help=f"all, or by comma: {', '.join(ALL)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=_names(tuple(ROSTER)), default=list(ROSTER), help="contenders, by comma")
    parser.add_argument("--pages", type=int, default=0, help="of the site, for a quick look")
    parser.add_argument("--seconds", type=float, default=40.0, help="after which a peer takes no further page")
    parser.add_argument("--peers", action="store_true", help="install other crawlers below benchmarks/work first")
    parser.add_argument("--name", default="", help="added to the version in the name of the result")
    parser.add_argument("--results", type=Path, default=result.FOLDER, help="folder that the result is kept in")
    parser.add_argument("--json", type=Path, help="write the result there too")
    parser.add_argument("--least", type=float, default=0.0, help="least median ratio of ours to the floor")
    parser.add_argument("--install", action="store_true", help="fail when site and server cannot be had by apt-get")
    parser.add_argument("--no-install", action="store_true", help="install nothing by apt-get, even as root")
    parser.add_argument("--generated", action="store_true", help="crawl the generated site")
    parser.add_argument("--static", action="store_true", help="serve with the project's own static server")
    parser.add_argument("--no-check", action="store_true", help="leave the exactness checks out")
    return parser.parse_args()


class _names:
    """Words by comma out of those that there are; `all` of them."""

    def __init__(self, known: tuple[str, ...]) -> None:
        self._known = known

    def __call__(self, text: str) -> list[str]:
        if text == "all":
            return list(self._known)
        if unknown := [word for word in text.split(",") if word not in self._known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(self._known)}")
        return text.split(",")


if __name__ == "__main__":
    sys.exit(main())
