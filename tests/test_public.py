"""The public face: small, lazy, and functions stay functions."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import scraper

ROOT = Path(__file__).parents[1]


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", scraper.__all__)
def test_every_public_name_can_be_imported_and_is_documented(name: str) -> None:
    value = getattr(scraper, name)
    assert not isinstance(value, ModuleType)
    assert inspect.getdoc(value)


def test_the_public_names_are_listed_once_in_order() -> None:
    assert scraper.__all__ == sorted(set(scraper.__all__))
    assert set(scraper.__all__) <= set(dir(scraper))


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "scraper" / "__init__.py").read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == set(scraper.__all__)


def test_a_star_import_gives_the_public_names() -> None:
    space: dict[str, object] = {}
    exec("from scraper import *", space)
    assert set(scraper.__all__) <= set(space)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'scraper' has no attribute 'Spidr'"):
        scraper.Spidr  # noqa: B018


@pytest.mark.parametrize(
    "first", ["scraper.crawl", "scraper.run", "scraper.program", "scraper.cli", "scraper.commit"]
)
def test_crawl_and_run_are_functions_whatever_was_imported_before(first: str) -> None:
    code = f"import {first}; import scraper; from scraper import crawl, run; import scraper.crawl, scraper.run"
    assert python(f"{code}; print(crawl.__module__, run.__module__)") == "scraper.program scraper.program"
    assert python(f"{code}; print(scraper.crawl is crawl, scraper.run is run)") == "True True"


def test_what_lies_in_the_files_of_the_same_name_can_be_imported_too() -> None:
    assert python("from scraper import crawl\nfrom scraper.crawl import Crawl\nprint(Crawl.__name__)") == "Crawl"
    assert isinstance(importlib.import_module("scraper.run"), ModuleType)


def test_importing_the_package_loads_nothing_else() -> None:
    own = "[name for name in sys.modules if name.startswith(('scraper.', 'aiohttp', 'msgspec'))]"
    assert python(f"import sys, scraper; print({own})") == "[]"


def test_a_spider_module_does_not_load_the_engine() -> None:
    code = "import sys; from scraper import Request, Response, Spider, arg; print('aiohttp' in sys.modules)"
    assert python(code) == "False"


def test_the_version_is_that_of_the_package() -> None:
    import tomllib

    assert scraper.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


TYPED = """
from scraper import Spider, arg, crawl, stream
class Shop(Spider):
    name = "shop"
    start_urls = ["http://a.test/"]
    settings = {"delay": 0.5}
    key: str
    shelf: str = arg("poetry", help="shelf to read")
    pages: int = 3
good = Shop(key="x"), Shop(key="x", shelf="art", pages=2)
Shop()  # key
Shop(key="x", pages="many")  # type
Shop(key="x", page=2)  # name
"""


@pytest.mark.slow
def test_a_type_checker_sees_wrong_arguments_and_only_those(tmp_path: Path) -> None:
    file = tmp_path / "typed.py"
    file.write_text(TYPED)
    words = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(file)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    errors = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error: " in line}
    assert errors == {n for n, line in enumerate(TYPED.splitlines(), 1) if line.startswith("Shop(")}, done.stdout
