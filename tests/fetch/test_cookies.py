from __future__ import annotations

import logging
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.domains import same_site, site
from scraper.errors import StoreError
from scraper.fetch.cookies import PER_DOMAIN, TOTAL, Jar, Jars
from scraper.fetch.set_cookie import date

NOW = 1_800_000_000.0
DAY = 86400.0


def jar_of(url: str, *lines: str, now: float = NOW) -> Jar:
    jar = Jar()
    jar.store(url, lines, now)
    return jar


def sent(set_by: str, line: str, url: str) -> bool:
    return jar_of(set_by, line).header(url, NOW) != ""


def test_a_cookie_goes_back_to_where_it_came_from() -> None:
    jar = Jar()
    assert jar.header("http://a.test/", NOW) == ""
    assert jar.store("http://a.test/x", ["id=1", "theme = dark ; HttpOnly"], NOW)
    assert jar.header("http://a.test/y", NOW) == "id=1; theme=dark"
    assert jar.header("http://b.test/", NOW) == ""


@pytest.mark.parametrize(
    ("set_by", "domain", "asked", "comes"),
    [
        ("http://a.shop.test/", "shop.test", "http://b.shop.test/", True),
        ("http://a.shop.test/", ".SHOP.test", "http://shop.test/", True),
        ("http://a.shop.test/", "", "http://a.shop.test/", True),
        ("http://shop.test/", "", "http://a.shop.test/", False),  # host-only
        ("http://a.shop.test/", "b.shop.test", "http://b.shop.test/", False),
        ("http://shop.test/", "a.shop.test", "http://a.shop.test/", False),
        ("http://myshop.test/", "shop.test", "http://shop.test/", False),
        ("http://evil.co.uk/", "co.uk", "http://bank.co.uk/", False),
        ("http://evil.co.uk/", "co.uk", "http://evil.co.uk/", False),
        ("http://evil.github.io/", "github.io", "http://bank.github.io/", False),
        ("http://github.io/", "github.io", "http://github.io/", True),
        ("http://github.io/", "github.io", "http://bank.github.io/", False),  # host-only then
        ("http://a.test/", "test", "http://b.test/", False),  # an unlisted top level
        ("http://a.test/", "k.\u212aa.test", "http://a.test/", False),
        ("http://127.0.0.1/", "127.0.0.1", "http://127.0.0.1/", True),
        ("http://127.0.0.1/", "0.0.1", "http://127.0.0.1/", False),
        ("http://[::1]:8080/", "", "http://[::1]:9090/", True),  # cookies know no port
        ("http://localhost/", "", "http://localhost/", True),
    ],
)
def test_the_domain_attribute(set_by: str, domain: str, asked: str, comes: bool) -> None:
    assert sent(set_by, f"x=1; Domain={domain}" if domain else "x=1", asked) is comes


@pytest.mark.parametrize(
    ("set_by", "path", "asked", "comes"),
    [
        ("/a/b/c", "", "/a/b/d", True),
        ("/a/b/c?q=/x/y", "", "/a/b", True),
        ("/a/b/c", "", "/a/", False),
        ("/a", "", "/z", True),
        ("/", "/docs", "/docs", True),
        ("/", "/docs", "/docs/web", True),
        ("/", "/docs/", "/docs/web", True),
        ("/", "/docs", "/docsets", False),
        ("/", "/docs", "/Docs", False),
        ("/a/b", "docs", "/a/c", True),  # not absolute: the default path
        ("/", "/docs", "/docs?x=1", True),
    ],
)
def test_the_path_attribute(set_by: str, path: str, asked: str, comes: bool) -> None:
    line = f"x=1; path={path}" if path else "x=1"
    assert sent(f"http://a.test{set_by}", line, f"http://a.test{asked}") is comes


def test_longer_paths_come_first_then_older_cookies() -> None:
    jar = jar_of("http://a.test/", "c=3; Path=/x/y", "a=1; Path=/", "b=2; Path=/")
    jar.store("http://a.test/", ["d=4; Path=/", "a=9; Path=/"], NOW + 1)  # a keeps its age
    assert jar.header("http://a.test/x/y", NOW + 2) == "c=3; a=9; b=2; d=4"


