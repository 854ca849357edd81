"""The line that is drawn while a crawl runs."""

from __future__ import annotations

import io
import logging

from hypothesis import given
from hypothesis import strategies as st

from scraper.cli.progress import Counts, line
from scraper.cli.terminal import ERASE, Terminal, logged

BUSY = Counts(pages=123_456, items=98_765, errors=12, queued=1_234_567, hosts=345, rate=1234.5, elapsed=7384)


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    """A stream whose reader has left."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_the_line_tells_everything_where_there_is_room() -> None:
    told = line(BUSY, 200)
    assert told == "2:03:04  123,456 pages  1,234.5/s  98,765 items  12 errors  1,234,567 queued  345 hosts"


def test_a_phone_keeps_pages_items_and_errors() -> None:
    told = line(BUSY, 40)
    assert told == "123,456 pages  98,765 items  12 errors"


@given(st.integers(1, 200), st.integers(0, 10**9))
def test_the_line_is_never_wider_than_the_terminal(width: int, number: int) -> None:
    told = line(Counts(pages=number, items=number, queued=number, hosts=number), width)
    assert len(told) <= width


def test_a_log_line_goes_above_the_drawn_line() -> None:
    screen = Screen()
    terminal = Terminal(screen)
    terminal.draw("5 pages")
    terminal.line("hello")
    assert screen.getvalue() == f"{ERASE}5 pages{ERASE}hello\n5 pages"
    terminal.clear()
    assert screen.getvalue().endswith(ERASE)


def test_elsewhere_than_on_a_terminal_no_control_character_is_written() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    terminal.draw("5 pages")
    terminal.line("hello")
    terminal.clear()
    assert stream.getvalue() == "hello\n"


def test_a_log_record_cannot_drive_the_terminal() -> None:
    stream = io.StringIO()
    with logged(Terminal(stream), "info"):
        logging.getLogger("scraper.crawl").info("a\x1b[2Jb\nforged")
        logging.getLogger("scraper.crawl").debug("not told")
        logging.getLogger("elsewhere").error("not ours")
    assert "a\\x1b[2Jb\\nforged\n" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


def test_a_terminal_that_has_gone_costs_nothing() -> None:
    terminal = Terminal(Gone())
    terminal.line("hello")
    terminal.draw("5 pages")
    assert not terminal.live
