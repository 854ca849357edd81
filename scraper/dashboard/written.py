"""How values are written on a page: times, durations, numbers, and text that came from who knows where."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
import msgspec

from ..jobs.words import spell
from ..words import count, cut, duration, size

# What is not seen, or turns the text around it (Unicode TR 36, 2.5 and TR 9): controls but tab and newline, marks
# of direction, joiners of no width, separators that break lines, tags, halves of surrogates.
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
ADDRESS = re.compile(r"https?://[^\s\"<>\\^`{|}\x00-\x20\x7f-\x9f]+", re.IGNORECASE)
DEEP = 10_000  # characters of a value that are shown
NONE = "\u2013"


def visible(text: str) -> str:
    r"""The same text with `\u202e` and the like in the place of characters that deceive the eye."""
    if text.isprintable():
        return text
    return UNSEEN.sub(lambda found: _escaped(ord(found[0])), text)


def _escaped(number: int) -> str:
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"


def final(value: Any) -> Any:
    """What every expression of a template passes on its way into the page, before it is escaped."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def address(text: object) -> str:
    """A URL that may be the target of a link: http and https only; "" for any other text."""
    return text if isinstance(text, str) and ADDRESS.fullmatch(text) and len(text) <= 4000 else ""


def absolute(at: float | None, zone: str = "UTC", *, seconds: bool = True) -> str:
    """A wall-clock second in a zone: `2026-11-21 08:30:15 CET`."""
    if not at:
        return NONE
    try:
        there = datetime.fromtimestamp(at, ZoneInfo(zone))
    except (ValueError, OSError, OverflowError, KeyError):
        try:
            there = datetime.fromtimestamp(at, UTC)
        except (ValueError, OSError, OverflowError):
            return f"second {at:.0f}"
    return there.strftime("%Y-%m-%d %H:%M:%S %Z" if seconds else "%Y-%m-%d %H:%M %Z")


def iso(at: float) -> str:
    """A wall-clock second as machines read it."""
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OSError, OverflowError):
        return ""


def ago(at: float, now: float) -> str:
    """How long ago, or in how long: `3 min ago`, `in 2 h`."""
    away = abs(now - at)
    if away < 5:
        return "now"
    steps = ((90, 1, "s"), (90 * 60, 60, "min"), (48 * 3600, 3600, "h"), (float("inf"), 86400, "days"))
    text = next(f"{away / unit:.0f} {word}" for most, unit, word in steps if away < most)
    return f"{text} ago" if at < now else f"in {text}"


def lasted(seconds: float | None) -> str:
    """A duration, short: `12.3 s`, `1:23`, a dash for none."""
    return NONE if seconds is None or seconds < 0 else duration(seconds)


def number(value: object) -> str:
    """`1,234`; a fraction with what counts of it; a dash for none; what is no number as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NONE if value is None else str(value)
    if isinstance(value, int) or value.is_integer():
        return f"{value:,.0f}"
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def share(part: float, whole: float) -> str:
    """A part as per cent of a whole."""
    return f"{100 * part / whole:.0f} %" if whole else NONE


def shown(value: Any) -> str:
    """A JSON value of an item as one text: text as it is, all else as JSON."""
    if isinstance(value, str):
        return value[:DEEP]
    if value is None:
        return "null"
    return msgspec.json.encode(value).decode()[:DEEP]


def brief(value: Any) -> str:
    """The same, cut to fit into a line."""
    return cut(shown(value), 120)


def pretty(value: Any) -> str:
    """A JSON value over several lines."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def words(value: object) -> str:
    """`rule_broken` as people write it."""
    return str(value).replace("_", " ")


def prepare(env: jinja2.Environment) -> None:
    """Give templates these as filters, and have all text pass `final`."""
    env.finalize = final
    env.filters |= {
        "absolute": absolute, "iso": iso, "ago": ago, "lasted": lasted, "number": number, "spelled": spell,
        "size": size, "shown": shown, "brief": brief, "pretty": pretty, "words": words,
        "address": address, "counted": count,
    }  # fmt: skip
    env.globals |= {"share": share}
