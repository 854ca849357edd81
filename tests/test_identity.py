"""What makes two crawls the same one, and what of it is told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from scraper.discover import load
from scraper.identity import NOT_KEPT, WHAT, WHAT_OF_HOSTS, Identity, not_kept
from scraper.settings import NAMES, HostSettings, resolve
from scraper.spider import Spider, arg

ROOT = Path(__file__).parents[1]


class Shop(Spider):
    name = "shop"
    start_urls = ["http://books.test/"]
    shelf: str = "poetry"
    tags: set[str] = set()
    proxy: str = ""
    token: str = arg("", secret=True)


class Later(Shop):
    start_urls = ["http://books.test/new"]


def identity(spider: Spider | None = None, **settings: Any) -> Identity:
    return Identity.of(spider or Shop(), resolve([("test", settings)]))


def differences(one: Identity, other: Identity) -> list[str]:
    return other.differences(one.info("20260101-000000-abcd", 0.0))


def test_the_same_spider_arguments_and_settings_are_the_same_crawl() -> None:
    one, other = (identity(Shop(shelf="art", token="x"), deny=["a", "b"]) for _ in range(2))
    assert (one, one.whole) == (other, other.whole)
    assert differences(one, other) == []


@pytest.mark.parametrize(
    ("spider", "settings", "said"),
    [
        (Shop(shelf="art"), {}, "its arguments differ (shelf)"),
        (Shop(shelf="art", tags={"x"}), {}, "its arguments differ (shelf, tags)"),
        (Shop(token="x"), {}, "its arguments differ (token)"),
        (Shop(), {"scope": "any", "max_depth": 3}, "its settings differ (scope, max_depth)"),
        (Shop(), {"auth": "me:s3cret"}, "its settings differ (auth)"),
        (Shop(), {"hosts": {"a.test": {"robots": False}}}, "its settings differ (hosts)"),
        (Later(), {}, "its start URLs differ"),
    ],
)
def test_what_differs_is_named(spider: Spider, settings: Mapping[str, Any], said: str) -> None:
    assert differences(identity(), identity(spider, **settings)) == [said]


def test_a_secret_that_changed_is_noticed_and_not_shown() -> None:
    one, other = (identity(Shop(token=word), auth=f"me:{word}") for word in ("s3cret", "0ther"))
    assert differences(one, other) == [
        "its arguments differ (a secret one)",
        "its settings differ (a secret one)",
    ]
    assert "s3cret" not in repr(one)
    assert one.arguments["token"] == NOT_KEPT


def test_a_password_in_an_address_is_not_kept_and_has_to_be_given_again() -> None:
    one = identity(Shop(proxy="http://me:s3cret@p.test/"))
    assert one.arguments["proxy"] == "http://(not kept)@p.test/"
    assert not_kept(one.info("r", 0.0)) == ["proxy"]
    assert one.whole != identity(Shop(proxy="http://me:0ther@p.test/")).whole


def test_a_secret_that_is_the_default_need_not_be_given_again() -> None:
    assert not_kept(identity().info("r", 0.0)) == []


PACE: dict[str, Any] = {
    "delay": 3,
    "per_host": 1,
    "timeout": 5,
    "max_pages": 10,
    "proxy": "http://p.test/",
    "durability": "power",
}


def test_pace_patience_limits_and_results_may_change() -> None:
    hosts = {"a.test": {"delay": 9}}
    assert identity(**PACE, hosts=hosts, min_items=3, log_level="debug").whole == identity().whole


def test_lists_of_settings_are_the_same_in_any_order() -> None:
    assert identity(deny=["a", "b"]).whole == identity(deny=["b", "a"]).whole


def test_another_process_finds_the_same_identity() -> None:
    code = (
        "from tests.test_identity import *\n"
        "print(identity(Shop(tags={str(n) for n in range(50)}, token='x'), deny=['a']).whole)"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert runs[0] == runs[1]


SOURCE = """
from scraper import Spider
class Shop(Spider):
    name = "shop"
    start_urls = ["http://a.test/"]
"""


def written(path: Path, text: str) -> Identity:
    path.write_text(text)
    return identity(load(path).Shop())


def test_a_changed_source_is_another_crawl_and_a_moved_one_is_not(tmp_path: Path) -> None:
    first = written(tmp_path / "shop.py", SOURCE)
    assert written(tmp_path / "other.py", SOURCE).whole == first.whole
    assert differences(first, written(tmp_path / "shop.py", f"{SOURCE}    x = 1\n")) == [
        "the spider's source has changed"
    ]


def test_the_file_of_a_base_counts_when_it_is_the_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(folder: str) -> tuple[str, str]:
        place = tmp_path / folder
        place.mkdir(parents=True)
        monkeypatch.syspath_prepend(place)
        found = []
        for text in ("", "x = 1\n"):
            (place / f"{folder.replace('-', '_')}_base.py").write_text(
                f"from scraper import Spider\n{text}class Base(Spider): pass\n"
            )
            source = f"from {folder.replace('-', '_')}_base import Base\nclass Shop(Base):\n name = 'shop'\n"
            found.append(written(tmp_path / "shop.py", source).whole)
            sys.modules.pop(f"{folder.replace('-', '_')}_base")
        return found[0], found[1]

    one, other = made("bases")
    assert one != other
    one, other = made("site-packages")
    assert one == other


def test_a_class_without_a_file_has_an_identity() -> None:
    code = (
        "from scraper import Spider\nfrom scraper.identity import Identity\nfrom scraper.settings import Settings\n"
        "class A(Spider):\n name = 'a'\n def parse(self, response): pass\n"
        "print(repr(Identity.of(A(), Settings()).source))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "''\n"


def test_start_urls_that_can_be_read_once_are_left_alone() -> None:
    class Once(Spider):
        name = "once"
        start_urls = iter(["http://a.test/"])

    identity(Once())
    assert list(Once.start_urls) == ["http://a.test/"]


def test_every_name_that_defines_a_crawl_is_a_setting() -> None:
    assert set(WHAT) <= set(NAMES)
    assert set(WHAT_OF_HOSTS) <= set(HostSettings.__struct_fields__)


def test_a_record_of_an_older_version_is_another_crawl() -> None:
    info = identity().info("r", 0.0)
    info.identity, info.digests = "", {}
    assert identity().differences(info) == ["its record is of an older version"]
