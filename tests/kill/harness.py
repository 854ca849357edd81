"""Runs a crawl, kills it at random instants over and over, and compares what came of it with the truth.

One crawl of the trial is one `Ordeal`: a working folder with its outputs and its run. `finish` starts the
command again and again until it ends by itself; `faults` are the differences from the truth, [] for none.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from scraper.testing.trial import Truth
from scraper.testing.trial_site import TrialProcess
from tests.forks import FORKS, Fork

from . import readers
from .readers import Items

ROOT = Path(__file__).parents[2]
SPIDER = Path(__file__).with_name("spider.py")
OUTPUTS = ("a.jsonl", "b.csv", "c.json", "d.xml", "e.jsonl.gz", "f.sqlite")
COUNTED = {  # what holds a place under max_pages
    ("done", "ok"), ("failed", "status"), ("failed", "callback_error"), ("failed", "unknown"),
    ("dropped", "skipped"),
}  # fmt: skip
PATIENCE = 60.0  # seconds that one process may run
SHOWN = 4  # differences shown of each sort


class Death(NamedTuple):
    """When a process is killed: so many seconds after its first request, or else after its start."""

    seconds: float
    at_work: bool = False


Deaths = Callable[[random.Random], Death]


@dataclass
class End:
    """How one process ended: its exit code (negative: the signal), when it began and how long it lived (seconds of
    `time.monotonic()`), what it said.
    """

    code: int
    began: float
    lived: float
    said: str


@dataclass
class Ledger:
    """What state.sqlite says: every answer as (method, place, end, reason) with its `time` argument, if any."""

    answers: Counter[tuple[str, str, str, str]]
    times: dict[str, set[int]]
    waiting: int


@dataclass
class Ordeal:
    """One crawl in `folder`, to be interrupted; `more` are further words of its command."""

    site: TrialProcess
    folder: Path
    outputs: Sequence[str] = OUTPUTS
    more: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    ends: list[End] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """How many processes were ended from outside."""
        return sum(end.code != 0 for end in self.ends)

    @property
    def command(self) -> list[str]:
        """What a person would type."""
        words = [sys.executable, "-m", "scraper", "crawl", str(SPIDER), "-a", f"url={self.site.url}"]
        for output in self.outputs:
            words += ["-o", output]
        return [*words, *self.more]

    def begin(self, log: Any, env: Mapping[str, str] | None = None) -> Fork | subprocess.Popen[bytes]:
        """Start the command in a process group of its own."""
        self.folder.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SCRAPER_")}
        kept |= {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"} | dict(self.env) | dict(env or {})
        if FORKS:
            with open(os.devnull, "rb") as nothing:
                streams = (nothing.fileno(), log.fileno(), log.fileno())
                return Fork(self.command[3:], self.folder, kept, streams, session=True)
        return subprocess.Popen(
            self.command, cwd=self.folder, env=kept, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip

    def once(
        self, death: Death | None = None, sign: int = signal.SIGKILL, env: Mapping[str, str] | None = None
    ) -> End:
        """One process: ends by itself, or is sent the signal in due time. AssertionError when it hangs."""
        with self.folder.with_suffix(".log").open("a+b") as log:
            start, sent, began = log.seek(0, os.SEEK_END), self.site.sent, time.monotonic()
            process = self.begin(log, env)
            if death is not None:
                ended = death.at_work and self._works(process, sent)
                if not ended and not _ends(process, death.seconds):
                    os.killpg(process.pid, sign)
            hung = not _ends(process, PATIENCE)
            if hung:
                os.killpg(process.pid, signal.SIGKILL)
            end = End(process.wait(), began, time.monotonic() - began, "")
            log.seek(start)
            end.said = log.read().decode(errors="replace")
        self.ends.append(end)
        assert not hung, f"it hung:\n{end.said[-3000:]}"
        return end

    def _works(self, process: Fork | subprocess.Popen[bytes], sent: int) -> bool:
        """Wait until it has sent a request; true when it has ended."""
        limit = time.monotonic() + PATIENCE
        while self.site.sent == sent and time.monotonic() < limit:
            if _ends(process, 0.01):
                return True
        return False

    def finish(
        self, chance: random.Random, deaths: Deaths, *, sign: int = signal.SIGKILL, most: int = 500,
        between: Callable[[], None] | None = None, numbers: Sequence[int] = (),
    ) -> None:  # fmt: skip
        """Start and kill it until it ends by itself; `between` happens after each kill.

        `numbers` of processes are used in turn.
        """
        own = self.more
        while True:
            if numbers:
                self.more = (*own, "--processes", str(numbers[len(self.ends) % len(numbers)]))
            end = self.once(deaths(chance) if self.kills < most else None, sign)
            if end.code == 0:
                return
            asked = end.code == -sign or (sign != signal.SIGKILL and end.code == 130)
            assert asked, f"it ended with {end.code} by itself (process {len(self.ends)}):\n{end.said[-4000:]}"
            if between is not None:
                between()
            if (runs := self.runs()) and _json(runs[-1] / "run.json").get("state") == "finished":
                return  # the kill came when all had been said and done

    # -- comparing ----------------------------------------------------------------------------------

    def runs(self) -> list[Path]:
        """The run folders that can be read, oldest first; not one that was killed before it had a state.

        In the milliseconds between the two nothing has been sent, and the next command begins anew.
        """
        found = {path.parent: _json(path) for path in self.folder.glob("output/trial/2*/run.json")}
        found = {path: info for path, info in found.items() if (path / "state.sqlite").is_file()}
        return sorted((path for path in found if found[path]), key=lambda path: found[path]["started"])

    def broken_runs(self) -> list[str]:
        """The records of runs that are there and cannot be read."""
        found = self.folder.glob("output/trial/2*/run.json")
        return [
            f"{path.parent.name}/run.json is broken: {path.read_bytes()!r}" for path in found if not _json(path)
        ]

    def ledger(self) -> Ledger | None:
        """What the last run's state says; None when it kept none."""
        path = self.runs()[-1] / "state.sqlite"
        if not path.exists():
            return None
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            rows = db.execute(
                "SELECT r.url, r.data, a.end, a.reason FROM answer a JOIN request r ON r.id = a.id"
            ).fetchall()
            (waiting,) = db.execute("SELECT count(*) FROM queue").fetchone()
        found = Ledger(Counter(), {}, waiting)
        for url, data, end, reason in rows:
            fields = json.loads(data) if data else {}
            found.answers[fields.get("method", "GET"), place(url), end, reason] += 1
            if "time" in (given := fields.get("cb_kwargs", {})):
                found.times.setdefault(place(url), set()).add(given["time"])
        return found

    def held(self) -> dict[str, Items | str]:
        """What each output holds, and the run's own journal; or why it cannot be read."""
        found: dict[str, Items | str] = {}
        for path in [*(self.folder / name for name in self.outputs), self.runs()[-1] / "items.jsonl"]:
            try:
                found[path.name] = readers.read(path)[0]
            except (AssertionError, ValueError, OSError, sqlite3.Error, SyntaxError) as error:
                found[path.name] = f"{type(error).__name__}: {error}"
        return found

    def faults(self) -> list[str]:
        """Every difference from the truth, for a crawl that was not limited."""
        truth, ledger = self.site.trial.truth(), self.ledger()
        found = self.site_faults(truth)
        doubtful: list[str] = []
        if ledger is not None:
            doubtful = [p for p in truth.posts if ledger.answers["POST", p, "failed", "unknown"]]
            answers = truth.answers.copy()
            for each in doubtful:
                answers["POST", each, "done", "ok"] -= 1
                answers["POST", each, "failed", "unknown"] += 1
            found += differences("ledger", ledger.answers, +answers)
            found += [f"{ledger.waiting} requests still wait"] if ledger.waiting else []
        items = truth.items.copy()
        for each in doubtful:
            items -= truth.posts[each]
        found += self.item_faults(items)
        found += self.source_faults()
        lines = (self.runs()[-1] / "rejected.jsonl").read_bytes().count(b"\n")
        found += [f"rejected.jsonl: {lines} lines, not {truth.rejected}"] if lines != truth.rejected else []
        return found

    def limited_faults(self, *, max_items: int = 0, max_pages: int = 0) -> list[str]:
        """Every difference from the truth for a crawl that ended at a limit, by what its ledger has answered."""
        truth, ledger = self.site.trial.truth(), self.ledger()
        assert ledger is not None
        found = self.site_faults(truth)
        in_doubt = Counter(
            {key: 1 for key in ledger.answers if key[0] == "POST" and key[2:] == ("failed", "unknown")}
        )
        found += differences("ledger", ledger.answers - in_doubt - truth.answers, Counter())
        ended = sum(n for (_, _, end, reason), n in ledger.answers.items() if (end, reason) in COUNTED)
        if max_pages and ended != max_pages:
            found.append(f"{ended} pages were answered, not {max_pages}")
        held = {name: items for name, items in self.held().items() if not isinstance(items, str)}
        own = held["items.jsonl"]
        found += differences("items.jsonl", own - truth.items, Counter())
        if max_items:
            found += [f"{own.total()} items, not {max_items}"] if own.total() != max_items else []
        else:
            found += differences("items.jsonl", own, self._owed(ledger))
        return found + self.source_faults() + self.item_faults(own)

    def source_faults(self) -> list[str]:
        """Items in the journal of which the state says that another page gave them."""
        folder = self.runs()[-1]
        if not (folder / "state.sqlite").exists():
            return []
        with closing(sqlite3.connect(f"file:{folder / 'state.sqlite'}?mode=ro", uri=True)) as db:
            rows = db.execute("SELECT start, url FROM source JOIN request USING (id) ORDER BY start").fetchall()
        starts, at, found = [start for start, _ in rows], 0, []
        for line in (folder / "items.jsonl").read_bytes().splitlines(keepends=True):
            number = bisect_right(starts, at) - 1
            said = place(rows[number][1]) if number >= 0 else "nobody"
            if said != (page := json.loads(line)["page"]):
                found.append(f"an item of {page}, at {at}, is said to be of {said}")
            at += len(line)
        return found[:SHOWN]

    def _owed(self, ledger: Ledger) -> Items:
        """The items of the pages that the ledger has answers of."""
        by_place: dict[str, list[str]] = {}
        truth = self.site.trial.truth()
        for line in truth.items:
            by_place.setdefault(json.loads(line)["page"], []).append(line)
        owed: Items = Counter()
        for _, where, end, reason in ledger.answers:
            if end == "done" or (end, reason) == ("failed", "status"):
                times = ledger.times.get(where)
                owed.update(
                    line for line in by_place.get(where, ()) if times is None or json.loads(line)["time"] in times
                )
        return owed

    def item_faults(self, items: Items) -> list[str]:
        """Where an output differs from these items; and what a finished run must not leave behind."""
        held = self.held()
        journal = held["items.jsonl"]
        found = [journal] if isinstance(journal, str) else differences("items.jsonl", journal, items)
        if not isinstance(journal, str):
            items = journal  # what is wrong with it is said once
        for name, each in held.items():
            if isinstance(each, str):
                found.append(f"{name}: {each}")
            else:
                found += differences(name, each, readers.flat(items) if name[0] in "bdf" else items)
        return found + [f"{path.name} is left" for path in self.folder.glob("*.part")]

    def site_faults(self, truth: Truth) -> list[str]:
        """What the server's own record says against the crawl."""
        visits = Counter((method, place) for _, method, place, _ in self.site.visits)
        found = [f"{method} {place} was asked for" for method, place in visits if place in truth.never]
        most = max(1, len(self.runs()))  # each run may send it once
        found += [f"POST {p} was sent {visits['POST', p]} times" for p in truth.posts if visits["POST", p] > most]
        return found

    def told(self) -> str:
        """One line of figures."""
        good = Counter(place for _, _, place, status in self.site.visits if status == 200 and "." in place)
        again = sum(good.values()) - len(good)
        return (
            f"{len(self.ends)} processes, {self.kills} kills, {sum(e.lived for e in self.ends):.1f} s, "
            f"{len(self.runs())} runs, {again} fetches repeated"
        )


def differences(what: str, held: Counter[Any], wanted: Counter[Any]) -> list[str]:
    """What is missing and what is too much, in words."""
    found = []
    for word, these in (("missing", wanted - held), ("too many", held - wanted)):
        if these:
            found.append(f"{what}: {these.total()} {word}, such as {list(these.elements())[:SHOWN]}")
    return found


def place(url: str) -> str:
    """Host and path of a URL."""
    there = urlsplit(url)
    return f"{there.hostname}{there.path}"


def spread(chance: random.Random) -> Death:
    """Some die while they start or take up an earlier run, most at work, some later: at the end, as it closes."""
    dice = chance.random()
    if dice < 0.35:
        return Death(chance.uniform(0.02, 0.6))
    return Death(chance.uniform(0.0, 0.3) if dice < 0.85 else chance.uniform(0.3, 1.1), at_work=True)


def _json(path: Path) -> dict[str, Any]:
    """An object that a file holds; empty when it is not there or broken."""
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found


def _ends(process: Fork | subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
