"""The sites that benchmarks crawl, and what is said of a crawl of them."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urljoin

import pytest
from selectolax.lexbor import LexborHTMLParser

from benchmarks import check, traps
from benchmarks.laps import ROOT, Course, Failed, contend, ended, items_of, told
from benchmarks.made import Made, hosts_possible
from benchmarks.roster import ROSTER, Contender
from benchmarks.site import Cores, serve_folder, serve_made
from scraper.testing.walk import HTML, walk

ONE_CORE = Cores(None, None)


@pytest.mark.parametrize(
    "made", [Made("tiny", 120), Made("broad", 90, 30), Made("large", 5)], ids=lambda m: m.shape
)
def test_every_page_of_a_made_site_is_reached_from_its_first(made: Made) -> None:
    places = {made.url(number, 80): number for number in range(made.pages)}
    known, waiting = {made.url(0, 80)}, [made.url(0, 80)]
    while waiting:
        url = waiting.pop()
        tree = LexborHTMLParser(made.page(places[url], 80))
        links = {urljoin(url, node.attributes["href"] or "").partition("#")[0] for node in tree.css("a[href]")}
        waiting += links - known
        known |= links
    assert known == set(made.expected(80))


def test_large_pages_are_of_one_to_three_megabytes() -> None:
    sizes = [len(Made("large", 3).page(number, 80)) / 2**20 for number in range(3)]
    assert [round(size, 1) for size in sizes] == [0.9, 1.9, 3.0]


def test_ours_and_the_floor_see_the_same_pages_of_many_hosts(tmp_path: Path) -> None:
    with serve_made("broad", 40, 10, ONE_CORE) as site:
        assert isinstance(site.root, Made)
        assert site.root.hosts == hosts_possible(10)
        expected = site.expected()
        urls = tmp_path / "urls.txt"
        urls.write_text("".join(f"{url}\n" for url in expected), encoding="utf-8")
        course = Course(site, urls, tmp_path, ONE_CORE, gaps=True)
        laps = {name: contend(ROSTER[name], course) for name in ("floor", "handwritten", "ours")}
        seen = {name: check.items(items_of(ROSTER[name], course)) for name in laps}
    assert {lap["answered"] for lap in laps.values()} == {40}
    assert laps["ours"]["longest_gap"] > 0
    for name in ("handwritten", "ours"):
        assert not [*check.faults(seen[name], seen["floor"], expected)]


def test_each_trap_is_a_page_of_its_own(tmp_path: Path) -> None:
    root = traps.make(tmp_path / "traps")
    base = "http://traps.test/"
    pages = [url for url, answer in walk(root, "index.html", base).items() if answer == HTML]
    missed = traps.missed([base + "index.html"], pages, base)
    assert missed.keys() == traps.GROUPS.keys()
    assert sum(map(len, missed.values())) == sum(map(len, traps.GROUPS.values())) == len(pages) - 1
    assert traps.missed(pages, pages, base) == {}


def test_ours_brings_every_page_of_the_traps(tmp_path: Path) -> None:
    with serve_folder(traps.make(tmp_path / "traps"), tmp_path, ONE_CORE, static=True) as site:
        course = Course(site, tmp_path / "none", tmp_path, ONE_CORE)
        contend(ROSTER["ours"], course)
        brought = [item["url"] for item in check.items(items_of(ROSTER["ours"], course))]
        pages = [url for url, answer in site.expected().items() if answer == HTML]
    assert traps.missed(brought, pages, site.start[: site.start.rindex("/") + 1]) == {}


def test_a_contender_that_fails_says_what_it_died_of() -> None:
    with pytest.raises(Failed, match="exit code 1: ValueError: no such thing"):
        told([sys.executable, "-c", "raise ValueError('no such thing')"])


def test_a_contender_leaves_no_process_behind_and_its_memory_is_that_of_all(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys, time\n"
        "held = 'held = bytes([1]) * 60_000_000; print(1, flush=True); input()'\n"
        "pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE}\n"
        "other = subprocess.Popen([sys.executable, '-c', held], **pipes)\n"
        "other.stdout.readline(); time.sleep(0.5)\n"
    )
    done = ended([sys.executable, "-c", program], ROOT, several=True)
    assert done.code == 0
    if sys.platform == "linux":
        assert done.peak > 60_000_000


def test_who_cannot_run_here_says_why() -> None:
    assert all(isinstance(each.missing(), str) for each in ROSTER.values())
    assert not ROSTER["ours"].missing()
    assert Contender("x", "x", ()).missing() == ""
