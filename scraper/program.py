"""Crawls from a program or a notebook: `crawl`, `stream`, `run`. No signal handlers, nothing global."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from .crawl import Crawl
from .errors import UsageError
from .folder import Place, RunFolder, RunInfo
from .identity import Identity
from .outputs.journal import MemoryJournal
from .outputs.registry import check_writable
from .resume import Choice, Words, begin, going_on, joined, named, opened, which
from .run import MEMORY_LAG, Report, Run
from .settings import Layer, Settings, resolve
from .spider import Spider, check, check_begun

WORDS = Words("resume=False", lambda folder: f"crawl(..., resume={folder.run!r})")
log = logging.getLogger("scraper.program")


class Result(msgspec.Struct, kw_only=True):
    """What a crawl gave: its report, and its items as plain data when no run folder keeps them."""

    report: Report
    items: list[Any]
    folder: Path | None = None


def settings_for(spider: type[Spider] | Spider, *layers: Layer) -> Settings:
    """The settings of a spider: defaults, its own, then the layers given. Raises UsageError."""
    own: Layer = (f"settings of spider {spider.name!r}", dict(spider.settings))
    return resolve([own, *layers])


async def crawl(
    spider: Spider,
    *,
    output: str | Path | Iterable[str | Path] = (),
    settings: Mapping[str, Any] | None = None,
    folder: str | Path | None = None,
    resume: bool | str = False,
    **options: Any,
) -> Result:
    """Crawl to the end; in memory and fresh unless `folder` (where runs are kept) is given.

    With `folder` each call is a new run; with `resume=True` it continues an unfinished one by the rule of the
    command, with `resume="RUN"` that one. `output` names files as `-o` does. `options` go to `Run`: a clock, a
    resolver, events. Raises UsageError for wrong settings or outputs before anything is sent.
    """
    made = _prepare(spider, output, settings, folder, options, resume)
    report = await made.execute()
    items: list[Any] = []
    position = 0
    while made.folder is None and position < report.position:
        lines, position = await made.journal.read(position, report.position)
        items.extend(msgspec.json.decode(line) for line in lines)
    return Result(report=report, items=items, folder=made.folder.path if made.folder else None)


async def stream(
    spider: Spider, *, settings: Mapping[str, Any] | None = None, **options: Any
) -> AsyncGenerator[Any, None]:
    """The items of a crawl, one by one as plain data, each once its page is committed.

    Leaving the loop early ends the crawl. When the reader is slow the crawl waits.
    """
    made = _prepare(spider, (), settings, None, options)
    news = asyncio.Event()
    position = 0
    reached = 0

    def tell(at: int) -> None:
        nonlocal reached
        reached = at
        news.set()

    crawls: list[Crawl] = []

    def watch(crawl: Crawl) -> None:
        crawls.append(crawl)
        crawl.commit.told.append(tell)
        crawl.behind = lambda: reached - position > MEMORY_LAG

    made.started.append(watch)
    task = asyncio.create_task(made.execute())
    task.add_done_callback(lambda _: news.set())
    try:
        while True:
            if reached > position:
                lines, position = await made.journal.read(position, reached)
                for line in lines:
                    yield msgspec.json.decode(line)
                if isinstance(made.journal, MemoryJournal):
                    made.journal.drop(position)
                crawls[0].wake()
                continue
            if task.done():
                await task
                return
            await news.wait()
            news.clear()
    finally:
        task.cancel()
        await asyncio.wait((task,))


def run(spider: Spider, **options: Any) -> Result:
    """`crawl` for a program without an event loop. Raises UsageError in a running one, such as a notebook's."""
    if _looping():
        raise UsageError("an event loop runs here already: write `await crawl(...)` instead of `run(...)`")
    return asyncio.run(crawl(spider, **options))


def _looping() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _prepare(
    spider: Spider,
    output: str | Path | Iterable[str | Path],
    settings: Mapping[str, Any] | None,
    folder: str | Path | None,
    options: dict[str, Any],
    resume: bool | str = False,
) -> Run:
    if not isinstance(spider, Spider):
        made_of = f": write {spider.__name__}()" if isinstance(spider, type) else ""
        raise UsageError(f"{spider!r} is no spider{made_of}")
    check(type(spider))
    check_begun(spider)
    made = settings_for(spider, ("settings", settings or {}))
    paths = [str(output)] if isinstance(output, str | Path) else [str(each) for each in output]
    if folder is None and resume:
        raise UsageError("which run is to be continued? give the folder of runs too: crawl(..., folder=...)")
    with ExitStack() as undo:
        if folder is None:
            kept = None
            info = RunInfo(run="memory", spider=spider.name, started=time.time())
            info.outputs = joined(info, map(Place, paths))
        else:
            kept = _begun(Path(folder), Identity.of(spider, made), made, paths, resume)
            undo.callback(kept.discard)
            info = kept.read()
        for place in info.outputs:
            check_writable(place.path)
        outputs = [*opened(info, paths, csv_safe=made.csv_safe)]
        ready = Run(spider, made, folder=kept, outputs=outputs, **options)
        undo.pop_all()
    return ready


def _begun(root: Path, identity: Identity, settings: Settings, paths: list[str], resume: bool | str) -> RunFolder:
    """The folder of a new run, or of the one that is to be continued; held."""
    now = time.time()
    places = [*map(Place, paths)]

    def choose() -> Choice:
        if isinstance(resume, str):
            return going_on(*named(root, resume, WORDS), identity, settings, now, WORDS)
        return which(root / identity.spider, identity, settings, now, WORDS) if resume else Choice()

    choice = choose()
    if choice.said:
        log.info("%s", choice.said)
    if choice.info is not None:
        places = joined(choice.info, places)
    return begin(root, identity, choice, places, now, again=choose)
