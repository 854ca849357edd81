"""Credentials, cookies and header fields stay with the origin they are for, and out of what is written."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

import pytest
import trustme

from scraper import Request, Response
from scraper.fetch.stack import basic
from scraper.reasons import Reason
from scraper.testing.answers import Answer
from scraper.testing.hits import Hit
from scraper.testing.raw import RawServer, refusing
from scraper.testing.site import Site
from tests.faults.web import Walk, hunt, page

AUTH = basic("me:hunter2")
MINE = {"Authorization": "Bearer t0ken", "Cookie": "own=c00kie", "X-Api-Key": "k3y", "Accept-Language": "de"}
SECRETS = ("hunter2", "t0ken", "c00kie", "k3y", AUTH.removeprefix("Basic "))


class Mine(Walk):
    """Sends a request with secrets of its own."""

    async def start(self) -> AsyncIterator[Request | str]:
        yield Request(self.url, headers=MINE)


def leaked(hits: list[Hit]) -> list[str]:
    """The hits in which a secret came."""
    return [
        f"{hit.host}{hit.target} {name}: {value}"
        for hit in hits
        for name, value in (*hit.headers.items(), ("body", hit.body.decode("latin-1")), ("target", hit.target))
        if any(secret in value for secret in SECRETS)
    ]


@pytest.fixture
async def other() -> AsyncIterator[Site]:
    """A second site: another port of every host."""
    async with Site() as running:
        running.page("*", page())
        yield running


async def test_the_header_fields_of_a_request_do_not_go_on_to_its_links(site: Site) -> None:
    site.page("/", page(["/next", "http://b.test/"]))
    site.page("*", page())
    await hunt(site, Mine(), scope="any")
    assert leaked(site.hits_of(path="/")[:1])
    assert leaked([hit for hit in site.hits if hit.target != "/" or hit.host != "a.test"]) == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["other host", "other port", "and back"])
async def test_a_redirect_to_another_origin_takes_no_secret_along(
    site: Site, other: Site, status: int, where: str
) -> None:
    target = {
        "other host": "http://b.test/landed",
        "other port": other.url("/landed", "a.test"),
        "and back": "http://b.test/back",
    }[where]
    site.page("/", status=status, headers={"Location": target})
    site.redirect("/back", "http://a.test/landed", status)
    site.page("/landed", page(["/more"]))
    site.page("/more", page())
    web = await hunt(site, Mine(), auth="" if where == "and back" else "me:hunter2", scope="any")
    assert "landed" in web.result.items[0]["url"]
    hits = [
        *other.hits,
        *(hit for hit in site.hits if hit.host != "a.test" or hit.path not in ("/", "/robots.txt")),
    ]
    assert [hit.headers["Accept-Language"] for hit in hits if hit.path == "/landed"] == ["de"]
    assert leaked(hits) == []


async def test_a_redirect_from_https_to_http_takes_no_secret_along(site: Site, tmp_path: Path) -> None:
    context, authority = SSLContext(PROTOCOL_TLS_SERVER), trustme.CA()
    authority.issue_cert("a.test").configure_cert(context)
    async with Site(ssl=context) as safe:
        target = "http://a.test/landed"
        safe.page("/", page([target, "/moved"]), headers=[("Set-Cookie", "safe=c00kie; Secure")])
        safe.redirect("/moved", target + "2")
        site.page("*", page())
        web = await hunt(
            site, Mine(url=safe.url("/", "a.test")), auth="me:hunter2", verify=False, scope="any", robots=False
        )
        assert [hit.headers.get("Cookie") for hit in safe.hits_of(path="/moved")] == ["safe=c00kie"]
    assert len(web.result.items) == 3
    assert {hit.path for hit in site.hits} == {"/landed", "/landed2"}
    assert leaked(site.hits) == []
    assert not any("Referer" in hit.headers for hit in site.hits)


async def test_a_redirect_within_the_origin_keeps_them(site: Site) -> None:
    site.redirect("/", "/landed")
    site.page("/landed", page())
    await hunt(site, Mine())
    [hit] = site.hits_of(path="/landed")
    assert {name: hit.headers[name] for name in MINE} == MINE


async def test_auth_is_for_the_origins_of_the_seeds_and_no_other(site: Site, other: Site) -> None:
    site.page("/", page(["/in", "http://b.test/", other.url("/", "a.test"), "http://sub.a.test/", "/away"]))
    site.redirect("/away", "http://c.test/")
    site.page("*", page())
    await hunt(site, Walk(), auth="me:hunter2", scope="any")
    assert [hit.headers.get("Authorization") for hit in site.hits_of("a.test")] == [AUTH] * 4
    assert {hit.host for hit in site.hits} == {"a.test", "b.test", "c.test", "sub.a.test"}
    assert leaked([hit for hit in site.hits if hit.host != "a.test"] + other.hits) == []


async def test_robots_txt_of_another_origin_is_asked_for_without_secrets(site: Site) -> None:
    site.redirect("/robots.txt", "http://rules.test/robots.txt", host="a.test")
    site.page("*", page(), headers={"Set-Cookie": "session=c00kie"})
    await hunt(site, Mine(), auth="me:hunter2")
    [hit] = site.hits_of("rules.test")
    assert leaked([hit]) == []
    assert "Referer" not in hit.headers or hit.headers["Referer"] == "http://a.test/"


async def test_a_callbacks_own_fetch_and_its_redirects_take_nothing_along(site: Site) -> None:
    class Fetches(Mine):
        async def parse(self, response: Response) -> Any:
            plain = await self.fetch("http://b.test/")
            moved = await self.fetch(Request("http://a.test/moved", headers=MINE))
            yield {"urls": [plain.url, moved.url]}

    site.redirect("/moved", "http://b.test/landed", host="a.test")
    site.page("*", page(), headers={"Set-Cookie": "session=c00kie"}, host="a.test")
    site.page("*", page())
    web = await hunt(site, Fetches(), auth="me:hunter2", scope="any")
    assert web.result.items == [{"urls": ["http://b.test/", "http://b.test/landed"]}]
    assert leaked(site.hits_of("b.test")) == []


async def test_retries_and_stale_connections_send_the_same_fields_to_the_same_origin(site: Site) -> None:
    site.page("/", times=[Answer(500), Answer(503), Answer(body=page(["http://b.test/"]))])
    site.page("/", times=[Answer(500), Answer(503), Answer(body=page())], host="b.test")
    await hunt(site, Mine(), scope="any")
    assert [hit.headers["X-Api-Key"] for hit in site.hits_of("a.test", "/")] == ["k3y"] * 3
    assert len(site.hits_of("b.test", "/")) == 3
    assert leaked(site.hits_of("b.test")) == []


async def test_cookies_stay_with_their_host(site: Site) -> None:
    cookies = [
        ("Set-Cookie", "session=c00kie"), ("Set-Cookie", "wide=c00kie; Domain=test"),
        ("Set-Cookie", "foreign=c00kie; Domain=b.test"), ("Set-Cookie", "safe=k3y; Secure"),
        ("Set-Cookie", "__Host-x=k3y; Path=/"), ("Set-Cookie", "deep=t0ken; Path=/deep"),
    ]  # fmt: skip
    links = ["/deep/x", "/shallow", "http://b.test/", "http://sub.a.test/", "/away"]
    site.page("/", page(links), headers=cookies, host="a.test")
    site.redirect("/away", "http://c.test/", host="a.test")
    site.page("*", page())
    await hunt(site, Walk(), scope="any")
    assert site.hits_of("a.test", "/shallow")[0].headers["Cookie"] == "session=c00kie"
    assert sorted(site.hits_of("a.test", "/deep/x")[0].headers["Cookie"].split("; ")) == [
        "deep=t0ken", "session=c00kie",
    ]  # fmt: skip
    assert leaked([hit for hit in site.hits if hit.host != "a.test"]) == []


async def test_a_body_crosses_no_origin(site: Site) -> None:
    class Posts(Walk):
        async def start(self) -> AsyncIterator[Request | str]:
            for status in (301, 302, 303, 307, 308):
                yield Request(f"http://a.test/{status}", form={"password": "hunter2"})
                yield Request(f"http://a.test/in{status}", form={"password": "hunter2"})

    for status in (301, 302, 303, 307, 308):
        site.redirect(f"/{status}", f"http://b.test/{status}", status, host="a.test")
        site.redirect(f"/in{status}", f"/landed{status}", status)
    site.page("*", page())
    web = await hunt(site, Posts(), scope="any")
    assert leaked(site.hits_of("b.test")) == []
    assert sorted(hit.target for hit in site.hits_of("b.test") if hit.method == "GET") == [
        "/301", "/302", "/303", "/robots.txt",
    ]  # fmt: skip
    assert [hit for hit in site.hits_of("b.test") if hit.method == "POST" or hit.headers.get("Content-Type")] == []
    assert web.of("http://a.test/307") is web.of("http://a.test/308") is Reason.BAD_REDIRECT
    inside = {hit.target: (hit.method, hit.body) for hit in site.hits if hit.target.startswith("/landed")}
    assert {target for target, (method, _) in inside.items() if method == "POST"} == {"/landed307", "/landed308"}
    assert all(bool(body) == (method == "POST") for method, body in inside.values())


async def test_the_referer_tells_another_site_no_more_than_the_origin(site: Site, other: Site) -> None:
    site.page("/", page(["/private?token=t0ken"]), host="a.test")
    site.page("/private", page(["/in", "http://b.test/out", other.url("/port", "a.test")]))
    site.page("*", page())
    await hunt(site, Walk(url="http://me:hunter2@a.test/"), scope="any")
    assert site.hits_of("a.test", "/in")[0].headers["Referer"] == "http://a.test/private?token=t0ken"
    assert site.hits_of("b.test", "/out")[0].headers["Referer"] == "http://a.test/"
    assert [hit.headers["Referer"] for hit in other.hits if hit.path == "/port"] == ["http://a.test/"]


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path.name, path.read_bytes().decode("latin-1")


async def test_no_secret_is_written_to_the_run_folder(site: Site, tmp_path: Path) -> None:
    class Told(Walk):
        async def start(self) -> AsyncIterator[Request | str]:
            yield "http://me:hunter2@a.test/"

        def parse(self, response: Response) -> Any:
            self.logger.info("at %s", response)
            yield {"price": object(), "url": response.url}
            yield from super().parse(response)

    odd = [
        "http://me:hunter2@b.test/x",
        "http://me:hunter2@[b/",
        "//me:hunter2@c.test/",
        "ftp://me:hunter2@a.test/",
    ]
    site.page("/", page([*odd, "/moved", "/broken", "/loop", "/twice"]))
    site.redirect("/moved", "http://me:hunter2@b.test/moved")
    site.redirect("/broken", "http://me:hunter2@[broken/")
    site.redirect("/loop", "http://me:hunter2@a.test/loop")
    site.redirect("/twice", "ftp://me:hunter2@a.test/")
    site.page("*", page())
    web = await hunt(
        site, Told(), folder=tmp_path, log_level="debug",
        hosts={"a.test": {"headers": {"X-Api-Key": "k3y"}, "auth": "me:t0ken"}, "x.test": {"proxy": "http://me:t0ken@p/"}},
        auth="me:hunter2", headers={"X-Private": "c00kie"},
    )  # fmt: skip
    assert web.of("http://a.test/broken") is Reason.BAD_REDIRECT
    written = dict(texts(tmp_path))
    assert {"log.jsonl", "stats.json", "run.json", "items.jsonl", "rejected.jsonl"} <= written.keys()
    assert [(name, secret) for name, text in written.items() for secret in SECRETS if secret in text] == []


async def test_proxy_credentials_reach_the_proxy_only_and_no_file(site: Site, tmp_path: Path) -> None:
    seen: list[bytes] = []

    async def proxy(reader: Any, writer: Any, n: int) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        location = b"Location: http://b.test/\r\n" if b"a.test/away" in seen[-1] else b""
        body = page(["/away", "/gone"]).encode()
        status = b"302 Found" if location else b"200 OK"
        writer.write(b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n" % (status, location, len(body)) + body)
        await writer.drain()

    async with RawServer(proxy) as server:
        address = server.url("/").replace("http://", "http://me:hunter2@")
        rules = {"away.test": {"proxy": ""}}
        await hunt(site, Walk(), proxy=address, folder=tmp_path, scope="any", robots=False, hosts=rules)
    wanted = b"Proxy-Authorization: " + AUTH.encode()
    assert len(seen) >= 4
    assert all(wanted in head for head in seen)
    assert site.hits == []
    assert [name for name, text in texts(tmp_path) for secret in SECRETS if secret in text] == []


async def test_an_origin_asked_without_the_proxy_sees_nothing_of_it(site: Site, tmp_path: Path) -> None:
    with refusing() as port:
        proxy = f"http://me:hunter2@127.0.0.1:{port}"
        site.page("*", page(["http://b.test/"]))
        web = await hunt(
            site, Walk(), scope="any", retries=0, robots=False, folder=tmp_path, hosts={"b.test": {"proxy": proxy}}
        )
    assert web.of("http://b.test/") in (Reason.PROXY, Reason.REFUSED)
    assert leaked(site.hits) == []
    assert not any("Proxy-Authorization" in hit.headers for hit in site.hits)
    assert [name for name, text in texts(tmp_path) for secret in SECRETS if secret in text] == []


def test_the_secrets_looked_for_are_the_ones_sent() -> None:
    assert base64.b64decode(SECRETS[-1]) == b"me:hunter2"