@pytest.mark.parametrize(
    "line",
    [
        "x=1; Secure",
        "__Secure-x=1; Secure",
        "__Host-x=1; Secure; Path=/",
        "x=1; SameSite=None; Secure",
    ],
)
def test_secure_cookies_are_neither_taken_nor_sent_over_http(line: str) -> None:
    assert not sent("http://a.test/", line, "https://a.test/")
    assert not sent("https://a.test/", line, "http://a.test/")
    assert sent("https://a.test/", line, "https://a.test/")


def test_http_leaves_secure_cookies_alone() -> None:
    jar = jar_of("https://a.shop.test/", "id=good; Secure; Domain=shop.test; Path=/in")
    assert not jar.store("http://a.shop.test/", ["id=evil; Domain=shop.test; Path=/in"], NOW)
    assert not jar.store("http://b.shop.test/", ["id=evil; Domain=shop.test; Path=/in/deep"], NOW)
    assert not jar.store("http://a.shop.test/", ["id=; Max-Age=0; Domain=shop.test; Path=/in"], NOW)
    assert jar.store("http://b.shop.test/", ["id=other; Path=/out"], NOW)  # another path is no overlay
    assert jar.header("https://a.shop.test/in", NOW) == "id=good"


@pytest.mark.parametrize(
    "line",
    [
        "__Host-x=1; Path=/",
        "__hOST-x=1; Secure; Path=/; Domain=a.test",
        "__Host-x=1; Secure; Path=/in",
        "__Host-x=1; Secure",
        "__SECURE-x=1",
        "__Secure-; Secure",  # a value without a name
        "=__Host-x=1; Secure; Path=/",
        "x=1; SameSite=None",
        "",
        "=",
        "; Secure",
        "x=\x00",
        "x=1; Path=/\x07",
        "x=a\nb",
        "x=\udce9",
        "x=1; path=/\udce9",
        "x=1; Domain=évil.test",
    ],
)
def test_lines_that_break_a_rule_make_no_cookie(line: str) -> None:
    jar = Jar()
    assert not jar.store("https://a.test/", [line], NOW)
    assert len(jar) == 0


def test_odd_but_valid_lines_are_kept_as_they_are() -> None:
    jar = jar_of("https://a.test/", "bare", 'q="a b"', "e=", "é=ü", "t=a\tb", "u=a=b=c;;; ;Unknown=1")
    assert jar.header("https://a.test/", NOW) == 'bare; q="a b"; e=; é=ü; t=a\tb; u=a=b=c'


def test_name_and_value_have_4096_bytes_and_an_attribute_1024() -> None:
    assert sent("http://a.test/", "x=" + "y" * 4095, "http://a.test/")
    assert not sent("http://a.test/", "x=" + "y" * 4096, "http://a.test/")
    assert not sent("http://a.test/", "x=" + "é" * 2048, "http://a.test/")
    assert sent("http://a.test/", "x=1; Path=/" + "p" * 1023, "http://a.test/" + "p" * 1023)
    assert sent("http://a.test/", "x=1; Path=/" + "p" * 1024, "http://a.test/")  # as if it were not there
    assert sent("http://a.test/", "x=1; Max-Age=" + "9" * 1025, "http://a.test/")


def test_max_age_counts_before_expires_and_zero_deletes() -> None:
    url = "http://a.test/"
    jar = jar_of(url, "x=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT")
    assert jar.header(url, NOW + 59) == "x=1"
    assert jar.header(url, NOW + 60) == ""
    assert len(jar) == 0
    for gone in ("x=; Max-Age=0", "x=; max-age=-1", "x=; Expires=Thu, 01-Jan-1970 00:00:01 GMT"):
        jar = jar_of(url, "x=1")
        assert jar.store(url, [gone], NOW)
        assert not jar.store(url, [gone], NOW)
        assert jar.header(url, NOW) == ""


