from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer

from scraper.clock import Clock
from scraper.errors import FetchError
from scraper.fetch.guard import Guard
from scraper.fetch.resolve import HOSTS, NEGATIVE_TTL, PER_FAMILY, TTL, GuardedResolver, Names
from scraper.reasons import Reason

Zone = dict[str, list[str] | Exception]


class Table(AbstractResolver):
    """A resolver that answers from a table, one turn of the loop later; it counts the questions."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.asked: list[str] = []
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        await asyncio.sleep(0.01)
        answer = self.zone.get(host, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
        if isinstance(answer, Exception):
            raise answer
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in answer
        ]

    async def close(self) -> None:
        self.closed = True


class Silent(AbstractResolver):
    """A name server that never answers."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        await asyncio.Event().wait()
        return []

    async def close(self) -> None:
        return


class Hand(Clock):
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A real server on loopback."""

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=f"hello {request.host}")

    app = web.Application()
    app.router.add_get("/", hello)
    async with TestServer(app, host="127.0.0.1") as server:
        assert server.port is not None
        yield server.port


async def fetch(resolver: AbstractResolver, url: str) -> str:
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False)
    async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as response:
        return await response.text()


async def addresses(resolver: GuardedResolver, host: str, port: int = 80) -> list[str]:
    return [found["host"] for found in await resolver.resolve(host, port, socket.AF_UNSPEC)]


async def test_a_page_cannot_lead_a_real_session_to_a_private_address(port: int) -> None:
    resolver = GuardedResolver(Table({"rebind.test": ["127.0.0.1"]}), Guard())
    with pytest.raises(FetchError) as caught:
        await fetch(resolver, f"http://rebind.test:{port}/")
    assert caught.value.reason is Reason.PRIVATE_ADDRESS
    assert "127" not in caught.value.detail


async def test_a_real_session_reaches_the_users_own_seed_at_its_port_only(port: int) -> None:
    guard = Guard(allowed_hosts=[f"seed.test:{port}"])
    assert "seed.test" in await fetch(
        GuardedResolver(Table({"seed.test": ["127.0.0.1"]}), guard), f"http://seed.test:{port}/"
    )
    with pytest.raises(FetchError):
        await fetch(GuardedResolver(Table({"seed.test": ["127.0.0.1"]}), guard), "http://seed.test:6379/")


async def test_a_private_address_beside_a_public_one_is_never_dialled(port: int) -> None:
    resolver = GuardedResolver(Table({"mixed.test": ["127.0.0.1", "8.8.8.8", "::1"]}), Guard())
    assert await addresses(resolver, "mixed.test", port) == ["8.8.8.8"]


async def test_a_name_that_turns_private_is_refused_at_the_next_lookup() -> None:
    clock, table = Hand(), Table({"rebind.test": ["8.8.8.8"]})
    resolver = GuardedResolver(table, Guard(), clock=clock)
    assert await addresses(resolver, "rebind.test") == ["8.8.8.8"]
    table.zone["rebind.test"] = ["169.254.169.254"]
    assert await addresses(resolver, "rebind.test") == ["8.8.8.8"]  # what was judged is what is dialled
    clock.now = TTL
    with pytest.raises(FetchError, match="private_address"):
        await addresses(resolver, "rebind.test")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "no such name"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "Temporary"),
        (OSError(None, "DNS server returned general failure"), "general failure"),
        (OSError(), "OSError"),
        ([], "no address"),
        (TimeoutError(), "no answer within"),
        (UnicodeError("label too long"), "not a name"),
    ],
)
async def test_a_lookup_that_fails_is_one_typed_error_in_a_real_session(
    answer: list[str] | Exception, says: str
) -> None:
    with pytest.raises(FetchError, match=says) as caught:
        await fetch(GuardedResolver(Table({"gone.test": answer}), Guard()), "http://gone.test/")
    assert caught.value.reason is Reason.DNS
    assert "gone.test" in caught.value.detail


async def test_no_file_descriptors_is_this_machines_fault_and_not_remembered() -> None:
    table = Table({"a.test": OSError(errno.EMFILE, "Too many open files")})
    resolver = GuardedResolver(table, Guard())
    with pytest.raises(FetchError) as caught:
        await addresses(resolver, "a.test")
    assert caught.value.reason is Reason.LOCAL
    table.zone["a.test"] = ["8.8.8.8"]
    assert await addresses(resolver, "a.test") == ["8.8.8.8"]


async def test_a_silent_name_server_is_given_up() -> None:
    with pytest.raises(FetchError, match=r"no answer within 0.05 s"):
        await fetch(GuardedResolver(Silent(), Guard(), timeout=0.05), "http://slow.test/")


async def test_the_machines_own_resolver_and_an_overlong_label() -> None:
    resolver = GuardedResolver(aiohttp.ThreadedResolver(), Guard())
    with pytest.raises(FetchError) as caught:
        await addresses(resolver, "x" * 64 + ".test")
    assert caught.value.reason is Reason.DNS
    with pytest.raises(FetchError) as caught:
        await addresses(resolver, "localhost")
    assert caught.value.reason is Reason.PRIVATE_ADDRESS


@pytest.mark.parametrize(("zone", "ttl"), [({"a.test": ["8.8.8.8"]}, TTL), ({}, NEGATIVE_TTL)])
async def test_an_answer_is_kept_for_its_time(zone: Zone, ttl: float) -> None:
    clock, table = Hand(), Table(zone)
    resolver = GuardedResolver(table, Guard(), clock=clock)

    async def ask() -> int:
        with contextlib.suppress(FetchError):
            await resolver.resolve("A.test.", 80)
        return len(table.asked)

    assert [await ask(), await ask()] == [1, 1]
    clock.now = ttl - 0.1
    assert await ask() == 1
    clock.now = ttl
    assert await ask() == 2


async def test_each_port_is_judged() -> None:
    table = Table({"a.test": ["10.0.0.1"]})
    resolver = GuardedResolver(table, Guard(allowed_hosts=["a.test"]))
    assert [found["port"] for found in await resolver.resolve("a.test", 443)] == [443]
    assert [found["port"] for found in await resolver.resolve("a.test", 80)] == [80]
    with pytest.raises(FetchError):
        await resolver.resolve("a.test", 8080)


async def test_concurrent_questions_are_asked_once_and_survive_the_askers_cancellation() -> None:
    table = Table({"a.test": ["8.8.8.8"]})
    resolver = GuardedResolver(table, Guard())
    assert await asyncio.gather(*(addresses(resolver, "a.test") for _ in range(50))) == [["8.8.8.8"]] * 50
    assert len(table.asked) == 1
    table.zone["b.test"] = ["9.9.9.9"]
    first, second, third = (asyncio.create_task(addresses(resolver, "b.test")) for _ in range(3))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == await third == ["9.9.9.9"]
    assert table.asked == ["a.test", "b.test", "b.test"]
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_the_cache_is_bounded() -> None:
    resolver = GuardedResolver(_at_once(), Guard())
    for number in range(HOSTS + 100):
        await resolver.resolve(f"h{number}.test", 80)
    assert len(resolver) == HOSTS


async def test_of_two_hundred_addresses_a_few_of_each_family_are_tried() -> None:
    many = [f"2606:4700::{n:x}" for n in range(1, 200)] + [f"8.8.8.{n}" for n in range(200)]
    found = await addresses(GuardedResolver(Table({"many.test": many}), Guard()), "many.test")
    assert found == many[:PER_FAMILY] + many[199 : 199 + PER_FAMILY]


async def test_closing_closes_the_resolver_within() -> None:
    table = Table({})
    await GuardedResolver(table, Guard()).close()
    assert table.closed


def _at_once() -> AbstractResolver:
    class AtOnce(Table):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            return [ResolveResult(hostname=host, host="8.8.8.8", port=0, family=2, proto=0, flags=0)]

    return AtOnce({})


# -- the system's names -----------------------------------------------------------------------------


async def test_the_system_knows_this_machine() -> None:
    names = Names()
    (found,) = await names.resolve("127.0.0.1", 8080)
    assert (found["host"], found["port"], found["family"]) == ("127.0.0.1", 8080, socket.AF_INET)
    with pytest.raises(socket.gaierror):
        await names.resolve("no-such-name.invalid", 80)
    await names.close()


async def test_names_that_nobody_answers_for_hold_up_neither_others_nor_the_threads_of_the_loop() -> None:
    silence = threading.Event()

    def look(host: str, port: int, *rest: Any) -> Any:
        if host.startswith("silent"):
            silence.wait(10)
        return socket.getaddrinfo("127.0.0.1", port, *rest)

    names = Names(look)
    silent = [asyncio.create_task(names.resolve(f"silent{n}.test")) for n in range(40)]
    try:
        async with asyncio.timeout(5):
            assert len(await names.resolve("a.test", 80)) == 1
            await asyncio.to_thread(len, "")
        assert not any(task.done() for task in silent)
    finally:
        silence.set()
        await asyncio.gather(*silent)
        await names.close()
