"""A kept result as Markdown: `python -m benchmarks.report benchmarks/results/VERSION.json [--into PAGE]`.

With `--into` it replaces what is between the two marks on that page (docs/benchmarks.md); without, it prints.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .plot import drawing
from .result import Result, load

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEADS = ("", "pages/s", "(least to most)", "of the floor", "(least to most)", "CPU us a page", "peak MB", "pages")
WHERE = "## Where we lose"


def markdown(result: Result, plot: str = "") -> str:
    """The whole result: where ours loses first, then a table of each shape. `plot` is where the drawing is."""
    parts = [f"Version {result['version']}, result `{result['name']}`."]
    if plot:
        parts.append(f"![Pages a second of each contender, by shape]({plot})")
    lost = [*losses(result)]
    parts.append(f"{WHERE}\n\n" + ("\n".join(f"- {line}" for line in lost) or "Nowhere in what was measured."))
    for shape, data in result["shapes"].items():
        parts.append(f"## {shape}: {data.get('what', data.get('program', ''))}")
        parts.extend(_section(data))
    return "\n\n".join(parts) + "\n"


def _section(data: Result) -> Iterator[str]:
    rounds = f", {data['rounds']} rounds" if "rounds" in data else ""
    yield f"{data.get('site', '')}{rounds}. {data['machine']}, {data['date']}.".removeprefix(". ")
    if "contenders" in data:
        yield _table([HEADS, *_rows(data)])
        yield from _notes(data)
        if data.get("missed"):
            yield "Odd URLs (benchmarks/traps.py) that a contender does not bring:"
            yield _table([("", "missed"), *_missed(data)])
    elif "rows" in data:
        heads = ("", "to the first request: best, ms", "median", "to the end: best, ms", "median")
        yield _table([heads, *_times(data)])
        yield from _notes(data)
    else:
        yield from _told(data["data"])


def text(shape: str, data: Result) -> str:
    """The same for a terminal, one shape."""
    if "contenders" in data:
        rows = [HEADS, *_rows(data)]
    elif "rows" in data:
        rows = [("", "first ms", "median", "end ms", "median"), *_times(data)]
    else:
        return "\n".join(_told(data["data"]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.rjust(width) if column else cell.ljust(width)
                  for column, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]  # fmt: skip
    lines += _notes(data)
    lines += [f"odd URLs that {name} misses: {what}" for name, what in _missed(data)]
    return "\n".join(lines + [f"WE LOSE: {line}" for line in _lost(shape, data)])


def _rows(data: Result) -> Iterator[tuple[str, ...]]:
    for each in data["contenders"].values():
        speed, cpu = each["pages_per_second"], each["cpu_us_per_page"]
        ratio = each.get("speed_of_floor")
        yield (
            each["title"],
            f"{speed['median']:,.0f}",
            f"{speed['min']:,.0f} to {speed['max']:,.0f}",
            f"{ratio['median']:.3f}" if ratio else "1" if data["floor"] in data["contenders"] else "-",
            f"{ratio['min']:.3f} to {ratio['max']:.3f}" if ratio else "",
            f"{cpu['median']:,.0f}",
            f"{each['peak_bytes'] / 1e6:,.0f}",
            f"{each['pages']:,}" + (" (part)" if each["part"] else ""),
        )


def _times(data: Result) -> Iterator[tuple[str, ...]]:
    for row in data["rows"].values():
        first = row.get("first")
        told = (f"{first['min']:,.0f}", f"{first['median']:,.0f}") if first else ("", "")
        yield row["title"], *told, f"{row['whole']['min']:,.0f}", f"{row['whole']['median']:,.0f}"


def _notes(data: Result) -> Iterator[str]:
    for key, what in (("durable_time", "time"), ("durable_cpu", "processor time")):
        if ratio := data.get(key):
            yield (
                f"Durability multiplies the {what} of a crawl in memory by {ratio['median']:.3f} "
                f"({ratio['min']:.3f} to {ratio['max']:.3f})."
            )
    if ratio := data.get("processes_of_ours"):
        yield f"Two processes: {ratio['median']:.2f} times one ({ratio['min']:.2f} to {ratio['max']:.2f})."
    for each in data.get("contenders", {}).values():
        if gap := each.get("longest_gap"):
            yield f"Longest gap of the event loop, {each['title']}: {gap['median'] * 1e3:,.0f} ms " + (
                f"({gap['min'] * 1e3:,.0f} to {gap['max'] * 1e3:,.0f})."
            )
        if base := each.get("floor_on_its_pages"):
            yield (
                f"{each['title']} brought {each['pages']:,} of {data['urls']:,} pages in its time; its ratio is to "
                f"the floor on those same pages, {base['median']:,.0f} a second."
            )
        for fault in each.get("disagrees", []):
            yield f"Pages of {each['title']}: {fault}"
    if "faults" in data:
        yield (f"NOT EXACT: {'; '.join(data['faults'])}" if data["faults"] else _exact(data.get("judged")))
    for name, why in data.get("skipped", {}).items():
        yield f"Without {name}: {why}."


def _missed(data: Result) -> Iterator[tuple[str, str]]:
    for name, groups in data.get("missed", {}).items():
        title = data["contenders"].get(name, {}).get("title", name)
        yield title, "; ".join(f"{group}: {_quoted(urls)}" for group, urls in groups.items()) or "none"


def _quoted(urls: list[str]) -> str:
    return ", ".join(f"`{url}`" for url in urls)


def losses(result: Result) -> Iterator[str]:
    """Every figure in which another is ahead of ours, in words."""
    for shape, data in result["shapes"].items():
        yield from (f"{shape}: {line}" for line in _lost(shape, data))


def _lost(shape: str, data: Result) -> Iterator[str]:
    ours = data.get("contenders", {}).get("ours")
    for name, other in data.get("contenders", {}).items() if ours else ():
        if name in (data["floor"], "ours", "memory", "processes"):
            continue
        # What covered a part of the site is compared by its ratio to the floor on the same pages.
        key = "speed_of_floor" if other["part"] and "speed_of_floor" in ours else "pages_per_second"
        fast, own = other[key]["median"], ours[key]["median"]
        if fast > own:
            yield f"{other['title']} is {fast / own:.2f} times as fast"
        key = "cpu_of_floor" if other["part"] and "cpu_of_floor" in ours else "cpu_us_per_page"
        cheap, own = other[key]["median"], ours[key]["median"]
        if cheap < own:
            yield f"{other['title']} takes {cheap / own:.2f} of the processor time a page"
        if other["peak_bytes"] < ours["peak_bytes"]:
            part = f", in {other['pages']:,} pages" if other["part"] else ""
            yield (
                f"{other['title']} needs less memory: {other['peak_bytes'] / 1e6:,.0f} MB{part}; "
                f"ours {ours['peak_bytes'] / 1e6:,.0f} MB"
            )
    for fault in data.get("faults", []):
        yield f"ours is not exact: {fault}"
    for group, urls in data.get("missed", {}).get("ours", {}).items():
        yield f"ours does not bring these odd URLs ({group}): {', '.join(urls)}"
    yield from _later(data.get("rows", {}))


def _exact(judged: list[str] | None) -> str:
    """By the server's log where that was kept, else by the items."""
    if judged is None:
        return "Ours brought every page once, with the titles and links that the floor saw."
    return f"Exact by the server's log ({', '.join(judged)}): every URL once, nothing else, same titles and links."


