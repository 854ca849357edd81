from __future__ import annotations

import asyncio
import os
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from msgspec.structs import replace

from scraper.errors import UsageError
from scraper.jobs.checking import Argument, check, checked, described
from scraper.jobs.job import Job, Output

from .world import SHOP

SPIDER = '''
import os
from scraper import Spider, arg

print("a spider may print")

class Shop(Spider):
    """Reads a shop.

    And more.
    """
    name = "shop"
    start_urls = ["https://shop.test/"]
    settings = {"delay": 0.5}
    shelf: str = arg("poetry", help="shelf to read", choices=["poetry", "art"])
    pages: int
    token: str = arg("t0ken", secret=True)
    password: str = "hush"
    mirror: str = "https://ann:hush@shop.test/"
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the shop's spider in it."""
    return written(tmp_path / "project", "shop", SPIDER)


def written(project: Path, name: str, text: str) -> Path:
    (project / "spiders").mkdir(parents=True, exist_ok=True)
    (project / "spiders" / f"{name}.py").write_text(dedent(text), encoding="utf-8")
    return project


GOOD = replace(SHOP, args={"pages": 5, "shelf": "art"}, output=(Output("out/{spider}-{run}.csv"),))


def test_a_job_that_goes_with_its_spider_passes_and_leaves_no_trace(project: Path) -> None:
    assert check(GOOD, project).name == "shop"
    assert sorted(path.name for path in project.iterdir()) == ["spiders"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spider": "shp"}, r"\[jobs.shop\] spider: no spider 'shp' in .*; did you mean 'shop'\?"),
        ({"args": {}}, r"\[jobs.shop\] args.pages: spider 'shop' needs the argument 'pages'"),
        ({"args": {"pages": "many"}}, "argument 'pages' must be a whole number, not 'many'"),
        ({"args": {"pages": 1, "shlf": "art"}}, "has no argument 'shlf'; did you mean 'shelf'"),
        ({"args": {"pages": 1, "shelf": "arts"}}, "must be one of poetry, art, not 'arts'"),
        ({"settings": {"delay": -1}}, "settings: setting 'delay' must be a number of at least 0"),
        ({"output": (Output("spiders/shop.py/x.csv"),)}, "cannot be written: .* is not a folder"),
        ({"output": (Output("spiders"),)}, "spiders is a folder; give the name of a file in it"),
    ],
)
async def test_what_does_not_go_with_the_spider_is_told(project: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check(replace(GOOD, **change), project)


async def test_a_spider_is_described_by_a_process_of_its_own(project: Path) -> None:
    shop = await checked(GOOD, project)
    assert shop == await described("shop", project)
    assert (shop.name, shop.summary) == ("shop", "Reads a shop.")
    assert shop.arguments == (
        Argument("shelf", "text", default="poetry", help="shelf to read", choices=("poetry", "art")),
        Argument("pages", "a whole number", required=True),
        Argument("token", "text", secret=True),
        Argument("password", "text"),
        Argument("mirror", "text"),
    )


async def test_the_process_says_what_is_wrong(project: Path) -> None:
    with pytest.raises(UsageError, match=r"^\[jobs.shop\] args.pages: spider 'shop' needs the argument 'pages'"):
        await checked(SHOP, project)
    with pytest.raises(UsageError, match="no spider 'shp'"):
        await described("shp", project)


BAD = {
    "raises": ("1 / 0", "ZeroDivisionError: division by zero"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "dies": ("import os; os._exit(7)", r"ended the process that imported it \(exit code 7\)"),
    "hangs": ("import time; time.sleep(600)", "takes longer than 2 s to be imported"),
}


@pytest.mark.parametrize("name", BAD)
async def test_whatever_a_spider_does_the_server_goes_on(tmp_path: Path, name: str) -> None:
    code, said = BAD[name]
    project = written(
        tmp_path, "bad", f'from scraper import Spider\nclass Bad(Spider):\n    name = "bad"\n{code}\n'
    )
    with pytest.raises(UsageError, match=said):
        await checked(Job(name="bad", spider="bad"), project, patience=2.0)


async def test_a_spider_that_has_no_beginning_or_cannot_be_made_is_refused(tmp_path: Path) -> None:
    project = written(
        tmp_path,
        "two",
        """
        from scraper import Spider
        class Idle(Spider):
            name = "idle"
        class Broken(Spider):
            name = "broken"
            start_urls = ["https://x.test/"]
            def __init__(self, **given):
                super().__init__(**given)
                raise KeyError("gone")
        """,
    )
    own = "def __init__(self, **given):\n        self.seen = set()\n"
    text = f"from scraper import Spider\n\nclass Own(Spider):\n    name = 'own'\n    {own}"
    written(project, "own", text)
    with pytest.raises(
        UsageError, match=r"spider 'own': Own\.__init__ \(.*spiders/own\.py:5\) does not call super"
    ):
        check(Job(name="own", spider="own"), project)
    with pytest.raises(UsageError, match="nothing to begin with"):
        check(Job(name="a", spider="idle"), project)
    with pytest.raises(UsageError, match="cannot be made: KeyError: 'gone'"):
        check(Job(name="a", spider="broken"), project)


async def test_a_check_that_is_not_waited_for_leaves_no_process(tmp_path: Path) -> None:
    code = "import os, time, pathlib; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(600)"
    project = written(
        tmp_path, "slow", f'from scraper import Spider\nclass Slow(Spider):\n    name = "slow"\n{code}\n'
    )
    task = asyncio.create_task(described("slow", project))
    async with asyncio.timeout(20):
        while not (project / "pid").exists() or not (project / "pid").read_text():  # noqa: ASYNC110  another process
            await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(int((project / "pid").read_text()), 0)


async def test_a_spider_sees_only_the_environment_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    code = 'import os; assert "HOOK_SECRET" not in os.environ'
    project = written(
        tmp_path, "nosy", f'from scraper import Spider\n{code}\nclass Nosy(Spider):\n    name = "nosy"\n'
    )
    with pytest.raises(UsageError, match="AssertionError"):
        await described("nosy", project)
    kept = {name: value for name, value in os.environ.items() if name != "HOOK_SECRET"}
    assert (await described("nosy", project, environ=kept)).name == "nosy"
