"""Who gets where: every route without rights, forms of other sites, other names, what an answer carries."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from multidict import CIMultiDict

from scraper.dashboard.app import build
from scraper.dashboard.auth import EACH, LANES, inside
from scraper.dashboard.guard import OPTIONS, Options, address, host
from scraper.dashboard.routes import ROLES, UNSAFE, check
from scraper.jobs.access import ABSOLUTE, IDLE, Access, Role
from scraper.jobs.desk import Desk
from scraper.jobs.tries import FREE
from tests.dashboard.conftest import Browser, Client, Stopped

GIVEN = {"job": "shop", "run": "1", "token": "1", "user": "eve", "name": "x.css", "kind": "csv", "spider": "shop"}


def routes(client: Client) -> list[tuple[str, str, Role]]:
    """All routes of an application: method, a path that fits, the role."""
    app = client.app
    assert app is not None
    found = []
    for route in app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical
        for name in re.findall(r"\{(\w+)\}", path):
            path = path.replace(f"{{{name}}}", GIVEN.get(name, "1"))
        found.append((route.method, path, app[ROLES][route]))
    return found


async def test_no_route_opens_without_rights(client: Client, access: Access) -> None:
    access.first()
    tokens = {role: access.add_token(role.word, role.word, "test")[1] for role in list(Role)[1:]}
    every = routes(client)
    assert len(every) > 40
    for method, path, role in every:
        for own in Role:
            if own >= role:
                continue
            fields = {"Authorization": f"Bearer {tokens[own]}"} if own else {}
            answer = await client.request(method, path, headers=fields, allow_redirects=False)
            assert answer.status == (403 if own else 401), (method, path, own)


async def test_a_wrong_token_or_session_opens_nothing(client: Client) -> None:
    for method, path, role in routes(client):
        if role is Role.NOBODY:
            continue
        for fields in (
            {"Authorization": "Bearer scr_x"},
            {"Authorization": "Basic eA=="},
            {"Cookie": "scraper_0=x"},
        ):
            answer = await client.request(method, path, headers=fields, allow_redirects=False)
            assert answer.status == 401, (method, path)


def test_a_route_without_a_role_does_not_start(desk: Desk, access: Access) -> None:
    app = build(desk, access, Options())

    async def forgotten(request: web.Request) -> web.StreamResponse:
        return web.Response()

    app.router.add_get("/forgotten", forgotten)
    with pytest.raises(RuntimeError, match="/forgotten"):
        check(app)


async def test_a_change_needs_the_secret_of_a_form_and_its_origin(admin: Browser) -> None:
    for fields in (
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "0" * 64},
        {"X-CSRF-Token": "é"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": admin.origin.replace("http:", "https:")},
        {"Origin": admin.origin + ".elsewhere.example"},
    ):
        for method, path, role in routes(admin.client):
            if method in UNSAFE and role is not Role.NOBODY:
                answer = await admin.post(path, method=method, **fields)
                assert answer.status == 403, (method, path, fields)
    assert (await admin.client.get("/api/v1/jobs/shop")).status == 200


async def test_a_login_from_another_site_is_refused(client: Client, access: Access) -> None:
    form = {"name": "admin", "password": access.first()}
    for fields in ({}, {"Origin": "https://elsewhere.example"}):
        assert (await client.post("/login", data=form, headers=fields)).status == 403


async def test_a_token_needs_no_form_and_its_role_counts(client: Client, access: Access) -> None:
    _, word = access.add_token("ci", "operator", "admin")
    fields = {"Authorization": f"Bearer {word}"}
    assert (await client.post("/api/v1/jobs/shop/start", headers=fields)).status == 201
    refused = await client.request("DELETE", "/api/v1/jobs/shop", headers=fields)
    assert refused.status == 403
    assert (await refused.json()) == {"error": "this needs the role admin, you are operator"}


@pytest.mark.parametrize(
    "name",
    [
        "elsewhere.example",
        "elsewhere.example:80",
        "localhost.elsewhere.example",
        "",
        "[::1",
        "a@localhost",
        "localhost/a",
        "localhost?a",
        "localhost#a",
    ],
)
async def test_another_name_for_this_machine_is_refused(client: Client, name: str) -> None:
    for path in ("/", "/login", "/healthz", "/api/v1/jobs", "/static/x.js", "/nothing"):
        answer = await client.get(path, headers={"Host": name})
        assert answer.status == 421, (path, name)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1:99", "[::1]:99", "192.0.2.3", "crawls.example"])
async def test_an_address_and_a_name_that_was_given_are_answered(desk: Desk, access: Access, name: str) -> None:
    options = Options(names=frozenset({"crawls.example"}))
    async with TestClient(TestServer(build(desk, access, options))) as client:
        assert (await client.get("/healthz", headers={"Host": name})).status == 200


async def test_what_a_proxy_says_counts_only_when_there_is_one(desk: Desk, access: Access) -> None:
    word = access.first()
    form = {"name": "admin", "password": word}
    fields = {
        "X-Forwarded-Host": "crawls.example", "X-Forwarded-Proto": "https", "Origin": "https://crawls.example",
        "X-Forwarded-For": "198.51.100.1, 192.0.2.9",
    }  # fmt: skip
    async with TestClient(TestServer(build(desk, access, Options()))) as client:
        assert (await client.post("/login", data=form, headers=fields)).status == 403
    options = Options(names=frozenset({"crawls.example"}), proxy=True)
    async with TestClient(TestServer(build(desk, access, options))) as client:
        answer = await client.post("/login", data=form, headers=fields, allow_redirects=False)
        assert answer.status == 303
        for cookie in answer.headers.getall("Set-Cookie"):
            assert "Secure" in cookie
        assert answer.headers["Set-Cookie"].startswith("__Host-scraper_0=")
        assert "Strict-Transport-Security" in answer.headers
    assert (await desk.acts())[0].detail == "192.0.2.9"


async def test_the_cookie_is_for_this_server_and_no_script(client: Client, access: Access) -> None:
    browser = Browser(client)
    answer = await browser.login("admin", access.first())
    cookie = answer.headers["Set-Cookie"]
    for part in ("HttpOnly", "SameSite=Lax", "Path=/"):
        assert part in cookie
    assert "Domain" not in cookie


async def test_every_answer_tells_the_browser_what_it_must_not_do(admin: Browser) -> None:
    for path in ("/", "/login", "/nothing", "/api/v1/jobs", "/healthz", "/static/none.js"):
        answer = await admin.client.get(path, allow_redirects=False)
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Python" not in answer.headers["Server"]


async def test_a_session_ends_with_its_time(admin: Browser, clock: Stopped) -> None:
    assert (await admin.client.get("/api/v1/me")).status == 200
    clock.now += IDLE
    assert (await admin.client.get("/api/v1/me")).status == 401
    assert ABSOLUTE > IDLE


async def test_logging_out_ends_the_session_also_for_who_kept_the_cookie(admin: Browser) -> None:
    jar = {each.key: each.value for each in admin.client.session.cookie_jar}
    assert (await admin.post("/logout")).status == 303
    kept = "; ".join(f"{name}={value}" for name, value in jar.items())
    assert (await admin.client.get("/api/v1/me", headers={"Cookie": kept})).status == 401


async def test_a_page_without_a_session_is_the_one_to_log_in_and_leads_back(client: Client) -> None:
    answer = await client.get("/?page=2")
    assert answer.status == 401
    assert 'value="/?page=2"' in await answer.text()


async def test_too_many_logins_are_told_when_to_come_again(client: Client, access: Access) -> None:
    browser, word = Browser(client), access.first()
    for _ in range(FREE):
        assert (await browser.login("admin", "wrong")).status == 401
    answer = await browser.login("admin", word)
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) == 1


async def test_a_browser_that_has_logged_in_before_is_not_held_up_by_others(client: Client, access: Access) -> None:
    browser, word = Browser(client), access.first()
    answer = await browser.login("admin", word)
    device = answer.cookies[f"scraper_device_{client.app[OPTIONS].port}"]
    assert (device["path"], device["httponly"], device["samesite"]) == ("/login", True, "Lax")
    for _ in range(FREE):  # by somebody behind the same proxy
        assert access.login("admin", "wrong", "127.0.0.1") is None
    assert (await browser.login("admin", word)).status == 303
    client.session.cookie_jar.clear()
    assert (await browser.login("admin", word)).status == 429


async def test_strangers_that_come_in_numbers_hold_up_nobody_who_is_known(client: Client, access: Access) -> None:
    browser, word, app = Browser(client), access.first(), client.app
    assert app is not None
    await browser.login("admin", word)
    form, fields = {"name": "admin", "password": "wrong"}, {"Origin": browser.origin}
    async with app[LANES].strangers:  # one of them has his turn
        async with ClientSession() as stranger:
            url = client.make_url("/login")
            asking = [asyncio.create_task(stranger.post(url, data=form, headers=fields)) for _ in range(EACH + 1)]
            done, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            assert [(each.result().status, each.result().headers["Retry-After"]) for each in done] == [(503, "5")]
            async with asyncio.timeout(10):  # it would wait for ever
                assert (await browser.login("admin", word)).status == 303
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        server = client.server.runner.server
        while server is not None and len(server.connections) > 1:
            await client.get("/healthz")
    assert (await browser.login("admin", "wrong")).status == 401
    client.session.cookie_jar.clear()
    for _ in range(FREE - 1):  # who has left was not counted
        assert access.login("admin", "wrong", "127.0.0.1") is None
    assert (await browser.login("admin", word)).status == 303


async def test_a_token_made_by_a_session_or_a_token_ends_with_the_user(admin: Browser, access: Access) -> None:
    client = admin.client
    first = access.add_user("eve", "admin")
    eve = Browser(client)
    await eve.login("eve", first)
    word = (await (await eve.post("/api/v1/tokens", json={"name": "one", "role": "admin"})).json())["token"]
    fields = {"Authorization": f"Bearer {word}"}
    answer = await client.post("/api/v1/tokens", json={"name": "two"}, headers=fields)
    second = (await answer.json())["token"]
    assert [(each.by, each.owner) for each in access.tokens()] == [("eve", "eve"), ("token one", "eve")]
    access.remove_user("eve")
    client.session.cookie_jar.clear()
    for each in (word, second):
        answer = await client.get("/api/v1/me", headers={"Authorization": f"Bearer {each}"})
        assert answer.status == 401


@pytest.mark.parametrize(
    ("path", "onward"),
    [
        ("/jobs/shop?x=1", "/jobs/shop?x=1"), ("//elsewhere.example", "/"), ("/\\elsewhere.example", "/"),
        ("https://elsewhere.example", "/"), ("/a\nSet-Cookie: x", "/"), ("/login", "/"), ("", "/"),
        ("javascript:alert(1)", "/"),
    ],
)  # fmt: skip
def test_nobody_is_sent_elsewhere_after_a_login(path: str, onward: str) -> None:
    assert inside(path) == onward


@pytest.mark.parametrize(
    "data", [b"x" * 300_000, b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000, b'{"a":' * 50_000]
)  # fmt: skip
async def test_a_body_that_is_no_job_or_too_large_is_refused(client: Client, access: Access, data: bytes) -> None:
    _, word = access.add_token("ci", "admin", "admin")
    fields = {"Authorization": f"Bearer {word}", "Content-Type": "application/json"}
    answer = await client.post("/api/v1/jobs", data=data, headers=fields)
    assert answer.status in (400, 413)
    assert (await answer.json())["error"]


async def test_every_route_for_programs_is_in_the_reference_with_its_role(client: Client) -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(\w+) ([^`?]+)[^`]*` \| (\w+) \|", text, re.MULTILINE))
    app = client.app
    assert app is not None
    there = set()
    for route in app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical
        if path.startswith(("/api/", "/events", "/healthz", "/metrics")) and route.method != "HEAD":
            there.add((route.method, path, "viewer" if path == "/metrics" else app[ROLES][route].word))
    assert told == there


@pytest.mark.parametrize("name", ["Origin", "Host", "X-Forwarded-Host", "X-Forwarded-For", "Cookie"])
async def test_fields_that_are_no_text_are_refused_and_break_nothing(
    desk: Desk, access: Access, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with TestClient(TestServer(build(desk, access, Options(proxy=True)))) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        fields = {"Host": "localhost", "Origin": "http://localhost"}
        given = {each: value.encode() for each, value in fields.items()} | {name: b"localhost:\xff\xfe"}
        lines = [each.encode() + b": " + value for each, value in given.items()]
        form = [b"Content-Type: application/x-www-form-urlencoded", b"Content-Length: 17", b"Connection: close"]
        writer.write(b"\r\n".join([b"POST /login HTTP/1.1", *lines, *form, b"", b"name=a&password=b"]))
        status = (await reader.read()).split(maxsplit=2)[1]
        writer.close()
    assert status in (b"401", b"403", b"421")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_only_what_the_nearest_proxy_says_is_believed_of_an_address(desk: Desk, access: Access) -> None:
    app = build(desk, access, Options(proxy=True))
    for told, found in (
        (["192.0.2.9"], "192.0.2.9"),
        (["192.0.2.9:5000"], "192.0.2.9"),  # else each port would have tries of its own
        (["192.0.2.1, 192.0.2.9"], "192.0.2.9"),
        (["192.0.2.1", "192.0.2.9"], "192.0.2.9"),
        (["[2001:db8::1]:5000"], "2001:db8::1"),
        (["2001:db8::1"], "2001:db8::1"),
        (["192.0.2.1, unknown"], ""),
        (["192.0.2.1, "], ""),
    ):
        headers = CIMultiDict(("X-Forwarded-For", each) for each in told)
        assert address(make_mocked_request("GET", "/", headers=headers, app=app)) == found
    headers = CIMultiDict([("X-Forwarded-Host", "theirs.example"), ("X-Forwarded-Host", "ours.example")])
    assert host(make_mocked_request("GET", "/", headers=headers, app=app)) == "ours.example"
