"""How a command tells a server that something has changed: one byte to a socket in its folder, so nobody polls."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NAME = "wake.sock"
KNOCK = b"\n"


def wake(home: Path) -> bool:
    """Wake the server of this folder; whether one listens. Never waits, never fails."""
    if not hasattr(socket, "AF_UNIX"):
        return False
    with suppress(OSError), _short(home) as place, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
        ours.setblocking(False)
        try:
            ours.sendto(KNOCK, place)
        except BlockingIOError:  # it has been woken often enough and has not looked yet
            return True
        return True
    return False


def listen(home: Path) -> socket.socket:
    """The socket that becomes readable when somebody wakes us; only for the server that holds the folder.

    It does not block. What is left of an earlier server is taken away. Raises OSError.
    """
    with suppress(FileNotFoundError):
        os.unlink(home / NAME)
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        ours.setblocking(False)
        with _short(home) as place:
            ours.bind(place)
        os.chmod(home / NAME, 0o600)
    except OSError:
        ours.close()
        raise
    return ours


@contextmanager
def _short(home: Path) -> Iterator[str]:
    """The socket's address: where /proc can stand for a folder the 107 bytes of an address always suffice."""
    folder = os.open(home, os.O_RDONLY)
    try:
        short = f"/proc/self/fd/{folder}"
        yield f"{short}/{NAME}" if os.path.isdir(short) else str(home / NAME)
    finally:
        os.close(folder)
