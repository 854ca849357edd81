"""One process that a server has begun, or finds again after it was begun by another server."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from . import system

MARK = "JOB_PROCESS"  # in the environment of a process and of all that it starts
LAST = 5.0  # seconds that a killed process may take to be gone
ROUNDS = 20  # of killing: what is killed may just have started another


class Child:
    """A process in a session of its own. `pid` and `birth` tell which, `mark` is in its environment.

    `wait` is done when it is gone; `reap` ends what it has left behind. Not for several tasks at once. `held` is
    whether something else says that it lives, for where the system does not tell which process has a number.
    """

    def __init__(
        self, pid: int, birth: str, mark: str, popen: subprocess.Popen[bytes] | None = None, *, held: bool = False
    ) -> None:
        self.pid = pid
        self.birth = birth
        self.mark = mark
        self._popen = popen
        self._exit: int | None = None
        self._file: int | None = None  # a descriptor of the process (pidfd)
        with suppress(OSError, AttributeError):  # it is gone; not Linux
            self._file = os.pidfd_open(pid)
        self._own = popen is not None
        self.gone = not (self._own or self._lives() or (held and not system.boot()))
        if self.gone:
            self._close()

    @classmethod
    def begin(
        cls, words: Sequence[str], *, cwd: Path, env: Mapping[str, str], mark: str, out: int, stdin: int
    ) -> Child:
        """Start a program, its output to the descriptor `out`. Raises OSError."""
        try:
            popen = subprocess.Popen(
                words, cwd=cwd, env={**env, MARK: mark}, stdin=stdin, stdout=out, stderr=out, start_new_session=True
            )
        except ValueError as error:  # a NUL among the words
            raise OSError(errno.EINVAL, str(error)) from error
        return cls(popen.pid, system.birth(popen.pid), mark, popen)

    @property
    def stdin(self) -> IO[bytes] | None:
        """Its standard input, when that was to be a pipe."""
        return self._popen.stdin if self._popen is not None else None

    def _lives(self) -> bool:
        """Whether it is there; asked after its descriptor was opened, so that this is of the same process."""
        return bool(self.birth) and system.birth(self.pid) == self.birth

    async def wait(self, otherwise: Callable[[], object] | None = None) -> int | None:
        """Its exit code, negative for a signal; None when it is not ours and nobody knows.

        `otherwise` blocks until one that is not ours is gone, for where the system cannot tell.
        """
        if self.gone:
            return self._exit
        if self._file is not None:
            await _readable(self._file)
        elif self._popen is not None:
            await in_thread(self._popen.wait)
        elif otherwise is not None:
            await in_thread(otherwise)
        return self._exit

    async def reap(self) -> int | None:
        """After `wait`: end what it has left behind, and let its number go; gives the exit code."""
        await self._sweep()
        self.gone = True
        if self._popen is not None:
            self._exit = self._popen.wait()  # until here its number was nobody else's
        self._close()
        return self._exit

    def send(self, number: int) -> None:
        """Send it a signal; nothing happens when it is gone."""
        if self.gone:
            return
        with suppress(ProcessLookupError):
            if self._file is not None:
                signal.pidfd_send_signal(self._file, number)
            elif self._popen is not None:
                self._popen.send_signal(number)
            elif self.birth == "":
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it with all that belongs to it."""
        if not self.gone and not system.boot():
            with suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)  # all that can be known of what belongs to it
        self.send(signal.SIGKILL)
        for each in self._others():
            _kill(each)

    def memory(self) -> int:
        """Bytes that it and what belongs to it have in memory."""
        return 0 if self.gone else system.memory(self.pid)

    def leave(self) -> None:
        """Let it go on without us."""
        if self._popen is not None:
            self._popen.returncode = 0  # nobody will wait for it, and that is meant
        self._close()

    def _others(self) -> list[system.Seen]:
        """What belongs to it and lives.

        Its session is known by number only as long as the number cannot have been given anew: while it runs, or
        is dead and not waited for. The mark holds always.
        """
        found = {each.pid: each for each in system.marked(f"{MARK}={self.mark}".encode())}
        if self._own or self._lives():
            found |= {each.pid: each for each in system.family(self.pid)}
        found.pop(os.getpid(), None)
        return [*found.values()]

    async def _sweep(self) -> None:
        for _ in range(ROUNDS):
            if not (others := self._others()):
                return
            files = [file for each in others if (file := _kill(each, keep=True)) is not None]
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LAST):
                        await asyncio.gather(*map(_readable, files))
            finally:
                for file in files:
                    os.close(file)

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _kill(each: system.Seen, *, keep: bool = False) -> int | None:
    """Kill exactly this process; gives its descriptor when it is to be kept, and there is one."""
    try:
        file = os.pidfd_open(each.pid)
    except (OSError, AttributeError):
        return None
    now = system.seen(each.pid)
    if now is not None and now.started == each.started:
        with suppress(OSError):
            signal.pidfd_send_signal(file, signal.SIGKILL)
        if keep:
            return file
    os.close(file)
    return None


async def _readable(file: int) -> None:
    """Wait until a descriptor of a process says that it is gone."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.add_reader(file, _settle, done)
    try:
        await done
    finally:
        loop.remove_reader(file)


def _settle(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


async def in_thread(work: Callable[[], object]) -> None:
    """Wait for what blocks, in a thread that keeps nobody from ending."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def block() -> None:
        with suppress(OSError):
            work()
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(_settle, done)

    threading.Thread(target=block, daemon=True).start()
    await done