@pytest.mark.parametrize(
    "attribute",
    [
        "Max-Age=99999999999999999999",
        "Max-Age=" + "9" * 1024,
        "Expires=Fri, 31 Dec 9999 23:59:59 GMT",
        "Expires=Fri, 31-Dec-2068 23:59:59 GMT",
    ],
)
def test_no_cookie_outlives_400_days(attribute: str) -> None:
    jar = jar_of("http://a.test/", f"x=1; {attribute}")
    assert jar.header("http://a.test/", NOW + 400 * DAY - 1) == "x=1"
    assert jar.header("http://a.test/", NOW + 400 * DAY) == ""


@pytest.mark.parametrize("attribute", ["Max-Age=soon", "Max-Age=", "Max-Age=-", "Max-Age=1.5", "Expires=never"])
def test_an_expiry_that_cannot_be_read_makes_a_session_cookie(attribute: str) -> None:
    assert jar_of("http://a.test/", f"x=1; {attribute}").header("http://a.test/", NOW + 9e9) == "x=1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37"),
        ("Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37"),
        ("Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:37"),
        ("6 november 2069 8:9:7", "2069-11-06T08:09:07"),
        ("06 Nov 69 08:49:37", "2069-11-06T08:49:37"),
        ("06 Nov 70 08:49:37", "1970-11-06T08:49:37"),
        ("06th Nov 1994BC 08:49:37.999", "1994-11-06T08:49:37"),
        ("08:49:37 2024 Feb 29", "2024-02-29T08:49:37"),  # any order: 2024 is too long for a day
        ("Feb 2 08:49:37 29", "2029-02-02T08:49:37"),
        ("31 Dec 9999 23:59:59", "9999-12-31T23:59:59"),
        ("29 Feb 2023 00:00:00", None),
        ("32 Jan 2023 00:00:00", None),
        ("00 Jan 2023 00:00:00", None),
        ("01 Jan 1600 00:00:00", None),
        ("01 Jan 20233 00:00:00", None),
        ("01 Jan 2023 24:00:00", None),
        ("01 Jan 2023 00:60:00", None),
        ("01 Jan 2023 00:00:60", None),
        ("01 Jan 2023 000:00:00", None),
        ("01 Jan 2023 00:00", None),
        ("01 Foo 2023 00:00:00", None),
        ("\u0660\u0661 Jan 2023 00:00:00", None),  # Arabic digits are none
        ("", None),
    ],
)
def test_dates_are_read_by_the_rfcs_own_algorithm(text: str, expected: str | None) -> None:
    moment = date(text)
    shown = None if moment is None else datetime.fromtimestamp(moment, UTC).replace(tzinfo=None).isoformat()
    assert shown == expected


def test_a_domain_keeps_180_cookies_and_the_not_secure_go_first() -> None:
    url = "https://a.shop.test/"
    jar = jar_of(url, "plain=1", "short=1; Secure; Max-Age=5")
    for number in range(PER_DOMAIN):
        jar.store("https://b.shop.test/", [f"c{number}=1; Secure; Domain=shop.test"], NOW + 10 + number)
    assert len(jar) == PER_DOMAIN
    jar.store(url, ["last=1; Secure"], NOW + 1000)
    assert len(jar) == PER_DOMAIN
    header = jar.header(url, NOW + 1000)
    assert "plain" not in header
    assert "c0=" not in header
    assert "last=1" in header


def test_a_jar_keeps_3000_cookies_and_forgets_the_longest_unused() -> None:
    jar = jar_of("http://old.test/", "x=1")
    jar.store("http://kept.test/", ["x=1"], NOW)
    for number in range(TOTAL + 50):
        if number % 1000 == 0:
            assert jar.header("http://kept.test/", NOW + number) == "x=1"
        jar.store(f"http://h{number}.test/", ["x=1"], NOW + number)
        assert len(jar) <= TOTAL
    assert jar.header("http://old.test/", NOW) == ""
    assert jar.header("http://kept.test/", NOW) == "x=1"
    assert jar.header(f"http://h{TOTAL + 49}.test/", NOW) == "x=1"


def test_a_cookie_bomb_is_logged_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    jar = Jar()
    with caplog.at_level(logging.DEBUG):
        jar.store("http://a.test/", ["x=secret\x00"] * 5000, NOW)
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text


