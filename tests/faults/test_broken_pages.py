"""One site, every page of it broken in another way (faults A to D): each ends with its reason."""

from __future__ import annotations

import asyncio
import gc
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from importlib import import_module
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest
import trustme

from scraper.reasons import Reason
from scraper.testing.answers import Answer
from scraper.testing.raw import SCRIPTS, RawServer, black_hole, refusing
from scraper.testing.resolve import Loopback
from scraper.testing.site import Site
from tests.faults.web import Walk, hunt, page
from tests.fetch.test_http import EXPECTED as RAW

SETTINGS = {
    "timeout": 12, "connect_timeout": 1.5, "header_timeout": 1.5, "min_rate": 500, "slow_after": 1.5,
    "max_body": 1_000_000, "max_wire": 2_000_000, "retries": 1, "scope": "any", "concurrency": 200, "per_host": 200,
    # Of the site in this very loop not all pages at once: some would wait longer than the timeouts of the others
    # allow, and five of them are a host that is down.
    "hosts": {"*.raw.test": {"robots": False}, "nx.test": {"robots": False}, "a.test": {"per_host": 4}},
    "breaker_rest": 1.0,
}  # fmt: skip
TEXT = b"<title>t</title>" + b"text " * 2_000
ZEROS = bytes(5_000_000)
GZIP = zlib.compress(TEXT, wbits=31)
HTML = {"Content-Type": "text/html"}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8


def gzip(body: bytes, times: int = 1) -> bytes:
    for _ in range(times):
        body = zlib.compress(body, wbits=31)
    return body


def coded(body: bytes, coding: str = "gzip") -> Answer:
    return Answer(200, body, {**HTML, "Content-Encoding": coding})


def to(*targets: str, status: int = 302) -> Answer:
    return Answer(status, "", [("Location", target) for target in targets])


def brotli(body: bytes) -> bytes:
    compressed: bytes = import_module("brotli").compress(body)
    return compressed


PAGES: dict[str, tuple[Answer, Reason]] = {
    # Codings.
    "gzip bomb": (coded(gzip(ZEROS)), Reason.TOO_LARGE),
    "gzip bomb in gzip": (coded(gzip(ZEROS, 2), "gzip, gzip"), Reason.TOO_LARGE),
    "deflate bomb": (coded(zlib.compress(ZEROS), "deflate"), Reason.TOO_LARGE),
    "brotli bomb": (coded(brotli(ZEROS), "br"), Reason.TOO_LARGE),
    "ten codings": (coded(gzip(TEXT, 10), ",".join(["gzip"] * 10)), Reason.UNKNOWN_CODING),
    "unknown coding": (coded(TEXT, "lzma"), Reason.UNKNOWN_CODING),
    "gzip cut": (coded(GZIP[:-20]), Reason.PARTIAL),
    "gzip corrupt": (coded(GZIP[:40] + b"\0" * 20 + GZIP[60:]), Reason.CODING),
    "gzip with junk behind": (coded(GZIP + b"junk"), Reason.OK),
    "gzip that is none": (coded(TEXT), Reason.OK),
    "two gzip members": (coded(GZIP + GZIP), Reason.OK),
    "deflate without its frame": (coded(zlib.compress(TEXT, wbits=-15), "deflate"), Reason.OK),
    # Text.
    "unknown charset": (Answer(200, TEXT, {"Content-Type": "text/html; charset=klingon"}), Reason.OK),
    "utf-7": (Answer(200, b"+ADw-script+AD4-", {"Content-Type": "text/html; charset=utf-7"}), Reason.OK),
    "utf-16": (Answer(200, "<title>t</title>".encode("utf-16-le"), {"Content-Type": "text/html; charset=utf-16"}),
               Reason.OK),
    "invalid bytes": (Answer(200, TEXT + bytes(range(128, 256)), HTML), Reason.OK),
    "nul bytes": (Answer(200, b"<p>a\0b</p>" * 50, HTML), Reason.OK),
    "png as html": (Answer(200, PNG, HTML), Reason.NOT_TEXT),
    "no type and binary": (Answer(200, PNG, {"Content-Type": ""}), Reason.NOT_TEXT),
    "empty": (Answer(200, "", HTML), Reason.OK),
    # Size and shape.
    "too large": (Answer(200, b"x" * 1_500_000), Reason.TOO_LARGE),
    "too large on the wire": (Answer(200, b"x" * 3_000_000), Reason.TOO_LARGE),
    "one line": (Answer(200, b"<p>" + b"x" * 900_000), Reason.OK),
    "nested": (Answer(200, b"<div>" * 150_000), Reason.HTML_BOMB),
    "unclosed formats": (Answer(200, b"".join(b"<p><b n=%d>" % n for n in range(20_000))), Reason.HTML_BOMB),
    "attributes": (Answer(200, b"<p " + b" ".join(b"a%d" % n for n in range(100_000)) + b">"), Reason.HTML_BOMB),
    "open comment": (Answer(200, b"<!-- " * 100_000), Reason.OK),
    # Statuses.
    **{f"status {status}": (Answer(status, "no"), Reason.STATUS)
       for status in (300, 304, 400, 401, 403, 404, 407, 408, 410, 421, 425, 451, 500, 501, 502, 504, 599)},
    "digest for ever": (Answer(401, "", {"WWW-Authenticate": "Digest realm=, qop=odd, nonce"}), Reason.STATUS),
    # Redirects.
    "to itself": (to("/to-itself"), Reason.TOO_MANY_REDIRECTS),
    "hop for ever": (to("hop-for-ever/hop-for-ever"), Reason.TOO_MANY_REDIRECTS),
    "two locations": (to("/one", "/two"), Reason.BAD_REDIRECT),
    "location twice": (to("/landed", "/landed"), Reason.OK),
    "no location": (Answer(302), Reason.STATUS),
    "blank location": (to("  "), Reason.STATUS),
    "malformed location": (to("http://[nowhere"), Reason.BAD_REDIRECT),
    "port out of range": (to("http://a.test:99999/"), Reason.BAD_REDIRECT),
    "long location": (to("/x" * 10_000), Reason.BAD_REDIRECT),
    "huge location": (to("/" + "x" * 100_000), Reason.HEADERS_TOO_LARGE),
    "to no name": (to("http://nx.test/"), Reason.DNS),
    **{f"to {scheme}": (to(f"{scheme}:{rest}"), Reason.BAD_REDIRECT) for scheme, rest in {
        "file": "///etc/passwd", "ftp": "//a.test/", "data": "text/html,hi", "javascript": "alert(1)",
        "gopher": "//a.test/", "ws": "//a.test/", "about": "blank", "mailto": "a@b.test", "view-source": "http://a.test/",
    }.items()},
}  # fmt: skip
# Where a redirect ends, when that is another URL than the page's own.
ELSEWHERE = {"to no name": "http://nx.test/", "location twice": "http://a.test/landed"}


