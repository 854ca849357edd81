"""What is shipped beside the code: files of others as they were, and pages that load nothing from elsewhere."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

import scraper.dashboard

HERE = Path(scraper.dashboard.__file__).parent
VENDOR = HERE / "static" / "vendor"
ROW = re.compile(r"^\| (\S+) \| .* \| ([0-9a-f]{64}) \|$", re.MULTILINE)
OWN = sorted([*(HERE / "templates").glob("*.html"), *(HERE / "static").glob("*.*")])


def test_files_of_others_are_unchanged_and_have_their_licences() -> None:
    told = dict(ROW.findall((VENDOR / "README.md").read_text()))
    there = {path.name for path in VENDOR.iterdir() if path.suffix in (".js", ".css")}
    assert told.keys() == there
    for name, digest in told.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name
        assert (VENDOR / f"{name.partition('.')[0]}.LICENSE.txt").is_file()


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_nothing_is_loaded_from_elsewhere_and_no_text_becomes_markup(path: Path) -> None:
    text = path.read_text()
    links = set(re.findall(r"https?://\w[^\s\"'<)]+", text))
    assert links <= {"http://www.w3.org/2000/svg"}
    for word in (
        "innerHTML",
        "outerHTML =",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "|safe",
        "autoescape",
    ):
        assert word not in text, word
