"""One canonical form, by the WHATWG rules."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper import url as urls
from scraper.reasons import Reason
from tests import conformance

AWKWARD = "aZ0é中\u00ad%2fF3./\\?#@:;[]&=+~*$!'(){}|^`\"<> \t\ud800"
TEXTS = st.text(alphabet=AWKWARD, max_size=40)
HOSTS = st.text(alphabet="aZ09.-é:[]x%", min_size=1, max_size=12)
BASE = urls.parse("http://h/a/b?c")
# Labels that claim to be punycode and are none: refused by the IDNA tables, kept as they are by the newest
# edition of the standard. No registry gives out such a name.
NO_PUNYCODE = re.compile(r"xn--(pokxncvks|/|$)", re.IGNORECASE)


def expected(href: str) -> str:
    """The canonical form of a URL as the standard serialises it, by plain text work."""
    scheme, _, rest = href.partition("#")[0].partition("://")
    authority, _, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    host = re.sub(r"(?<=[^.])\.(?=:|$)", "", host)
    return re.sub("%[0-9a-fA-F]{2}", lambda match: match[0].upper(), f"{scheme}://{host}/{path}")


def answer(case: dict[str, Any]) -> str | None:
    try:
        base = urls.parse(case["base"]) if case.get("base") else None
        return urls.canonical(case["input"], base)
    except urls.BadURL:
        return None


def test_every_http_case_of_the_web_platform_tests_has_the_same_host_path_and_query() -> None:
    cases = conformance.table("wpt_urltestdata.json")
    judged = [case for case in cases if case.get("failure") or not NO_PUNYCODE.search(case["href"])]
    wrong = [
        (case, answer(case))
        for case in judged
        if answer(case) != (None if case.get("failure") else expected(case["href"]))
    ]
    assert wrong == []
    assert len(judged) >= len(cases) - 7


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("HTTP://EXAMPLE.com:80", "http://example.com/"),
        ("https://example.com:443/a/../b/./c?", "https://example.com/b/c?"),
        ("http://user:secret@example.com/", "http://example.com/"),
        ("http://example.com./x", "http://example.com/x"),
        ("http://example.com.:8080/x", "http://example.com:8080/x"),
        ("http://127.0.0.1./", "http://127.0.0.1/"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://Bücher.example/ü?ü#ü", "http://xn--bcher-kva.example/%C3%BC?%C3%BC"),
        ("http://h/%e3%83%84%2f%zz", "http://h/%E3%83%84%2F%zz"),
        ("http://h/?b=2&a=1&a=", "http://h/?b=2&a=1&a="),
        ("http://h/a\r\nb", "http://h/ab"),
        ("http://h\\a", "http://h/a"),
        ("http://[::FFFF:1.2.3.4]/", "http://[::ffff:102:304]/"),
        ("http://foo.09../", "http://foo.09../"),
    ],
)
def test_the_canonical_form(text: str, form: str) -> None:
    assert urls.canonical(text) == form


@pytest.mark.parametrize(
    ("href", "form"),
    [
        ("?x", "http://h/a/b?x"),
        ("#x", "http://h/a/b?c"),
        ("../../..", "http://h/"),
        ("//other", "http://other/"),
        (" ///other/x", "http://other/x"),
        ("/\\\t/other", "http://other/"),
        ("", "http://h/a/b?c"),
    ],
)
def test_a_relative_url_is_joined_as_browsers_do(href: str, form: str) -> None:
    assert urls.canonical(href, BASE) == form


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mailto:a@b", Reason.BAD_SCHEME),
        ("javascript:void(0)", Reason.BAD_SCHEME),
        ("data:text/html,x", Reason.BAD_SCHEME),
        ("file:///etc/passwd", Reason.BAD_SCHEME),
        ("http://", Reason.BAD_URL),
        ("///", Reason.BAD_URL),
        ("http://h:65536/", Reason.BAD_URL),
        ("http://a b/", Reason.BAD_URL),
        ("http://[::1%25eth0]/", Reason.BAD_URL),
        ("http://h/\ud800", Reason.BAD_URL),
        ("http://h/" + "a" * urls.MAX_LENGTH, Reason.URL_TOO_LONG),
        ("http://h/" + "é" * 4000, Reason.URL_TOO_LONG),
    ],
)
def test_what_is_not_fetched_is_refused_with_its_reason(text: str, reason: Reason) -> None:
    with pytest.raises(urls.BadURL) as error:
        urls.canonical(text, BASE)
    assert error.value.reason is reason


@given(TEXTS, st.none() | HOSTS)
def test_the_canonical_form_of_a_canonical_form_is_itself(text: str, host: str | None) -> None:
    try:
        form = urls.canonical(text, BASE) if host is None else urls.canonical(f"http://{host}/{text}")
    except urls.BadURL:
        return
    assert urls.canonical(form) == form
    assert form.isascii()
    assert form.startswith(urls.origin(form) + "/")
    assert "@" not in urls.netloc(form)
    assert "#" not in form


@pytest.mark.parametrize(
    ("url", "netloc", "host", "origin"),
    [
        ("http://h/", "h", "h", "http://h"),
        ("https://h:8443/a?b=/", "h:8443", "h", "https://h:8443"),
        ("http://[::1]:81/", "[::1]:81", "[::1]", "http://[::1]:81"),
    ],
)
def test_the_parts_of_a_canonical_url(url: str, netloc: str, host: str, origin: str) -> None:
    assert urls.netloc(url) == netloc
    assert urls.hostname(netloc) == host
    assert urls.origin(url) == origin


def test_a_printable_url_has_neither_credentials_nor_control_characters() -> None:
    assert urls.printable("http://user:secret@h/a\x1b[31m\r\n@b") == "http://h/a%1B[31m%0D%0A@b"


def test_a_fingerprint_is_the_same_in_every_process_and_fits_64_signed_bits() -> None:
    assert urls.fingerprint("http://h/") == urls.digest(b"http://h/") == -5754991027498423990
    assert all(-(2**63) <= urls.fingerprint(f"http://h/{n}") < 2**63 for n in range(1000))


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_a_digest_depends_on_nothing_but_its_data(several: list[bytes]) -> None:
    for data in several:
        plain = blake2b(data, digest_size=8).digest()
        assert urls.digest(data) == int.from_bytes(plain, "little", signed=True)


def test_method_body_and_session_are_part_of_a_fingerprint() -> None:
    variants = [
        urls.fingerprint("http://h/"),
        urls.fingerprint("http://h/", "POST"),
        urls.fingerprint("http://h/", "POST", b""),
        urls.fingerprint("http://h/", "POST", b"x"),
        urls.fingerprint("http://h/", "POST", b"", "x"),
        urls.fingerprint("http://h/", session="x"),
    ]
    assert urls.fingerprint("http://h/", "POST") == urls.fingerprint("http://h/", "POST", b"")
    assert len(set(variants)) == len(variants) - 1
