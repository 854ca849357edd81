"""`scraper serve` as a person starts it: where it listens, what it refuses, who can log in."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from scraper.dashboard.site import Place, bound
from scraper.jobs.job import Job
from scraper.jobs.record import Cause, JobRun
from scraper.jobs.store import Jobs
from tests.cli.command import begin, ended, scraper
from tests.ports import free_port

pytestmark = [pytest.mark.skipif(os.name != "posix", reason="needs Linux or macOS"), pytest.mark.timeout(60)]


@asynccontextmanager
async def serving(folder: Path, *words: str, err: int = asyncio.subprocess.PIPE) -> AsyncIterator[str]:
    """A server that listens; gives its address, and sees that it ends in good order."""
    port = free_port()
    process = await begin("serve", "--port", str(port), *words, cwd=folder, err=err)
    address = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        while True:
            try:
                async with session.get(f"{address}/healthz") as answer:
                    assert answer.status == 200
                    break
            except aiohttp.ClientConnectionError:
                assert process.returncode is None
                await asyncio.sleep(0.05)
    try:
        yield address
        process.send_signal(signal.SIGTERM)
        assert (await ended(process)).code == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def logged_in(address: str, word: str) -> int:
    """The status of a page after logging in as admin."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        form = {"name": "admin", "password": word}
        async with session.post(f"{address}/login", data=form, headers={"Origin": address}) as answer:
            return answer.status


async def test_a_password_is_made_by_command_also_while_it_runs(tmp_path: Path) -> None:
    async with serving(tmp_path) as address:
        made = await scraper("serve", "--reset-password", cwd=tmp_path)
        word = made.out.strip()
        assert (made.code, made.err, len(word)) == (0, "", 23)
        assert await logged_in(address, word) == 200
        assert await logged_in(address, "wrong") == 401
    home = tmp_path / "output" / ".jobs"
    lines = [json.loads(line) for line in (home / "requests.log").read_text().splitlines()]
    assert {(line["path"], line["status"]) for line in lines} >= {
        ("/healthz", 200),
        ("/login", 303),
        ("/login", 401),
    }
    assert (home / "requests.log").stat().st_mode & 0o077 == 0
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert word.encode() not in kept


@pytest.mark.skipif(sys.platform != "linux", reason="needs a terminal of its own")
async def test_the_first_start_shows_a_password_once_on_the_terminal(tmp_path: Path) -> None:
    for shown in (True, False):
        ours, theirs = os.openpty()
        try:
            async with serving(tmp_path, err=theirs) as address:
                said = os.read(ours, 10_000).decode()
                found = re.search(r"password (\S+) \(it is not shown again\)", said)
                assert bool(found) == shown, said
                if found:
                    assert await logged_in(address, found[1]) == 200
        finally:
            os.close(ours)
            os.close(theirs)


async def test_another_address_needs_a_password_and_a_word(tmp_path: Path) -> None:
    refused = await scraper("serve", "--host", "0.0.0.0", cwd=tmp_path)
    assert (refused.code, "add --public" in refused.err) == (2, True)
    refused = await scraper("serve", "--host", "0.0.0.0", "--public", cwd=tmp_path)
    assert (refused.code, "--reset-password" in refused.err) == (2, True)
    await scraper("serve", "--reset-password", cwd=tmp_path)
    words = ("--host", "0.0.0.0", "--public", "--no-pages")
    async with serving(tmp_path, *words) as address, aiohttp.ClientSession() as session:
        async with session.get(f"{address}/login") as answer:
            assert answer.status == 404
        async with session.get(f"{address}/healthz", headers={"Host": "crawls.example"}) as answer:
            assert answer.status == 421


async def test_a_port_that_is_taken_is_told_before_any_crawl_begins(tmp_path: Path) -> None:
    home = tmp_path / "output" / ".jobs"
    home.mkdir(parents=True)
    (tmp_path / "scraper.toml").touch()
    with Jobs(home) as store:
        store.put(Job(name="shop", spider="shop"), now=0.0, who="t")
        waiting = store.plan(JobRun(id=0, job="shop", spider="shop", planned=1.0, cause=Cause.HAND, due=1.0))
    assert waiting is not None
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = await scraper("serve", "--port", str(port), cwd=tmp_path)
    assert refused.code == 2
    assert refused.err.splitlines()[-1] == (
        f"error: cannot listen at http://127.0.0.1:{port}/: Address already in use; --port chooses another"
    )
    assert "running the jobs" not in refused.err
    with Jobs(home) as store:
        assert store.run(waiting.id) == waiting


async def test_a_second_server_is_refused_because_there_is_one_whatever_its_port(tmp_path: Path) -> None:
    async with serving(tmp_path) as address:
        refused = await scraper("serve", "--port", address.rpartition(":")[2], cwd=tmp_path)
    assert (refused.code, "there can be only one" in refused.err) == (2, True), refused.err


async def test_it_listens_at_every_address_of_a_name() -> None:
    port = free_port()
    addresses = {found[4][0] for found in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM)}
    with bound(Place(host="localhost", port=port)) as doors:
        assert {door.getsockname()[0] for door in doors} <= addresses
        for door in doors:
            socket.create_connection(door.getsockname()[:2], timeout=2).close()


async def test_an_address_of_another_machine_is_told(tmp_path: Path) -> None:
    await scraper("serve", "--reset-password", cwd=tmp_path)
    refused = await scraper("serve", "--host", "192.0.2.1", "--public", "--port", str(free_port()), cwd=tmp_path)
    assert (refused.code, len(refused.err.splitlines())) == (2, 1), refused.err
    assert refused.err.endswith(": Cannot assign requested address\n")
