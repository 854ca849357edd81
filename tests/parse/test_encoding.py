from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.parse.encoding import charset, decode, encoding, is_binary, sniff, utf8
from scraper.parse.labels import _ENCODINGS, resolve
from tests import conformance

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


def cases(name: str) -> list[tuple[bytes, str]]:
    """The (data, encoding) pairs of one of the table's files."""
    raw = (conformance.path("html5lib_encoding") / name).read_bytes()
    parts = re.split(rb"(?:^|\n)#data\n", raw)[1:]
    split = [part.rpartition(b"\n#encoding\n") for part in parts]
    return [(data, named.strip().decode().lower()) for data, _, named in split]


@pytest.mark.parametrize(("name", "count"), [("tests1.dat", 59), ("tests2.dat", 22), ("test-yahoo-jp.dat", 1)])
def test_every_case_of_the_sniffing_table_comes_out_as_named(name: str, count: int) -> None:
    found = cases(name)
    assert len(found) == count
    assert [data for data, named in found if (sniff(data) or "windows-1252") != named] == []


def test_every_case_of_the_content_type_table_comes_out_as_named() -> None:
    found = conformance.table("mime_charset.json")
    wrong = [case for case in found if charset(case["input"]) != (case["encoding"] and case["encoding"].lower())]
    assert (len(found), wrong) == (27, [])


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("", None),
        ("text/html", None),
        ("utf-8", None),
        ("text; charset=utf-8", None),
        ("text/html; charset=utf-7", None),
        ("text/html; charset=binary", None),
        ("text/html; charset=ISO-8859-1", "windows-1252"),
        ("text/html; charset=Shift_JIS ; x=1", "shift_jis"),
        ("text/html; charset=utf-16", "utf-16le"),
        ("text/html; charset=\x00", None),
        ('text/html; charset="utf-8', "utf-8"),
        ('text/html; x=";charset=gbk;"; charset=utf-8', "utf-8"),
    ],
)
def test_a_header_names_what_browsers_read_in_it(header: str, name: str | None) -> None:
    assert charset(header) == name


def test_a_byte_order_mark_beats_the_header_and_the_header_beats_the_page() -> None:
    page = b"<meta charset=koi8-r>"
    assert encoding(b"\xef\xbb\xbf" + page, "text/html; charset=gbk") == "utf-8"
    assert encoding(b"\xff\xfe<\0", "text/html; charset=gbk") == "utf-16le"
    assert encoding(b"\xfe\xff\0<", "text/html; charset=gbk") == "utf-16be"
    assert encoding(page, "text/html; charset=gbk") == "gbk"
    assert encoding(page, "text/html; charset=bogus") == "koi8-r"


def test_a_page_that_declares_nothing_is_utf_8_only_when_all_of_it_is() -> None:
    assert encoding("<p>naïve".encode(), "text/html") == "utf-8"
    assert encoding("<p>naïve".encode() + b"\xe9", "text/html") == "utf-8"  # cut in a character
    assert encoding(b"<p>caf\xe9", "text/html") == "windows-1252"
    assert encoding("<p>naïve".encode() + b"\xe9 ", "text/html") == "windows-1252"
    assert encoding(b"<p>plain", "text/html") == "windows-1252"
    assert encoding(b"", "") == "windows-1252"


@pytest.mark.parametrize("tag", [b"<meta charset=utf-7>", b"<meta charset=x-user-defined>", b"<meta charset>"])
def test_an_encoding_no_page_may_name_is_not_honoured(tag: bytes) -> None:
    assert encoding(tag + b"+ADw-script+AD4-", "text/html") == "windows-1252"


def test_a_late_meta_counts_to_the_end_of_the_head_and_not_beyond() -> None:
    filler = b"<link rel=x href='/y'>" * 200
    assert sniff(b"<head>" + filler + b"<meta charset=koi8-r></head>") == "koi8-r"
    assert sniff(b"<head>" + filler + b"</head><body><meta charset=koi8-r>") is None
    assert sniff(b"<head>" + filler * 20 + b"<meta charset=koi8-r>") is None


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"<!doctype html><!--><meta charset=gbk>", "gbk"),
        (b"<!x <meta charset=koi8-r> <meta charset=gbk>", "gbk"),
        (b"<META/CHARSET='a>b' charset=koi8-r><meta charset=gbk>", "gbk"),
        (b"<meta content='charset=gbk' http-equiv=CONTENT-TYPE>", "gbk"),
        (b"<meta http-equiv=content-type content='charset charset= \"gbk\"'>", "gbk"),
        (b"<meta http-equiv=content-type content='charset=;'>", None),
        (b"<?xml version='1.0' encoding = 'gbk'?><x/>", "gbk"),
        (b"<?xml version='1.0' encoding='utf-16'?><x/>", "utf-8"),
        (b"<?xml version='1.0' encoding='g bk'?><x/>", None),
        (b"<?xml encoding", None),
        ("<?xml version='1.0'?>".encode("utf-16-le"), "utf-16le"),
        ("<?xml version='1.0'?>".encode("utf-16-be"), "utf-16be"),
    ],
)
def test_declarations_are_read_as_the_html_standard_says(head: bytes, name: str | None) -> None:
    assert sniff(head) == name


