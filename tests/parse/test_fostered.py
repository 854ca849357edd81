"""Text that a parser moves out of tables: what may be joined is counted, pages of people have none of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from scraper.errors import FetchError
from scraper.parse import bombs, fostered
from scraper.parse.nesting import Nesting

TEXT = b"W" + b"x" * 499
BOMBS = {
    "comments": b"<table>" + (TEXT + b"<!---->") * 4_000,
    "a quoted <": b"<table>" + (b"<tr x='><'>" + TEXT) * 4_000,
    "a quoted cell": b"<table>" + (b"<tr x='<td>'>" + TEXT + b"</td>") * 4_000,
    "a cell quoted by two tags": b"<table>" + (b'<tr x="><td y="1">' + TEXT + b"</td>") * 4_000,
    "a tag in a value": b"<table>" + (b"<tr x=<b>" + TEXT) * 4_000,
    "quotes in quotes": b"<table>" + (b'<tr x="<p z=\'">' + TEXT) * 4_000,
    "hidden fields": b"<table>" + (TEXT + b"<input type=hidden>") * 4_000,
    "rows of a template": b"<template><tr>" + (TEXT + b"<!---->") * 4_000,
    "scripts inside comments": b"<table><tr>"
    + (b"<script><!--<script></script><td x='</script>--></script>" + TEXT + b"<tr '>") * 4_000,
    "few long pieces": b"<table>" + (b"x" * 20_000 + b"<!---->") * 300,
    "at the end of a large page": b"<p>a</p>" * 100_000 + b"<table>" + b"xxxxxxxx<tr>" * 40_000,
}
ROW = b"<tr class='odd'>\n<td class=\"num\">%d</td><td><a href='/row/%d'>row</a>, <b>c</b> more</td></tr>\n"
CARD = (
    b'<div class="card"><div class="head"><h3><a href="/p/%d">page %d</a></h3></div><div class="body"><p class=x>'
    b'text</p><img src="/i.png" alt="x"><p>more <b class="y">bold</b> text</p></div></div>\n'
)
HONEST = {
    "a table": b"<table>" + b"".join(ROW % (n, n) for n in range(20_000)) + b"</table>",
    "cards": b"<body>" + b"".join(CARD % (n, n) for n in range(10_000)),
    "drawings": b"<table>" + b"<tr><td><svg x='1'><path d='M0'/></svg> text</td></tr>\n" * 30_000,
    "paragraphs": b"<table></table>"
    + b"<p>Plain <em>text</em> with <a href='x'><code>f</code></a> of it.</p>\n" * 30_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_text_that_is_copied_too_often_is_found_by_windows_and_refused_by_the_model(name: str) -> None:
    assert all(fostered.fosters(BOMBS[name]) for _ in range(20))
    with pytest.raises(FetchError):
        Nesting(BOMBS[name]).run()


@pytest.mark.parametrize("name", HONEST)
def test_of_a_large_honest_page_one_byte_in_sixteen_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read, pieces = 0, fostered.pieces

    def counted(html: bytes) -> tuple[int, int]:
        nonlocal read
        read += len(html)
        return pieces(html)

    monkeypatch.setattr(fostered, "pieces", counted)
    html = HONEST[name]
    assert not fostered.fosters(html)
    assert 0 < read <= len(html) // fostered.SOME + fostered.WINDOW
    assert pieces(html.lower())[0] == 0


PIECES = (
    b"<table>", b"</table>", b"<tr>", b"</tr>", b"<td>", b"</td>", b"<tbody>", b"<caption>", b"</caption>", b"<b>",
    b"</b>", b"<i>x</i>", b"<p>", b"</p>", b"<br>", b"<!---->", b"<!-->", b"<?x>", b"</>", b"<input type=hidden>",
    b"<form>", b"<select>", b"</select>", b"<option>", b"<svg>", b"</svg>", b"<g>", b"<svg><path/></svg>",
    b"<math>",
    b"<script></script>", b"<script><!--<script></script>", b"<script>a<b</script>", b"<style></style>", b"<col>",
    b"<textarea></textarea>", b"<tr x='>'>", b"<tr x='<td>'>", b'<tr x="><td y="1">', b"<tr x='><'>", b"<tr x=<b>",
    b"<tr x='>'<b>", b"<b x='<p z=\"'>", b"<td x='<'>", b"<body>", b"<a>", b"</a>", b"<div>", b"</div>", b"</body>",
    b"<object>", b"</object>", b"<xmp>", b"</xmp>", b"<template>", b"</template>", b"<link>", b"<![CDATA[",
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from((b"<table>", b"<table><tr>", b"<table><tr><svg>", b"<select>")),
    st.lists(st.tuples(st.sampled_from(PIECES), st.booleans()), min_size=1, max_size=6),
)
def test_what_the_parser_joins_in_front_of_a_table_is_counted(
    start: bytes, parts: list[tuple[bytes, bool]]
) -> None:
    html = start + b"".join(piece + b"Wx" * text for piece, text in parts) * 40
    root = LexborHTMLParser(html, options=1).root
    assert root is not None
    joined = max(
        (
            (node.text_content or "").count("W")
            for node in root.traverse(include_text=True)
            if node.tag == "-text" and node.next is not None and node.next.tag == "table"
        ),
        default=0,
    )
    assert fostered.pieces(html.lower())[0] >= joined - len(parts) - 1


@pytest.mark.parametrize("name", ["a table", "cards", "paragraphs"])
def test_a_large_honest_page_is_not_read_tag_by_tag(name: str) -> None:
    assert not bombs.suspicious(HONEST[name])


def test_a_page_of_nested_cards_with_pictures_is_not_read_tag_by_tag() -> None:
    deep = (
        b"<div class=a><div class='b'><section id=\"c\"><ul><li>"
        + CARD % (1, 1)
        + b"</li></ul></section></div></div>"
    )
    assert not bombs.suspicious(deep * 5_000)
