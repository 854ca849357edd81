"""The shapes that are not crawled: `parse` (bytes to title and links) and `start` (command to first request)."""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path

from . import peers
from .contenders.parsing import WAYS
from .laps import ROOT, Failed, Lap, ended, last_word, told
from .result import Result, spread, summary
from .site import RUST_DOC, Cores, generate, pinned

PAGES = 2_000  # that are parsed in a lap
TRIES = 5  # of each command
PAGE = b"<title>first</title>"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\nConnection: close\r\n\r\n" + PAGE
Say = Callable[[str], None]


def parse(pages: int, rounds: int, work: Path, cores: Cores, say: Say, *, generated: bool = False) -> Result:
    """Title and hrefs of the same pages by ours, by bare selectolax (the floor) and by parsel."""
    work.mkdir(parents=True, exist_ok=True)
    real = RUST_DOC.is_dir() and not generated
    root = RUST_DOC if real else generate(work / "pages", pages or PAGES)
    files = sorted(root.rglob("*.html"))
    step = max(1, len(files) // (pages or PAGES))
    corpus = [str(path) for path in islice(files[::step], pages or PAGES)]
    listed = work / "corpus.txt"
    listed.write_text("".join(f"{path}\n" for path in corpus), encoding="utf-8")
    skipped = {"parsel": why} if (why := peers.python_missing()) else {}
    laps: dict[str, list[Lap]] = {}
    for _ in range(rounds):
        for name in ("selectolax", "ours", "parsel"):
            if name not in skipped:
                laps.setdefault(name, []).append(_parsed(name, listed, cores))
    titles = {"ours": "ours (Response.css)", "selectolax": "selectolax alone", "parsel": "parsel (Scrapy's)"}
    result = summary(laps, titles, "selectolax")
    for name, each in result["contenders"].items():
        if laps[name][0]["links"] != laps["selectolax"][0]["links"]:
            links = [laps[way][0]["links"] for way in (name, "selectolax")]
            each["disagrees"] = [f"{links[0]:,} links found, selectolax finds {links[1]:,}"]
    what = "rust-doc" if real else "generated"
    say(f"parse: {len(corpus):,} pages of the {what} site")
    return result | {
        "site": f"{len(corpus):,} pages of {what}",
        "what": "bytes to title and hrefs",
        "skipped": skipped,
    }


def _parsed(name: str, listed: Path, cores: Cores) -> Lap:
    assert name in WAYS
    python = str(peers.PYTHON) if name == "parsel" else sys.executable
    command = [python, "-m", "benchmarks.contenders.parsing", name, "--urls", str(listed)]
    return told(command + (["--core", str(cores.contender)] if cores.contender is not None else []))


class First:
    """A server that takes the time of the first request, and answers each with a page without links."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        self.at = 0.0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._socket.accept()
                with client, suppress(OSError):
                    client.settimeout(5)
                    if client.recv(65536):
                        self.at = self.at or time.perf_counter()
                        client.sendall(ANSWER)

    def close(self) -> None:
        """Listen no longer."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def start(tries: int, cores: Cores, say: Say) -> Result:
    """Milliseconds of short commands, best of so many tries first; of crawls also until their first request."""
    rows: dict[str, dict[str, object]] = {}
    skipped = {}
    for name, (title, command, missing) in _commands().items():
        if why := missing():
            skipped[name] = why
            continue
        try:
            runs = [_once(command, cores) for _ in range(tries)]
        except Failed as error:
            skipped[name] = str(error)
            continue
        row: dict[str, object] = {"title": title, "whole": spread([whole * 1e3 for whole, _ in runs])}
        if firsts := [first * 1e3 for _, first in runs if first]:
            row["first"] = spread(firsts)
        rows[name] = row
        say(f"start: {name:16} {min(whole for whole, _ in runs) * 1e3:6.0f} ms")
    return {"site": "one page without links", "what": "from a command to its first request", "rows": rows,
            "skipped": skipped, "rounds": tries}  # fmt: skip


Commands = dict[str, tuple[str, list[str], Callable[[], str]]]


def _commands() -> Commands:
    here, there = [sys.executable], [str(peers.PYTHON)]
    contender = [*there, "-m", "benchmarks.contenders.crawlee_py", "URL", "--items", "items.jsonl"]
    node = [*here, "-m", "benchmarks.contenders.node"]
    scrapy = str(peers.PEERS / "bin" / "scrapy")
    spider = str(ROOT / "benchmarks" / "contenders" / "scrapy_spider.py")
    quiet = ["-s", "LOG_ENABLED=0", "-s", "ROBOTSTXT_OBEY=0", "-s", "TELNETCONSOLE_ENABLED=0"]
    runspider = [scrapy, "runspider", spider, "-a", "url=URL", *quiet]
    ours = [
        *here,
        "-m",
        "scraper",
        "crawl",
        str(ROOT / "spiders" / "docsite.py"),
        "-q",
        "-s",
        "delay=0",
        "-a",
        "url=URL",
    ]

    def always() -> str:
        return ""

    return {
        "python": ("python -c pass", [*here, "-c", "pass"], always),
        "ours-help": ("ours: scraper --help", [*here, "-m", "scraper", "--help"], always),
        "scrapy-help": ("scrapy --help", [scrapy, "--help"], peers.python_missing),
        "ours": ("ours: scraper crawl", ours, always),
        "scrapy": ("scrapy runspider", runspider, peers.python_missing),
        "crawlee": ("crawlee (Python)", contender, peers.python_missing),
        "crawlee-js": (
            "crawlee (node)", [*node, "crawlee.mjs", str(peers.NODE), *contender[3:]], peers.node_missing
        ),
        "spider-rs": (
            "spider-rs (from node)", [*node, "spider.mjs", str(peers.NODE), *contender[3:]], peers.node_missing
        ),
    }  # fmt: skip


def _once(command: list[str], cores: Cores) -> tuple[float, float]:
    """Seconds of the whole command, and until its first request (0.0 when it sends none). Raises Failed."""
    first = First()
    try:
        with tempfile.TemporaryDirectory() as folder, pinned(cores.contender):
            words = [word.replace("URL", first.url) if word.endswith("URL") else word for word in command]
            began = time.perf_counter()
            done = ended(words, Path(folder))
    finally:
        first.close()
    if done.code:
        raise Failed(f"exit code {done.code}: {last_word(done.err)}")
    return done.seconds, first.at - began if first.at else 0.0
