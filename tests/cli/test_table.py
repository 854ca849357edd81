"""Tables on a terminal: what is cut is the longest text, never a number or a time."""

from __future__ import annotations

import os
import struct
import sys
from contextlib import redirect_stdout

import pytest

from scraper.cli.table import table

HEAD = ("job", "pages", "when", "why")
ROW = ("n" * 40, "1,234", "11-22 08:30 CET", "w" * 90)


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of another kind")
@pytest.mark.parametrize("room", [200, 100, 80, 64])
def test_the_longest_texts_give_way_first(room: int) -> None:
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, room, 0, 0))
    with os.fdopen(theirs, "w", encoding="utf-8") as stream, redirect_stdout(stream):
        head, row = table(HEAD, [ROW], ("pages",))
    os.close(ours)
    name, pages, *when, why = row.split()
    assert (pages, " ".join(when)) == (ROW[1], ROW[2])
    assert len(row) == min(room, 156)
    assert head.index("why") == row.index(why)
    assert abs(len(name) - len(why)) <= 1 or name == ROW[0]
    assert (name == ROW[0]) == (room == 200 or len(why) >= 40)
