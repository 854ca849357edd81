"""`python -m scraper` as a process of its own that need not import anything: it is a fork of one that has.

Half of what a short crawl costs is the import of aiohttp. That a command finds all of its own modules in a new
interpreter is seen where the documentation is run (test_docs.py).
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import IO

ROOT = Path(__file__).parents[1]
FORKER = Path(__file__).with_name("forker.py")
FORKS = sys.platform == "linux"  # elsewhere libraries may not be used after a fork
_LOCK = Lock()


class Fork:
    """A command that runs, like subprocess.Popen; `streams` are descriptors of its own three."""

    def __init__(
        self,
        words: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        streams: Sequence[int],
        *,
        session: bool = False,
    ) -> None:
        order = {"words": words, "cwd": str(cwd), "env": dict(env), "session": session}
        self.report, theirs = os.pipe()
        try:
            with _LOCK:
                door = _forker(env.get("LD_PRELOAD", ""))
                data = json.dumps(order).encode() + b"\n"
                sent = socket.send_fds(door, [data], [*streams, theirs])
                door.sendall(data[sent:])
        finally:
            os.close(theirs)
        self._told = b""
        while not self._told.endswith(b"\n"):  # a moment: no more than a fork
            self._told += self._read()
        self.pid = int(self._told)
        self._told = b""
        self.returncode: int | None = None

    def _read(self) -> bytes:
        data = os.read(self.report, 64)
        assert data, f"{FORKER.name} has ended"
        return data

    def ended(self) -> None:
        """Take in that it has ended, once `report` can be read."""
        while not self._told.endswith(b"\n"):
            self._told += self._read()
        self.returncode = int(self._told)
        os.close(self.report)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, negative for a signal. Raises subprocess.TimeoutExpired after so many seconds."""
        if self.returncode is None:
            if not select.select([self.report], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("scraper", timeout or 0.0)
            self.ended()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self.returncode is None and not select.select([self.report], [], [], 0)[0]:
            os.kill(self.pid, number)


class Process:
    """A command in the running loop, like asyncio.subprocess.Process; `begun` makes one."""

    def __init__(self, fork: Fork) -> None:
        self._fork = fork
        self._end = asyncio.Event()
        self.pid = fork.pid
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        asyncio.get_running_loop().add_reader(fork.report, self._ended)

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fork.report)
        self._fork.ended()
        self._end.set()
        if self.stdin is not None:
            self.stdin.close()

    @property
    def returncode(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._fork.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        self._fork.send_signal(number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Its exit code."""
        await self._end.wait()
        assert self.returncode is not None
        return self.returncode

    async def communicate(self, typed: bytes = b"") -> tuple[bytes, bytes]:
        """Type something, and read what it says to its end."""
        assert self.stdin is not None
        if self.returncode is None:
            self.stdin.write(typed)
        self.stdin.close()
        out, err, _ = await asyncio.gather(_all(self.stdout), _all(self.stderr), self.wait())
        return out, err


async def begun(words: Sequence[str], cwd: Path, env: Mapping[str, str], out: int, err: int) -> Process:
    """Begin `scraper WORDS`; `out` and `err` are descriptors, or subprocess.PIPE."""
    loop, pipes = asyncio.get_running_loop(), [os.pipe() for each in (-1, out, err) if each < 0]
    (typed, ours), *read = pipes
    given = [each if each >= 0 else pipes[number][1] for number, each in ((1, out), (len(read), err))]
    try:
        process = Process(Fork(words, cwd, env, [typed, *given]))
    finally:
        for each in (typed, *(write for _, write in read)):
            os.close(each)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, _file(ours, "wb"))
    process.stdin = asyncio.StreamWriter(transport, protocol, None, loop)
    readers = [await _reader(each) for each, _ in read]
    process.stdout = readers[0] if out < 0 else None
    process.stderr = readers[-1] if err < 0 else None
    return process


async def _reader(descriptor: int) -> asyncio.StreamReader:
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), _file(descriptor, "rb"))
    return reader


def _file(descriptor: int, mode: str) -> IO[bytes]:
    return os.fdopen(descriptor, mode, 0)


async def _all(stream: asyncio.StreamReader | None) -> bytes:
    return b"" if stream is None else await stream.read()


@cache
def _forker(preload: str) -> socket.socket:
    """The socket of a process to fork from, begun when it is first needed; `preload` as in LD_PRELOAD."""
    ours, theirs = socket.socketpair()
    env = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **({"LD_PRELOAD": preload} if preload else {})}
    with theirs:
        child = subprocess.Popen(
            [sys.executable, str(FORKER), str(theirs.fileno())],
            env={**os.environ, **env}, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    atexit.register(child.wait)
    atexit.register(ours.close)  # which comes first, and ends it
    return ours
