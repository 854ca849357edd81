"""Spiders are listed without being imported, and imported from a file of any name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scraper.discover import Found, find, in_file, listed, load
from scraper.errors import UsageError

HEAD = "from scraper import Spider\n"
SHOP = HEAD + 'class Shop(Spider):\n    """Reads a shop.\n\n    More."""\n    name = "shop"\n'


def write(path: Path, text: str = SHOP) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refused(word: str, project: Path) -> str:
    with pytest.raises(UsageError) as caught:
        find(word, project)
    return str(caught.value)


def test_listing_reads_the_files_and_imports_none(tmp_path: Path) -> None:
    path = write(tmp_path / "spiders" / "shop.py", SHOP + "raise SystemExit('imported')\n")
    write(tmp_path / "spiders" / "deep" / "er.py", HEAD + 'class A(Spider):\n    name: str = "a"\n')
    before = set(sys.modules)
    assert [each.name for each in listed(tmp_path)] == ["a", "shop"]
    assert listed(tmp_path)[1] == Found("shop", path, 2, "Reads a shop.")
    assert set(sys.modules) == before


def test_files_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    for name, content in {"a.py": b"def (", "b.py": b"\xff\xfe", "c.py": b"\0", "d.txt": SHOP.encode()}.items():
        write(tmp_path / "spiders" / name)
        (tmp_path / "spiders" / name).write_bytes(content)
    (tmp_path / "spiders" / "folder.py").mkdir()
    assert listed(tmp_path) == []
    assert listed(tmp_path / "nowhere") == []


def test_a_file_with_an_odd_escape_is_listed_without_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path / "shop.py", SHOP + 'PATTERN = "\\d"\n')
    assert [each.name for each in in_file(path)] == ["shop"]


def test_classes_without_a_name_of_their_own_are_not_listed(tmp_path: Path) -> None:
    text = (
        HEAD
        + "class Base(Spider):\n    pages = 3\nclass Plain:\n    name = 'plain'\nclass B(Spider):\n    name = f()\n"
    )
    assert list(in_file(write(tmp_path / "x.py", text))) == []


@pytest.mark.parametrize(
    "name", ["scraper.py", "json.py", "asyncio.py", "aiohttp.py", "url.py", "a b-c.py", "ä.py"]
)
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    text = (
        "import json, asyncio, aiohttp\nfrom scraper import crawl\n" + SHOP + "DUMPED = json.dumps([asyncio.run])\n"
    )
    path = write(tmp_path / "spiders" / name, text.replace("[asyncio.run]", "callable(asyncio.run)"))
    assert find(str(path), tmp_path).name == "shop"
    assert find("shop", tmp_path).name == "shop"
    assert sys.modules["json"].__file__ != str(path)


def test_a_name_of_the_standard_library_that_is_not_loaded_yet_stays_its_own(tmp_path: Path) -> None:
    path = write(
        tmp_path / "this.py", SHOP + "import antigravity_of_mine\nimport colorsys\nassert colorsys.rgb_to_hsv\n"
    )
    write(tmp_path / "colorsys.py", "raise RuntimeError('not this one')")
    write(tmp_path / "antigravity_of_mine.py", "")
    sys.modules.pop("colorsys", None)
    assert find(str(path), tmp_path).name == "shop"


def test_a_file_may_import_its_neighbours_and_leaves_the_path_as_it_was(tmp_path: Path) -> None:
    write(tmp_path / "neighbour_of_shop.py", "PAGES = 7\n")
    path = write(tmp_path / "shop.py", SHOP + "    from neighbour_of_shop import PAGES\n")
    before = [*sys.path]
    assert find(str(path), tmp_path).PAGES == 7  # type: ignore[attr-defined]
    assert sys.path == before


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a" / "x.py", SHOP), write(tmp_path / "b" / "x.py", SHOP)
    assert find(str(one), tmp_path) is not find(str(other), tmp_path)


def test_two_spiders_of_one_name_need_a_file(tmp_path: Path) -> None:
    one, other = write(tmp_path / "spiders" / "a.py"), write(tmp_path / "spiders" / "b.py")
    said = refused("shop", tmp_path)
    assert said == f"two spiders are named 'shop': {one}:2 and {other}:2; give the file instead"
    assert find(str(one), tmp_path).name == "shop"


def test_two_spiders_of_one_name_in_one_file_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.py", SHOP + "class Other(Shop):\n    pass\n")
    assert refused(str(path), tmp_path) == f"{path}: two spiders are named 'shop'"


def test_one_class_under_two_names_is_one_spider(tmp_path: Path) -> None:
    assert find(str(write(tmp_path / "a.py", SHOP + "Default = Shop\n")), tmp_path).name == "shop"


def test_a_file_of_several_spiders_needs_a_choice(tmp_path: Path) -> None:
    path = write(tmp_path / "a.py", SHOP + 'class Art(Spider):\n    name = "art"\n')
    assert refused(str(path), tmp_path) == f"{path} has 2 spiders; choose one: {path}:shop, {path}:art"
    assert find(f"{path}:art", tmp_path).name == "art"
    assert refused(f"{path}:x", tmp_path) == f"{path} has no spider 'x'"


def test_a_class_that_is_only_imported_is_no_spider_of_the_file(tmp_path: Path) -> None:
    write(tmp_path / "imported_shop.py")
    path = write(tmp_path / "a.py", "from imported_shop import Shop\n")
    assert "has no subclass of Spider with a name" in refused(str(path), tmp_path)


BROKEN = {
    "x = 1\ndef (:\n": "{path}:2: SyntaxError",
    "x = 1\n  y = 2\n": "{path}:2: IndentationError",
    "x = 1\nimport no_such_module_here\n": "{path}:2: ModuleNotFoundError: No module named 'no_such_module_here'",
    "from scraper import Spidr\n": "{path}:1: ImportError: cannot import name 'Spidr'",
    "def f():\n    return 1 / 0\nx = 3\nf()\n": "{path}:2: ZeroDivisionError",
    "import sys\nsys.exit('no')\n": "{path}:2: SystemExit: no",
    HEAD + "class A(Spider):\n    fetch = 3\n": "{path}: A.fetch overrides a name of the framework",
    HEAD + "class A(Spider):\n    login: str = 'me'\n": "{path}: A.login overrides a name of the framework",
    HEAD + "class A(Spider):\n    name = 'a b'\n": "A.name is 'a b'",
    HEAD
    + "class A(Spider):\n    name = 'a'\n    start_urls = 'http://a/'\n": "spider 'a': start_urls must be a list",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_file_that_cannot_be_run_is_told_with_the_line(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "broken.py", text)
    before = set(sys.modules), [*sys.path]
    assert refused(str(path), tmp_path).startswith(BROKEN[text].format(path=path))
    if "name = 'a" not in text:
        assert {name for name in set(sys.modules) - before[0] if "broken" in name} == set()
    assert sys.path == before[1]


def test_an_error_within_an_imported_neighbour_is_told_at_the_files_own_line(tmp_path: Path) -> None:
    write(tmp_path / "bad_neighbour.py", "\n\n1 / 0\n")
    path = write(tmp_path / "a.py", "\nimport bad_neighbour\n")
    assert refused(str(path), tmp_path).startswith(f"{path}:2: ZeroDivisionError")


def test_a_word_that_names_nothing_is_told_with_what_is_near(tmp_path: Path) -> None:
    assert "there are none in" in refused("shop", tmp_path)
    write(tmp_path / "spiders" / "shop.py")
    assert refused("shpo", tmp_path).endswith("did you mean 'shop'?")
    assert refused("weather", tmp_path).endswith("there are shop")
    assert refused("no/such.py", tmp_path) == "no file no/such.py"
    assert refused("such.py", tmp_path) == "no file such.py"


def test_what_is_no_python_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "notes.txt", "hello")
    with pytest.raises(UsageError, match=r"notes\.txt is no Python file"):
        load(path)
