"""Whether a crawl was exact: every page there is, each asked for once, and read right."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from scraper.testing.walk import HTML, Expected

SHOWN = 3  # examples of each kind of fault
EXTRA = ("GET", "/robots.txt")


def items(path: Path) -> list[dict[str, Any]]:
    """The items of a contender."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def faults(
    found: list[dict[str, Any]],
    reference: list[dict[str, Any]],
    expected: Mapping[str, Expected],
    *,
    whole: bool = True,
) -> Iterator[str]:
    """What is wrong with the items of a crawl, beside the truth and what the floor saw on the same pages.

    Without `whole` pages may be missing.
    """
    pages = {url for url, answer in expected.items() if answer == HTML}
    counted = Counter(item["url"] for item in found)
    spelled = {unquote(url) for url in counted}
    missing = pages - counted.keys() if whole else set()
    others = counted.keys() - pages
    plain = {unquote(page) for page in pages} if others else set()
    respelled = {url for url in others if unquote(url) in plain}
    yield from _examples("pages are missing", (url for url in missing if unquote(url) not in spelled))
    yield from _examples("pages are not of the site", others - respelled)
    yield from _examples("URLs are spelled otherwise", respelled)
    yield from _examples("pages have several items", (url for url, number in counted.items() if number > 1))
    seen = {item["url"]: item for item in reference}
    for name in ("title", "links"):
        wrong = (i["url"] for i in found if i["url"] in seen and i[name] != seen[i["url"]][name])
        yield from _examples(f"pages have another {name}", wrong)


def record_faults(requests: Iterable[tuple[str, str, int]], expected: Mapping[str, Expected]) -> Iterator[str]:
    """What is wrong by the server's own record: every URL exactly once, robots.txt once, nothing else."""
    counted: Counter[tuple[str, str]] = Counter()
    answers: dict[tuple[str, str], int] = {}
    for method, target, status in requests:
        counted[method, target] += 1
        answers[method, target] = status
    wanted = {("GET", _target(url)): answer.status for url, answer in expected.items()}
    yield from _examples("URLs were never asked for", (target for _, target in wanted.keys() - counted.keys()))
    others = counted.keys() - wanted.keys() - {EXTRA}
    yield from _examples("requests were for something else", (" ".join(request) for request in others))
    again = (" ".join(request) for request, number in counted.items() if number > 1)
    yield from _examples("requests were sent again", again)
    if EXTRA not in counted:
        yield "robots.txt was not asked for"
    wrong = (target for (_, target), status in wanted.items() if answers.get(("GET", target), status) != status)
    yield from _examples("URLs had another status than the folder says", wrong)


def _target(url: str) -> str:
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _examples(what: str, urls: Iterable[str]) -> Iterator[str]:
    found = sorted(set(urls))
    if found:
        more = ", ..." if len(found) > SHOWN else ""
        yield f"{len(found):,} {what}: {', '.join(found[:SHOWN])}{more}"
