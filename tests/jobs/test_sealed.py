"""Which arguments are secret: as the file says now, and as the last import said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scraper.jobs.job import Job
from scraper.jobs.record import JobRun
from scraper.jobs.sealed import Sources
from scraper.jobs.secret import HIDDEN, Veil, sealed
from scraper.jobs.store import Jobs

HEAD = "from scraper import Spider, arg\nimport shared\n"
SHOP = HEAD + 'class Shop(shared.Keyed):\n    name = "shop"\n    shelf: str = arg("art")\n'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Jobs]:
    with Jobs(tmp_path / ".jobs") as jobs:
        yield jobs


def test_the_text_of_the_files_tells_it_and_is_read_again_when_it_changes(tmp_path: Path) -> None:
    sources, folder = Sources(tmp_path), tmp_path / "spiders"
    assert sources.declares() == {}
    folder.mkdir()
    (folder / "shop.py").write_text(SHOP)
    assert sources.declares() == {"shop": {}}
    (folder / "shared.py").write_text(HEAD + 'class Keyed(Spider):\n    key: str = arg("", secret=True)\n')
    assert sources.declares() == {"shop": {"key": True}}
    (folder / "shop.py").write_text(
        SHOP + '    shelf = arg("art", help="", secret=bool(1))\n    pin = arg(**given)\n'
    )
    assert sources.declares() == {"shop": {"key": True, "shelf": True, "pin": True}}
    (folder / "shop.py").write_text(SHOP + '    shelf = arg("art", secret=False)\n    broken(')
    assert sources.declares()["shop"].keys() == {"key", "shelf", "pin"}  # as long as it cannot be read
    (folder / "shop.py").unlink()
    assert sources.declares() == {}


def test_what_an_import_told_is_kept_with_the_job_and_counts_beside_the_text(store: Jobs) -> None:
    job = Job(name="shop", spider="shop", args={"key": "hush", "shelf": "art"})
    store.put(job, now=1.0, who="ann", declares={"shop": {"key": True, "shelf": False}})
    assert store.sealed() == {"shop": {"key"}}
    assert store.sealed({"shop": {"shelf": True}, "other": {"x": True}}) == {
        "shop": {"key", "shelf"},
        "other": {"x"},
    }
    store.learn({"shop": {"shelf": False}})  # the argument is gone, and earlier runs still have it
    assert store.sealed() == {"shop": {"key"}}
    store.learn({"shop": {"key": False, "shelf": True}})
    assert store.sealed() == {"shop": {"shelf"}}
    store.learn({"shop": {"key": False, "shelf": False}})
    assert store.sealed() == {}


def test_a_declared_argument_is_hidden_whatever_its_name_and_kind() -> None:
    veil = Veil({"shop": {"seat"}})
    for value in ("x", 7, True, ["x"], {"row": {"x": 1}}):
        run = JobRun(id=1, job="shop", spider="shop", planned=1.0, args={"seat": value, "shelf": "art"})
        assert veil.run(run).args == {"seat": HIDDEN, "shelf": "art"}
        assert sealed(run).args == {"seat": HIDDEN, "shelf": HIDDEN}
    assert veil.run(JobRun(id=1, job="shop", spider="other", planned=1.0, args={"seat": 1})).args == {"seat": 1}
    assert veil.record("shop", [1]) == {}  # type: ignore[arg-type]  # somebody else has written it
    assert veil.record("shop", {"run": "r", "arguments": {"seat": 1}}) == {
        "run": "r",
        "arguments": {"seat": HIDDEN},
    }


def test_what_is_nested_too_deep_to_be_looked_at_is_hidden() -> None:
    deep: object = "x"
    for _ in range(900):
        deep = [deep]
    run = JobRun(id=1, job="shop", spider="shop", planned=1.0, args={"more": deep})
    assert Veil({}).run(run).args == {"more": HIDDEN}
