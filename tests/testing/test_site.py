"""The test site: what it answers, what it records, and that it judges from outside."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
import trustme

from scraper.testing.answers import Answer, Visit, tree_links, tree_path
from scraper.testing.hits import Hit, during, parallel, spacing
from scraper.testing.process import SiteProcess
from scraper.testing.resolve import Loopback
from scraper.testing.site import Site


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site() as site:
        yield site


@pytest.fixture
async def client(site: Site) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(resolver=Loopback(site.port))
    async with aiohttp.ClientSession(connector=connector) as client:
        yield client


async def test_answers_each_host_with_its_own_page(site: Site, client: aiohttp.ClientSession) -> None:
    site.page("/", "shop", host="shop.test")
    site.page("/", "anyone")
    assert await (await client.get("http://shop.test/")).text() == "shop"
    assert await (await client.get("http://other.test/")).text() == "anyone"
    assert (await client.get("http://other.test/nothing")).status == 404
    assert [hit.target for hit in site.hits_of("other.test")] == ["/", "/nothing"]
    assert [hit.status for hit in site.hits_of("other.test")] == [200, 404]


async def test_a_path_with_query_goes_before_the_path_alone(site: Site, client: aiohttp.ClientSession) -> None:
    site.page("/list", "first")
    site.page("/list?page=2", "second")
    assert await (await client.get("http://a.test/list?page=2")).text() == "second"
    assert await (await client.get("http://a.test/list?page=3")).text() == "first"


async def test_successive_visits_get_the_listed_answers_and_then_the_page(
    site: Site, client: aiohttp.ClientSession
) -> None:
    busy = Answer(503, headers={"Retry-After": "1"})
    site.page("/", "at last", times=[busy, busy])
    answers = [await client.get("http://a.test/") for _ in range(4)]
    assert [answer.status for answer in answers] == [503, 503, 200, 200]
    assert answers[0].headers["Retry-After"] == "1"


async def test_a_page_with_validators_answers_304(site: Site, client: aiohttp.ClientSession) -> None:
    site.page("/", "same", headers={"ETag": '"1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"})
    statuses = [
        (await client.get("http://a.test/", headers=headers)).status
        for headers in (
            {"If-None-Match": '"1"'},
            {"If-None-Match": '"2"'},
            {"If-Modified-Since": "Mon, 01 Jan 2024 00:00:00 GMT"},
        )
    ]
    assert statuses == [304, 200, 304]


async def test_redirects_robots_and_headers_are_sent_as_declared(site: Site, client: aiohttp.ClientSession) -> None:
    site.redirect("/old", "/new", 301)
    site.robots("User-agent: *\nDisallow: /x")
    site.robots(503, host="broken.test")
    site.page("/two", headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    moved = await client.get("http://a.test/old", allow_redirects=False)
    assert (moved.status, moved.headers["Location"]) == (301, "/new")
    robots = await client.get("http://a.test/robots.txt")
    assert (robots.content_type, await robots.text()) == ("text/plain", "User-agent: *\nDisallow: /x")
    assert (await client.get("http://broken.test/robots.txt")).status == 503
    assert (await client.get("http://a.test/two")).headers.getall("Set-Cookie") == ["a=1", "b=2"]


async def test_records_method_headers_and_body(site: Site, client: aiohttp.ClientSession) -> None:
    site.echo()
    reply = await client.post("http://a.test/echo?q=1", data=b"\xff\x00", headers={"X-Own": "yes"})
    seen = json.loads(await reply.text())
    hit = site.hits[-1]
    assert (seen["method"], seen["target"], seen["body"]) == ("POST", "/echo?q=1", "\xff\x00")
    assert (hit.method, hit.target, hit.path, hit.body) == ("POST", "/echo?q=1", "/echo", b"\xff\x00")
    assert hit.headers["x-own"] == "yes"
    assert Hit.load(json.loads(json.dumps(hit.dump()))) == hit


async def test_a_whole_tree_can_be_found_by_its_links(site: Site, client: aiohttp.ClientSession) -> None:
    paths = site.tree(pages=60, fanout=4, size=2000)
    waiting, found = ["/"], {"/"}
    while waiting:
        page = await (await client.get("http://a.test" + waiting.pop())).text()
        assert len(page) >= 2000
        new = set(re.findall(r'href="([^"]+)"', page)) - found
        found |= new
        waiting += new
    assert found == paths
    assert (await client.get("http://a.test/p/60")).status == 404
    assert all(tree_path(n) in paths for n in tree_links(3, 60, 4))


async def test_a_trap_never_ends(site: Site, client: aiohttp.ClientSession) -> None:
    site.endless("/deep", fanout=2)
    page = await (await client.get("http://a.test/deep/0/1")).text()
    assert re.findall(r'href="([^"]+)"', page) == ["/deep/0/1/0", "/deep/0/1/1"]


async def test_basic_authentication_opens_only_to_the_right_name(site: Site, client: aiohttp.ClientSession) -> None:
    site.basic("/private", "ann", "päss", "inside")
    refused = await client.get("http://a.test/private")
    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic")
    right = {"Authorization": "Basic " + base64.b64encode("ann:päss".encode()).decode()}
    assert await (await client.get("http://a.test/private", headers=right)).text() == "inside"


async def test_a_form_login_gives_a_session_cookie(site: Site, client: aiohttp.ClientSession) -> None:
    site.login("ann", "secret", "hello ann")
    form = await (await client.get("http://a.test/account")).text()
    token = re.search(r'value="(\w+)"', form)
    assert token is not None
    data = {"user": "ann", "password": "wrong", "token": token[1]}
    assert (await client.post("http://a.test/login", data=data)).status == 403
    inside = await client.post("http://a.test/login", data=data | {"password": "secret"})
    assert await inside.text() == "hello ann"
    assert [hit.status for hit in site.hits] == [302, 200, 403, 303, 200]


async def test_a_cookie_wall_redirects_to_itself_once(site: Site, client: aiohttp.ClientSession) -> None:
    site.wall("/", "through")
    assert await (await client.get("http://a.test/")).text() == "through"
    assert [hit.status for hit in site.hits_of(path="/")] == [302, 200]


async def test_a_function_can_answer_everything_below_a_path(site: Site, client: aiohttp.ClientSession) -> None:
    def day(visit: Visit) -> Answer:
        return Answer(200, f"{visit.path} visit {visit.number}")

    site.answer("/calendar/*", day)
    await client.get("http://a.test/calendar/1")
    assert await (await client.get("http://a.test/calendar/2")).text() == "/calendar/2 visit 1"


async def test_overlap_and_spacing_are_what_the_client_did(site: Site, client: aiohttp.ClientSession) -> None:
    site.page("/slow", "done", delay=0.05)
    await asyncio.gather(*(client.get(f"http://a.test/slow?{n}") for n in range(3)))
    assert parallel(site.hits) == 3
    site.forget()
    for _ in range(3):
        await client.get("http://a.test/slow")
    assert parallel(site.hits) == 1
    assert all(0.05 <= gap < 0.5 for gap in spacing(site.hits))
    assert len(during(site.hits, site.hits[1].time, site.hits[2].time)) == 1


async def test_a_visitor_who_leaves_ends_the_request(site: Site, client: aiohttp.ClientSession) -> None:
    site.page("/", "late", delay=30)
    with pytest.raises(TimeoutError):
        await client.get("http://a.test/", timeout=aiohttp.ClientTimeout(total=0.5))
    async with asyncio.timeout(5):
        await site.until(lambda: site.hits[0].end < time.monotonic())


async def test_a_large_page_is_open_until_it_has_been_read(site: Site, client: aiohttp.ClientSession) -> None:
    site.page("/", b"x" * 20_000_000)
    async with client.get("http://a.test/") as response:
        await asyncio.sleep(0.05)
        assert site.hits[0].end == float("inf")
        assert len(await response.read()) == 20_000_000
    assert site.hits[0].end < time.monotonic()


async def test_waits_for_what_a_test_waits_for(site: Site, client: aiohttp.ClientSession) -> None:
    asking = asyncio.create_task(client.get("http://a.test/first"))
    await site.until(lambda: len(site.hits) == 1)
    assert (await asking).status == 404


async def test_speaks_https_when_given_a_context() -> None:
    authority = trustme.CA()
    own, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(own)
    authority.configure_trust(trusting)
    async with Site(ssl=own) as site, aiohttp.ClientSession() as client:
        site.page("/", "safe")
        assert await (await client.get(site.url(), ssl=trusting)).text() == "safe"


async def test_listens_on_several_addresses_with_one_port() -> None:
    async with Site(addresses=3) as site, aiohttp.ClientSession() as client:
        for number in (1, 2, 3):
            assert (await client.get(site.url("/", host=f"127.0.0.{number}"))).status == 404
        assert [hit.host for hit in site.hits] == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]


async def test_closes_quickly_while_a_request_is_open() -> None:
    async with aiohttp.ClientSession() as client:
        async with Site() as site:
            site.page("/", delay=60)
            asking = asyncio.create_task(client.get(site.url()))
            await asyncio.sleep(0.05)
            started = time.monotonic()
        assert time.monotonic() - started < 20
        with pytest.raises(aiohttp.ClientError):
            await asking


async def test_stamps_arrivals_of_a_busy_caller_when_in_a_process_of_its_own() -> None:
    with SiteProcess(addresses=2) as site:
        site.page("/", "hello", delay=0.2)
        async with aiohttp.ClientSession() as client:
            asking = asyncio.create_task(client.get(site.url("/", host="127.0.0.2")))
            while not site.hits:  # noqa: ASYNC110  another process; the request leaves
                await asyncio.sleep(0.01)
            busy = time.monotonic()
            time.sleep(0.8)  # noqa: ASYNC251  the caller's loop is busy, the site's is not
            assert await (await asking).text() == "hello"
        assert site.hits[0].start <= busy
        assert busy < site.hits[0].end < busy + 0.8
    assert [hit.host for hit in site.hits] == ["127.0.0.2"]


def test_a_process_can_be_declared_before_and_while_it_runs_without_a_loop() -> None:
    site = SiteProcess()
    paths = site.tree(10)
    with site:
        site.page("/more", "more", times=[Answer(503)])
        site.forget()
        assert site.hits == []
        assert site.port > 0
    assert len(paths) == 10
    with pytest.raises(RuntimeError, match="not running"):
        site.forget()


async def test_the_resolver_knows_ports_addresses_and_names_that_do_not_exist() -> None:
    names = Loopback({"a.test": 8123}, addresses={"many.test": ["10.0.0.1", "::1"]}, failing=["gone.test"])
    assert [(r["host"], r["port"]) for r in await names.resolve("a.test", 80)] == [("127.0.0.1", 8123)]
    assert (await names.resolve("a.test", 9000))[0]["port"] == 9000
    assert [r["host"] for r in await names.resolve("many.test", 443)] == ["10.0.0.1", "::1"]
    with pytest.raises(OSError, match="not known"):
        await names.resolve("gone.test", 80)
    assert names.asked == ["a.test", "a.test", "many.test", "gone.test"]


def test_requests_that_only_touch_do_not_overlap() -> None:
    hits = [Hit(0.0, "a", "GET", "/", end=1.0), Hit(1.0, "a", "GET", "/", end=3.0), Hit(2.0, "a", "GET", "/")]
    assert parallel(hits) == 2
    assert parallel([]) == 0
    assert spacing(reversed(hits)) == [1.0, 1.0]