def test_store_says_whether_anything_changed() -> None:
    jar = Jar()
    assert not jar.store("http://a.test/", [], NOW)
    assert jar.store("http://a.test/", ["x=1"], NOW)
    assert not jar.store("http://a.test/", ["x=1"], NOW + 5)
    assert jar.store("http://a.test/", ["x=2"], NOW)
    assert jar.store("http://a.test/", ["x=2; HttpOnly"], NOW)


def test_same_site_cookies_stay_behind_when_another_site_leads_here() -> None:
    url = "https://a.test/"
    jar = jar_of(
        url,
        "s=1; SameSite=Strict",
        "l=1; SameSite=lax",
        "n=1; SameSite=None; Secure",
        "d=1",
        "j=1; samesite=x",
    )
    assert jar.header(url, NOW) == "s=1; l=1; n=1; d=1; j=1"
    assert jar.header(url, NOW, same_site=False) == "l=1; n=1; d=1; j=1"
    assert jar.header(url, NOW, same_site=False, safe=False) == "n=1"


def test_a_jar_comes_back_whole_from_its_data() -> None:
    jar = jar_of("https://shop.test/a", "h=1", "d=2; Domain=shop.test; Secure; HttpOnly; SameSite=Lax; Max-Age=60")
    for again in (
        Jar.from_data(jar.to_data()),
        Jar.from_data(msgspec.json.decode(msgspec.json.encode(jar.to_data()))),
        Jar.from_data(msgspec.msgpack.decode(msgspec.msgpack.encode(jar.to_data()))),
    ):
        assert again.to_data() == jar.to_data()
        assert again.header("https://shop.test/a", NOW) == "h=1; d=2"
        assert again.header("https://sub.shop.test/a", NOW) == "d=2"  # host-only stays host-only
        assert again.header("https://shop.test/a", NOW + 60) == "h=1"
    with pytest.raises(StoreError):
        Jar.from_data([["x"]])


def test_sessions_have_jars_of_their_own() -> None:
    jars = Jars()
    jars.jar().store("http://a.test/", ["x=1"], NOW)
    jars.jar("two").store("http://a.test/", ["x=2"], NOW)
    again = Jars.from_data(jars.to_data())
    assert again.jar().header("http://a.test/", NOW) == "x=1"
    assert again.jar("two").header("http://a.test/", NOW) == "x=2"
    assert again.jar("three").header("http://a.test/", NOW) == ""
    again.forget("two")
    assert again.jar("two").header("http://a.test/", NOW) == ""


def test_sites_are_registrable_domains() -> None:
    assert site("a.b.shop.co.uk:8080") == "shop.co.uk"
    assert site("co.uk") == "co.uk"
    assert site("10.0.0.1:80") == "10.0.0.1"
    assert same_site("https://a.shop.test/", "https://b.shop.test:8443/x")
    assert not same_site("http://shop.test/", "https://shop.test/")
    assert not same_site("https://a.github.io/", "https://b.github.io/")


PARTS = st.sampled_from(
    [
        "x=1", ";", "=", " ", "\t", "\u00e9", "\x00", "\udcff", "__Host-", "Secure", "SameSite=None",
        "Path=/", "Domain=", "shop.test", "co.uk", "Max-Age=", "-", "9" * 30, "Expires=",
        "Sun, 06 Nov 2094 08:49:37 GMT",
    ]
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(st.lists(PARTS, max_size=12).map("".join) | st.text(max_size=60), max_size=5))
def test_no_line_of_any_shape_raises_or_leaves_its_site(lines: list[str]) -> None:
    jar = Jar()
    jar.store("https://a.shop.test/x", lines, NOW)
    assert msgspec.msgpack.encode(jar.to_data())
    header = jar.header("https://a.shop.test/x", NOW)
    header.encode()
    assert not any(ord(c) < 32 and c != "\t" for c in header)
    for other in ("https://shop.co.uk/", "https://other.test/", "https://test/"):
        assert jar.header(other, NOW) == ""


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_no_date_raises(text: str) -> None:
    moment = date(text)
    assert moment is None or moment < 253_402_300_800  # the year 10000