@pytest.mark.parametrize(
    ("body", "name", "text"),
    [
        (b"\x80\x81\x8d\x8f\x90\x9d\xe9", "windows-1252", "€\x81\x8d\x8f\x90\x9dé"),
        (b"\x81\xff", "windows-1253", "\x81\ufffd"),
        (b"\xfe\xdd", "windows-1254", "şİ"),
        (b"\xca", "windows-1255", "\u05ba"),
        (b"\xae\xbe", "koi8-u", "ўЎ"),
        (b"\xa1\xff", "windows-874", "ก\ufffd"),
        (b"\xc4\xe3\x80\xa3\xa0\x81<b>", "gbk", "你€\u3000\ufffd<b>"),
        (b"\xa4\xa4\xa1\x45", "big5", "中\u2027"),
        (b"\xad\xa1\xa1\xc1\xa4\xa2\xfc\xfe\x8f<", "euc-jp", "①～あ＂\ufffd<"),  # noqa: RUF001
        (b'\x1b$B$"!A\x1b(B<', "iso-2022-jp", "あ～<"),  # noqa: RUF001
        (b"\x87\x40\x82\xa0\x81<", "shift_jis", "①あ\ufffd<"),
        (b"\x81\x41\xb0\xa1", "euc-kr", "갂가"),
        (b"\xff\xfea\0b", "utf-16le", "a\ufffd"),
        (b"\xef\xbb\xbfa\xff\xe2\x82", "utf-8", "a\ufffd\ufffd"),
        (b"\xef\xbb\xbfa", "UTF8", "a"),
        (b"anything", "replacement", "\ufffd"),
        (b"\xe9", "no such encoding", "é"),
    ],
)
def test_bytes_decode_as_browsers_do(body: bytes, name: str, text: str) -> None:
    assert decode(body, name) == text


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(sorted(_ENCODINGS)))
def test_nothing_in_a_body_makes_decoding_raise(body: bytes, name: str) -> None:
    assert utf8(body, name).decode("utf-8", "replace") == decode(body, name)
    assert isinstance(is_binary(body, "text/html"), bool)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([*b"<>=\"'/ -!?\nax", b"<meta ", b"charset", b"http-equiv=content-type", b"content="]))
)
def test_any_soup_of_tags_names_an_encoding_or_none(parts: list[int | bytes]) -> None:
    body = b"".join(part if isinstance(part, bytes) else bytes((part,)) for part in parts)
    assert resolve(encoding(body, body.decode("latin-1"))) is not None


@pytest.mark.parametrize(
    "unit", [b"<", b"<a ", b"<a x='", b"<a = =", b"<!--", b"<meta content='charset", b"<a>", b"= "]
)
def test_a_hostile_head_is_read_in_linear_time(unit: bytes) -> None:
    body = b"<meta charset= " + unit * (40_000 // len(unit)) + b"' charset=gbk>"
    started = time.thread_time()
    sniff(body)
    assert time.thread_time() - started < 0.5


def test_utf_8_and_plain_ascii_reach_the_parser_without_a_copy() -> None:
    page = "<p>naïve".encode()
    plain = b"<p>plain"
    assert utf8(page, "utf-8") is page
    assert utf8(plain, "windows-1252") is plain
    assert utf8(b"\xef\xbb\xbf<p>", "utf-8") == b"<p>"
    assert utf8(b"caf\xe9", "windows-1252") == "café".encode()
    assert utf8(b'\x1b$B$"\x1b(B', "iso-2022-jp") == "あ".encode()


@pytest.mark.parametrize(
    ("body", "header", "binary"),
    [
        (PNG, "text/html", True),
        (b"%PDF-1.7 ...", "text/html", True),
        (b"PK\x03\x04", "", True),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "text/plain", True),
        (b"some text \x01\x02", "text/plain", True),
        (b"declared", "image/jpeg", True),
        (b"declared", " Application/PDF; x", True),
        (b"<html>", "application/octet-stream", False),
        (b"  \n<!doctype html>\0\0", "image/png", False),
        (b"<svg>", "image/svg+xml", False),
        (b"plain", "application/octet-stream", False),
        (b'{"a": 1}', "application/json", False),
        (b"BMW and GIF", "text/plain", False),
        (b'\x1b$B$"\x1b(B', "text/html", False),
        (b"\xff\xfeh\0i\0", "text/html", False),
        (b"h\0i\0", "text/html; charset=utf-16le", False),
        (b"h\0i\0", "text/html", True),
        (b"a" * 1445 + b"\0", "text/html", False),
        (b"", "image/png", False),
    ],
)
def test_binary_is_what_it_looks_like(body: bytes, header: str, binary: bool) -> None:
    assert is_binary(body, header) is binary
