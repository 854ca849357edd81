"""robots.txt by RFC 9309, and what hostile files cost."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper import url as urls
from scraper.errors import StoreError
from scraper.frontier import robots
from scraper.frontier.robots import Robots, product_token, verdict
from tests import conformance

# Google's parser compares these URLs without escaping them first; RFC 9309 2.2.2 says to do so.
AGAINST_THE_RFC = [
    ("Allow: /foo/bar/ツ", "http://foo.bar/foo/bar/ツ"),
    ("Allow: /foo/bar/%E3%83%84", "http://foo.bar/foo/bar/ツ"),
    ("Allow: /foo/bar/%62%61%7A", "http://foo.bar/foo/bar/baz"),
]


def rules(text: str, product: str = "shopbot") -> Robots:
    return Robots.parse(text.encode(), product)


def allows(lines: str, path: str) -> bool:
    return rules("User-agent: *\n" + lines).allowed("http://h" + path)


def test_the_table_of_googles_parser_is_met_wherever_it_agrees_with_the_rfc() -> None:
    cases = conformance.table("google_robots.json")
    wrong = [case for case in cases if rules(case["robots"], case["agent"]).allowed(case["url"]) != case["allowed"]]
    left_out = [
        case
        for case in cases
        if any(line in case["robots"] and case["url"] == url for line, url in AGAINST_THE_RFC)
    ]
    assert wrong == left_out
    assert len(cases) - len(wrong) >= 137


@pytest.mark.parametrize(
    ("rule", "path"),  # the table of RFC 9309 2.2.2
    [
        ("/foo/bar?baz=quz", "/foo/bar?baz=quz"),
        ("/foo/bar?baz=https://foo.bar", "/foo/bar?baz=https%3A%2F%2Ffoo.bar"),
        ("/foo/bar?baz=https%3A%2F%2Ffoo.bar", "/foo/bar?baz=https://foo.bar"),
        ("/foo/bar/ツ", "/foo/bar/%E3%83%84"),
        ("/foo/bar/%e3%83%84", "/foo/bar/%E3%83%84"),
        ("/foo/bar/%62%61%7A", "/foo/bar/baz"),
        ("/foo/bar/baz", "/foo/bar/%62%61%7A"),
        ("/path/file-with-a-%2A.html", "/path/file-with-a-*.html"),
        ("/path/foo-%24", "/path/foo-$"),
        ("/a$b", "/a$b"),
        ("/a b|c", "/a%20b|c"),
        ("/100%", "/100%"),
    ],
)
def test_both_sides_are_compared_in_one_normal_form(rule: str, path: str) -> None:
    assert not allows(f"Disallow: {rule}", path)


@pytest.mark.parametrize(("rule", "path"), [("/a%2Fb", "/a/b"), ("/a/b", "/a%2Fb"), ("/a%26b", "/a&b")])
def test_an_escape_that_means_something_else_is_no_match(rule: str, path: str) -> None:
    assert allows(f"Disallow: {rule}", path)


@pytest.mark.parametrize(
    ("rule", "path", "match"),
    [
        ("/a*$", "/ab", True),
        ("*", "/", True),
        ("/*/b*c$", "/a/bc", True),
        ("/*/b*c$", "/a/bcd", False),
        ("/*ab*ab$", "/ab", False),
        ("/*ab*ab$", "/abab", True),
        ("/a**b", "/a-b", True),
        ("/$", "/", True),
        ("/$", "/a", False),
        ("/*?", "/a?b", True),
        ("private/", "/private/", False),
    ],
)
def test_wildcards_match_any_run_and_a_last_dollar_the_end(rule: str, path: str, match: bool) -> None:
    assert allows(f"Disallow: {rule}", path) is not match


def test_the_longest_rule_wins_and_allow_among_equals() -> None:
    assert allows("Disallow: /a\nAllow: /a", "/a")
    assert allows("Disallow: /*.php\nAllow: /a/b.php", "/a/b.php")
    assert not allows("Allow: /a/\nDisallow: /a/*.php$", "/a/b.php")
    assert not allows("Disallow: /a/b$\nAllow: /a", "/a/b")


def test_robots_txt_itself_is_always_allowed() -> None:
    assert Robots.disallow_all().allowed("https://h/robots.txt")
    assert not Robots.disallow_all().allowed("https://h/")
    assert Robots.allow_all().allowed("https://h/")


def test_all_groups_of_a_product_are_one_and_the_star_counts_only_without_one() -> None:
    groups = ["SHOPBOT/2\nDisallow: /a\n\n", "*\nDisallow: /\n\n", "shopbot\nDisallow: /b\n"]
    text = "".join("User-agent: " + group for group in groups)
    assert rules(text).allowed("http://h/c")
    assert not rules(text).allowed("http://h/a")
    assert not rules(text).allowed("http://h/b")
    assert not rules(text, "otherbot").allowed("http://h/c")
    assert not rules(text, "shop").allowed("http://h/c")


def test_a_group_without_rules_frees_its_product() -> None:
    assert rules("User-agent: *\nDisallow: /\nUser-agent: shopbot").allowed("http://h/")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2", 2.0),
        ("0.5 # half", 0.5),
        ("0", 0.0),
        ("1e9", 30.0),
        ("inf", 30.0),
        ("-1", None),
        ("nan", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_crawl_delay_is_clamped(value: str, seconds: float | None) -> None:
    assert rules(f"User-agent: *\nCrawl-delay: {value}\nDisallow: /x").crawl_delay == seconds


def test_a_crawl_delay_is_for_those_named_before_it_and_ends_no_group() -> None:
    text = "User-agent: slowbot\nCrawl-delay: 9\nUser-agent: shopbot\nDisallow: /x"
    assert rules(text, "slowbot").crawl_delay == 9
    assert rules(text, "shopbot").crawl_delay is None
    assert not rules(text, "slowbot").allowed("http://h/x")


def test_sitemaps_are_for_everyone_each_once() -> None:
    first = "Sitemap: https://h/a.xml\n"
    text = first + "User-agent: x\nSITEMAP:https://h/ü.xml\n" + first + "Sitemap:"
    assert rules(text).sitemaps == ("https://h/a.xml", "https://h/ü.xml")


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbfUser-agent: *\nDisallow: /x",
        b"User-agent: *\rDisallow: /x\r",
        b"User-agent: *\0\r\nDisallow: /x\0",
        b"\xff\xfe\xfd\nuser agent: *\ndisalow: /x # so",
        b"USER-AGENT *\nDISALLOW /x",
        "User-agent: *\nDisallow: /x\n".encode("utf-16"),
        "User-agent: *\nDisallow: /x\n".encode("utf-16-be"),
    ],
)
def test_a_file_with_faults_is_read_as_it_was_meant(body: bytes) -> None:
    assert not Robots.parse(body, "shopbot").allowed("http://h/x")
    assert Robots.parse(body, "shopbot").allowed("http://h/y")


def test_a_page_of_html_has_no_rules() -> None:
    assert rules("<!doctype html><p>User-agent: *<p>Disallow: /").allowed("http://h/")


def test_of_a_file_too_long_the_whole_lines_count() -> None:
    lines = [b"User-agent: *", b"Disallow: /first"]
    filling = b"#" * (robots.MAX_BYTES - len(b"\n".join(lines)) - len(b"\nDisallow: /") - 1)
    body = b"\n".join([*lines, filling, b"Disallow: /last"])
    read = Robots.parse(body, "shopbot")
    assert not read.allowed("http://h/first")
    assert read.allowed("http://h/other")
    assert Robots.parse(b"a" * 10 * robots.MAX_BYTES, "shopbot") == Robots.allow_all()


def many(line: str, count: int) -> str:
    return "User-agent: *\n" + "".join(line.format(n) for n in range(count))


@pytest.mark.parametrize(
    "text",
    [
        many("User-agent: bot{0}\nDisallow: /{0}\n", 10_000),
        many("Disallow: /{0:x}\n", 39_000),
        many("Disallow: *a{0:x}\n", 39_000),
        many("Disallow: /%ff{0}" + "%ff" * 100 + "\n", 1_600),
        "User-agent: *\nDisallow: /" + "*a" * 250_000 + "b$",
        "User-agent: *\nDisallow: /" + "*" * 500_000,
        "User-agent: *\nDisallow: /" + "ÿ" * 250_000,
        many("Disallow: /*" + "a" * 45 + "b" + "a" * 45 + "{0}\n", 5_000),
    ],
    ids=["groups", "rules", "wild", "escapes", "bomb", "stars", "bytes", "needles"],
)
def test_a_hostile_file_costs_little(text: str) -> None:
    start = time.process_time()
    read = rules(text)
    for _ in range(3):
        read.allowed("http://h/" + "a" * 8000)
    assert time.process_time() - start < 2  # seconds; 0.2 where nothing else runs


def test_a_file_made_to_be_costly_is_read_as_closed() -> None:
    read = rules(many("Disallow: /*b{0:x}\n", 39_000))
    assert not read.allowed("http://h/" + "a" * 8000)
    assert read.allowed("http://h/" + "a" * 80)


def regular(pattern: str) -> str:
    """What a pattern of plain letters means, as a regular expression would say it."""
    return "^" + pattern.rstrip("$").replace("*", ".*") + ("$" if pattern.endswith("$") else "")


@given(
    st.lists(st.tuples(st.text("ab/*", max_size=6), st.booleans(), st.booleans()), max_size=6),
    st.text("ab/", max_size=10),
)
def test_the_matcher_agrees_with_the_definition(given_rules: list[tuple[str, bool, bool]], rest: str) -> None:
    patterns = [("/" + text + "$" * end, allow) for text, end, allow in given_rules]
    lines = "\n".join(f"{'Allow' if allow else 'Disallow'}: {pattern}" for pattern, allow in patterns)
    hits = [(len(text), allow) for text, allow in patterns if re.search(regular(text), "/" + rest)]
    assert allows(lines, "/" + rest) is max(hits, default=(0, True))[1]


@given(st.binary(max_size=200), st.text(max_size=20))
def test_no_bytes_raise_and_what_was_read_survives_storing(body: bytes, path: str) -> None:
    read = Robots.parse(b"User-agent: *\nDisallow:/" + body, "shopbot")
    stored = Robots.from_bytes(read.to_bytes())
    assert stored == read
    try:
        url = urls.canonical("http://h/" + path)
    except urls.BadURL:
        return
    assert stored.allowed(url) is read.allowed(url)


def test_stored_rules_of_another_kind_are_refused() -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        Robots.from_bytes(b"\x01")
    with pytest.raises(StoreError, match="version 0"):
        Robots.from_bytes(Robots(version=0).to_bytes())


@pytest.mark.parametrize(
    ("status", "closed"),
    [(200, True), (204, True), (401, False), (403, False), (404, False), (410, False)],
)
def test_an_answer_gives_rules(status: int, closed: bool) -> None:
    read = verdict(status, b"User-agent: *\nDisallow: /", "shopbot")
    assert read is not None
    assert read.allowed("http://h/") is not closed


@pytest.mark.parametrize("status", [429, 500, 503, 599, 301, 304, 999, 0])
def test_no_usable_answer_means_unreachable(status: int) -> None:
    assert verdict(status, b"User-agent: *\nAllow: /", "shopbot") is None


@pytest.mark.parametrize(
    ("agent", "token"),
    [
        ("shopbot/1.0 (+https://example.com)", "shopbot"),
        ("shop-bot_2 x", "shop-bot_2"),
        ("Mozilla/5.0 (compatible; shopbot/1.0; +https://example.com)", "shopbot"),
        ("Mozilla/5.0 (X11; Linux)", "Mozilla"),
        ("", ""),
        ("*", ""),
        ("(none)", ""),
    ],
)
def test_the_product_token_of_a_user_agent(agent: str, token: str) -> None:
    assert product_token(agent) == token
