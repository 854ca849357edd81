"""Why a URL without a row was left out."""

from __future__ import annotations

from typing import Any

import pytest

from scraper.frontier.robots import Robots
from scraper.frontier.verdict import forbidding, outside, unfit
from scraper.reasons import Reason
from scraper.settings import Settings


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nothing", Reason.BAD_URL),
        ("mailto:a@b.example", Reason.BAD_SCHEME),
        ("https://a.example/" + "x" * 9000, Reason.URL_TOO_LONG),
        ("https://a.example/", None),
    ],
)
def test_what_is_no_url_that_is_fetched_is_told(text: str, reason: Reason | None) -> None:
    verdict = unfit(text)
    assert (verdict and verdict.reason) == reason


@pytest.mark.parametrize(
    ("url", "settings", "labels", "said"),
    [
        ("https://www.a.example/", {}, ["a.example"], ""),
        ("https://b.example/", {}, ["a.example"], "the seeds belong to a.example (scope = site)"),
        ("https://www.a.example/", {"scope": "host"}, ["a.example"], "scope = host"),
        ("https://b.example/", {"scope": "any"}, ["*"], ""),
        ("https://b.example/", {"allowed_domains": ["a.example"]}, [""], "none of allowed_domains (a.example)"),
        ("https://x.a.example/", {"allowed_domains": ["a.example"]}, [""], ""),
        ("https://b.example/", {}, [""], ""),
        ("https://a.example/x", {"prefixes": ["/docs/"]}, ["a.example"], "none of the prefixes /docs/"),
        ("https://a.example/docs/x", {"prefixes": ["/docs/"]}, ["a.example"], ""),
        ("https://a.example/x", {"allow": ["[0-9]$", "y"]}, ["a.example"], "fits: [0-9]$, y"),
        (
            "https://a.example/x1",
            {"allow": ["[0-9]$"], "deny": ["z", "x."]},
            ["a.example"],
            "pattern x. of deny",
        ),
        ("https://a.example/b/c/b/c/b/c/b/c", {}, ["a.example"], "endless"),
        ("https://a.example/b/c/b/c/b/c/b/c", {"traps": False}, ["a.example"], ""),
    ],
)
def test_the_rule_of_the_scope_is_named(url: str, settings: dict[str, Any], labels: list[str], said: str) -> None:
    verdict = outside(url, Settings(**settings), labels)
    if said:
        assert verdict is not None
        assert verdict.reason is Reason.OUT_OF_SCOPE
        assert said in verdict.said
    else:
        assert verdict is None


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("https://a.example/private/x", "Disallow: /private/"),
        ("https://a.example/private/open/x", ""),
        ("https://a.example/q?sort=up", "Disallow: /*?sort="),
        ("https://a.example/", ""),
    ],
)
def test_the_line_of_robots_txt_that_forbids_is_named(url: str, rule: str) -> None:
    text = b"User-agent: *\nDisallow: /private/\nAllow: /private/open/\nDisallow: /*?sort=\nDisallow: /p"
    assert forbidding(Robots.parse(text, "bot"), url) == rule
