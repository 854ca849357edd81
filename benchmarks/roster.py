"""Who is compared: how each is started, what it can do, and why it is left out where it is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from scraper.settings import NAMES

from . import peers

OWN = (sys.executable, "-m")
NODE = (sys.executable, "-m", "benchmarks.contenders.node")


@dataclass(frozen=True)
class Contender:
    """`command` comes before the words of benchmarks/contenders/lap.py; `missing` says why it cannot run, or "".

    `free`: not bound to one core. `follows`: it finds its URLs itself. `peer`: of others, so it may be slow, and
    each of its laps ends after a time. `one_host`: it cannot crawl several.
    """

    name: str
    title: str
    command: tuple[str, ...]
    missing: Callable[[], str] = lambda: ""
    free: bool = False
    follows: bool = True
    peer: bool = False
    ours: bool = False
    one_host: bool = False


def _no_processes() -> str:
    return "" if "processes" in NAMES else "this version has no setting `processes`"


def _own(name: str, title: str, **more: bool) -> Contender:
    return Contender(name, title, (*OWN, f"benchmarks.contenders.{name}"), **more)


def _python(name: str, title: str, module: str) -> Contender:
    command = (str(peers.PYTHON), "-m", f"benchmarks.contenders.{module}")
    return Contender(name, title, command, peers.python_missing, peer=True)


def _node(name: str, title: str, file: str, *, one_host: bool = False) -> Contender:
    command = (*NODE, file, str(peers.NODE))
    return Contender(name, title, command, peers.node_missing, peer=True, one_host=one_host)


ROSTER = {
    each.name: each
    for each in (
        _own("floor", "the floor", follows=False),
        _own("handwritten", "hand-written loop"),
        _own("memory", "ours, in memory", ours=True),
        _own("ours", "ours", ours=True),
        Contender(
            "processes", "ours, two processes", (*OWN, "benchmarks.contenders.processes"), _no_processes,
            free=True, ours=True,
        ),
        _python("scrapy", "Scrapy", "scrapy_spider"),
        _python("crawlee", "crawlee (Python)", "crawlee_py"),
        _node("crawlee-js", "crawlee (node)", "crawlee.mjs"),
        _node("spider-rs", "spider-rs (Rust, from node)", "spider.mjs", one_host=True),
    )
}  # fmt: skip
