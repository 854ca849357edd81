"""`python -m benchmarks.kills [--kills 0 5 20] [--only ours scrapy crawlee] [--json PATH]`.

Each contender crawls the trial (scraper/testing/trial.py), is killed so many times (SIGKILL to its process group,
after a random number of requests of each process, 1 to 80) and started again by the same command, each time
by the means of resuming that its documentation names. Then it may run to its end, and its output is compared with
the truth. The peers have an environment of their own, made by `--install`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from scraper.testing.trial import Trial
from scraper.testing.trial_site import TrialProcess

from ..peers import PEERS, ROOT, install_python

HERE = Path(__file__).parent
PATIENCE = 180.0  # seconds that the last process may take
LIFE = 80  # requests that the others send at most before they are killed


@dataclass(frozen=True)
class Contender:
    """How to start it, by its site's first URL; and how to read what it brought home, item by item."""

    command: Callable[[str], list[str]]
    items: Callable[[Path], Iterator[dict[str, object]]]


@dataclass(frozen=True)
class Score:
    """What came of it. Pages are those that should give items, `in_doubt` those of the missing ones that a POST is
    sent to; `posts_twice` are those that the server was sent more than once, `sent` is all it got; `seconds` are
    of all processes.
    """

    contender: str
    kills: int
    pages_missing: int
    in_doubt: int
    pages_repeated: int
    items_missing: int
    items_repeated: int
    items_broken: int
    posts_twice: int
    exit_code: int
    seconds: float
    sent: int


def _ours(url: str) -> list[str]:
    spider = str(ROOT / "tests" / "kill" / "spider.py")
    return [sys.executable, "-m", "scraper", "crawl", spider, "-q", "-a", f"url={url}", "-o", "a.jsonl"]


def _scrapy(url: str) -> list[str]:
    spider = str(HERE / "scrapy_spider.py")
    return [
        str(PEERS / "bin" / "scrapy"),
        "runspider",
        spider,
        "-a",
        f"url={url}",
        "-s",
        "JOBDIR=job",
        "-o",
        "a.jsonl",
    ]


def _crawlee(url: str) -> list[str]:
    return [str(PEERS / "bin" / "python"), str(HERE / "crawlee_crawl.py"), url]


def _lines(folder: Path) -> Iterator[dict[str, object]]:
    path = folder / "a.jsonl"
    yield from _decoded(path.read_bytes().splitlines() if path.exists() else [])


def _files(folder: Path) -> Iterator[dict[str, object]]:
    found = sorted((folder / "storage" / "datasets" / "default").glob("[0-9]*.json"))
    yield from _decoded([path.read_bytes() for path in found])


def _decoded(texts: list[bytes]) -> Iterator[dict[str, object]]:
    for text in texts:
        try:
            yield json.loads(text)
        except ValueError:
            yield {}


CONTENDERS = {
    "ours": Contender(_ours, _lines),
    "scrapy": Contender(_scrapy, _lines),
    "crawlee": Contender(_crawlee, _files),
}


def contend(name: str, site: TrialProcess, kills: int, folder: Path, chance: random.Random) -> Score:
    """One crawl of one contender, with so many kills at most: it may end before."""
    contender = CONTENDERS[name]
    site.forget()
    done, seconds, code = 0, 0.0, None
    while code is None or (code == -signal.SIGKILL and done <= kills):
        began = time.monotonic()
        life = chance.randint(1, LIFE) if done < kills else None
        code = _process(contender.command(site.url), site, folder, life)
        seconds += time.monotonic() - began
        done += code == -signal.SIGKILL
    held = list(contender.items(folder))
    return _score(name, site, min(done, kills), held, code, seconds)


def _process(command: list[str], site: TrialProcess, folder: Path, life: int | None) -> int:
    """Start it, and kill it after so many requests; gives the exit code."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SCRAPER_", "CRAWLEE_"))}
    sent, end = site.sent, time.monotonic() + PATIENCE
    with (folder / "said.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=env | {"PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, start_new_session=True,
        )  # fmt: skip
        while (life is None or site.sent < sent + life) and time.monotonic() < end:
            try:
                return process.wait(0.005 if life is not None else PATIENCE)
            except subprocess.TimeoutExpired:
                continue
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def _score(
    name: str, site: TrialProcess, kills: int, held: list[dict[str, object]], code: int, seconds: float
) -> Score:
    truth = site.trial.truth()
    items = Counter(json.dumps(item, sort_keys=True, ensure_ascii=False) for item in held if item)
    sent = Counter(place for _, method, place, _ in site.visits if method == "POST")
    wanted = {str(json.loads(line)["page"]) for line in truth.items}
    there = {str(item.get("page")) for item in held if item}
    return Score(
        contender=name,
        kills=kills,
        pages_missing=len(wanted - there),
        in_doubt=len((wanted - there) & truth.posts.keys()),
        pages_repeated=len({json.loads(line)["page"] for line, number in items.items() if number > 1}),
        items_missing=sum((truth.items - items).values()),
        items_repeated=sum(number - 1 for number in items.values() if number > 1),
        items_broken=sum(not item for item in held) + sum(line not in truth.items for line in items),
        posts_twice=sum(sent[place] > 1 for place in truth.posts),
        exit_code=code,
        seconds=round(seconds, 1),
        sent=site.sent,
    )


def main() -> int:
    """Run all and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__)
    parser.add_argument("--kills", type=int, nargs="+", default=[0, 5, 20])
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pages", type=int, default=1000)
    parser.add_argument("--pace", type=float, default=0.05, help="seconds that a page takes")
    parser.add_argument("--install", action="store_true", help="make the peers' environment first")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="leave the contenders' folders there")
    given = parser.parse_args()
    if given.install:
        install_python()
    scores: list[Score] = []
    with (
        TrialProcess(Trial(given.pages, pace=given.pace, ill=0)) as site,
        tempfile.TemporaryDirectory() as temporary,
    ):
        truth = site.trial.truth()
        print(f"{len(site.trial.pages)} places, {sum(truth.items.values())} items, seed {given.seed}", flush=True)
        print(_row("contender", *list(Score.__dataclass_fields__)[1:]), flush=True)
        for kills in given.kills:
            for name in given.only:
                folder = (given.keep or Path(temporary)) / f"{name}-{kills}"
                folder.mkdir(parents=True)
                scores.append(contend(name, site, kills, folder, random.Random(given.seed)))
                print(_row(*asdict(scores[-1]).values()), flush=True)
    if given.json:
        given.json.write_text(json.dumps([asdict(score) for score in scores], indent=2) + "\n", encoding="utf-8")
    return 0


def _row(*cells: object) -> str:
    return f"{cells[0]:10}" + "".join(f"{cell!s:>15}" for cell in cells[1:])


if __name__ == "__main__":
    sys.exit(main())