def _later(rows: dict[str, Any]) -> Iterator[str]:
    for ours, others in (
        ("ours-help", ("scrapy-help",)),
        ("ours", ("scrapy", "crawlee", "crawlee-js", "spider-rs")),
    ):
        for name in others:
            key = "first" if ours == "ours" else "whole"
            if ours in rows and name in rows and rows[name][key]["min"] < rows[ours][key]["min"]:
                yield (
                    f"{rows[name]['title']} is sooner: {rows[name][key]['min']:,.0f} ms, "
                    f"ours {rows[ours][key]['min']:,.0f} ms"
                )


def _told(data: Any) -> Iterator[str]:
    """What another program has told: a list of rows as a table, plain values as a list."""
    rows = data if isinstance(data, list) else data.get("rows", [])
    if rows and all(isinstance(row, dict) for row in rows):
        heads = tuple(rows[0])
        yield _table([heads, *(tuple(_cell(row.get(head, "")) for head in heads) for row in rows)])
    if isinstance(data, dict):
        plain = {name: value for name, value in data.items() if not isinstance(value, list | dict)}
        yield "\n".join(f"- {name}: {_cell(value)}" for name, value in plain.items())


def _cell(value: Any) -> str:
    return f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _table(rows: list[tuple[str, ...]]) -> str:
    head, *others = rows
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in others]
    return "\n".join(lines).replace("|  |", "| |")


def put_into(page: Path, text: str) -> None:
    """Replace what is between the marks of a page. Raises ValueError when they are not there."""
    old = page.read_text(encoding="utf-8")
    start, end = old.index(BEGIN) + len(BEGIN), old.index(END)
    page.write_text(f"{old[:start]}\n\n{text}\n{old[end:]}", encoding="utf-8")


def main() -> None:
    """Print a result, or put it into a page; its drawing is drawn anew."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--into", type=Path, help="page with the marks")
    given = parser.parse_args()
    if not given.file.exists():
        raise SystemExit(f"there is no {given.file}")
    kept, drawn = load(given.file), given.file.with_suffix(".svg")
    drawn.write_text(drawing(kept), encoding="utf-8")
    base = given.into.parent if given.into else Path.cwd()
    shown = markdown(kept, os.path.relpath(drawn, base))
    if given.into:
        put_into(given.into, shown.replace("\n## ", "\n### "))
    else:
        print(shown, end="")


if __name__ == "__main__":
    main()
