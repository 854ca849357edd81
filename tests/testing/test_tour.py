"""The tour: the shop is open while it is needed, and the demo spider brings every book home."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from scraper.testing.demo import books
from scraper.testing.tour import shop

ROOT = Path(__file__).parents[2]


def test_the_shop_is_open_within_and_closed_afterwards() -> None:
    with shop() as url, urllib.request.urlopen(url, timeout=5) as answer:
        assert b"The Corner Shelf" in answer.read()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)


def test_the_tour_brings_every_book_home_and_shows_how_it_went(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scraper.testing.tour", "-s", "delay=0", "--output-folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "books" / "latest" / "items.jsonl").read_text(encoding="utf-8").splitlines()
    assert sorted(json.loads(line)["title"] for line in lines) == sorted(book["title"] for book in books())
    assert "books finished" in done.stderr
    assert "kept" in done.stderr
