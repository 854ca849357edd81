"""A result as one SVG: a panel a shape, a bar a contender, a line from its least to its most.

Text and bars take their colours from the reader's theme, light or dark; there is no background.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from xml.sax.saxutils import escape

from .result import Result

WIDTH, LEFT, RIGHT = 820, 200, 210  # of the drawing; of the names; of the figures
TOP, PANEL, ROW, BAR = 18, 44, 26, 15  # heights: margin, head of a panel, a row, its bar
STYLE = """
    text { font: 13px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #24292f; }
    .head { font-weight: 600; font-size: 15px; } .soft { fill: #57606a; }
    .ours { fill: #c2571a; } .floor { fill: #8c959f; } .other { fill: #3b77a8; }
    .range { stroke: #24292f; stroke-width: 1.5; } .axis { stroke: #8c959f; stroke-width: 1; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; } .soft { fill: #9aa4ae; }
      .ours { fill: #f0883e; } .floor { fill: #6e7681; } .other { fill: #58a6d6; }
      .range { stroke: #e6edf3; } .axis { stroke: #6e7681; }
    }"""


class Bar(NamedTuple):
    """A row of a panel."""

    name: str
    kind: str  # ours, floor or other
    least: float
    middle: float
    most: float
    figure: str


def drawing(result: Result) -> str:
    """The whole SVG."""
    panels = [
        (head, bars) for shape, data in result["shapes"].items() for head, bars in _panels(shape, data) if bars
    ]
    height = TOP + sum(PANEL + ROW * len(bars) + 10 for _, bars in panels)
    title = f"scraper {result['name']}: every contender by shape"
    body: list[str] = []
    top = TOP
    for head, bars in panels:
        body += _panel(head, bars, top)
        top += PANEL + ROW * len(bars) + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-labelledby="title">\n'
        f'  <title id="title">{escape(title)}</title>\n  <style>{STYLE}\n  </style>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _panels(shape: str, data: Result) -> Iterator[tuple[str, list[Bar]]]:
    if data.get("floor", "") in data.get("contenders", {}):
        size = f", {data['urls']:,} URLs" if "urls" in data else ""
        yield f"{shape}: {data['what']}{size} (speed, as a part of the floor's)", [*_speeds(data)]
    elif "rows" in data:
        yield f"{shape}: {data['what']} (milliseconds, less is better)", [*_times(data)]


def _speeds(data: Result) -> Iterator[Bar]:
    for name, each in data["contenders"].items():
        # What a slow peer covers is not the same mix of pages, so the ratio is drawn: it is of the same pages.
        ratio = each.get("speed_of_floor", {"min": 1.0, "median": 1.0, "max": 1.0})
        figure = f"{ratio['median']:.2f} · {each['pages_per_second']['median']:,.0f} pages/s"
        if each["part"]:
            figure += " (part)"
        kind = "floor" if name == data["floor"] else "ours" if each["title"].startswith("ours") else "other"
        yield Bar(each["title"], kind, ratio["min"], ratio["median"], ratio["max"], figure)


def _times(data: Result) -> Iterator[Bar]:
    for name, row in data["rows"].items():
        times = row.get("first") or row["whole"]
        kind = "floor" if name == "python" else "ours" if name.startswith("ours") else "other"
        yield Bar(row["title"], kind, times["min"], times["median"], times["max"], f"{times['median']:,.0f} ms")


def _panel(head: str, bars: list[Bar], top: float) -> Iterator[str]:
    yield f'  <text class="head" x="10" y="{top + 16}">{escape(head)}</text>'
    full = max(bar.most for bar in bars) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / full
    first = top + PANEL - 16
    yield f'  <path class="axis" d="M{LEFT} {first}v{ROW * len(bars)}"/>'
    for number, bar in enumerate(bars):
        y = first + ROW * number + (ROW - BAR) / 2
        middle = y + BAR / 2
        yield f'  <text x="{LEFT - 8}" y="{middle + 4.5}" text-anchor="end">{escape(bar.name)}</text>'
        yield (
            f'  <rect class="{bar.kind}" x="{LEFT}" y="{y}" width="{max(1.0, bar.middle * scale):.1f}" '
            f'height="{BAR}" rx="2"/>'
        )
        least, most = LEFT + bar.least * scale, LEFT + bar.most * scale
        yield f'  <path class="range" d="M{least:.1f} {middle}H{most:.1f}"/>'
        yield f'  <text class="soft" x="{most + 8:.1f}" y="{middle + 4.5}">{escape(bar.figure)}</text>'
