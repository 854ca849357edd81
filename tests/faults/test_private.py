"""A public page leads to private addresses (faults 38, 39): by any way, in any spelling, none is ever dialled.

The seed's host is trusted because the user named it; to the guard every other name of these tests is one that
the web brought up, and all of them lie on loopback.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from scraper import FetchError, Request, Response
from scraper.reasons import Reason
from scraper.testing.raw import SCRIPTS, RawServer
from scraper.testing.resolve import Loopback
from scraper.testing.site import Site
from tests.faults.web import Walk, Web, hunt, page

PUBLIC_BUT_DEAD = "2606:4700:4700::1111"  # public by number; unreachable, or refused, from a test machine
GUARDED = {"allow_private": False, "scope": "any", "retries": 0, "robots": False, "connect_timeout": 0.4}
SPELLINGS = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1",
    "127.0.0.1.",
    "%31%32%37.0.0.1", "\uff11\uff12\uff17.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "0.0.0.0", "0", "[::]", "127.255.255.254",
    "localhost", "LOCALHOST", "localhost.", "127.0.0.1.nip.test", "b.test",
]  # fmt: skip
ELSEWHERE = [
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "168.63.129.16", "[fd00::1]",
    "[fe80::1]", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "2852039166", "224.0.0.1", "255.255.255.255",
]  # fmt: skip


@pytest.fixture
async def victim() -> AsyncIterator[RawServer]:
    """A server that nobody must ever connect to."""
    async with RawServer(SCRIPTS["good"]) as server:
        yield server
        assert server.connections == 0


async def guarded(site: Site, spider: Walk, **settings: Any) -> Web:
    addresses = {"mixed.test": [PUBLIC_BUT_DEAD, "127.0.0.1"], "ten.test": ["10.0.0.1", "::1"]}
    return await hunt(site, spider, resolver=Loopback(site.port, addresses=addresses), **{**GUARDED, **settings})


def only_seeds(site: Site) -> bool:
    return {hit.host for hit in site.hits} == {"a.test"}


async def test_links_to_private_addresses_in_every_spelling_are_refused(site: Site, victim: RawServer) -> None:
    hosts = [*SPELLINGS, *ELSEWHERE, "ten.test"]
    targets = [f"http://{host}{port}/secret" for host in hosts for port in ("", f":{site.port}", f":{victim.port}")]
    site.page("/", page([*targets, "/good"]), host="a.test")
    site.page("/good", page(), host="a.test")
    web = await guarded(site, Walk())
    ends = web.reasons()
    assert [ends.pop(f"http://a.test/{path}") for path in ("", "good")] == [Reason.OK, Reason.OK]
    assert set(ends.values()) == {Reason.PRIVATE_ADDRESS}
    assert len(ends) >= 70
    assert only_seeds(site)


async def test_a_trusted_name_opens_no_other_port_of_its_own(site: Site, victim: RawServer) -> None:
    site.page("/", page([victim.url("/", "a.test")]), host="a.test")
    web = await guarded(site, Walk())
    assert web.of(victim.url("/", "a.test")) is Reason.PRIVATE_ADDRESS


@pytest.mark.parametrize("status", [301, 303, 307])
async def test_redirects_to_private_addresses_are_refused(site: Site, victim: RawServer, status: int) -> None:
    targets = [f"http://{host}:{victim.port}/" for host in (*SPELLINGS, *ELSEWHERE)]
    site.page("/", page(f"/{n}" for n in range(len(targets))), host="a.test")
    for number, target in enumerate(targets):
        site.redirect(f"/{number}", f"/hop{number}", status, host="a.test")
        site.redirect(f"/hop{number}", target, status, host="a.test")
    web = await guarded(site, Walk())
    reasons = web.result.report.stats.reasons
    assert reasons["failed", Reason.PRIVATE_ADDRESS] == len(targets)  # type: ignore[index]
    assert web.result.report.stats.done == 1
    assert only_seeds(site)


async def test_the_redirect_of_a_seed_is_no_seed(site: Site, victim: RawServer) -> None:
    site.redirect("/", victim.url("/"), host="a.test")
    web = await guarded(site, Walk())
    assert web.of(victim.url("/")) is Reason.PRIVATE_ADDRESS
    assert only_seeds(site)


async def test_robots_txt_that_redirects_inside_is_not_followed(site: Site, victim: RawServer) -> None:
    for number, target in enumerate(
        (victim.url("/"), "http://b.test/robots.txt", f"http://2130706433:{victim.port}/")
    ):
        site.redirect("/robots.txt", target, host="a.test")
        site.page("/", page(), host="a.test")
        web = await guarded(site, Walk(), robots=True)
        assert web.of("http://a.test/") in (Reason.ROBOTS_UNREACHABLE, Reason.OK), number
        assert only_seeds(site)


async def test_robots_txt_of_a_private_name_is_not_asked_for(site: Site) -> None:
    site.page("/", page(["http://b.test/", "http://localhost/", f"http://[::1]:{site.port}/"]), host="a.test")
    web = await guarded(site, Walk(), robots=True)
    assert web.result.report.stats.failed == 3
    assert only_seeds(site)


async def test_a_callbacks_own_fetch_is_guarded_too(site: Site, victim: RawServer) -> None:
    class Fetches(Walk):
        async def parse(self, response: Response) -> Any:
            for target in (victim.url("/"), "http://b.test/", "http://a.test/moved", f"http://127.1:{site.port}/"):
                try:
                    await self.fetch(target)
                except FetchError as error:
                    yield {"target": target, "reason": error.reason.value}

    site.redirect("/moved", victim.url("/"), host="a.test")
    site.page("/", page(), host="a.test")
    web = await guarded(site, Fetches())
    assert [item["reason"] for item in web.result.items] == ["private_address"] * 4
    assert only_seeds(site)


async def test_requests_of_callbacks_and_refreshes_are_guarded_too(site: Site, victim: RawServer) -> None:
    class Asks(Walk):
        def parse(self, response: Response) -> Any:
            yield Request(victim.url("/asked"))
            yield from super().parse(response)

    refresh = f'<meta http-equiv="refresh" content="0; url={victim.url("/meta")}">'
    header = {"Refresh": f"0; url={victim.url('/header')}", "Link": f"<{victim.url('/link')}>; rel=next"}
    site.page(
        "/", refresh + f'<base href="{victim.url("/")}"><a href="relative">x</a>', host="a.test", headers=header
    )
    web = await guarded(site, Asks())
    assert web.of(victim.url("/relative")) is web.of(victim.url("/asked")) is Reason.PRIVATE_ADDRESS
    assert only_seeds(site)


async def test_of_mixed_addresses_only_the_public_ones_are_dialled(site: Site) -> None:
    site.page("/", page(["http://mixed.test/"]), host="a.test")
    web = await guarded(site, Walk())
    assert web.of("http://mixed.test/") in (Reason.UNREACHABLE, Reason.CONNECT_TIMEOUT, Reason.REFUSED)
    assert only_seeds(site)


async def test_a_name_that_changes_its_address_is_judged_at_each_connection(site: Site) -> None:
    class Rebinding(Loopback):
        async def resolve(self, host: str, *rest: Any) -> Any:
            self._addresses = {} if self.asked.count(host) else {host: [PUBLIC_BUT_DEAD]}
            return await super().resolve(host, *rest)

    site.page("/", page(["http://rebinds.test/1", "http://rebinds.test:8080/2"]), host="a.test")
    resolver = Rebinding(site.port)
    resolver.asked.append("a.test")
    web = await hunt(site, Walk(), resolver=resolver, **{**GUARDED, "retries": 1})
    assert web.of("http://rebinds.test/1") in (Reason.UNREACHABLE, Reason.CONNECT_TIMEOUT, Reason.REFUSED)
    assert web.of("http://rebinds.test:8080/2") is Reason.PRIVATE_ADDRESS
    assert only_seeds(site)


async def test_what_is_refused_names_no_address(site: Site) -> None:
    site.page("/", page(["http://b.test/"]), host="a.test")
    web = await guarded(site, Walk())
    [refused] = [event for event in web.events if event.reason is Reason.PRIVATE_ADDRESS]
    assert "127.0.0.1" not in refused.detail
    assert "b.test" in refused.detail


async def test_with_allow_private_they_are_reached(site: Site) -> None:
    site.page("/", page([f"http://2130706433:{site.port}/", "http://b.test/"]), host="a.test")
    site.page("*", page())
    web = await guarded(site, Walk(), allow_private=True)
    assert web.result.report.stats.done == 3
