"""What is kept of a benchmark, and what is shown of it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from benchmarks import plot, report, result

ABOUT = {"machine": "Python 3 on a machine", "versions": {}, "date": "2026-01-02"}


def lap(answered: int, seconds: float, **more: Any) -> dict[str, Any]:
    return {"answered": answered, "seconds": seconds, "cpu": seconds, "peak": 10_000_000, **more}


def measured(**laps: list[dict[str, Any]]) -> dict[str, Any]:
    """A result of one shape."""
    data = result.summary(laps, {"scrapy": "Scrapy"}) | {"what": "a site", "site": "here", "urls": 100, "rounds": 2}
    return {"name": "1-test", "version": "1", "shapes": {"site": data | ABOUT}}


def test_ratios_are_of_the_laps_of_one_round() -> None:
    floor, ours = [lap(100, 1.0), lap(100, 4.0)], [lap(100, 2.0), lap(100, 5.0)]
    found = measured(floor=floor, ours=ours)["shapes"]["site"]["contenders"]["ours"]
    assert found["speed_of_floor"] == {"min": 0.5, "median": 0.65, "max": 0.8}
    assert found["cpu_of_floor"] == {"min": 1.25, "median": 1.625, "max": 2.0}


def test_what_covered_a_part_is_compared_with_the_floor_on_that_part() -> None:
    part = lap(10, 1.0, part=True, floor=lap(10, 0.5))
    found = measured(floor=[lap(100, 1.0)], scrapy=[part])["shapes"]["site"]["contenders"]["scrapy"]
    assert (found["speed_of_floor"]["median"], found["part"]) == (0.5, True)
    assert found["floor_on_its_pages"]["median"] == 20


def test_the_report_begins_with_where_ours_loses() -> None:
    ahead = {**lap(100, 1.5), "peak": 5_000_000}
    text = report.markdown(measured(floor=[lap(100, 1.0)], ours=[lap(100, 2.0)], scrapy=[ahead]), "x.svg")
    before, _, after = text.partition("## site")
    assert "- site: Scrapy is 1.33 times as fast" in before
    assert "- site: Scrapy takes 0.75 of the processor time a page" in before
    assert "- site: Scrapy needs less memory: 5 MB; ours 10 MB" in before
    assert "| Scrapy | 67 | 67 to 67 | 0.667 | 0.667 to 0.667 | 15,000 | 5 | 100 |" in after


def test_a_report_without_a_loss_says_so() -> None:
    slow = measured(floor=[lap(100, 1.0)], ours=[lap(100, 2.0)], scrapy=[lap(100, 9.0)])
    assert "Nowhere in what was measured." in report.markdown(slow)


def test_faults_of_ours_and_odd_urls_it_misses_are_losses() -> None:
    kept = measured(floor=[lap(1, 1.0)], ours=[lap(1, 2.0)])
    kept["shapes"]["site"] |= {"faults": ["2 pages are missing"], "missed": {"ours": {"an empty query": ["/q?"]}}}
    assert [*report.losses(kept)] == [
        "site: ours is not exact: 2 pages are missing",
        "site: ours does not bring these odd URLs (an empty query): /q?",
    ]


def test_later_first_requests_are_losses() -> None:
    times = {"min": 200.0, "median": 210.0, "max": 220.0}
    rows = {
        "ours": {"title": "ours", "whole": times, "first": times},
        "crawlee": {"title": "crawlee", "whole": times, "first": times | {"min": 100.0}},
    }
    kept = {"name": "1", "version": "1", "shapes": {"start": {"rows": rows, "what": "x", "site": "y"} | ABOUT}}
    assert [*report.losses(kept)] == ["start: crawlee is sooner: 100 ms, ours 200 ms"]


def test_what_another_program_told_is_a_table_too() -> None:
    rows = [{"links": 10, "us": 1.25}, {"links": 20, "us": 2.0}]
    kept = {"name": "1", "version": "1", "shapes": {"engine": {"program": "engine", "data": rows} | ABOUT}}
    assert "| links | us |\n|---|---:|\n| 10 | 1.25 |\n| 20 | 2 |" in report.markdown(kept)


def test_a_drawing_is_an_svg_with_a_bar_for_each_and_both_themes() -> None:
    drawn = plot.drawing(measured(floor=[lap(100, 1.0)], ours=[lap(100, 2.0)], scrapy=[lap(50, 9.0, part=True)]))
    root = ElementTree.fromstring(drawn)
    bars = root.findall("{http://www.w3.org/2000/svg}rect")
    assert [bar.get("class") for bar in bars] == ["floor", "ours", "other"]
    assert float(bars[1].get("width", 0)) == pytest.approx(float(bars[0].get("width", 0)) / 2, abs=0.1)
    assert "prefers-color-scheme: dark" in drawn


def test_a_kept_result_is_read_again_and_goes_into_the_page(tmp_path: Path) -> None:
    kept = measured(floor=[lap(100, 1.0)], ours=[lap(100, 2.0)])
    result.save(tmp_path / "kept.json", kept)
    assert result.load(tmp_path / "kept.json") == kept
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", encoding="utf-8")
    report.put_into(page, "new\n")
    assert page.read_text(encoding="utf-8") == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"


def test_the_page_has_the_marks_that_the_figures_go_between() -> None:
    page = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert 0 < page.index(report.BEGIN) < page.index(report.END)
