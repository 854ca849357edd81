"""The shapes that are crawled: `site`, `even`, `broad`, `tiny`, `large`; every contender on the same pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from scraper.testing.walk import HTML

from . import check, traps
from .laps import Course, Failed, Lap, contend, items_of, race
from .result import Result, summary
from .roster import ROSTER, Contender
from .site import PAGES, Cores, Site, serve, serve_folder, serve_made, warm

Say = Callable[[str], None]


class Shape(msgspec.Struct, frozen=True):
    """A site by its size. `pages` of 0: the real one, where it is there; `files`: of files, as that one."""

    name: str
    what: str
    pages: int = 0
    hosts: int = 1
    gaps: bool = False
    files: bool = False


SHAPES = {
    each.name: each
    for each in (
        Shape("site", "a documentation site"),
        Shape("even", "pages that are all alike: 20 KB, 90 links", 2_000, files=True),
        Shape("broad", "many hosts, ten pages of 5 KB each", 10_000, 1_000),
        Shape("tiny", "pages of half a kilobyte", 100_000),
        Shape("large", "pages of one to three megabytes", 60, gaps=True),
    )
}


class Wanted(msgspec.Struct):
    """What was asked for: `pages` of the site (0: all), `cut` seconds of a peer's lap."""

    only: list[str]
    rounds: int
    pages: int = 0
    cut: float = 40.0
    generated: bool = False
    static: bool = False
    check: bool = True


def run(shape: Shape, wanted: Wanted, work: Path, cores: Cores, say: Say) -> Result:
    """All rounds of a shape, and how the contenders' pages agree with the truth."""
    names, skipped = chosen(wanted.only, shape)
    for name, why in skipped.items():
        say(f"without {name}: {why}")
    with _served(shape, wanted, work / "timed", cores) as site:
        say(f"{shape.name}: {site.what}")
        if isinstance(site.root, Path):
            warm(site.root)
        expected = site.expected()
        course = _course(site, expected, work, cores, wanted, shape)
        missing = sum(answer.status != 200 for answer in expected.values())
        say(f"{len(expected):,} URLs reachable, {missing} of them missing")
        contend(ROSTER["floor"], course)  # what the floor saw; also warms the server
        reference = check.items(items_of(ROSTER["floor"], course))
        laps, failed = race(names, course, wanted.rounds, say)
        result = summary(laps, {name: each.title for name, each in ROSTER.items()})
        for name, runs in laps.items():
            if ROSTER[name].follows and (found := _disagrees(ROSTER[name], course, expected, reference, runs)):
                result["contenders"][name]["disagrees"] = found
    result |= {"site": site.what, "what": shape.what, "urls": len(expected), "skipped": skipped | failed}
    if wanted.check and "ours" in laps:
        if shape.name == "site":
            judged = [name for name in ("ours", "processes") if name in laps]
            result["faults"] = [
                f"{name}: {fault}"
                for name in judged
                for fault in exactness(name, work / f"check-{name}", cores, wanted, say)
            ]
            result["judged"] = judged
            result["missed"] = agreement(names, work / "traps", cores, wanted, say)
        else:
            result["faults"] = result["contenders"]["ours"].get("disagrees", [])
    return result


def chosen(only: Iterable[str], shape: Shape) -> tuple[list[str], dict[str, str]]:
    """Who takes part, in the roster's order, and who does not and why."""
    skipped = {}
    for name in only:
        why = ROSTER[name].missing()
        if not why and ROSTER[name].one_host and shape.hosts > 1:
            why = "crawls one host"
        if why:
            skipped[name] = why
    return [name for name in ROSTER if name in only and name not in skipped], skipped


@contextmanager
def _served(shape: Shape, wanted: Wanted, work: Path, cores: Cores, *, log: bool = False) -> Iterator[Site]:
    pages = min(wanted.pages or shape.pages, shape.pages)
    if pages and not shape.files:
        with serve_made(shape.name, pages, max(1, min(shape.hosts, pages // 4)), cores) as site:
            yield site
        return
    generated = pages or ((wanted.pages or PAGES) if wanted.generated else 0)
    with serve(work, cores, generated=generated, static=wanted.static, log=log) as site:
        yield site


def _course(
    site: Site, expected: Iterable[str], work: Path, cores: Cores, wanted: Wanted, shape: Shape | None = None
) -> Course:
    urls = work / "urls.txt"
    work.mkdir(parents=True, exist_ok=True)
    urls.write_text("".join(f"{url}\n" for url in expected), encoding="utf-8")
    limit = wanted.pages if site.what.startswith("rust-doc") else 0
    return Course(site, urls, work, cores, limit, wanted.cut, shape is not None and shape.gaps)


def _disagrees(
    contender: Contender, course: Course, expected: dict[str, Any], reference: list[dict[str, Any]], laps: list[Lap]
) -> list[str]:
    """How the pages of a contender's last lap differ from what they should be."""
    whole = not course.limit and not laps[-1].get("part")
    found = check.items(items_of(contender, course))
    origin = course.site.start[: course.site.start.index("/", 8)]
    return [fault.replace(origin, "") for fault in check.faults(found, reference, expected, whole=whole)]


def exactness(name: str, work: Path, cores: Cores, wanted: Wanted, say: Say) -> list[str]:
    """Crawl once more on a server that keeps a record, and compare it with the truth and with the floor."""
    # A part of the real site has no truth to compare with: the generated one stands in.
    whole = msgspec.structs.replace(wanted, generated=wanted.generated or wanted.pages > 0)
    with _served(SHAPES["site"], whole, work, cores, log=True) as site:
        expected = site.expected()
        course = _course(site, expected, work, cores, whole)
        lap = contend(ROSTER[name], course)
        faults = []
        if site.log is not None:
            faults = list(check.record_faults(site.requests(), expected))
        else:
            say("no record of requests: nginx is not there; judged by the items alone")
        contend(ROSTER["floor"], course)
        found, reference = (check.items(items_of(ROSTER[name], course)) for name in (name, "floor"))
    if lap["answered"] != len(expected):
        faults.append(f"{lap['answered']:,} URLs answered of {len(expected):,}")
    faults += check.faults(found, reference, expected)
    return [fault.replace(site.start[: site.start.index("/", 8)], "") for fault in faults]


def agreement(names: list[str], work: Path, cores: Cores, wanted: Wanted, say: Say) -> dict[str, Any]:
    """Which pages of the trap site each contender does not bring, by what they are about."""
    missed: dict[str, Any] = {}
    root = traps.make(work / "traps")
    with serve_folder(root, work, cores, static=wanted.static) as site:
        expected = site.expected()
        course = _course(site, expected, work, cores, wanted)
        course.cut = 0.0
        pages = [url for url, answer in expected.items() if answer == HTML]
        base = site.start[: site.start.rindex("/") + 1]
        for name in names:
            if ROSTER[name].follows:
                try:
                    contend(ROSTER[name], course)
                except Failed as error:
                    missed[name] = {"failed": [str(error)]}
                    continue
                found = (item["url"] for item in check.items(items_of(ROSTER[name], course)))
                missed[name] = traps.missed(found, pages, base)
                say(f"{len(pages)} odd URLs, {name}: {sum(map(len, missed[name].values())) or 'none'} missed")
    return missed
