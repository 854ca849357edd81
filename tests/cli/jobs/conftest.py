"""A project with a spider, and the command in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from scraper.cli import main
from scraper.jobs import password
from scraper.jobs.store import Jobs

SPIDER = '''
"""A shop."""
from scraper import Spider, arg

print("imported")

class Shop(Spider):
    name = "shop"
    start_urls = ["http://127.0.0.1:9/"]
    shelf: str = "art"
    pages: int = 3
    token: str = arg("", secret=True)
'''


@dataclass
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Standard output, without what columns are aligned with."""
        return [" ".join(line.split()) for line in self.out.splitlines()]


class Project:
    """A folder with `spiders/`, in which commands run."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.home = folder / "output" / ".jobs"
        self._capsys = capsys
        (folder / "spiders").mkdir()
        (folder / "spiders" / "shop.py").write_text(SPIDER)

    def declare(self, text: str) -> None:
        """Write jobs.toml."""
        (self.folder / "jobs.toml").write_text(text)

    def jobs(self, *words: str) -> Said:
        """Run `scraper jobs WORDS`."""
        self._capsys.readouterr()
        code = main(["jobs", *words])
        told = self._capsys.readouterr()
        return Said(code, told.out, told.err)

    def well(self, *words: str) -> Said:
        """Run it; it must end well."""
        said = self.jobs(*words)
        assert said.code == 0, said
        return said

    def store(self) -> Jobs:
        """The store that the commands use."""
        return Jobs(self.home)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Project:
    """An empty project, in which we are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    for name in ("SCRAPER_DELAY",):
        monkeypatch.delenv(name, raising=False)
    return Project(tmp_path, capsys)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[str]], None]:
    """Somebody at a terminal who types these lines, one after the other."""

    def type_(lines: Sequence[str]) -> None:
        import io

        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        monkeypatch.setattr("sys.stdin", Terminal("".join(f"{line}\n" for line in lines)))

    return type_


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords that cost little: what they cost in earnest is seen in tests/jobs/test_access.py."""
    monkeypatch.setattr(password, "COST", 2**4)


@pytest.fixture(autouse=True)
def _zone() -> Iterator[None]:
    """The machine's zone is that of the environment again."""
    yield
    time.tzset()
