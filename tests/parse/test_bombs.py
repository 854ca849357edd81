"""The guard before the parse: bombs are refused quickly, pages of people are not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from scraper.errors import FetchError
from scraper.parse import bombs
from scraper.parse.nesting import MAX_DEPTH, Nesting
from scraper.reasons import Reason

RUST_DOC = Path("/usr/share/doc/rust-doc/html/std")
N = 60_000

BOMBS = {
    "unclosed formatting": b"".join(b"<p><b %d><i %d>" % (i, i) for i in range(2000)),
    "formatting nested": b"".join(b"<b %d><i %d>" % (i, i) for i in range(2000)),
    "formatting before blocks": b"<div>" + b"".join(b"<b %d>" % i for i in range(100)) + b"</div><div>x" * 20_000,
    "nested div": b"<div>" * N,
    "nested and closed": b"<div>" * N + b"</div>" * N,
    "nested with stray ends": b"<div></x>" * N,
    "ends in comments": b"<div><!--</div>-->" * N,
    "ends in attributes": b"<div a='</div>'>" * N,
    "ends in scripts": b"<div><script></div></script>" * N,
    "ends in scripts inside comments": b"<div><script><!--<script></script></div>--></script>" * N,
    "ends in CDATA": b"<div><svg><![CDATA[></svg></div>]]></svg>" * N,
    "ends beyond a table": b"<div><table></div></table>" * N,
    "ends of formatting": b"<b><div></b>" * N,
    "a quote that is none": b'<a =">' + b"<div>" * N + b'">',
    "raw text in a template of columns": b"<template><col><xmp></template>" + b"<div>" * N + b"</xmp>",
    "ends of forms": b"<form><g></form>" * N,
    "cells in a template": b"<template>" + b"<ul><td>" * N,
    "selects that close each other": b"<h1><select><dd>" * N,
    "a select closed by an input": b"<select><input><div></select>" * N,
    "links closed by links": b"<a><i x>" * N,
    "cells beside a table": b"<table><table></table>" + b"<div><tr>" * N,
    "ends that leave svg": b"<svg><svg>" + b"</p></svg><g/><svg>" * N,
    "options that hold back": b"<select>" + b"<font size=1><dd><option>" * N,
    "formatting that leaves svg": b"<font size=1><h1><svg>" + b"</font><g/>" * N,
    "formatting opened by a line break": b"<b></li><br><li><x>" * N,
    "an item that ends another": b"<li><li>x</li><div></li>" * N,
    "a block that ends a paragraph": b"<p><div>x</div><span></p>" * N,
    "nested tables": b"<table><tr><td>" * N,
    "nested lists": b"<ul><li>" * N,
    "nested svg": b"<svg><g>" * N,
    "attributes": b"<a " + b" ".join(b"a%d" % i for i in range(100_000)) + b">",
    "attributes that quote >": b"<a " + b" ".join(b"a%d='>'" % i for i in range(40_000)) + b">",
    "attributes of an end tag": b"<div>" * 400
    + b"".join(b"<b %d>" % i for i in range(700)) * 2
    + b"</b "
    + b" ".join(b"a%d='<p>'" % i for i in range(40_000))
    + b">",
    "text in a table": b"<table>" + b"x<!---->" * 100_000,
    "pieces of text in a table": b"<tAble>" + (b"x" * 500 + b"<!---->") * 4_000,
    "text between rows": b"<p>x</p>" * 1_000 + b"<table>" + (b"x" * 500 + b"<tr>") * 4_000,
    "formatting in a large page": b"<p>x</p>" * 50_000
    + b"<p>"
    + b"".join(b"<b %d>" % i for i in range(60))
    + b"<p>x" * N,
    "attributes in a large page": b"<p>x</p>" * 50_000 + b"<a " + b" ".join(b"a%d='>'" % i for i in range(60_000)),
    "nested div in a large page": b"<p>x</p>" * 50_000 + b"<div>" * 50_000,
}

HARMLESS = {
    "paragraphs never closed": b"<p>text" * N,
    "items never closed": b"<ul>" + b"<li>x" * N,
    "rows never closed": b"<table>" + b"<tr><td>x" * N,
    "definitions never closed": b"<dl>" + b"<dt>x<dd>y" * N,
    "options never closed": b"<select>" + b"<option>x" * N,
    "the same font again and again": b"<p><font size=2>x" * 10_000,
    "links never closed": b"".join(b"<a href=%d>x" % i for i in range(N)),
    "void elements": b"x<br><img src=a><hr>" * N,
    "paths": b"<svg>" + b"<path d='M0'/>" * N + b"</svg>",
    "headings closed by others": b"<h1>x</h2>" * N,
    "markup in a script": b"<script>" + b"'<div>'" * N + b"</script>",
    "a comment never closed": b"<p>a<!--" + b"<div>" * N,
    "a million links": b"".join(b"<a href=%d>x</a>" % i for i in range(1_000_000)),
    "a 10 MB attribute": b"<a href='" + b"x" * 10_000_000 + b"'>",
    "a line of 10 MB": b"x" * 10_000_000,
    "only openings": b"<" * 1_000_000,
    "a table of data": b"<table>" + b"<tr><td>a<td><a href=x>b</a>, c</td></tr>\n" * 20_000,
    "bold words": b"<p>a <b class=x>b</b> <strong id='1'>c</strong> d" * 5_000,
    "a blob": b"<script>" + b"x" * 200_000 + b"</script>" + b"<p>a</p>" * 100,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_less_than_a_second(name: str) -> None:
    start = time.thread_time()
    with pytest.raises(FetchError) as caught:
        bombs.check(BOMBS[name])
    assert caught.value.reason is Reason.HTML_BOMB
    assert time.thread_time() - start < 1


@pytest.mark.parametrize("name", HARMLESS)
def test_a_large_or_sloppy_page_is_no_bomb(name: str) -> None:
    bombs.check(HARMLESS[name])
    Nesting(HARMLESS[name][:1_000_000]).run()


@pytest.mark.skipif(not RUST_DOC.exists(), reason="the Debian package rust-doc is not installed")
def test_pages_of_people_are_never_refused_and_seldom_read() -> None:
    pages = [path.read_bytes() for path in sorted(RUST_DOC.rglob("*.html"))[::40]]
    assert len(pages) > 30
    for page in pages:
        Nesting(page).run()
    assert sum(map(bombs.suspicious, pages)) <= 1


def test_a_page_is_large_by_its_bytes_or_its_tags() -> None:
    assert bombs.large(b"x" * 300_000)
    assert bombs.large(b"<p>" * 9_000)
    assert not bombs.large(b"<p>" * 7_000)


PIECES = (
    b"<div>", b"</div>", b"<p>", b"</p>", b"<b>", b"</b>", b"<i x>", b"</i>", b"<a>", b"</a>", b"<table>",
    b"</table>", b"<tr>", b"<td>", b"</td>", b"<ul>", b"</ul>", b"<li>", b"</li>", b"<span>", b"</span>",
    b"<x>", b"</x>", b"<svg>", b"</svg>", b"<g>", b"<g/>", b"<br>", b"text", b"<!-- </div> -->", b"<h1>",
    b"</h2>", b"<select>", b"<option>", b"</select>", b"<button>", b"</button>", b"<script></div></script>",
    b"<dd>", b"<foreignObject>", b"<title></div></title>", b"<section>", b"</section>", b"<!---->",
    b"<template>", b"</template>", b"<font size=1>", b"</font>", b"<marquee>", b"</marquee>", b"<form>",
    b"</form>", b"<input>", b"<textarea></textarea>", b"<th>", b"<col>",
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_what_the_parser_nests_deeply_the_guard_sees(pieces: list[bytes]) -> None:
    html = b"".join(pieces) * 1200
    parser = LexborHTMLParser(html[:40_000], options=1)
    depth = 0
    node = parser.body
    while node is not None:  # along the last children: what is open at the end
        depth += 1
        node = node.last_child
    if depth > 3 * MAX_DEPTH:
        with pytest.raises(FetchError):
            Nesting(html[:40_000]).run()


def test_a_large_honest_table_with_marked_up_cells_is_not_read_tag_by_tag() -> None:
    rows = b"".join(b"<tr><td>row %d</td><td><b>%d</b> more of it</td></tr>\n" % (n, n) for n in range(20_000))
    text = b"<p>Plain <em>text</em> with <code>code</code>, and more of it.</p>\n" * 15_000
    assert not bombs.suspicious(b"<table>" + rows + b"</table>" + text)
