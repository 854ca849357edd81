"""Runs made for comparing: their pages and items, kept by the real store as a crawl keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scraper.changes.compare import Compared
from scraper.changes.keep import keep
from scraper.folder import FINISHED, RunFolder, RunInfo
from scraper.frontier.store import Facts, Step
from scraper.outcome import End, Outcome
from scraper.reasons import Reason
from tests.frontier.state import HOST, State, page

Item = dict[str, Any]
ROOT = "/"


@dataclass
class Node:
    """A page of a run: what it gave, how it ended, on which page it was found, where it was redirected to."""

    items: Sequence[Item] = ()
    parent: str = ROOT
    end: End | None = End.DONE  # None: it is still queued
    reason: Reason = Reason.OK
    status: int = 200
    cut: bool = False
    to: str = ""


def failed(status: int = 0, reason: Reason = Reason.STATUS, **more: Any) -> Node:
    """A page that gave nothing usable."""
    return Node(end=End.FAILED, reason=reason, status=status, **more)


def plain(root: Path, name: str, items: Sequence[Item], **info: Any) -> RunFolder:
    """A run that kept no state."""
    folder = RunFolder(root / "shop" / name)
    folder.path.mkdir(parents=True)
    folder.items.write_bytes(b"".join(json.dumps(item).encode() + b"\n" for item in items))
    given: dict[str, Any] = {
        "spider": "shop",
        "state": FINISHED,
        "why": "finished",
        "started": float(name[-1]),
    } | info
    folder.write(RunInfo(run=name, **given))
    return folder


async def made(
    root: Path, name: str, pages: Mapping[str, Node], *, facts: Facts | None = None, rejected: Sequence[str] = (),
    seeds_done: bool = True, **info: Any,
) -> RunFolder:  # fmt: skip
    """A run of a seed and what it leads to; a page comes after its parent."""
    folder = plain(root, name, (), **info)
    folder.rejected.write_text("".join(json.dumps({"url": f"https://{HOST}{path}"}) + "\n" for path in rejected))
    pages = {ROOT: Node()} | dict(pages)
    journal = b""
    async with State(folder.state) as state:
        (seed,) = await state.seed(page(ROOT))
        requests = {ROOT: seed}
        for path, node in pages.items():
            if node.end is None:
                continue
            request = requests[path]
            links = [kid for kid, its in pages.items() if its.parent == path != kid and kid not in _targets(pages)]
            if node.to:
                onward = [
                    page(node.to, hops=(request.url,), parent=request.parent, depth=request.depth, counted=True)
                ]
            else:
                onward = [page(kid, parent=request.token, depth=request.depth + 1, scope=HOST) for kid in links]
            lines = [json.dumps(item).encode() for item in node.items]
            end = End.REDIRECTED if node.to else node.end
            outcome = Outcome(
                request=request, end=end, reason=node.reason, status=node.status, cut=node.cut, items=lines
            )
            added = state.store.add(onward)
            requests |= dict(zip([node.to] if node.to else links, added, strict=True))
            sources = [(len(journal), request.token)] if lines else []
            journal += b"".join(line + b"\n" for line in lines)
            await state.commit(Step(outcome, tuple(added)), sources=sources, positions={"items": len(journal)})
        await state.commit(facts=facts, seeds_done=seeds_done)
    folder.items.write_bytes(journal)
    return folder


def _targets(pages: Mapping[str, Node]) -> set[str]:
    return {node.to for node in pages.values()}


def compared(old: RunFolder | None, new: RunFolder, *key: str) -> tuple[Compared, list[Item]]:
    """What comparing them comes to, with its lines."""
    done = keep(old, new, key or ("id",))
    return done, [json.loads(line) for line in (new.path / "changes.jsonl").read_bytes().splitlines()]
