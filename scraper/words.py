"""Numbers as people read them."""

from __future__ import annotations


def count(number: int, noun: str = "", plural: str = "") -> str:
    """`1,234 pages`, `1 page`."""
    if not noun:
        return f"{number:,}"
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """`0.4 s`, `12.3 s`, `1:23`, `2:03:04`."""
    if seconds < 60:
        return f"{max(0.0, seconds):.1f} s"
    return clock(seconds)


def clock(seconds: float) -> str:
    """`0:07`, `1:23`, `2:03:04`."""
    whole = max(0, int(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(number: float) -> str:
    """Bytes with a decimal prefix: `812 bytes`, `12.3 MB`."""
    if number < 1000:
        return f"{number:.0f} bytes"
    for unit, bytes_ in (("kB", 1e3), ("MB", 1e6)):
        if number / bytes_ < 999.95:
            return f"{number / bytes_:.1f} {unit}"
    return f"{number / 1e9:,.1f} GB"


def cut(text: str, width: int) -> str:
    """At most so many characters, with a mark where something is missing at the end."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def middle(text: str, width: int) -> str:
    """At most so many characters, with a mark where something is missing in the middle."""
    if len(text) <= width:
        return text
    left = (width - 1) // 2
    return f"{text[:left]}…{text[len(text) - (width - 1 - left) :]}"