def slug(name: str) -> str:
    return name.replace(" ", "-").replace(",", "").replace(".", "-")


async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, n: int) -> None:
    """Answers a TLS greeting as servers do that know nothing of it."""
    await reader.read(100)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


@pytest.fixture
async def raw() -> AsyncIterator[dict[str, tuple[str, Reason]]]:
    """The broken servers: name -> (URL, why a request to it fails)."""
    context = SSLContext(PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("untrusted.raw.test").configure_cert(context)
    found = {}
    async with AsyncExitStack() as stack:
        for name, reason in RAW.items():
            server = await stack.enter_async_context(RawServer(SCRIPTS[name]))
            found[name] = (server.url("/", f"{slug(name)}.raw.test"), reason)
        odd = await stack.enter_async_context(RawServer(plain))
        found["plain where TLS is spoken"] = (f"https://plain.raw.test:{odd.port}/", Reason.TLS)
        tls = await stack.enter_async_context(RawServer(SCRIPTS["good"], ssl=context))
        found["a certificate nobody knows"] = (tls.url("/", "untrusted.raw.test"), Reason.TLS_CERTIFICATE)
        port = stack.enter_context(refusing())
        found["refused"] = (f"http://refused.raw.test:{port}/", Reason.REFUSED)
        port = stack.enter_context(black_hole())
        found["black hole"] = (f"http://hole.raw.test:{port}/", Reason.CONNECT_TIMEOUT)
        found["no such name"] = ("http://nx.raw.test/", Reason.DNS)
        yield found


@pytest.mark.timed
async def test_every_broken_page_ends_with_its_reason_and_every_good_one_unharmed(
    site: Site, raw: dict[str, tuple[str, Reason]]
) -> None:
    good = {f"http://a.test/good/{n}": f"good {n}" for n in range(40)}
    for url, title in good.items():
        site.page(url.removeprefix("http://a.test"), page(["/good/0", "/good/39"], title))
    expected = {name: (f"http://a.test/{slug(name)}", reason) for name, (_, reason) in PAGES.items()} | raw
    for name, (answer, _) in PAGES.items():
        site.page(f"/{slug(name)}", answer.body, status=answer.status, headers=answer.headers)
    site.page("/landed", page())
    site.page("/hop-for-ever/*", status=302, headers={"Location": "hop-for-ever/hop-for-ever"})
    links = [url for url, _ in expected.values()]
    mixed = [link for pair in zip(links, [*good, *[""] * len(links)], strict=False) for link in pair if link]
    site.page("/", page(mixed))

    async with asyncio.timeout(30):
        web = await hunt(site, Walk(), resolver=Loopback(site.port, failing=("nx.test", "nx.raw.test")), **SETTINGS)
    gc.collect()

    assert len(expected) > 100
    wrong = {
        name: (web.of(ELSEWHERE.get(name, url)), reason)
        for name, (url, reason) in expected.items()
        if web.of(ELSEWHERE.get(name, url)) is not reason
    }
    assert wrong == {}
    titles = {item["url"]: item["title"] for item in web.result.items}
    assert {url: titles.get(url) for url in good} == good
    stats = web.result.report.stats
    assert web.result.report.why == "finished"
    assert stats.done + stats.failed == len(web.ends())
    assert all(proof.early == 0 for proof in web.result.report.proofs.values())
