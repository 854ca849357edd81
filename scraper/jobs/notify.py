"""What a service manager is told of a server: sd_notify(3), a datagram of lines to the socket it has named."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"


class Notify:
    """Tells systemd how the server stands; nothing where nobody has asked for it."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        given = os.environ if environ is None else environ
        self._place = given.get("NOTIFY_SOCKET", "")
        self.every = _watchdog(given) if self._place else 0.0  # seconds between two signs of life, 0: none wanted

    def tell(self, *lines: str) -> None:
        """Send these lines; a manager that does not listen is no trouble of ours."""
        if not self._place:
            return
        place = f"\0{self._place[1:]}" if self._place.startswith("@") else self._place
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
            ours.setblocking(False)
            ours.sendto("\n".join(lines).encode(), place)

    async def keep_alive(self) -> None:
        """Tell at every half of the watchdog's time that the loop turns; returns when none is wanted."""
        while self.every:
            self.tell(ALIVE)
            await asyncio.sleep(self.every)


def _watchdog(given: Mapping[str, str]) -> float:
    """Half of WATCHDOG_USEC in seconds, when it is meant for this process (sd_watchdog_enabled(3))."""
    try:
        if int(given.get("WATCHDOG_PID", os.getpid())) != os.getpid():
            return 0.0
        return max(0, int(given.get("WATCHDOG_USEC", "0"))) / 2e6
    except ValueError:
        return 0.0
